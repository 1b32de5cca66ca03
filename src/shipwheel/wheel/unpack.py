"""Unpack a source archive (sdist, or an archive by address) into a folder, and refuse what would leave it.

Source distribution format, "Source distribution archive features": links and paths stay inside, nothing
is a device. Bounded in files, bytes and header sizes. Looks at no project in it; `source_root` finds it.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import posixpath
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from shipwheel.errors import IntegrityError

# The largest sdists on PyPI unpack to 600 MB and 60,000 files.
MAX_BYTES: Final = 2 << 30
MAX_FILES: Final = 250_000
# tarfile reads a file in small pieces and a header's extension in one: no honest one is as long.
_MAX_READ: Final = 8 << 20
_CHUNK: Final = 256 * 1024
_OPENERS: Final[dict[str, Any]] = {
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.bz2": bz2.open,
    ".tbz": bz2.open,
    ".tar.xz": lzma.open,
    ".txz": lzma.open,
    ".tar": open,
}


def is_archive(filename: str) -> bool:
    """Tell whether a file of this name is an archive that `unpack_source` reads."""
    return filename.endswith((*_OPENERS, ".zip"))


def unpack_source(
    path: Path, filename: str, into: Path, *, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES
) -> None:
    """Unpack the archive at `path`, which is called `filename`, into the empty folder `into`.

    Only the executable bit is kept of modes, and no time. Raises IntegrityError `unsafe-source`,
    `bad-source`.
    """
    limits = _Limits(filename, max_bytes, max_files)
    with _damaged(filename):
        if filename.endswith(".zip"):
            _unzip(path, into, limits)
            return
        opener = next((opener for suffix, opener in _OPENERS.items() if filename.endswith(suffix)), None)
        if opener is None:
            raise IntegrityError(
                "bad-source", f"{filename} is no archive that is known", hint="*.tar.gz, *.zip"
            )
        with (
            opener(path, "rb") as plain,
            _Bounded(plain) as bounded,
            tarfile.open(fileobj=bounded, mode="r:") as archive,
        ):
            _untar(archive, into, limits)


def source_root(folder: Path, subdirectory: str | None = None) -> Path:
    """Return where the project is below `folder`: the archive's only folder, or `folder` itself.

    Raises IntegrityError `bad-source` for a `subdirectory` that is not there.
    """
    entries = sorted(folder.iterdir())
    root = folder
    if len(entries) == 1 and entries[0].is_dir() and not entries[0].is_symlink():
        root = entries[0]
    if subdirectory is None or posixpath.normpath(subdirectory) == ".":
        return root
    found = root.joinpath(subdirectory)
    if not found.is_dir() or not found.resolve().is_relative_to(root.resolve()):
        raise IntegrityError("bad-source", f"the source has no folder {subdirectory}")
    return found


class _Limits:
    def __init__(self, filename: str, max_bytes: int, max_files: int) -> None:
        self._filename, self._bytes, self._files = filename, max_bytes, max_files

    def count(self, size: int) -> None:
        """Note one more file of `size` bytes; raises IntegrityError when it is too much."""
        self._bytes -= size
        self._files -= 1
        if self._bytes < 0 or self._files < 0:
            raise self.refusal("it unpacks to more than any source does")

    def refusal(self, why: str) -> IntegrityError:
        return IntegrityError("unsafe-source", f"{self._filename} is refused: {why}")


def _untar(archive: tarfile.TarFile, into: Path, limits: _Limits) -> None:
    links: list[tuple[Path, str]] = []
    for info in archive:
        path = _plain(info.name, limits)
        if path is None:
            continue
        place = into / path
        limits.count(info.size if info.isreg() else 0)
        if info.isdir():
            _make_folder(into, path, limits)
        elif info.isreg():
            _make_folder(into, posixpath.dirname(path), limits)
            content = archive.extractfile(info)
            if content is None:
                raise limits.refusal(f"{path} has no content")
            _write(place, content, executable=bool(info.mode & 0o100))
        elif info.issym() or info.islnk():
            # A hard link names its target from the archive's root, a symlink from its own folder.
            base = posixpath.dirname(path) if info.issym() else ""
            target = posixpath.normpath(posixpath.join(base, info.linkname))
            if info.linkname.startswith("/") or target.split("/")[0] == "..":
                raise limits.refusal(f"{path} is a link that leads out: {info.linkname}")
            _make_folder(into, posixpath.dirname(path), limits)
            links.append((place, posixpath.relpath(target, posixpath.dirname(path) or ".")))
        else:
            raise limits.refusal(f"{path} is neither file, folder nor link")
    # Last, so that nothing was written through one.
    for place, target in links:
        if place.is_symlink() or place.exists():
            raise limits.refusal(f"{place.relative_to(into)} comes twice")
        place.symlink_to(target)
    for place, _ in links:
        # Links to links may lead out where none does alone.
        if not Path(os.path.realpath(place)).is_relative_to(into.resolve()):
            raise limits.refusal(f"{place.relative_to(into)} is a link that leads out")


def _unzip(path: Path, into: Path, limits: _Limits) -> None:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = _plain(info.filename, limits)
            if name is None:
                continue
            limits.count(info.file_size)
            mode = info.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise limits.refusal(f"{name} is neither file nor folder")
            if info.is_dir():
                _make_folder(into, name, limits)
                continue
            _make_folder(into, posixpath.dirname(name), limits)
            # zipfile stops at the size that the directory tells, and that was counted.
            with archive.open(info) as content:
                _write(into / name, content, executable=bool(mode & 0o100))


def _plain(name: str, limits: _Limits) -> str | None:
    """Return a member's path with single slashes, None for the root; raises IntegrityError."""
    if name.startswith(("/", "\\")) or "\0" in name or "\\" in name or ":" in name.partition("/")[0]:
        raise limits.refusal(f"a path that is not relative: {name!r}")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise limits.refusal(f"a path that leads out: {name!r}")
    return "/".join(parts) or None


def _make_folder(into: Path, path: str, limits: _Limits) -> None:
    place = into
    for part in path.split("/") if path else ():
        place = place / part
        if not place.is_dir():
            if place.exists():
                raise limits.refusal(f"{path} is below something that is no folder")
            place.mkdir(mode=0o755)


def _write(place: Path, content: Any, *, executable: bool) -> None:
    # Replaced and not written into: a second member of one name must not follow what the first made.
    place.unlink(missing_ok=True)
    with place.open("xb") as file:
        shutil.copyfileobj(content, file, _CHUNK)
    place.chmod(0o755 if executable else 0o644)


class _Bounded(io.RawIOBase):
    """The decompressed archive, of which nobody reads much at once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_READ:
            raise tarfile.ReadError("a header of several megabytes")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


@contextmanager
def _damaged(filename: str) -> Iterator[None]:
    try:
        yield
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise IntegrityError("bad-source", f"{filename} is damaged: {error}") from error
    except OSError as error:
        if error.errno is not None:  # the disk's error; bz2 and gzip have no number for bad data
            raise
        raise IntegrityError("bad-source", f"{filename} is damaged: {error}") from error
