"""A table of squares."""
