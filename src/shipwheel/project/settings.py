"""`[tool.shipwheel]`: every setting with its type, default and meaning. Reads nothing itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The table `[tool.shipwheel]`; everything is optional."""
