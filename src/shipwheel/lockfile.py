"""`shipwheel.lock`: read and written whole. Resolves nothing; `base.debian`, `base.registry` do.

It pins what the project's own lock does not: the base, and what builds the project's wheel. It also
remembers the sizes of locked files whose lock does not tell them (poetry.lock), so that planning
needs no network; a size is a property of the hashed bytes, so a missing one is never an error.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import tomli

from shipwheel.base.model import Base, DebianBase, ImageBase
from shipwheel.errors import HostError, LockError
from shipwheel.wheel.pins import BuildSystem

FILE: Final = "shipwheel.lock"
VERSION: Final = 1
_HEADER: Final = """\
# Written by `shipwheel lock`: the base image and the build tools, by hash. Commit it with your lock file.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipwheelLock:
    """The content of shipwheel.lock; `sizes` maps `sha256:<hex>` to bytes."""

    base: Base
    build_systems: tuple[BuildSystem, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)

    def build_system(self, requires: Sequence[str]) -> BuildSystem | None:
        """Return the pins made for exactly these requirements, or None."""
        wanted = sorted(requires)
        return next((system for system in self.build_systems if sorted(system.requires) == wanted), None)


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
        return ShipwheelLock(
            base=base,
            build_systems=msgspec.convert(plain.get("build_systems", ()), tuple[BuildSystem, ...]),
            sizes=msgspec.convert(data.get("sizes", {}), dict[str, int]),
        )
    except (msgspec.ValidationError, AttributeError) as error:
        raise LockError(
            "bad-shipwheel-lock", str(error), place=str(path), hint="write it anew: shipwheel lock"
        ) from error


def render_lockfile(lock: ShipwheelLock) -> str:
    """Return the file's text: equal locks, equal text."""
    import tomli_w

    data: dict[str, Any] = {"version": VERSION, "base": _to_toml(msgspec.to_builtins(lock.base))}
    if lock.build_systems:
        systems = sorted(lock.build_systems, key=lambda system: tuple(sorted(system.requires)))
        data["build-systems"] = _to_toml(msgspec.to_builtins(systems))
    if lock.sizes:
        data["sizes"] = dict(sorted(lock.sizes.items()))
    return _HEADER + tomli_w.dumps(data)


def write_lockfile(path: Path, lock: ShipwheelLock) -> None:
    """Write the file whole or not at all; raises HostError `cannot-write`."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        staged = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(render_lockfile(lock))
            staged.chmod(0o644)
            staged.replace(path)
        finally:
            staged.unlink(missing_ok=True)
    except OSError as error:
        raise HostError("cannot-write", f"cannot be written: {error.strerror}", place=str(path)) from error


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
