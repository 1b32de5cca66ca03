"""Recompute all that an image claims: digests, sizes, diff_ids, and whether its parts agree.

Returns problems and never raises for a bad image; memory and time are bounded by `Limits`. The
tests' oracle: it shares the readers with the rest, and no writer.
"""

from __future__ import annotations

import datetime
import hashlib
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from shipwheel.errors import Problem, ShipwheelError
from shipwheel.oci.archive_read import ArchiveSource, read_archive, read_index
from shipwheel.oci.files import CHUNK, BlobSource
from shipwheel.oci.layer_read import DEFAULT_LIMITS, LayerStream, Limits, open_layer, read_entries
from shipwheel.oci.layout import INDEX_FILE, LAYOUT_FILE, LayoutSource
from shipwheel.oci.layout import read_entries as read_layout_entries
from shipwheel.oci.model import Descriptor, Digest, ImageIndex, Layer
from shipwheel.oci.read import (
    LAYER_TYPES,
    AnyImage,
    AnyIndex,
    LoadedArtifact,
    LoadedImage,
    LoadedIndex,
    parse_json_object,
    platform_matches,
    read_image,
)

# A layer with more than this is broken all through; the rest of its problems help nobody.
_MAX_PROBLEMS: Final = 100
_KINDS: Final = (
    tarfile.REGTYPE,
    tarfile.AREGTYPE,
    tarfile.DIRTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.FIFOTYPE,
)


def validate_image(value: AnyImage | AnyIndex, *, limits: Limits = DEFAULT_LIMITS) -> list[Problem]:
    """Return what is wrong with an image, or with an index and all its images; nothing: `[]`.

    `limits` are for each layer.
    """
    return list(_Checker(limits).value(value))


def validate_layer(layer: Layer, *, limits: Limits = DEFAULT_LIMITS) -> list[Problem]:
    """Return what is wrong with a layer: size, digest, diff_id and its tar."""
    return list(_Checker(limits).layer(layer))


def validate_layout(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> list[Problem]:
    """Return what is wrong with a layout: every image in it, and blobs that nothing names."""
    checker = _Checker(limits)
    try:
        entries = read_layout_entries(path)
        problems = list(checker.entries(entries, LayoutSource(path)))
        problems += _stray_blobs(path, checker.checked)
    except ShipwheelError as error:
        return list(error.problems)
    except OSError as error:
        return [_unreadable(error, str(path))]
    return problems


def validate_archive(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> list[Problem]:
    """Return what is wrong with an oci-archive (all its images) or a docker-archive of one image."""
    checker = _Checker(limits)
    try:
        source = ArchiveSource.read(path)
        if LAYOUT_FILE in source.members:
            return list(checker.entries(read_index(source)[1], source))
        return list(checker.value(read_archive(path)))
    except ShipwheelError as error:
        return list(error.problems)


class _Checker:
    """Checks values; each layer once, however many images share it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._layers: set[tuple[Digest, int, str, Digest]] = set()
        self.checked: set[Digest] = set()

    def entries(self, entries: Sequence[Descriptor], source: BlobSource) -> Iterator[Problem]:
        """Check what an index.json names."""
        if not entries:
            yield Problem(code="no-such-image", message="there is no image", place=INDEX_FILE)
        for entry in {entry.digest: entry for entry in entries}.values():
            try:
                value = read_image(entry, source)
            except ShipwheelError as error:
                yield from error.problems
            else:
                yield from self.value(value)

    def value(self, value: AnyImage | AnyIndex | LoadedArtifact) -> Iterator[Problem]:
        if isinstance(value, ImageIndex | LoadedIndex):
            raw = value.index_blob().data
            yield from self._bytes(value.descriptor, raw)
            children = value.images if isinstance(value, ImageIndex) else value.children
            try:
                names = parse_json_object(raw, code="bad-index", place=str(value.digest))["manifests"]
                if [Descriptor.from_json(item).digest for item in names] != [
                    child.descriptor.digest for child in _as_written(value)
                ]:
                    raise ValueError("other images than the value has")
            except ShipwheelError as error:
                yield from error.problems
            except (KeyError, TypeError, ValueError) as error:
                yield Problem(code="bad-index", message=f"names {error}", place=str(value.digest))
            for child in children:
                yield from self.value(child)
        elif isinstance(value, LoadedArtifact):
            yield from self._artifact(value)
        else:
            yield from self._image(value)

    def layer(self, layer: Layer) -> Iterator[Problem]:
        descriptor = layer.descriptor
        key = (descriptor.digest, descriptor.size, descriptor.media_type, layer.diff_id)
        if key in self._layers:
            return
        self._layers.add(key)
        self.checked.add(descriptor.digest)
        place = f"layer {descriptor.digest}"
        if (layer.blob.digest, layer.blob.size) != (descriptor.digest, descriptor.size):
            yield Problem(code="bad-layer", message="blob and descriptor do not agree", place=place)
        try:
            with open_layer(layer, limits=self._limits) as stream:
                yield from _check_tar(stream, self._limits, place)
        except ShipwheelError as error:
            yield from error.problems
        except OSError as error:
            yield _unreadable(error, place)

    def _artifact(self, artifact: LoadedArtifact) -> Iterator[Problem]:
        yield from self._bytes(artifact.descriptor, artifact.manifest)
        for descriptor, blob in artifact.parts:
            self.checked.add(descriptor.digest)
            hasher, size = hashlib.new(descriptor.digest.algorithm), 0
            try:
                with blob.open() as file:
                    while size <= descriptor.size and (chunk := file.read(CHUNK)):
                        size += len(chunk)
                        hasher.update(chunk)
            except OSError as error:
                yield _unreadable(error, str(descriptor.digest))
                continue
            yield from _compare(descriptor, size, Digest(descriptor.digest.algorithm, hasher.hexdigest()))

    def _image(self, image: AnyImage) -> Iterator[Problem]:
        place = f"manifest {image.digest}"
        manifest = image.manifest_blob().data
        config = image.config if isinstance(image, LoadedImage) else image.config_blob().data
        yield from self._bytes(image.descriptor, manifest)
        try:
            data = parse_json_object(manifest, code="bad-manifest", place=place)
            config_descriptor = Descriptor.from_json(data.get("config"))
            layers = [Descriptor.from_json(item) for item in data.get("layers") or ()]
            config_data = parse_json_object(config, code="bad-config", place=str(config_descriptor.digest))
        except (ShipwheelError, TypeError) as error:
            yield from _problems(error, place)
            return
        yield from self._bytes(config_descriptor, config)
        if layers != [layer.descriptor for layer in image.layers]:
            yield Problem(code="bad-manifest", message="names other layers than the image has", place=place)
        for layer in layers:
            if layer.media_type not in LAYER_TYPES:
                message = f"not a layer's media type: {layer.media_type[:160]!r}"
                yield Problem(code="unknown-media-type", message=message, place=place)
        yield from _check_config(config_data, image, f"config {config_descriptor.digest}")
        for part in image.layers:
            yield from self.layer(part)

    def _bytes(self, descriptor: Descriptor, data: bytes) -> Iterator[Problem]:
        self.checked.add(descriptor.digest)
        found = hashlib.new(descriptor.digest.algorithm, data).hexdigest()
        yield from _compare(descriptor, len(data), Digest(descriptor.digest.algorithm, found))


def _as_written(value: AnyIndex) -> Sequence[AnyImage | LoadedIndex | LoadedArtifact]:
    if isinstance(value, LoadedIndex):
        return value.children
    return sorted(value.images, key=lambda image: str(image.platform))


def _compare(descriptor: Descriptor, size: int, digest: Digest) -> Iterator[Problem]:
    place = str(descriptor.digest)
    if size != descriptor.size:
        message = f"a blob has {size} bytes, not {descriptor.size}"
        yield Problem(code="wrong-size", message=message, place=place)
    if digest != descriptor.digest:
        yield Problem(code="wrong-digest", message=f"a blob's digest is {digest}", place=place)


def _check_config(data: Mapping[str, Any], image: AnyImage, place: str) -> Iterator[Problem]:
    """Check config.md's members against the layers and the platform that the manifest was named for."""
    rootfs = data.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if diff_ids != [str(layer.diff_id) for layer in image.layers]:
        yield Problem(code="bad-config", message="rootfs.diff_ids are not the layers'", place=place)
    if isinstance(rootfs, dict) and rootfs.get("type") != "layers":
        yield Problem(code="bad-config", message="rootfs.type is not layers", place=place)
    history = data.get("history")
    if history is not None:
        made = [entry for entry in history if isinstance(entry, dict) and not entry.get("empty_layer")]
        if len(made) != len(image.layers):
            message = f"history tells of {len(made)} layers, not {len(image.layers)}"
            yield Problem(code="bad-config", message=message, place=place)
    named = image.descriptor.platform
    if named is not None and not platform_matches(image.platform, named):
        message = f"an image for {image.platform} is named as one for {named}"
        yield Problem(code="wrong-platform", message=message, place=place)
    created = data.get("created")
    try:
        if created is not None and datetime.datetime.fromisoformat(created).tzinfo is None:
            raise ValueError(created)
    except (TypeError, ValueError):
        yield Problem(code="bad-config", message=f"created is no RFC 3339 time: {created!r}", place=place)


def _check_tar(stream: LayerStream, limits: Limits, place: str) -> Iterator[Problem]:
    """Check each entry; the stream's own checks (sizes, digests) follow when it is read to its end."""
    entries = _Entries(place)
    found, end = 0, 0
    for info in read_entries(stream, limits=limits):
        for problem in entries.check(info):
            found += 1
            if found <= _MAX_PROBLEMS:
                yield problem
        end = stream.tell() + (-(-info.size // 512) * 512 if info.isreg() else 0)
    if found > _MAX_PROBLEMS:
        message = f"{found - _MAX_PROBLEMS} more problems"
        yield Problem(code="too-many-problems", message=message, place=place)
    # POSIX.1: two blocks of zeros end an archive.
    if stream.tell() - end < 1024 or stream.tell() % 512:
        yield Problem(code="bad-tar", message="the archive has no end", place=place)


class _Entries:
    """What the entries of one layer were so far."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._kinds: dict[str, bytes] = {}
        self._implied: set[str] = set()

    def check(self, info: tarfile.TarInfo) -> Iterator[Problem]:
        name = info.name
        if name.startswith("/"):
            yield self._problem("unsafe-path", "an absolute path", name)
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts or "\0" in name:
            yield self._problem("unsafe-path", "a path that leaves the root", name)
        path = "/".join(parts)
        if path in self._kinds:
            yield self._problem("duplicate-path", "comes twice", name)
        if path in self._implied and path not in self._kinds and info.isdir():
            yield self._problem("parent-after-child", "a folder after something in it", name)
        if info.type not in _KINDS:
            yield self._problem("unknown-entry", f"an entry of the unknown type {info.type!r}", name)
        for depth in range(len(parts) - 1, 0, -1):
            parent = "/".join(parts[:depth])
            kind = self._kinds.get(parent)
            if kind not in (None, tarfile.DIRTYPE):
                yield self._problem("parent-no-folder", "its parent is no folder in the same layer", name)
            if kind is not None or parent in self._implied:
                break
            self._implied.add(parent)
        if info.islnk() and self._kinds.get(_plain(info.linkname)) in (None, tarfile.DIRTYPE):
            yield self._problem(
                "broken-hard-link", f"links to {info.linkname[:160]!r}, no earlier file", name
            )
        self._kinds[path] = info.type

    def _problem(self, code: str, message: str, name: str) -> Problem:
        return Problem(code=code, message=f"{message}: {name[:160]!r}", place=self._place)


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _stray_blobs(path: Path, checked: set[Digest]) -> Iterator[Problem]:
    """Check the blobs that no manifest names: image-layout.md wants every blob to be what its name says."""
    for place in sorted((path / "blobs").glob("*/*")):
        try:
            digest = Digest.parse(f"{place.parent.name}:{place.name}")
        except ShipwheelError:
            yield Problem(code="stray-file", message="not a blob's name", place=str(place))
            continue
        if digest in checked:
            continue
        if not place.is_file():
            yield Problem(code="stray-file", message="not a regular file", place=str(place))
            continue
        with place.open("rb") as file:
            found = hashlib.file_digest(file, digest.algorithm).hexdigest()
        if found != digest.hex:
            message = f"a blob's digest is {digest.algorithm}:{found}"
            yield Problem(code="wrong-digest", message=message, place=str(place))


def _problems(error: Exception, place: str) -> Sequence[Problem]:
    if isinstance(error, ShipwheelError):
        return error.problems
    return [Problem(code="bad-manifest", message=f"malformed manifest: {error}", place=place)]


def _unreadable(error: OSError, place: str) -> Problem:
    return Problem(code="cannot-read", message=f"cannot read: {error.strerror or error}", place=place)
