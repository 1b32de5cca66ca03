"""Counts words, with a library written in C."""
