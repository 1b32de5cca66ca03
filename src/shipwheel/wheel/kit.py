"""What builds a project's wheel, as files: the wheels that a build system's pins admit and this Python takes.

Together they are a kit. Wherever its files come from (the cache, an index, a machine before that left them
beside an image), the pins' hashes in shipwheel.lock alone say what they are. Makes no environment of them.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache as remembered
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from packaging.markers import Marker
from packaging.tags import Tag, sys_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from shipwheel.cache import Cache
from shipwheel.errors import IntegrityError, LockError, NetworkError
from shipwheel.wheel.build import environment_id
from shipwheel.wheel.pins import BuildPin, BuildSystem

if TYPE_CHECKING:
    from shipwheel.wheel.fetch import Fetcher

_RECIPE: Final = "kit/1"
_SHORT: Final = 32

Origin = Literal["cache", "image", "index"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KitFile:
    """A wheel of a kit: its file name, sha256 in hex, and size in bytes."""

    filename: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KitStory:
    """Where this run had the build tools from: `where` names the image's repository or tag that lent them."""

    tools: Sequence[str]
    origin: Origin
    where: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"tools": list(self.tools), "origin": self.origin, "where": self.where}

    def __str__(self) -> str:
        what = {
            "cache": "reused from this machine's cache",
            "image": f"reused from {self.where}",
            "index": "from the package index",
        }[self.origin]
        return f"build tools ({', '.join(self.tools) or 'none'}): {what}"


class Lender(Protocol):
    """Who may have kits of other machines."""

    def find(self, name: str) -> tuple[Sequence[KitFile], str] | None:
        """Return the files of the kit `name` and where it is, None where there is none or nobody answers."""
        ...

    def fetch(self, file: KitFile) -> Path:
        """Return the path in the cache of a file that `find` gave; raises NetworkError, IntegrityError."""
        ...

    def refuse(self, name: str) -> None:
        """Note that the kit `name` that `find` gave is of no use."""
        ...


class Kits:
    """The kits of one run. `stories` tell of each where it was had from."""

    def __init__(self, cache: Cache, fetcher: Callable[[], Fetcher], lender: Lender) -> None:
        self._cache, self._fetcher, self._lender = cache, fetcher, lender
        self._obtained: set[BuildSystem] = set()
        self.stories: dict[str, KitStory] = {}

    def obtain(self, system: BuildSystem) -> Mapping[str, Path] | None:
        """Return the kit's files by their names, each in the cache.

        None where that cannot be: a pin that is no wheel for this machine, an index that does not answer.
        What asks the index itself (uv) then says why.
        """
        pins = [pin for pin in system.pins if _applies(pin)]
        name = kit_name(system)
        ways: tuple[tuple[Origin, Callable[[str, Sequence[BuildPin]], _Found | None]], ...]
        ways = (("cache", self._kept), ("image", self._lent), ("index", self._listed))
        for origin, get in ways:
            found = get(name, pins)
            if found is None:
                continue
            files, paths, where = found
            self._cache.add_record(f"{_RECIPE} {name}", [[file.filename, file.sha256] for file in files])
            self._obtained.add(system)
            self._tell(system, pins, origin, where)
            return dict(zip((file.filename for file in files), paths, strict=True))
        self._obtained.add(system)
        self._tell(system, pins, "index", None)
        return None

    def reused(self, system: BuildSystem) -> bool:
        """Note that an environment of the kit is in the cache; tell whether an earlier run made it."""
        if system in self._obtained:
            return False
        self._tell(system, [pin for pin in system.pins if _applies(pin)], "cache", None)
        return True

    def files(self, system: BuildSystem) -> Sequence[KitFile] | None:
        """Return the kit's files where all are in the cache, None where they are not."""
        kept = self._kept(kit_name(system), [pin for pin in system.pins if _applies(pin)])
        return None if kept is None else kept[0]

    def path(self, file: KitFile) -> Path | None:
        """Return where the cache has a kit's file."""
        return self._cache.file("sha256", file.sha256)

    def _tell(self, system: BuildSystem, pins: Sequence[BuildPin], origin: Origin, where: str | None) -> None:
        tools = tuple(f"{pin.name} {pin.version}" for pin in pins)
        self.stories.setdefault(kit_name(system), KitStory(tools=tools, origin=origin, where=where))

    def _kept(self, name: str, pins: Sequence[BuildPin]) -> _Found | None:
        record = self._cache.record(f"{_RECIPE} {name}")
        if not isinstance(record, list):
            return None
        files, paths = [], []
        for filename, sha256 in record:
            path = self._cache.file("sha256", sha256)
            if path is None:
                return None
            files.append(KitFile(filename=filename, sha256=sha256, size=path.stat().st_size))
            paths.append(path)
        return (files, paths, None) if choose_files(files, pins) == files else None

    def _lent(self, name: str, pins: Sequence[BuildPin]) -> _Found | None:
        if not pins or (lent := self._lender.find(name)) is None:
            return None
        offered, where = lent
        files = choose_files(offered, pins)
        if files is not None:
            # An index has them too.
            with suppress(NetworkError, IntegrityError):
                return files, [self._lender.fetch(file) for file in files], where
        self._lender.refuse(name)
        return None

    def _listed(self, _: str, pins: Sequence[BuildPin]) -> _Found | None:
        from packaging.pylock import PackageWheel

        from shipwheel.locks.choose import to_source
        from shipwheel.locks.model import KnownByHash, Selected

        files, paths = [], []
        try:
            for pin in pins:
                asked = Selected(
                    name=canonicalize_name(pin.name),
                    version=Version(pin.version),
                    source=KnownByHash(tuple(pin.hashes)),
                    place="shipwheel.lock [build-systems]",
                )
                fetcher = self._fetcher()
                listed = {
                    file.hashes["sha256"]: file
                    for file in fetcher.list_files(asked)
                    if f"sha256:{file.hashes.get('sha256')}" in pin.hashes
                }
                offered = [
                    KitFile(filename=file.name, sha256=sha256, size=file.size or 0)
                    for sha256, file in listed.items()
                ]
                chosen = choose_files(offered, [pin])
                if chosen is None:
                    return None
                source = to_source(listed[chosen[0].sha256]._replace(hashes={"sha256": chosen[0].sha256}))
                if not isinstance(source, PackageWheel):
                    return None
                path = fetcher.fetch(replace(asked, source=source))
                files.append(replace(chosen[0], size=path.stat().st_size))
                paths.append(path)
        except (NetworkError, IntegrityError, LockError):
            return None
        return files, paths, None


_Found = tuple[Sequence[KitFile], Sequence[Path], str | None]


def kit_name(system: BuildSystem) -> str:
    """Return what names the kit of `system` for this Python and kind of machine, fit for a tag."""
    libc = "musl" if "musllinux" in next(sys_tags()).platform else platform.system().lower()
    host = f"{sys.implementation.cache_tag}-{libc}-{platform.machine()}".lower()
    return f"{host}-{environment_id(system)[:_SHORT]}"


def choose_files(offered: Sequence[KitFile], pins: Sequence[BuildPin]) -> list[KitFile] | None:
    """Return of `offered` the wheel that each of `pins` admits and this Python prefers, in the pins' order.

    None where one has none.
    """
    chosen = []
    for pin in pins:
        fitting = [
            (rank, file.filename, file)
            for file in offered
            if f"sha256:{file.sha256}" in pin.hashes and (rank := _rank(file.filename, pin)) is not None
        ]
        if not fitting:
            return None
        chosen.append(min(fitting)[2])
    return chosen


def _rank(filename: str, pin: BuildPin) -> int | None:
    try:
        name, version, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename:
        return None
    # It names a file of ours, and a stranger may have chosen it.
    if "/" in filename or name != canonicalize_name(pin.name) or version != Version(pin.version):
        return None
    ranks = _ranks()
    return min((ranks[tag] for tag in tags if tag in ranks), default=None)


@remembered
def _ranks() -> Mapping[Tag, int]:
    return {tag: rank for rank, tag in enumerate(sys_tags())}


def _applies(pin: BuildPin) -> bool:
    # The environment is this Python's own.
    return pin.marker is None or Marker(pin.marker).evaluate()
