"""A small shop's stock and orders over HTTP."""
