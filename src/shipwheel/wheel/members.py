"""A zip's members, checked before one is read: names, kinds, places and sizes. Knows nothing of wheels.

Names that differ in case alone are two files: the image's filesystem tells them apart, and pip installs
both. Bytes between members and before the first are let be: nobody who goes by the central directory,
as pip does, ever sees them.
"""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shipwheel.errors import IntegrityError, Problem

# Generous: the largest wheels in use hold 20,000 files and unpack to 4 GB, at a ratio of 12.
_MEMBERS_LIMIT: Final = 250_000
_TOTAL_LIMIT: Final = 64 << 30
_RATIO_LIMIT: Final = 200
# No archive is a bomb below this size, whatever its ratio.
_RATIO_FLOOR: Final = 256 << 20
# A file name that no filesystem takes (NAME_MAX).
_NAME_LIMIT: Final = 255
# APPNOTE 4.3.7: signature, version, flags, method, time, date, CRC-32, sizes, name and extra lengths.
_LOCAL_HEADER: Final = struct.Struct("<4sHHHHHLLLHH")
# APPNOTE 4.4.4: encrypted; compressed patched data; strong encryption; central directory encrypted.
_ENCRYPTED: Final = 0x0001 | 0x0040 | 0x2000
_PATCHED: Final = 0x0020
_SIZES_FOLLOW: Final = 0x0008
_UTF8: Final = 0x0800
_ZIP64: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of a zip. `offset` is where its `compressed_size` bytes start; sizes in bytes.

    Its content is raw deflate (RFC 1951) or, unless `deflated`, as it is.
    """

    path: str
    size: int
    compressed_size: int
    crc32: int
    offset: int
    deflated: bool
    executable: bool


def read_members(path: Path, filename: str) -> tuple[Member, ...]:
    """Return the files of the zip at `path`, sorted by path; `filename` is its name in errors.

    Raises IntegrityError `bad-wheel` when it is no zip, `wheel-bomb`, and, for all members at once,
    `unsafe-member` (a path that leaves the archive's root, a link, a device), `encrypted-member`,
    `unknown-compression`, `duplicate-member`, `overlapping-members`, `lying-header`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            directory = archive.start_dir
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, struct.error, EOFError) as error:
        raise IntegrityError("bad-wheel", f"not a zip archive: {error}", place=filename) from error
    _check_totals(infos, path.stat().st_size, filename)
    problems = [*_bad_members(infos, filename), *_clashes(infos, filename)]
    members: list[Member] = []
    if not problems:
        handle = os.open(path, os.O_RDONLY)
        try:
            members = _locate(handle, infos, directory, filename, problems)
        finally:
            os.close(handle)
    if problems:
        raise IntegrityError.of(problems)
    return tuple(sorted(members, key=lambda member: member.path))


def _check_totals(infos: Sequence[zipfile.ZipInfo], size: int, filename: str) -> None:
    total = sum(info.file_size for info in infos)
    ratio_limit = max(_RATIO_FLOOR, _RATIO_LIMIT * size)
    if len(infos) > _MEMBERS_LIMIT or total > min(_TOTAL_LIMIT, ratio_limit):
        raise IntegrityError(
            "wheel-bomb",
            f"{size} bytes that unpack to {total} bytes in {len(infos)} files are no honest wheel",
            place=filename,
        )


def _bad_members(infos: Sequence[zipfile.ZipInfo], filename: str) -> Iterator[Problem]:
    for info in infos:
        # `filename` is what zipfile makes of it (cut at a NUL); this is what the archive says.
        name = info.orig_filename
        place = f"{filename}: {name!r}" if not name.isprintable() else f"{filename}: {name}"

        def problem(code: str, message: str, place: str = place) -> Problem:
            return Problem(code=code, message=message, place=place)

        folder = name.endswith("/")
        if reason := _unsafe(name.removesuffix("/")):
            yield problem("unsafe-member", f"a member's path {reason}")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFDIR if folder else stat.S_IFREG):
            yield problem("unsafe-member", f"a member is a {_KINDS.get(kind, 'special file')}")
        if info.flag_bits & _ENCRYPTED:
            yield problem("encrypted-member", "a member is encrypted")
        elif (
            info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & _PATCHED
        ):
            yield problem(
                "unknown-compression", f"compression method {info.compress_type}; a wheel has 0 or 8"
            )
        elif (folder and info.file_size) or (
            info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size
        ):
            yield problem("lying-header", "a member's sizes contradict each other")


_KINDS: Final = {stat.S_IFLNK: "symbolic link", stat.S_IFDIR: "folder and a file", stat.S_IFREG: "file"}


def _unsafe(path: str) -> str | None:
    parts = path.split("/")
    if path.startswith("/"):
        return "is absolute"
    if "\\" in path or "\0" in path:
        return "holds a backslash or a NUL"
    if ".." in parts:
        return "climbs out of the archive"
    if "" in parts or "." in parts:
        return "is not in its normal form"
    if any(len(part.encode("utf-8", "surrogatepass")) > _NAME_LIMIT for part in parts):
        return "holds a name longer than 255 bytes"
    return None


def _clashes(infos: Sequence[zipfile.ZipInfo], filename: str) -> Iterator[Problem]:
    files: set[str] = set()
    folders: set[str] = set()
    for info in infos:
        name = info.orig_filename
        if name in files:
            yield Problem(
                code="duplicate-member", message="two members have this path", place=f"{filename}: {name}"
            )
        parent = name
        while "/" in parent:
            parent = parent.rpartition("/")[0]
            if parent in folders:
                break
            folders.add(parent)
        if not name.endswith("/"):
            files.add(name)
    for name in sorted(files & folders):
        yield Problem(
            code="duplicate-member",
            message="a path is a file and a folder at once",
            place=f"{filename}: {name}",
        )


def _locate(
    handle: int, infos: Sequence[zipfile.ZipInfo], directory: int, filename: str, problems: list[Problem]
) -> list[Member]:
    """Return the members with the places of their data; what local headers contradict goes to `problems`."""
    found: list[Member] = []
    end, last = 0, ""
    for info in sorted(infos, key=lambda info: info.header_offset):
        name = info.orig_filename
        place = f"{filename}: {name}"
        if info.header_offset < end:
            message = f"a member begins within another, {last}"
            problems.append(Problem(code="overlapping-members", message=message, place=place))
            continue
        header = os.pread(handle, _LOCAL_HEADER.size, info.header_offset)
        offset = info.header_offset + _LOCAL_HEADER.size
        reason = _contradiction(handle, header, info)
        if reason is None:
            name_length, extra_length = _LOCAL_HEADER.unpack(header)[9:]
            offset += name_length + extra_length
            if offset + info.compress_size > directory:
                reason = "it reaches beyond the members' part of the file"
        if reason is not None:
            message = f"a member's local header does not fit the central directory: {reason}"
            problems.append(Problem(code="lying-header", message=message, place=place))
            continue
        end, last = offset + info.compress_size, name
        if not name.endswith("/"):
            found.append(_member(info, offset))
    return found


def _contradiction(handle: int, header: bytes, info: zipfile.ZipInfo) -> str | None:
    if len(header) < _LOCAL_HEADER.size:
        return "there is none"
    signature, _, flags, method, _, _, crc, packed, plain, name_length, _ = _LOCAL_HEADER.unpack(header)
    if signature != b"PK\x03\x04":
        return "there is none"
    name = os.pread(handle, name_length, info.header_offset + _LOCAL_HEADER.size)
    if name != info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437"):
        return "it has another name"
    if method != info.compress_type or flags & (_ENCRYPTED | _PATCHED):
        return "it has another method"
    # Sizes and CRC-32 are zero where they follow the data; the data itself is checked when it is read.
    told = (
        ()
        if flags & _SIZES_FOLLOW
        else ((crc, info.CRC), (packed, info.compress_size), (plain, info.file_size))
    )
    if any(local not in (central, _ZIP64) for local, central in told):
        return "it has another size or CRC-32"
    return None


def _member(info: zipfile.ZipInfo, offset: int) -> Member:
    mode = info.external_attr >> 16
    return Member(
        path=info.orig_filename,
        size=info.file_size,
        compressed_size=info.compress_size,
        crc32=info.CRC,
        offset=offset,
        deflated=info.compress_type == zipfile.ZIP_DEFLATED,
        # As pip: any executable bit of what is marked as a regular file.
        executable=stat.S_ISREG(mode) and bool(mode & 0o111),
    )
