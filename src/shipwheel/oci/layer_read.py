"""Read a layer back: its tar, decompressed in bounded memory and checked against what it should be.

Gzip files of several members, zstd and plain tars. Interprets no entry; `tree` does.
"""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO, Final, Protocol, Self, cast

from zlib_ng import zlib_ng

from shipwheel.errors import ImageError, IntegrityError, Problem
from shipwheel.oci.model import DOCKER_LAYER_GZIP, LAYER_GZIP, LAYER_TAR, LAYER_ZSTD, Digest, Layer

# What is inflated at a time; input is smaller because a member's end copies the rest of its chunk.
_PLAIN: Final = 256 * 1024
_PACKED: Final = 64 * 1024
# What tarfile may read for one entry's headers: long names and pax records, never file contents.
_HEADER_BUDGET: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a layer may be: bytes when unpacked, and entries. What is more is refused."""

    size: int = 64 * 1024**3
    entries: int = 1_000_000


DEFAULT_LIMITS: Final = Limits()


class LayerStream:
    """A layer's tar, read forward only. When its end is reached, digest, size and diff_id were checked.

    Raises ImageError `bad-layer` (damaged compression), `layer-too-large`, and at the end
    IntegrityError `wrong-size`, `wrong-digest`, `wrong-diff-id`, all that apply.
    """

    def __init__(self, layer: Layer, *, limits: Limits = DEFAULT_LIMITS, check: bool = True) -> None:
        self._layer = layer
        self._hashed = check
        self._limit = limits.size
        self._blob_hash = hashlib.new(layer.descriptor.digest.algorithm)
        self._tar_hash = hashlib.new(layer.diff_id.algorithm)
        self._blob_size = 0
        self.place = f"layer {layer.descriptor.digest}"
        decompress = _decompressor(layer.descriptor.media_type, self.place)
        self._file = layer.blob.open()
        self._chunks = decompress(self._packed())
        self._chunk = memoryview(b"")
        self._position = 0  # of the end of _chunk
        self._done = False
        self.budget: int | None = None
        self.header = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the blob."""
        self._file.close()

    def tell(self) -> int:
        """Return the position in the tar."""
        return self._position - len(self._chunk)

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, fewer only at the end."""
        if self.budget is not None:
            # 512 at least: a loop that reads nothing at the end is to stop as well.
            self.budget -= max(size, 512)
            if size < 0 or self.budget < 0:
                raise ImageError("bad-layer", "an entry's headers are too long", place=self.place)
            self.header = self._read(size)
            return self.header
        return self._read(size)

    def _read(self, size: int) -> bytes:
        if 0 <= size <= len(self._chunk):
            data = bytes(self._chunk[:size])
            self._chunk = self._chunk[size:]
            return data
        return b"".join(self.chunks(size if size >= 0 else self._limit + 1))

    def chunks(self, size: int) -> Iterator[bytes | memoryview]:
        """Yield the next `size` bytes in pieces, fewer only at the end."""
        while size > 0:
            if not self._chunk and not self._fill():
                return
            piece = self._chunk[:size]
            self._chunk = self._chunk[len(piece) :]
            size -= len(piece)
            yield piece

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        """Go forward to `position`, or as far as there is something."""
        left = position - self.tell()
        if whence != io.SEEK_SET or left < 0:
            raise ImageError("bad-layer", "a tar header points backwards", place=self.place)
        for _ in self.chunks(left):
            pass
        return self.tell()

    def finish(self) -> bool:
        """Read to the end, so that everything is checked; return whether only zeros were left."""
        zeros = True
        while self._chunk or self._fill():
            zeros = zeros and not any(self._chunk)
            self._chunk = memoryview(b"")
        return zeros

    def _fill(self) -> bool:
        if self._done:
            return False
        for plain in self._chunks:
            self._position += len(plain)
            if self._position > self._limit:
                raise ImageError(
                    "layer-too-large", f"a layer unpacks to more than {self._limit} bytes", place=self.place
                )
            if self._hashed:
                self._tar_hash.update(plain)
            self._chunk = memoryview(plain)
            return True
        self._done = True
        if self._hashed:
            self._check()
        return False

    def _packed(self) -> Iterator[bytes]:
        while chunk := self._file.read(_PACKED):
            self._blob_size += len(chunk)
            if self._blob_size > self._layer.descriptor.size:
                raise IntegrityError(
                    "wrong-size",
                    f"a layer has more than {self._layer.descriptor.size} bytes",
                    place=self.place,
                )
            if self._hashed:
                self._blob_hash.update(chunk)
            yield chunk

    def _check(self) -> None:
        descriptor, problems = self._layer.descriptor, []
        if self._blob_size != descriptor.size:
            message = f"a layer has {self._blob_size} bytes, not {descriptor.size}"
            problems.append(Problem(code="wrong-size", message=message, place=self.place))
        found = Digest(descriptor.digest.algorithm, self._blob_hash.hexdigest())
        if found != descriptor.digest:
            message = f"a layer's digest is {found}"
            problems.append(Problem(code="wrong-digest", message=message, place=self.place))
        found = Digest(self._layer.diff_id.algorithm, self._tar_hash.hexdigest())
        if found != self._layer.diff_id:
            message = f"a layer's diff_id is {found}, not {self._layer.diff_id}"
            problems.append(Problem(code="wrong-diff-id", message=message, place=self.place))
        if problems:
            raise IntegrityError.of(problems)


def open_layer(layer: Layer, *, limits: Limits = DEFAULT_LIMITS, check: bool = True) -> LayerStream:
    """Open a layer's tar for reading; close it or use it as a context manager.

    `check=False` hashes nothing: for a layer that was read to its end just before. Raises
    ImageError `unknown-media-type`.
    """
    return LayerStream(layer, limits=limits, check=check)


class TarStream(Protocol):
    """What `iter_tar` reads from. While `budget` is a number, `read` takes from it and refuses more.

    `header` is what was read last while there was a budget.
    """

    budget: int | None
    header: bytes
    place: str

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes."""
        ...

    def tell(self) -> int:
        """Return the position."""
        ...

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        """Go forward as far as there is something; return the new position."""
        ...

    def finish(self) -> bool:
        """Go to the end; return whether only zeros were left."""
        ...


def read_entries(stream: LayerStream, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[tarfile.TarInfo]:
    """Yield the tar's entries; before asking for the next, `stream.chunks(info.size)` gives a file's bytes.

    Reads to the end and so checks the whole layer. Raises what `iter_tar` and `LayerStream` raise.
    """
    return iter_tar(stream, max_entries=limits.entries)


def iter_tar(stream: TarStream, *, max_entries: int) -> Iterator[tarfile.TarInfo]:
    """Yield the entries of a tar that is not trusted; `stream` is then at the entry's contents.

    Names are text with undecodable bytes as surrogates (os.fsencode gives them back). Raises
    ImageError `bad-tar`, `too-many-entries`, `sparse-file`.
    """
    place = stream.place
    tar = None
    for count in range(max_entries + 1):
        stream.budget = _HEADER_BUDGET
        try:
            if tar is None:
                file = cast(BinaryIO, stream)
                tar = tarfile.TarFile(fileobj=file, encoding="utf-8", errors="surrogateescape")
            info = tar.next()
        # What tarfile lets through when a header is hostile: int() of digits, recursion of pax headers.
        except (tarfile.TarError, ValueError, RecursionError, OverflowError, LookupError) as error:
            raise ImageError("bad-tar", f"malformed tar: {error}", place=place) from error
        stream.budget = None
        if info is None:
            # tarfile takes a header that it cannot read for the end.
            if any(stream.header):
                raise ImageError("bad-tar", "something that is no entry follows the last one", place=place)
            break
        if count == max_entries:
            raise ImageError("too-many-entries", f"more than {max_entries} entries", place=place)
        cast(Any, tar).members.clear()  # it would remember every entry
        if info.size < 0 or info.issparse():
            code, what = ("bad-tar", "a negative size") if info.size < 0 else ("sparse-file", "a sparse file")
            raise ImageError(code, f"{what}: {info.name!r}", place=place)
        start = stream.tell()
        yield info
        if info.isreg() and stream.seek(start + info.size) != start + info.size:
            raise ImageError("bad-tar", f"ends within {info.name!r}", place=place)
    if not stream.finish():
        raise ImageError("bad-tar", "something that is no entry follows the last one", place=place)


def _decompressor(media_type: str, place: str) -> Callable[[Iterator[bytes]], Iterator[bytes]]:
    if media_type in (LAYER_GZIP, DOCKER_LAYER_GZIP):
        return _gunzip
    if media_type == LAYER_ZSTD:
        return _unzstd
    if media_type == LAYER_TAR:
        return iter
    raise ImageError("unknown-media-type", f"not a layer: {media_type[:160]!r}", place=place)


def _gunzip(packed: Iterator[bytes]) -> Iterator[bytes]:
    """Inflate gzip members (RFC 1952); their CRC-32 and length are checked by zlib."""
    inflater = None
    empty = True
    for chunk in packed:
        rest = chunk
        while rest:
            empty = False
            if inflater is None:
                inflater = zlib_ng.decompressobj(16 + zlib_ng.MAX_WBITS)
            try:
                plain = inflater.decompress(rest, _PLAIN)
                while plain:
                    yield plain
                    # A full piece: more may be waiting inside, though all input was taken.
                    waiting = len(plain) == _PLAIN and not inflater.eof
                    plain = inflater.decompress(inflater.unconsumed_tail, _PLAIN) if waiting else b""
            except zlib_ng.error as error:  # type: ignore[misc]
                raise ImageError("bad-layer", f"damaged gzip: {error}") from error
            rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            inflater = None if inflater.eof else inflater
    if empty or inflater is not None:
        raise ImageError("bad-layer", "a gzip file ends early")


def _unzstd(packed: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress zstd frames (RFC 8878)."""
    zstd = _zstd_module()
    inflater = None
    for chunk in packed:
        rest = chunk
        while rest:
            inflater = inflater or zstd.ZstdDecompressor()
            try:
                plain = inflater.decompress(rest, _PLAIN)
                while plain:
                    yield plain
                    more = not inflater.needs_input and not inflater.eof
                    plain = inflater.decompress(b"", _PLAIN) if more else b""
            except zstd.ZstdError as error:
                raise ImageError("bad-layer", f"damaged zstd: {error}") from error
            rest, inflater = (inflater.unused_data, None) if inflater.eof else (b"", inflater)
    if inflater is not None:
        raise ImageError("bad-layer", "a zstd file ends early")


def _zstd_module() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd

        return zstd
    from backports import zstd

    return zstd
