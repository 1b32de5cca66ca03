"""What builds a project's wheel, pinned. Plain values; `build` makes and uses them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPin:
    """One package of a build environment: `hashes` as `sha256:<hex>`, `marker` as in a requirement."""

    name: str
    version: str
    hashes: tuple[str, ...]
    marker: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSystem:
    """What builds the project's own wheel: the requirements as declared, and what they came to."""

    requires: tuple[str, ...]
    pins: tuple[BuildPin, ...]
