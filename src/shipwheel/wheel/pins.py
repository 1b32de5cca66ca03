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
    """What builds a project's wheel: the requirements as declared, and what they came to.

    `extra` is what a first-party back-end asked for besides, and counts in `pins`; `members` names the
    projects that it is for, where others with equal requirements may ask for something else. `unbuilt`
    are the sources (`wheel.origin.source_id`) among the pins that have no wheel in the builder root and are
    built there first; None: nobody looked.
    """

    requires: tuple[str, ...]
    pins: tuple[BuildPin, ...]
    extra: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    unbuilt: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBuild:
    """How a locked source (sdist, archive, commit) becomes a wheel.

    `source` is its hash as `wheel.origin.source_id` gives it. `requires` is all that its back-end asked
    for; its pins are the build system of these. `native`: it compiles, so it is built in the builder root.
    """

    name: str
    source: str
    requires: tuple[str, ...]
    native: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPins:
    """Packages for the build stages of a Dockerfile: what was asked for, and what it came to.

    The hashes are of the files for Python `python` (as 3.13) on the locked platforms, and of no others.
    """

    requires: tuple[str, ...]
    python: str
    pins: tuple[BuildPin, ...]
