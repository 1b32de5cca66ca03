"""A quote a day over HTTP."""
