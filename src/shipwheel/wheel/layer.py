"""Write wheels into a layer: what each installs, sorted by path, without recompressing what is compressed.

A layer's bytes follow from its wheels (their hashes), the target's Python, the prefix and the bytecode;
`keys` names them from lock data alone. Which wheels share a layer is the plan's decision.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self

from packaging.utils import NormalizedName

from shipwheel.errors import ImageError, IntegrityError
from shipwheel.oci.layer import CHUNK, COPY_FROM, LayerWriter
from shipwheel.oci.model import Descriptor, Digest
from shipwheel.oci.tar import DEFAULT_MTIME, Entry
from shipwheel.wheel.archive import Wheel, WheelReader
from shipwheel.wheel.bytecode import Bytecode, BytecodeReader
from shipwheel.wheel.install import InstalledFile, installed_files

if TYPE_CHECKING:
    from shipwheel.wheel.slim import Slimming

# How many wheels and packs stay open at a time; a layer of a thousand wheels must not run out of files.
_OPEN_LIMIT: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerWheel:
    """A wheel as it goes into a layer.

    `direct_url` (PEP 610) is for what comes from no index. `recompress` is for wheels that were built
    here: their bytes must not depend on the compressor that the back-end happened to use. `slimming` says
    what of it is left out; its bytecode is then of the rest.
    """

    wheel: Wheel
    bytecode: Bytecode | None = None
    direct_url: Mapping[str, Any] | None = None
    recompress: bool = False
    slimming: Slimming | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collision:
    """A path below the environment that several wheels install; the last of `owners` has it."""

    path: str
    owners: Sequence[NormalizedName]
    identical: bool

    @property
    def winner(self) -> NormalizedName:
        """Whose file is in the image."""
        return self.owners[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelLayer:
    """What was written: the blob's descriptor, the tar's digest, files, and what wheels disagree about."""

    descriptor: Descriptor
    diff_id: Digest
    files: int
    collisions: Sequence[Collision] = ()


def write_wheel_layer(
    wheels: Sequence[LayerWheel],
    *,
    prefix: str,
    python: str,
    file: BinaryIO,
    mtime: int = DEFAULT_MTIME,
) -> WheelLayer:
    """Write what `wheels` install below `prefix` (absolute, as `/app/.venv`) as one layer into `file`.

    The order of `wheels` does not matter. Where two install one path, the last by normalized name has
    it, and the result says so. The folders of all paths come along, each once. `mtime` is every
    entry's (seconds since the epoch). Raises IntegrityError
    `bad-wheel-member`, `wheel-conflict` (a file where another wheel has a folder), and those of
    `installed_files`.
    """
    ordered = sorted(wheels, key=lambda item: (item.wheel.name, item.wheel.sha256))
    with _Opened() as opened:
        installed = [_installed(item, opened, prefix, python) for item in ordered]
        chosen = _choose(ordered, installed)
        files = {f"{prefix.strip('/')}/{path}": found for path, found in chosen.items()}
        folders = _folders(files)
        writer = LayerWriter(file)
        for path in sorted([*files, *folders]):
            if path not in files:
                writer.add(Entry(path=path, kind="directory", mode=0o755, mtime=mtime))
            else:
                owner, entry = files[path]
                _write(writer, Entry(path=path, mode=entry.mode, mtime=mtime), entry, ordered[owner], opened)
        descriptor, diff_id = writer.finish()
    return WheelLayer(
        descriptor=descriptor,
        diff_id=diff_id,
        files=len(files),
        collisions=_collisions([(item.wheel, each) for item, each in zip(ordered, installed, strict=True)]),
    )


def find_collisions(wheels: Sequence[Wheel], *, python: str) -> tuple[Collision, ...]:
    """Return the paths that several of `wheels` install, sorted, for wheels in the order they are laid.

    Across layers the upper one's file is what the image shows: pass the wheels from the lowest layer to
    the highest, and by normalized name within a layer. As with pip, the RECORD of the loser still
    holds its own hash; a layer may not depend on what lies in others.
    """
    found: list[tuple[Wheel, Sequence[InstalledFile]]] = []
    for wheel in wheels:
        with wheel.open() as reader:
            found.append((wheel, installed_files(wheel, reader, prefix="/", python=python)))
    return _collisions(found)


def _collisions(found: Sequence[tuple[Wheel, Sequence[InstalledFile]]]) -> tuple[Collision, ...]:
    owners: dict[str, list[tuple[Wheel, InstalledFile]]] = {}
    for wheel, files in found:
        for file in files:
            if file.source is None:
                owners.setdefault(file.path, []).append((wheel, file))
    return tuple(
        Collision(
            path=path,
            owners=tuple(wheel.name for wheel, _ in rivals),
            identical=len({_content_key(file) for _, file in rivals}) == 1,
        )
        for path, rivals in sorted(owners.items())
        if len(rivals) > 1
    )


def _content_key(file: InstalledFile) -> object:
    # Length and CRC-32 tell honest files apart, and a wheel's bytes were locked.
    if file.changed is not None:
        return (file.size, file.changed.hash)
    if file.member is not None:
        return (file.member.size, file.member.crc32)
    content = file.content or b""
    return (len(content), zlib.crc32(content))


def _installed(item: LayerWheel, opened: _Opened, prefix: str, python: str) -> Sequence[InstalledFile]:
    changed = {}
    if item.slimming is not None and item.slimming.strip:
        from shipwheel.wheel.slim import strip_natives

        changed = strip_natives(item.wheel, opened.wheel(item), item.slimming, opened.folder())
    return installed_files(
        item.wheel,
        opened.wheel(item),
        prefix=prefix,
        python=python,
        compiled=item.bytecode.files if item.bytecode else (),
        cache_tag=item.bytecode.cache_tag if item.bytecode else "",
        direct_url=item.direct_url,
        without=item.slimming.dropped if item.slimming else (),
        changed=changed,
    )


def _choose(
    ordered: Sequence[LayerWheel], installed: Sequence[Sequence[InstalledFile]]
) -> dict[str, tuple[int, InstalledFile]]:
    """Return for each path the number of the wheel that has it, and its file."""
    chosen: dict[str, tuple[int, InstalledFile]] = {}
    for owner, files in enumerate(installed):
        for file in files:
            chosen[file.path] = (owner, file)
    # Python takes unchecked bytecode without a look at the source: a loser's must not stand in for it.
    stale = [
        path
        for path, (owner, file) in chosen.items()
        if file.source is not None and chosen[file.source][0] != owner
    ]
    for path in stale:
        del chosen[path]
    for path, (owner, _) in chosen.items():
        parent = path
        while "/" in parent:
            parent = parent.rpartition("/")[0]
            if parent in chosen:
                raise IntegrityError(
                    "wheel-conflict",
                    f"{parent} is a file of {ordered[chosen[parent][0]].wheel.filename} and a folder here",
                    place=f"{ordered[owner].wheel.filename}: {path}",
                    hint="these two packages cannot be installed together; leave one out",
                )
    return chosen


def _folders(paths: Iterable[str]) -> set[str]:
    folders: set[str] = set()
    for path in paths:
        parent = path
        while "/" in parent:
            parent = parent.rpartition("/")[0]
            if parent in folders:
                break
            folders.add(parent)
    return folders


def _write(writer: LayerWriter, entry: Entry, file: InstalledFile, item: LayerWheel, opened: _Opened) -> None:
    if file.source is not None:
        content = opened.bytecode(item).read(file.source)
        writer.add(replace(entry, size=len(content)), content)
        return
    entry = replace(entry, size=file.size)
    if file.content is not None:
        writer.add(entry, file.content)
        return
    if file.changed is not None:
        with file.changed.path.open("rb") as stream:
            writer.add(entry, iter(lambda: stream.read(CHUNK), b""))
        return
    member = file.member
    if member is None:
        raise AssertionError(f"{entry.path} has no content")
    reader = opened.wheel(item)
    if member.deflated and member.compressed_size >= COPY_FROM and not item.recompress:
        try:
            writer.add_deflated(entry, reader.raw(member), crc32=member.crc32)
        except (IntegrityError, ImageError) as error:
            raise IntegrityError(
                "bad-wheel-member",
                f"a member of the wheel is damaged: {error.problems[0].message}",
                place=f"{item.wheel.filename}: {member.path}",
            ) from error
    elif member.size <= COPY_FROM * 64:
        writer.add(entry, reader.read(member))
    else:
        writer.add(entry, reader.chunks(member))


class _Opened:
    """The wheels and packs that are being read, opened when first asked for, a bounded number at a time."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._wheels: dict[str, WheelReader] = {}
        self._packs: dict[str, BytecodeReader] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()
        if self._folder is not None:
            self._folder.cleanup()

    def folder(self) -> Path:
        """Return a folder for files that are gone when all is closed."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="shipwheel-slim-")
        return Path(self._folder.name)

    def wheel(self, item: LayerWheel) -> WheelReader:
        """Return an open reader for the wheel."""
        key = item.wheel.sha256
        if key not in self._wheels:
            self._make_room()
            self._wheels[key] = self._stack.enter_context(item.wheel.open())
        return self._wheels[key]

    def bytecode(self, item: LayerWheel) -> BytecodeReader:
        """Return an open reader for the wheel's bytecode."""
        key = item.wheel.sha256
        if key not in self._packs:
            if item.bytecode is None:
                raise AssertionError("bytecode of a wheel without it")
            self._make_room()
            self._packs[key] = self._stack.enter_context(item.bytecode.open())
        return self._packs[key]

    def _make_room(self) -> None:
        if len(self._wheels) + len(self._packs) >= _OPEN_LIMIT:
            self._stack.close()
            self._wheels.clear()
            self._packs.clear()
