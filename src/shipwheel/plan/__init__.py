"""Decide what the image will be, as data. Pure: no network, no clock, nothing written."""
