"""What builds a project's wheel, pinned. Plain values; `build` makes and uses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPin:
    """One package of a build environment: `hashes` as `sha256:<hex>`, `marker` as in a requirement."""

    name: str
    version: str
    hashes: Sequence[str]
    marker: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSystem:
    """What builds the project's own wheel: the requirements as declared, and what they came to."""

    requires: Sequence[str]
    pins: Sequence[BuildPin]
