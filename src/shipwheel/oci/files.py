"""Read and write blobs as files: bounded, hashed on the way, whole or not at all. Knows no format."""

from __future__ import annotations

import contextlib
import errno
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from shipwheel.errors import HostError, ImageError, IntegrityError
from shipwheel.oci.model import Blob, Descriptor, Digest
from shipwheel.staged import written_whole

CHUNK: Final = 256 * 1024
# distribution-spec, "Pushing Manifests": registries take manifests of at least 4 MiB; few take more.
MAX_MANIFEST: Final = 4 * 1024 * 1024
MAX_CONFIG: Final = 8 * 1024 * 1024


class BlobSource(Protocol):
    """Where blobs come from: a layout, an archive, a registry."""

    def open(self, descriptor: Descriptor) -> Blob:
        """Return the blob; raises ImageError `absent-blob` when there is none."""
        ...


def read_blob(descriptor: Descriptor, source: BlobSource, *, limit: int) -> bytes:
    """Return a whole small blob, its size and digest checked.

    Raises ImageError `blob-too-large` (more than `limit` bytes) and IntegrityError `wrong-size`,
    `wrong-digest`.
    """
    if descriptor.size > limit:
        raise ImageError(
            "blob-too-large",
            f"{descriptor.media_type} of {descriptor.size} bytes; {limit} are accepted",
            place=str(descriptor.digest),
        )
    with source.open(descriptor).open() as file:
        return b"".join(iter_exactly(file, descriptor))


def iter_exactly(file: BinaryIO, descriptor: Descriptor) -> Iterator[bytes]:
    """Yield the bytes of `file` in chunks; raises IntegrityError unless they are the descriptor's.

    Never reads more than one byte past the announced size: `wrong-size`, then `wrong-digest`.
    """
    hasher = hashlib.new(descriptor.digest.algorithm)
    left = descriptor.size
    while chunk := file.read(min(CHUNK, left + 1)):
        left -= len(chunk)
        if left < 0:
            break
        hasher.update(chunk)
        yield chunk
    if left:
        what = "more than" if left < 0 else f"{descriptor.size - left} bytes, not"
        raise IntegrityError(
            "wrong-size", f"a blob has {what} {descriptor.size} bytes", place=str(descriptor.digest)
        )
    found = Digest(descriptor.digest.algorithm, hasher.hexdigest())
    if found != descriptor.digest:
        raise IntegrityError("wrong-digest", f"a blob's digest is {found}", place=str(descriptor.digest))


def copy_blob(descriptor: Descriptor, blob: Blob, write: Callable[[bytes], object]) -> None:
    """Give the blob's bytes to `write` in chunks; raises IntegrityError as `iter_exactly`.

    What was written before an error is the caller's to throw away.
    """
    with blob.open() as file:
        for chunk in iter_exactly(file, descriptor):
            write(chunk)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that takes the place of `path` when the block ends well, and vanishes otherwise.

    It is written beside `path` with the permissions any new file gets. Raises HostError.
    """
    with host_errors(path), written_whole(path) as staged, staged.open("xb") as file:
        yield file


@contextlib.contextmanager
def host_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into HostError `no-permission`, `disk-full`, `cannot-write`."""
    try:
        yield
    except PermissionError as error:
        raise HostError(
            "no-permission",
            f"cannot write: {error.strerror}",
            place=str(error.filename or path),
            hint="choose another output folder",
        ) from error
    except OSError as error:
        place = str(error.filename or path)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HostError("disk-full", "no space left for the output", place=place) from error
        raise HostError("cannot-write", f"cannot write: {error.strerror or error}", place=place) from error
