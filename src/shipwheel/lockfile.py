"""`shipwheel.lock`: read and written whole. Resolves nothing; `base.debian`, `base.registry` do.

It pins what the project's own lock does not: the base, and what builds the project's wheel and those of
locked sources. It also remembers sizes (poetry.lock does not tell them) and names (requirements.txt has
hashes alone) of locked files, so that planning needs no network; both are properties of the hashed
bytes, so a missing one is never an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import tomli
from packaging.version import InvalidVersion, Version

from shipwheel.base.model import Base, DebianBase, ImageBase
from shipwheel.errors import HostError, LockError
from shipwheel.staged import written_whole
from shipwheel.wheel.pins import BuildSystem, SourceBuild, ToolPins

FILE: Final = "shipwheel.lock"
VERSION: Final = 1
_HEADER: Final = """\
# Written by `shipwheel lock`: the base image and the build tools, by hash. Commit it with your lock file.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedImage:
    """The image that a Dockerfile stands on where the native base is none of a registry's."""

    reference: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipwheelLock:
    """The content of shipwheel.lock; `sizes` maps `sha256:<hex>` to bytes, `files` to names.

    `sources` say how what is locked as source becomes a wheel; `builder` are the packages of the root
    in which the native ones of them are compiled. `tools` and `image` are there once the Dockerfile road was taken.
    """

    base: Base
    build_systems: tuple[BuildSystem, ...] = ()
    sources: tuple[SourceBuild, ...] = ()
    builder: DebianBase | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    tools: tuple[ToolPins, ...] = ()
    image: PinnedImage | None = None

    def build_system(self, requires: Sequence[str]) -> BuildSystem | None:
        """Return the pins made for exactly these requirements and no project in particular, or None."""
        return next((system for system in self._systems(requires) if not system.members), None)

    def member_system(self, requires: Sequence[str], name: str) -> BuildSystem | None:
        """Return the pins for the first-party project `name`: those made for it, else those that all share."""
        own = (system for system in self._systems(requires) if name in system.members)
        return next(own, None) or self.build_system(requires)

    def _systems(self, requires: Sequence[str]) -> list[BuildSystem]:
        wanted = sorted(requires)
        return [system for system in self.build_systems if sorted(system.requires) == wanted]

    def source_build(self, source: str) -> SourceBuild | None:
        """Return what is known of the source with this `wheel.origin.source_id`, or None."""
        return next((build for build in self.sources if build.source == source), None)

    def tool(self, requires: Sequence[str], python: str) -> ToolPins | None:
        """Return the pins made for exactly these requirements and this minor version of Python, or None."""
        for item in self.tools:
            if list(item.requires) == list(requires) and item.python == python:
                return item
        return None


def read_lockfile(path: Path) -> ShipwheelLock | None:
    """Read the file; None where there is none.

    Raises LockError: invalid-toml, bad-shipwheel-lock, newer-shipwheel-lock.
    """
    try:
        data = tomli.loads(path.read_bytes().decode())
    except FileNotFoundError:
        return None
    except (tomli.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LockError(
            "invalid-toml", str(error), place=str(path), hint="delete it and run: shipwheel lock"
        ) from error
    if data.get("version") != VERSION:
        raise LockError(
            "newer-shipwheel-lock",
            f"its version is {data.get('version')!r}, and this shipwheel reads {VERSION}",
            place=f"{path} version",
            hint="upgrade shipwheel, or write it anew: shipwheel lock",
        )
    try:
        plain = _from_toml(data)
        base: Base
        if plain.get("base", {}).get("kind") == "debian":
            base = msgspec.convert(plain["base"], DebianBase)
        else:
            base = msgspec.convert(plain.get("base"), ImageBase)
        for item in base.platforms:
            Version(item.python)
        return ShipwheelLock(
            base=base,
            build_systems=msgspec.convert(plain.get("build_systems", ()), tuple[BuildSystem, ...]),
            sources=msgspec.convert(plain.get("sources", ()), tuple[SourceBuild, ...]),
            builder=msgspec.convert(plain.get("builder"), DebianBase | None),
            sizes=msgspec.convert(data.get("sizes", {}), dict[str, int]),
            files=msgspec.convert(data.get("files", {}), dict[str, str]),
            tools=msgspec.convert(plain.get("tools", ()), tuple[ToolPins, ...]),
            image=msgspec.convert(plain.get("image"), PinnedImage | None),
        )
    except (msgspec.ValidationError, AttributeError, InvalidVersion) as error:
        raise LockError(
            "bad-shipwheel-lock", str(error), place=str(path), hint="write it anew: shipwheel lock"
        ) from error


def render_lockfile(lock: ShipwheelLock) -> str:
    """Return the file's text: equal locks, equal text."""
    import tomli_w

    data: dict[str, Any] = {"version": VERSION, "base": _to_toml(msgspec.to_builtins(lock.base))}
    if lock.build_systems:
        systems = sorted(
            lock.build_systems, key=lambda system: (tuple(sorted(system.requires)), system.members)
        )
        plain = [
            {key: value for key, value in item.items() if value or key not in ("extra", "members")}
            for item in msgspec.to_builtins(systems)
        ]
        data["build-systems"] = _to_toml(plain)
    if lock.image is not None:
        data["image"] = _to_toml(msgspec.to_builtins(lock.image))
    if lock.tools:
        tools = sorted(lock.tools, key=lambda item: (tuple(item.requires), item.python))
        data["tools"] = _to_toml(msgspec.to_builtins(tools))
    if lock.sources:
        data["sources"] = _to_toml(msgspec.to_builtins(sorted(lock.sources, key=lambda build: build.source)))
    if lock.builder is not None:
        data["builder"] = _to_toml(msgspec.to_builtins(lock.builder))
    if lock.files:
        data["files"] = dict(sorted(lock.files.items()))
    if lock.sizes:
        data["sizes"] = dict(sorted(lock.sizes.items()))
    return _HEADER + tomli_w.dumps(data)


def write_lockfile(path: Path, lock: ShipwheelLock) -> None:
    """Write the file whole or not at all; raises HostError `cannot-write`."""
    try:
        with written_whole(path) as staged:
            staged.write_text(render_lockfile(lock), encoding="utf-8")
    except OSError as error:
        raise HostError(
            "cannot-write",
            f"cannot be written: {error.strerror}",
            place=str(path),
            hint="write it where the project can be written to, and keep it in version control: shipwheel lock",
        ) from error


def _to_toml(value: Any) -> Any:
    """TOML has no null and spells keys in kebab-case."""
    if isinstance(value, dict):
        return {key.replace("_", "-"): _to_toml(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_to_toml(item) for item in value]
    return value


def _from_toml(value: Any) -> Any:
    if isinstance(value, dict):
        return {key.replace("-", "_"): _from_toml(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_from_toml(item) for item in value]
    return value
