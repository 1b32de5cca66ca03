"""Read a .deb as a stream (deb(5)): control files, then the data archive's entries, in bounded memory.

Refuses what no image of ours may hold: paths outside the root, devices, set-id files. Decides
nothing about which entries are wanted.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn, Protocol

from shipwheel.base.debian.scripts import INSTALL_SCRIPTS, check_script
from shipwheel.base.model import DebianPackage
from shipwheel.errors import HostError, IntegrityError
from shipwheel.oci.tar import Kind

_CHUNK: Final = 256 * 1024
# deb(5): "!<arch>", then members with a header of 60 bytes.
_MAGIC: Final = b"!<arch>\n"
_HEADER: Final = 60
# Control files are small; a larger one is an attack or an error.
_MAX_CONTROL: Final = 32 * 1024 * 1024
# xz -9 needs 65 MB to unpack; dpkg-deb uses 8 MB.
_XZ_MEMORY: Final = 80 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What is kept of a package's control files: the stanza, md5sums as `hash  path` lines, `postinst`."""

    stanza: bytes
    md5sums: bytes
    postinst: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class DebEntry:
    """One entry of the data archive; `path` and a hard link's `link` are relative to the root."""

    path: str
    kind: Kind
    mode: int
    size: int = 0
    link: str = ""


@dataclass(frozen=True, slots=True)
class Deb:
    """An opened package: `control`, and `entries()` once, with each file's content to be read at once."""

    package: DebianPackage
    control: Control
    _data: tarfile.TarFile

    def entries(self, drop_setid: Mapping[str, str] | None) -> Iterator[tuple[DebEntry, Iterator[bytes]]]:
        """Yield the entries in the archive's order; those in `drop_setid` (path → reason) are left out.

        None is for what never gets into an image: set-id files lose their bits and are not refused.

        Raises IntegrityError `deb-unsafe-path`, `deb-special-file`, `deb-setuid`, `deb-malformed`.
        """
        with _malformed(self.package):
            for info in self._data:
                entry = _entry(self.package, info)
                if entry is None or (drop_setid is not None and entry.path in drop_setid):
                    continue
                if drop_setid is not None and info.isreg() and info.mode & 0o6000:
                    _refuse(
                        self.package,
                        "deb-setuid",
                        f"{entry.path} runs with another user's rights (mode {info.mode & 0o7777:o})",
                        "no image of ours holds set-uid or set-gid files: leave the package out",
                    )
                yield entry, self._content(info)

    def _content(self, info: tarfile.TarInfo) -> Iterator[bytes]:
        file = self._data.extractfile(info) if info.isreg() else None
        if file is None:
            return
        while chunk := file.read(_CHUNK):
            yield chunk


@contextmanager
def open_deb(path: Path, package: DebianPackage, *, for_image: bool = True) -> Iterator[Deb]:
    """Open the .deb at `path`, which must be `package` by size, SHA-256, name, version, architecture.

    Not `for_image`: maintainer scripts that nobody reviewed are no reason to refuse it.

    Raises IntegrityError `deb-wrong-size`, `deb-wrong-hash`, `deb-malformed`, `deb-wrong-package`,
    `deb-unknown-script`; HostError `no-zstd`.
    """
    with path.open("rb") as file:
        _check_hash(file, package)
        with _malformed(package):
            members = _members(file, package)
            control = _read_control(package, members, for_image=for_image)
            stream = _open_member(members, "data.tar", package)
            with tarfile.open(fileobj=stream, mode="r|", bufsize=_CHUNK, errorlevel=2) as data:
                yield Deb(package, control, data)


def _check_hash(file: BinaryIO, package: DebianPackage) -> None:
    size = file.seek(0, io.SEEK_END)
    if size != package.size:
        _refuse(package, "deb-wrong-size", f"the file has {size} bytes, not {package.size}")
    file.seek(0)
    running = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        running.update(chunk)
    digest = running.hexdigest()
    if digest != package.sha256:
        _refuse(package, "deb-wrong-hash", f"SHA-256 is {digest}, not {package.sha256}")


def _members(file: BinaryIO, package: DebianPackage) -> dict[str, _Slice]:
    """Return the archive's members by name; they must be deb(5)'s three, in its order."""
    file.seek(0)
    if file.read(len(_MAGIC)) != _MAGIC:
        _refuse(package, "deb-malformed", "not an ar archive")
    members: dict[str, _Slice] = {}
    offset = len(_MAGIC)
    while offset < package.size:
        file.seek(offset)
        header = file.read(_HEADER)
        size_field = header[48:58].strip()
        if len(header) != _HEADER or header[58:] != b"`\n" or not size_field.isdigit():
            _refuse(package, "deb-malformed", "a damaged ar header")
        name, size = header[:16].decode("ascii", "replace").strip().removesuffix("/"), int(size_field)
        start = offset + _HEADER
        if start + size > package.size:
            _refuse(package, "deb-malformed", f"{name} is cut short")
        if name in members:
            _refuse(package, "deb-malformed", f"{name} comes twice")
        members[name] = _Slice(file, start, size)
        offset = start + size + size % 2
    names = [name.split(".")[0] for name in members if not name.startswith("_")]
    if names != ["debian-binary", "control", "data"] or not members["debian-binary"].read(4).startswith(
        b"2."
    ):
        _refuse(package, "deb-malformed", f"not a package of format 2.0: {', '.join(members)[:120]}")
    return members


def _read_control(package: DebianPackage, members: Mapping[str, _Slice], *, for_image: bool) -> Control:
    files: dict[str, bytes] = {}
    total = 0
    stream = _open_member(members, "control.tar", package)
    with tarfile.open(fileobj=stream, mode="r|", bufsize=_CHUNK, errorlevel=2) as tar:
        for info in tar:
            name = info.name.removeprefix("./")
            total += info.size
            if total > _MAX_CONTROL:
                _refuse(package, "deb-malformed", "control files of more than 32 MB")
            if name in (".", ""):
                continue
            if not info.isreg() or "/" in name or name in files:
                _refuse(package, "deb-malformed", f"a control file that is none: {info.name!r}")
            content = tar.extractfile(info)
            files[name] = b"" if content is None else content.read()
    for kind in INSTALL_SCRIPTS:
        if kind in files and for_image:
            check_script(package.name, kind, files[kind])
    stanza = files.get("control", b"")
    _check_stanza(package, stanza)
    return Control(stanza=stanza, md5sums=files.get("md5sums", b""), postinst=files.get("postinst", b""))


def _check_stanza(package: DebianPackage, stanza: bytes) -> None:
    lines = stanza.decode("utf-8", "replace").splitlines()
    fields = dict(line.partition(": ")[::2] for line in lines if line[:1] not in (" ", "\t"))
    found = tuple(fields.get(name, "").strip() for name in ("Package", "Version", "Architecture"))
    if found != (package.name, package.version, package.architecture):
        _refuse(package, "deb-wrong-package", f"the file is {' '.join(found)}")


def _entry(package: DebianPackage, info: tarfile.TarInfo) -> DebEntry | None:
    path = _plain_path(package, info.name)
    if path is None:
        return None
    if info.isreg():
        return DebEntry(path=path, kind="file", mode=info.mode & 0o777, size=info.size)
    if info.isdir():
        # Set-gid on a directory is a convention of multi-user machines; the sticky bit is kept (/tmp).
        return DebEntry(path=path, kind="directory", mode=info.mode & 0o1777)
    if info.issym():
        if not info.linkname or "\0" in info.linkname:
            _refuse(package, "deb-unsafe-path", f"{path} is a link to nothing")
        return DebEntry(path=path, kind="symlink", mode=0o777, link=info.linkname)
    if not info.islnk():
        _refuse(package, "deb-special-file", f"{path} is a device, pipe or something else that is no file")
    target = _plain_path(package, info.linkname)
    if target is None:
        _refuse(package, "deb-unsafe-path", f"{path} is a hard link to the root")
    return DebEntry(path=path, kind="hardlink", mode=info.mode & 0o777, link=target)


def _plain_path(package: DebianPackage, name: str) -> str | None:
    """Return the path without `./`, or None for the root; refuses what leads elsewhere."""
    plain = name.removeprefix("./").rstrip("/")
    if plain in ("", "."):
        return None
    # `./../x` passes checks that look only at how a name begins.
    if name.startswith("/") or any(part in ("", ".", "..") for part in plain.split("/")) or "\0" in plain:
        _refuse(package, "deb-unsafe-path", f"a path that leads out of the root: {name!r}")
    return plain


def _refuse(package: DebianPackage, code: str, message: str, hint: str | None = None) -> NoReturn:
    raise IntegrityError(code, message, place=f"{package.name} {package.version} ({package.path})", hint=hint)


@contextmanager
def _malformed(package: DebianPackage) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError) as error:
        raise IntegrityError(
            "deb-malformed", f"a damaged package: {error}", place=f"{package.name} {package.version}"
        ) from error


class _Slice:
    """A part of a file, read from its start."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file = file
        self._position = start
        self._left = size

    def read(self, size: int) -> bytes:
        self._file.seek(self._position)
        data = self._file.read(min(size, self._left))
        self._position += len(data)
        self._left -= len(data)
        return data


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def _open_member(members: Mapping[str, _Slice], stem: str, package: DebianPackage) -> Any:
    """Return a file object for the member `stem` with one of deb(5)'s compressions."""
    for name, member in members.items():
        if name == stem:
            return member
        if name.startswith(stem + "."):
            return _Unpacked(member, _decompressor(name.removeprefix(stem + "."), package))
    _refuse(package, "deb-malformed", f"no {stem}")


def _decompressor(form: str, package: DebianPackage) -> _Decompressor:
    if form == "xz":
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
    if form == "gz":
        return _Gunzip()
    if form == "zst":
        return _zstd()
    _refuse(package, "deb-malformed", f"an unknown compression: {form!r}")


def _zstd() -> _Decompressor:
    try:
        from compression import zstd  # type: ignore[import-not-found]  # Python 3.14
    except ImportError as error:
        raise HostError(
            "no-zstd",
            "a package is compressed with zstd, which this Python cannot read",
            hint="run shipwheel with Python 3.14; Debian's own packages use xz",
        ) from error
    decompressor: _Decompressor = zstd.ZstdDecompressor()
    return decompressor


class _Gunzip:
    """zlib's gzip reader in the shape of the others: it keeps the input it has not used yet."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


class _Unpacked:
    """A compressed member as a file object; raises EOFError when it ends too early."""

    def __init__(self, member: _Slice, decompressor: _Decompressor) -> None:
        self._member = member
        self._decompressor = decompressor
        self._starved = True

    def read(self, size: int) -> bytes:
        pieces: list[bytes] = []
        while size and not self._decompressor.eof:
            raw = self._member.read(_CHUNK) if self._starved else b""
            plain = self._decompressor.decompress(raw, size)
            # Less than was asked for: all input is used up.
            self._starved = len(plain) < size
            if self._starved and not raw and not plain and not self._decompressor.eof:
                raise EOFError("the compressed data ends early")
            pieces.append(plain)
            size -= len(plain)
        return b"".join(pieces)
