"""Wheels: where they come from (`indexes`, `index`, `fetch`) and how one becomes a layer (`layer`)."""
