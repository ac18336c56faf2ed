"""Find what is wrong with data, a network or the first steps of its training."""
