"""Write a layer: a tar stream as a gzip file of several members, hashed while it is written.

RFC 1952 section 2.2: a gzip file is a series of members. Contents that come as raw deflate streams
(a zip's members) are copied as members of their own; everything else is compressed with zlib-ng in
blocks of a fixed size, which gives the same bytes on every CPU. Chooses no entry and no order.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from zlib_ng import zlib_ng

from shipwheel.errors import ImageError, IntegrityError
from shipwheel.oci.machine import HEAD, machine_of
from shipwheel.oci.model import LAYER_GZIP, Descriptor, Digest, FileBlob, Layer
from shipwheel.oci.tar import END_OF_ARCHIVE, Entry, padding, render_header

# Part of every layer's key: it changes whenever the same entries would give other bytes.
RECIPE: Final = f"layer/2+zlib-ng/{zlib_ng.ZLIBNG_VERSION}"
# On a layer's descriptor: the processors that its programs and libraries are for, comma-separated.
MACHINES: Final = "io.shipwheel.layer.machines"
CHUNK: Final = 256 * 1024
LEVEL: Final = 6
# A deflate stream shorter than this goes in with its neighbours: a member costs 18 bytes and a dictionary.
COPY_FROM: Final = 4096
# RFC 1952: ID1 ID2 CM=8 FLG=0 MTIME=0 XFL=0 OS=255 (unknown).
_MEMBER_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


class LayerWriter:
    """Write entries in the caller's order into `file`; `finish()` returns digest, size and diff_id.

    An entry's path may come once only; a file's bytes must be exactly `entry.size` long. Raises
    ImageError `duplicate-path`, `unsafe-path`, `wrong-size`.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._blob_hash = hashlib.sha256()
        self._tar_hash = hashlib.sha256()
        self._size = 0
        self._paths: set[str] = set()
        self._pending = bytearray()
        self._compressor: _Member | None = None
        self._machines: set[str] = set()

    def add(self, entry: Entry, content: bytes | Iterable[bytes] = b"") -> None:
        """Write `entry` with `content`, compressed here."""
        self._start(entry)
        length, head = 0, b""
        for chunk in (content,) if isinstance(content, bytes) else content:
            length += len(chunk)
            head += chunk[: HEAD - len(head)]
            self._compress(chunk)
        self._check_length(entry, length)
        self._note_machine(head)
        self._compress(padding(length))

    def add_deflated(self, entry: Entry, stream: Iterable[bytes], *, crc32: int) -> None:
        """Write `entry`, whose content is the raw deflate `stream` (RFC 1951), without recompressing it.

        The stream is inflated on the way to hash the tar. Raises IntegrityError `bad-deflate` when it
        is damaged, does not end where it should, or has another length or CRC-32 than told.
        """
        self._start(entry)
        self._end_member()
        self._write(_MEMBER_HEADER)
        crc, length, head = 0, 0, b""
        for raw, plain in inflate(stream, limit=entry.size):
            self._write(raw)
            head += plain[: HEAD - len(head)]
            self._tar_hash.update(plain)
            crc = zlib_ng.crc32(plain, crc)
            length += len(plain)
        self._check_length(entry, length)
        if crc != crc32:
            raise IntegrityError("bad-deflate", f"{entry.path}: CRC-32 is {crc:08x}, not {crc32:08x}")
        self._write(struct.pack("<LL", crc, length & 0xFFFFFFFF))
        self._note_machine(head)
        self._compress(padding(length))

    def finish(self) -> tuple[Descriptor, Digest]:
        """End the archive; return the blob's descriptor and the tar's digest.

        Where the layer holds programs or libraries (ELF), the descriptor's annotation `MACHINES` tells
        the processors they are for.
        """
        self._compress(END_OF_ARCHIVE)
        self._end_member()
        self._file.flush()
        digest = Digest("sha256", self._blob_hash.hexdigest())
        machines = {MACHINES: ",".join(sorted(self._machines))} if self._machines else {}
        descriptor = Descriptor(media_type=LAYER_GZIP, digest=digest, size=self._size, annotations=machines)
        return descriptor, Digest("sha256", self._tar_hash.hexdigest())

    def _start(self, entry: Entry) -> None:
        if entry.path in self._paths:
            raise ImageError("duplicate-path", f"a layer holds {entry.path} twice")
        self._paths.add(entry.path)
        self._compress(render_header(entry))

    def _note_machine(self, head: bytes) -> None:
        machine = machine_of(head)
        if machine is not None:
            self._machines.add(machine)

    def _check_length(self, entry: Entry, length: int) -> None:
        expected = entry.size if entry.kind == "file" else 0
        if length != expected:
            raise ImageError("wrong-size", f"{entry.path}: {length} bytes, not {expected}")

    def _compress(self, data: bytes) -> None:
        """Hash `data` and pass it on in blocks of CHUNK bytes, however it came: equal input, equal output."""
        self._tar_hash.update(data)
        view = memoryview(data)
        if self._pending or len(view) < CHUNK:
            missing = CHUNK - len(self._pending)
            self._pending += view[:missing]
            view = view[missing:]
            if len(self._pending) < CHUNK:
                return
            self._feed(self._pending)
            self._pending = bytearray()
        while len(view) >= CHUNK:
            self._feed(view[:CHUNK])
            view = view[CHUNK:]
        self._pending += view

    def _feed(self, data: bytearray | memoryview) -> None:
        if self._compressor is None:
            self._write(_MEMBER_HEADER)
            self._compressor = _Member()
        self._write(self._compressor.feed(data))

    def _end_member(self) -> None:
        if self._pending:
            self._feed(self._pending)
            self._pending = bytearray()
        if self._compressor is not None:
            self._write(self._compressor.end())
            self._compressor = None

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._blob_hash.update(data)
        self._size += len(data)


class _Member:
    """The body and trailer of one gzip member."""

    def __init__(self) -> None:
        self._deflate = zlib_ng.compressobj(LEVEL, zlib_ng.DEFLATED, -zlib_ng.MAX_WBITS)
        self._crc = 0
        self._length = 0

    def feed(self, data: bytearray | memoryview) -> bytes:
        self._crc = zlib_ng.crc32(data, self._crc)
        self._length += len(data)
        return self._deflate.compress(data)

    def end(self) -> bytes:
        return self._deflate.flush() + struct.pack("<LL", self._crc, self._length & 0xFFFFFFFF)


def inflate(stream: Iterable[bytes], *, limit: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield pairs of the raw deflate bytes read and what they inflate to, in bounded pieces.

    Raises IntegrityError `bad-deflate` when the stream is damaged, truncated, followed by other
    bytes, or inflates to more than `limit` bytes.
    """
    inflater = zlib_ng.decompressobj(-zlib_ng.MAX_WBITS)
    total = 0

    def step(data: bytes) -> bytes:
        nonlocal total
        try:
            plain = inflater.decompress(data, CHUNK)
        except zlib_ng.error as error:  # type: ignore[misc]
            raise IntegrityError("bad-deflate", f"damaged deflate stream: {error}") from error
        total += len(plain)
        if total > limit:
            raise IntegrityError("bad-deflate", f"inflates to more than the {limit} bytes announced")
        return plain

    for raw in stream:
        yield raw, step(raw)
        while inflater.unconsumed_tail:
            yield b"", step(inflater.unconsumed_tail)
        if inflater.unused_data:
            raise IntegrityError("bad-deflate", "bytes follow the end of a deflate stream")
    while not inflater.eof:
        plain = step(b"")
        if not plain and not inflater.eof:
            raise IntegrityError("bad-deflate", "a deflate stream ends early")
        yield b"", plain


def write_layer(path: Path, entries: Iterable[tuple[Entry, bytes]], *, created_by: str = "") -> Layer:
    """Write small `entries` into a new file at `path` and return the layer."""
    with path.open("wb") as file:
        writer = LayerWriter(file)
        for entry, content in entries:
            writer.add(entry, content)
        descriptor, diff_id = writer.finish()
    blob = FileBlob(path, descriptor.digest, descriptor.size)
    return Layer(descriptor=descriptor, diff_id=diff_id, blob=blob, created_by=created_by)
