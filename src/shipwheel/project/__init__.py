"""`pyproject.toml` and `[tool.shipwheel]` → `Project`. Reads no lock file; decides nothing about the image."""
