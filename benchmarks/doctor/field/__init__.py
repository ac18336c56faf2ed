"""The doctor in the field: networks, data and mistakes as people have them, unlike each other."""
