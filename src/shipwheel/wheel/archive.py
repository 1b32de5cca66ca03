"""Open a wheel and know what is in it before a byte is unpacked (PyPA, "Binary distribution format").

The central directory is read with `zipfile`; a member's bytes are read from the file directly, so that
its deflate stream can be copied as it is. Whatever would not install as it reads is refused here.
Says nothing of where files go; see `install`. RECORD's hashes are not computed: the whole file was
checked against the lock when it was fetched, and so was RECORD. `members` checks the zip itself.
"""

from __future__ import annotations

import csv
import io
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from packaging.utils import InvalidWheelFilename, NormalizedName, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version
from zlib_ng import zlib_ng

from shipwheel.errors import IntegrityError, TargetError
from shipwheel.oci.layer import CHUNK, inflate
from shipwheel.wheel.members import Member, read_members

# Metadata is read as a whole: no honest METADATA or RECORD is longer.
_METADATA_LIMIT: Final = 64 << 20
# Binary distribution format, "Signed wheel files": these cannot be listed with a hash.
_UNLISTED: Final = ("RECORD", "RECORD.jws", "RECORD.p7s")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRow:
    """RECORD's hash (`sha256=…`) and size for one file, as written; either may be empty."""

    hash: str
    size: str


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A wheel file that was found sound.

    `members` are its files, sorted by path. `sha256` is the hex digest that the caller has checked.
    `dist_info` is the folder's name. `purelib` says where the archive's root goes. `record` maps the
    archive's paths to RECORD's rows.
    """

    path: Path
    filename: str
    sha256: str
    name: NormalizedName
    version: Version
    members: tuple[Member, ...]
    dist_info: str
    purelib: bool
    record: Mapping[str, RecordRow] = field(repr=False)

    @cached_property
    def by_path(self) -> Mapping[str, Member]:
        """The members by their path in the archive."""
        return {member.path: member for member in self.members}

    def open(self) -> WheelReader:
        """Open the file to read members; use it in a `with` block."""
        return WheelReader(self.path, self.filename)


class WheelReader:
    """Reads members of one open wheel, in pieces of at most 256 KiB; any number of threads may share it."""

    def __init__(self, path: Path, filename: str) -> None:
        self._handle = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        self.filename = filename

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)

    def raw(self, member: Member) -> Iterator[bytes]:
        """Yield the member's bytes as the archive holds them, compressed or not."""
        at, end = member.offset, member.offset + member.compressed_size
        while at < end:
            piece = os.pread(self._handle, min(CHUNK, end - at), at)
            if not piece:
                raise _damaged(self.filename, member, "the file ends early")
            at += len(piece)
            yield piece

    def chunks(self, member: Member) -> Iterator[bytes]:
        """Yield the member's content. Raises IntegrityError `bad-wheel-member` unless size and CRC-32 hold."""
        pieces = self.raw(member)
        if member.deflated:
            pieces = (plain for _, plain in inflate(pieces, limit=member.size))
        crc = length = 0
        try:
            for piece in pieces:
                crc = zlib.crc32(piece, crc)
                length += len(piece)
                yield piece
        except IntegrityError as error:
            raise _damaged(self.filename, member, error.problems[0].message) from error
        self._check(member, crc, length)

    def read(self, member: Member) -> bytes:
        """Return the member's whole content, for small ones; raises as `chunks`."""
        data = b"".join(self.raw(member))
        if member.deflated:
            inflater = zlib_ng.decompressobj(-zlib_ng.MAX_WBITS)
            try:
                data = inflater.decompress(data, member.size + 1)
            except zlib_ng.error as error:  # type: ignore[misc]
                raise _damaged(self.filename, member, f"damaged deflate stream: {error}") from error
            if not inflater.eof:
                # An empty output still has an end-of-block to read; more output is a lie.
                data += inflater.decompress(inflater.unconsumed_tail, 1)
            if not inflater.eof or inflater.unused_data or inflater.unconsumed_tail:
                raise _damaged(self.filename, member, "the deflate stream does not end where it should")
        self._check(member, zlib.crc32(data), len(data))
        return data

    def _check(self, member: Member, crc: int, length: int) -> None:
        if length != member.size:
            raise _damaged(self.filename, member, f"it is {length} bytes long, not {member.size}")
        if crc != member.crc32:
            raise _damaged(self.filename, member, f"its CRC-32 is {crc:08x}, not {member.crc32:08x}")


def open_wheel(path: Path, *, filename: str, sha256: str) -> Wheel:
    """Read the wheel at `path` (any name: the cache's) whose file name on the index is `filename`.

    The caller has checked that its bytes hash to `sha256`. Raises IntegrityError: `bad-wheel-filename`,
    `bad-wheel` (no zip), those of `read_members`, `bad-dist-info`, `wrong-dist-info`, `bad-record`,
    `incomplete-record`; TargetError `wheel-version`.
    """
    try:
        name, version, _build, _tags = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise IntegrityError("bad-wheel-filename", str(error), place=filename) from error
    members = read_members(path, filename)
    by_path = {member.path: member for member in members}
    dist_info = _find_dist_info(by_path, filename, name, version)
    with WheelReader(path, filename) as reader:

        def text(part: str) -> str:
            return _metadata_text(reader, by_path, f"{dist_info}/{part}")

        _check_metadata(_headers(text("METADATA")), filename, name, version)
        wheel = _headers(text("WHEEL"))
        record = _parse_record(text("RECORD"), f"{filename}: {dist_info}/RECORD")
    _check_wheel_version(wheel.get("wheel-version", ""), filename)
    _check_covered(by_path, record, dist_info, filename)
    return Wheel(
        path=path,
        filename=filename,
        sha256=sha256,
        name=name,
        version=version,
        members=members,
        dist_info=dist_info,
        purelib=wheel.get("root-is-purelib", "").lower() == "true",
        record=record,
    )


def _find_dist_info(
    by_path: Mapping[str, Member], filename: str, name: NormalizedName, version: Version
) -> str:
    tops = {path.split("/", 1)[0] for path in by_path if "/" in path}
    found = sorted(top for top in tops if top.endswith(".dist-info"))
    if len(found) != 1:
        what = f"has {len(found)} of them: {', '.join(found)}" if found else "has none"
        raise IntegrityError(
            "bad-dist-info", f"a wheel has one .dist-info folder; this {what}", place=filename
        )
    own_name, _, own_version = found[0].removesuffix(".dist-info").partition("-")
    if canonicalize_name(own_name) != name or not _same_version(own_version, version):
        raise IntegrityError("wrong-dist-info", f"the wheel holds {found[0]}", place=filename)
    return found[0]


def _check_metadata(
    headers: Mapping[str, str], filename: str, name: NormalizedName, version: Version
) -> None:
    own_name, own_version = headers.get("name", ""), headers.get("version", "")
    if canonicalize_name(own_name) != name or not _same_version(own_version, version):
        told = f"its METADATA is that of {own_name!r} {own_version!r}"
        raise IntegrityError("wrong-dist-info", told, place=filename)


def _same_version(text: str, version: Version) -> bool:
    try:
        return Version(text) == version
    except InvalidVersion:
        return False


def _check_wheel_version(text: str, filename: str) -> None:
    # Binary distribution format, "Installing a wheel": "abort if the major version is greater".
    major = text.split(".", 1)[0]
    if not (major.isascii() and major.isdigit()):
        raise IntegrityError("bad-dist-info", f"WHEEL has no Wheel-Version but {text!r}", place=filename)
    if int(major) > 1:
        raise TargetError(
            "wheel-version",
            f"the wheel is written in format {text}; formats 1.x can be installed",
            place=filename,
            hint="a newer shipwheel may know it; an older release of the package may have a 1.0 wheel",
        )


def _check_covered(
    by_path: Mapping[str, Member], record: Mapping[str, RecordRow], dist_info: str, filename: str
) -> None:
    """The specification: "installation will fail if any file is not both mentioned…"; signatures apart."""
    exempt = {f"{dist_info}/{name}" for name in _UNLISTED}
    stray = sorted(path for path in by_path if path not in record and path not in exempt)
    if stray:
        shown = ", ".join(stray[:3]) + (f" and {len(stray) - 3} more" if len(stray) > 3 else "")
        raise IntegrityError(
            "incomplete-record",
            f"the wheel holds files that its RECORD does not list: {shown}",
            place=filename,
            hint="the package's maintainers must publish it anew; another release may be sound",
        )


def _parse_record(text: str, place: str) -> Mapping[str, RecordRow]:
    rows: dict[str, RecordRow] = {}
    try:
        for row in csv.reader(io.StringIO(text, newline="")):
            if row:
                padded = [*row, "", ""]
                rows.setdefault(padded[0], RecordRow(hash=padded[1], size=padded[2]))
    except csv.Error as error:
        raise IntegrityError("bad-record", f"not a CSV file: {error}", place=place) from error
    return rows


def _metadata_text(reader: WheelReader, by_path: Mapping[str, Member], path: str) -> str:
    member = by_path.get(path)
    if member is None:
        raise IntegrityError("bad-dist-info", f"the wheel has no {path}", place=reader.filename)
    if member.size > _METADATA_LIMIT:
        raise IntegrityError("bad-dist-info", f"{path} is {member.size} bytes long", place=reader.filename)
    # METADATA of old wheels holds other encodings in its description; names and versions are ASCII.
    strict = not path.endswith("/METADATA")
    try:
        return reader.read(member).decode("utf-8", "strict" if strict else "replace")
    except UnicodeDecodeError as error:
        raise IntegrityError("bad-dist-info", f"{path} is not UTF-8", place=reader.filename) from error


def _headers(text: str) -> dict[str, str]:
    """Return the first value of each header (RFC 822 style) up to the first empty line, keys in lower case."""
    found: dict[str, str] = {}
    for line in text.lstrip("\ufeff").splitlines():
        if not line.strip():
            break
        key, colon, value = line.partition(":")
        if colon and not line[0].isspace():
            found.setdefault(key.strip().lower(), value.strip())
    return found


def _damaged(filename: str, member: Member, what: str) -> IntegrityError:
    return IntegrityError(
        "bad-wheel-member", f"a member of the wheel is damaged: {what}", place=f"{filename}: {member.path}"
    )
