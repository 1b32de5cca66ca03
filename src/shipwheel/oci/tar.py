"""Tar headers that depend on nothing but their entry (POSIX.1-2001 ustar, pax where ustar cannot).

Writes header bytes only; `layer` puts them and the contents into a compressed stream.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from typing import Final, Literal

from shipwheel.errors import ImageError

BLOCK: Final = 512
END_OF_ARCHIVE: Final = b"\0" * (2 * BLOCK)
# What files get when no epoch is given: 2 January 1980. Zip knows no earlier year, and a day later is
# 1980 in every time zone, so that programs can pack their own files.
DEFAULT_MTIME: Final = 315_619_200

Kind = Literal["file", "directory", "symlink", "hardlink"]
_TYPEFLAG: Final[dict[Kind, bytes]] = {
    "file": tarfile.REGTYPE,
    "directory": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One tar entry: `path` relative to the root without a leading or trailing slash; `size` in bytes.

    `mode` holds the permission bits alone. `link` is a symlink's target as it is to be read, or a
    hard link's path in the same layer.
    """

    path: str
    kind: Kind = "file"
    mode: int = 0o644
    size: int = 0
    link: str = ""
    uid: int = 0
    gid: int = 0
    mtime: int = DEFAULT_MTIME


def check_path(path: str) -> str:
    """Return `path`; raises ImageError `unsafe-path` unless it stays below the root in normal form."""
    parts = path.split("/")
    if not path or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise ImageError("unsafe-path", f"not a plain path below the root: {path!r}")
    return path


def render_header(entry: Entry) -> bytes:
    """Return the header blocks of `entry` (a multiple of 512 bytes); its content is to follow.

    Raises ImageError `unsafe-path`.
    """
    if "\0" in entry.link or (entry.kind in ("symlink", "hardlink") and not entry.link):
        raise ImageError("unsafe-path", f"a link without a usable target: {entry.path!r}")
    try:
        # tarfile would write what is not Unicode as the bytes of some host's file names.
        (entry.path + entry.link).encode()
    except UnicodeError as error:
        raise ImageError("unsafe-path", f"a path is not valid Unicode: {entry.path!r}") from error
    info = tarfile.TarInfo(check_path(entry.path) + ("/" if entry.kind == "directory" else ""))
    info.type = _TYPEFLAG[entry.kind]
    info.mode = entry.mode
    info.size = entry.size if entry.kind == "file" else 0
    info.mtime = entry.mtime
    info.uid, info.gid = entry.uid, entry.gid
    info.linkname = entry.link
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def padding(size: int) -> bytes:
    """Return the zeros that fill `size` bytes up to the next block."""
    return b"\0" * (-size % BLOCK)
