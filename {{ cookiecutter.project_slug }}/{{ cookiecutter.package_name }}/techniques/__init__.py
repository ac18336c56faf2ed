"""Techniques that decide whether a network trains well, one family a module."""
