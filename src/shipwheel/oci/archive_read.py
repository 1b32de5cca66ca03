"""Read images from one tar: an OCI layout (`oci-archive`) or what `docker save` writes.

Blobs stay where they are in the file: nothing is unpacked. Hashes are checked where blobs are read.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from shipwheel.errors import HostError, ImageError
from shipwheel.oci.archive import DOCKER_MANIFEST_FILE, blob_path
from shipwheel.oci.files import CHUNK, MAX_CONFIG, MAX_MANIFEST
from shipwheel.oci.layer_read import iter_tar
from shipwheel.oci.layout import INDEX_FILE, LAYOUT_FILE, check_layout_file, parse_entries, read_selected
from shipwheel.oci.model import (
    CONFIG,
    LAYER_GZIP,
    LAYER_TAR,
    LAYER_ZSTD,
    MANIFEST,
    Blob,
    Descriptor,
    Digest,
    Image,
    Platform,
    canonical_json,
)
from shipwheel.oci.read import (
    LoadedImage,
    LoadedIndex,
    image_from_config,
    parse_json_object,
    platform_matches,
)

_MAX_MEMBERS: Final = 20_000


def read_archive(
    path: Path, select: str | None = None, *, platform: Platform | None = None
) -> LoadedImage | LoadedIndex:
    """Read an image from either kind of archive; `select` is a ref name, a digest or a docker tag.

    Layers are opened in place, so the file must stay. Raises ImageError (`not-an-archive`,
    `bad-archive`, `no-such-image`, `ambiguous-image`, ...), IntegrityError, HostError `cannot-read`.
    """
    source = ArchiveSource.read(path)
    if LAYOUT_FILE in source.members:
        return _read_oci(source, select, platform)
    if DOCKER_MANIFEST_FILE in source.members:
        return _read_docker(source, select, platform)
    raise ImageError(
        "not-an-archive", f"a tar with neither {LAYOUT_FILE} nor {DOCKER_MANIFEST_FILE}", place=str(path)
    )


@dataclass(frozen=True, slots=True)
class SliceBlob:
    """A blob that is a part of a file nobody rewrites."""

    path: Path
    offset: int
    size: int
    digest: Digest

    def open(self) -> BinaryIO:
        """Open the part."""
        return io.BufferedReader(_Slice(self.path, self.offset, self.size), CHUNK)


@dataclass(frozen=True, slots=True)
class ArchiveSource:
    """The blobs of an oci-archive, and the place of every file in an archive: offset and size."""

    path: Path
    members: Mapping[str, tuple[int, int]]

    @classmethod
    def read(cls, path: Path) -> ArchiveSource:
        """Find the files in the tar at `path`; raises ImageError `not-an-archive`, `bad-tar`, HostError."""
        members: dict[str, tuple[int, int]] = {}
        links: dict[str, str] = {}
        with _reading(path), path.open("rb") as file:
            if file.read(2) == b"\x1f\x8b":
                raise ImageError(
                    "not-an-archive", "the archive is compressed", place=str(path), hint="gunzip it first"
                )
            stream = _FileStream(file, str(path))
            for info in iter_tar(stream, max_entries=_MAX_MEMBERS):
                name = posixpath.normpath(info.name)
                if info.isreg():
                    members[name] = (stream.tell(), info.size)
                elif info.issym() or info.islnk():
                    # Older `docker save` links layers that are the same: the target is in the archive.
                    base = posixpath.dirname(name) if info.issym() else ""
                    links[name] = posixpath.normpath(posixpath.join(base, info.linkname))
        members.update({name: members[target] for name, target in links.items() if target in members})
        return cls(path, members)

    def open(self, descriptor: Descriptor) -> SliceBlob:
        """Return the blob; raises ImageError `absent-blob`, `wrong-size`. Its digest is checked when read."""
        digest = descriptor.digest
        offset, size = self.members.get(blob_path(digest), (0, -1))
        if size < 0:
            raise ImageError("absent-blob", f"the archive has no blob {digest}", place=str(self.path))
        if size != descriptor.size:
            raise ImageError(
                "wrong-size", f"blob {digest} has {size} bytes, not {descriptor.size}", place=str(self.path)
            )
        return SliceBlob(self.path, offset, size, digest)

    def read_file(self, name: str, *, limit: int) -> bytes:
        """Return a whole small file; raises ImageError `bad-archive` when absent or over `limit` bytes."""
        offset, size = self.members.get(name, (0, -1))
        if not 0 <= size <= limit:
            what = "no" if size < 0 else "too large a"
            raise ImageError("bad-archive", f"the archive has {what} {name[:160]!r}", place=str(self.path))
        with _reading(self.path), self.path.open("rb") as file:
            file.seek(offset)
            return file.read(size)


def read_index(source: ArchiveSource) -> tuple[dict[str, Any], tuple[Descriptor, ...]]:
    """Return an oci-archive's index.json and the descriptors in it; raises ImageError."""
    place = str(source.path)
    check_layout_file(source.read_file(LAYOUT_FILE, limit=MAX_MANIFEST), place=place)
    raw = source.read_file(INDEX_FILE, limit=MAX_MANIFEST)
    index = parse_json_object(raw, code="bad-index", place=place)
    return index, parse_entries(index, place=place)


def _read_oci(
    source: ArchiveSource, select: str | None, platform: Platform | None
) -> LoadedImage | LoadedIndex:
    index, _ = read_index(source)
    return read_selected(source, index, select, platform=platform, place=str(source.path))


def _read_docker(source: ArchiveSource, select: str | None, platform: Platform | None) -> LoadedImage:
    place = str(source.path)
    entries = _docker_entries(source.read_file(DOCKER_MANIFEST_FILE, limit=MAX_MANIFEST), place)
    tags = ", ".join(sorted(tag for _, entry_tags, _ in entries for tag in entry_tags))
    found = [entry for entry in entries if select is None or select in entry[1]]
    if len(found) != 1:
        code, what = (
            ("ambiguous-image", f"{len(found)} images") if found else ("no-such-image", "no such image")
        )
        raise ImageError(code, f"the archive has {what}", place=place, hint=f"it has: {tags or 'no tags'}")
    config_name, _, layer_names = found[0]
    config = source.read_file(config_name, limit=MAX_CONFIG)
    pairs = [_docker_layer(source, name) for name in layer_names]
    descriptors, blobs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    image = image_from_config(config, descriptors, blobs, place=f"{place} {config_name}")
    if platform is not None and not platform_matches(image.platform, platform):
        raise ImageError(
            "no-such-platform", f"the image has no {platform}", place=place, hint=f"it has: {image.platform}"
        )
    return _with_config(image, config, descriptors)


def _with_config(image: Image, config: bytes, layers: Sequence[Descriptor]) -> LoadedImage:
    """Return the image with `config` as it was (its digest is the image's ID) and a manifest for it."""
    config_descriptor = Descriptor(media_type=CONFIG, digest=Digest.of(config), size=len(config))
    manifest = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config_descriptor.to_json(),
            "layers": [layer.to_json() for layer in layers],
        }
    )
    descriptor = Descriptor(
        media_type=MANIFEST, digest=Digest.of(manifest), size=len(manifest), platform=image.platform
    )
    return LoadedImage(
        image=image,
        descriptor=descriptor,
        manifest=manifest,
        config_descriptor=config_descriptor,
        config=config,
    )


def _docker_entries(raw: bytes, place: str) -> list[tuple[str, list[str], list[str]]]:
    """Return config, tags and layers of each image that a manifest.json names."""
    try:
        data = json.loads(raw)
        entries = [(item["Config"], item.get("RepoTags") or [], item["Layers"] or []) for item in data]
        if not all(
            isinstance(config, str) and all(isinstance(text, str) for text in (*tags, *layers))
            for config, tags, layers in entries
        ):
            raise TypeError("names are strings")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ImageError("bad-archive", f"malformed {DOCKER_MANIFEST_FILE}: {error}", place=place) from error
    return [(config, list(tags), list(layers)) for config, tags, layers in entries]


def _docker_layer(source: ArchiveSource, name: str) -> tuple[Descriptor, Blob]:
    offset, size = source.members.get(posixpath.normpath(name), (0, -1))
    if size < 0:
        raise ImageError("absent-blob", f"the archive has no {name[:160]!r}", place=str(source.path))
    with source.path.open("rb") as file:
        file.seek(offset)
        magic = file.read(4)
    media_type = LAYER_TAR
    if magic[:2] == b"\x1f\x8b":
        media_type = LAYER_GZIP
    elif magic == b"\x28\xb5\x2f\xfd":
        media_type = LAYER_ZSTD
    # The names in such an archive promise nothing: the digest is that of the bytes.
    with io.BufferedReader(_Slice(source.path, offset, size), CHUNK) as part:
        digest = Digest("sha256", hashlib.file_digest(part, "sha256").hexdigest())
    descriptor = Descriptor(media_type=media_type, digest=digest, size=size)
    return descriptor, SliceBlob(source.path, offset, size, digest)


class _Slice(io.RawIOBase):
    """A part of a file, read from its start."""

    def __init__(self, path: Path, offset: int, size: int) -> None:
        super().__init__()
        self._file = path.open("rb", buffering=0)
        self._file.seek(offset)
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer)[: self._left]
        count = self._file.readinto(view) or 0
        self._left -= count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class _FileStream:
    """A file as `iter_tar` reads it: headers only, contents are passed over."""

    def __init__(self, file: BinaryIO, place: str) -> None:
        self._file = file
        self._end = file.seek(0, io.SEEK_END)
        file.seek(0)
        self.place = place
        self.budget: int | None = None
        self.header = b""

    def read(self, size: int = -1) -> bytes:
        if self.budget is not None:
            self.budget -= max(size, 512)
            if size < 0 or self.budget < 0:
                raise ImageError("bad-tar", "an entry's headers are too long", place=self.place)
            self.header = self._file.read(size)
            return self.header
        return self._file.read(size)

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or position < self._file.tell():
            raise ImageError("bad-tar", "a tar header points backwards", place=self.place)
        return self._file.seek(min(position, self._end))

    def finish(self) -> bool:
        # Others pad their archives to a record; what follows the last entry is nobody's blob.
        self._file.seek(self._end)
        return True


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HostError("cannot-read", f"cannot read: {error.strerror or error}", place=str(path)) from error
