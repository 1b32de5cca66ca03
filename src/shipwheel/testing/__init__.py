"""Helpers for tests: a fake index, a wheel factory, random images, project folders. Public.

Nothing in the tool imports this package.
"""
