"""Prints the next days as YAML."""
