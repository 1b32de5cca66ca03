"""Read manifests, indexes and configs from any `BlobSource` into values, keeping the bytes as they were.

Reads no layer: layers are opened by who needs them (`layer_read`). A loaded image keeps its raw
manifest and config because their bytes carry its digest; `Image` would render them anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from shipwheel.errors import ImageError
from shipwheel.oci.files import MAX_CONFIG, MAX_MANIFEST, BlobSource, read_blob
from shipwheel.oci.model import (
    DOCKER_INDEX,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    INDEX,
    LAYER_GZIP,
    LAYER_TAR,
    LAYER_ZSTD,
    MANIFEST,
    Blob,
    BytesBlob,
    Descriptor,
    Digest,
    Image,
    ImageIndex,
    Layer,
    Platform,
    RunConfig,
    string_map,
)

MANIFEST_TYPES: Final = frozenset({MANIFEST, DOCKER_MANIFEST})
INDEX_TYPES: Final = frozenset({INDEX, DOCKER_INDEX})
LAYER_TYPES: Final = frozenset({LAYER_TAR, LAYER_GZIP, LAYER_ZSTD, DOCKER_LAYER_GZIP})
# An index in an index is allowed (image-index.md, "manifests"); real ones are one level deep.
_MAX_DEPTH: Final = 4
_MAX_MANIFESTS: Final = 1000
_MAX_LAYERS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedImage:
    """An image as somebody wrote it: its value, and the bytes of its manifest and config.

    `descriptor` is the manifest's. `image` has the layers and the run configuration; its own digest
    is another one unless this program wrote the image.
    """

    image: Image
    descriptor: Descriptor
    manifest: bytes
    config_descriptor: Descriptor
    config: bytes

    @property
    def digest(self) -> Digest:
        """The manifest's digest."""
        return self.descriptor.digest

    @property
    def platform(self) -> Platform:
        """The platform that the config names."""
        return self.image.platform

    @property
    def layers(self) -> Sequence[Layer]:
        """The layers from the bottom up."""
        return self.image.layers

    def manifest_blob(self) -> BytesBlob:
        """Return the manifest as it was."""
        return BytesBlob(self.manifest)

    def blobs(self) -> Iterator[tuple[Descriptor, Blob]]:
        """Yield every blob the manifest names, each digest once, layers first, then the config."""
        seen: set[Digest] = set()
        for layer in self.layers:
            if layer.descriptor.digest not in seen:
                seen.add(layer.descriptor.digest)
                yield layer.descriptor, layer.blob
        yield self.config_descriptor, BytesBlob(self.config)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedArtifact:
    """A manifest in an index that is no image (an attestation, a signature) and what it names."""

    descriptor: Descriptor
    manifest: bytes
    parts: Sequence[tuple[Descriptor, Blob]]

    def manifest_blob(self) -> BytesBlob:
        """Return the manifest as it was."""
        return BytesBlob(self.manifest)

    def blobs(self) -> Iterator[tuple[Descriptor, Blob]]:
        """Yield every blob the manifest names."""
        yield from self.parts


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedIndex:
    """An image index as somebody wrote it, with all that it names, in its order."""

    descriptor: Descriptor
    index: bytes
    children: Sequence[LoadedImage | LoadedIndex | LoadedArtifact]

    @property
    def digest(self) -> Digest:
        """The index's digest."""
        return self.descriptor.digest

    @property
    def images(self) -> Sequence[LoadedImage]:
        """The images, those of nested indexes too."""
        return tuple(_images(self))

    def index_blob(self) -> BytesBlob:
        """Return the index as it was."""
        return BytesBlob(self.index)


AnyImage = Image | LoadedImage
AnyIndex = ImageIndex | LoadedIndex


def all_blobs(value: AnyImage | AnyIndex | LoadedArtifact) -> Iterator[tuple[Descriptor, Blob]]:
    """Yield all that makes up `value`, each digest once, what is named before what names it.

    Written or pushed in this order, nothing ever names an absent blob; `value`'s own manifest or
    index is the last.
    """
    seen: set[Digest] = set()
    for descriptor, blob in _all_blobs(value):
        if descriptor.digest not in seen:
            seen.add(descriptor.digest)
            yield descriptor, blob


def _all_blobs(value: AnyImage | AnyIndex | LoadedArtifact) -> Iterator[tuple[Descriptor, Blob]]:
    match value:
        case ImageIndex():
            for image in value.images:
                yield from _all_blobs(image)
            yield value.descriptor, value.index_blob()
        case LoadedIndex():
            for child in value.children:
                yield from _all_blobs(child)
            yield value.descriptor, value.index_blob()
        case _:
            yield from value.blobs()
            yield value.descriptor, value.manifest_blob()


def _images(index: LoadedIndex) -> Iterator[LoadedImage]:
    for child in index.children:
        if isinstance(child, LoadedIndex):
            yield from _images(child)
        elif isinstance(child, LoadedImage):
            yield child


def read_image(descriptor: Descriptor, source: BlobSource) -> LoadedImage | LoadedIndex:
    """Read the image or index at `descriptor`, its manifests and configs, but no layer.

    Raises ImageError (`bad-manifest`, `bad-config`, `bad-index`, `unknown-media-type`,
    `nested-too-deep`, `absent-blob`, ...) and IntegrityError (`wrong-size`, `wrong-digest`).
    """
    value = _Reader(source).read(descriptor, depth=0)
    if isinstance(value, LoadedArtifact):
        raise ImageError("not-an-image", "the manifest is not an image's", place=str(descriptor.digest))
    return value


def read_platform(descriptor: Descriptor, source: BlobSource, platform: Platform) -> LoadedImage:
    """Read the image for `platform` at `descriptor`, without reading an index's other images.

    Raises as `read_image`, and ImageError `no-such-platform`.
    """
    reader = _Reader(source)
    found = reader.find(descriptor, platform, depth=0)
    if found is None:
        has = ", ".join(sorted(set(reader.seen))) or "none"
        raise ImageError(
            "no-such-platform",
            f"the image has no {platform}",
            place=str(descriptor.digest),
            hint=f"it has: {has}",
        )
    return found


def platform_matches(has: Platform, wanted: Platform) -> bool:
    """Whether an image for `has` is one for `wanted`; linux/arm64 and linux/arm64/v8 are the same."""
    return _normal(has) == _normal(wanted)


def _normal(platform: Platform) -> Platform:
    # containerd's rule for "no variant": v8 for arm64 and v7 for arm.
    default = {"arm64": "v8", "arm": "v7"}.get(platform.architecture)
    return platform if platform.variant else replace(platform, variant=default)


class _Reader:
    """Reads from one source and counts, so that no source can keep it busy for ever."""

    def __init__(self, source: BlobSource) -> None:
        self._source = source
        self._manifests = 0
        self.seen: list[str] = []

    def read(self, descriptor: Descriptor, *, depth: int) -> LoadedImage | LoadedIndex | LoadedArtifact:
        data, raw = self._document(descriptor, depth)
        if descriptor.media_type in INDEX_TYPES:
            children = tuple(self.read(child, depth=depth + 1) for child in _children(data, descriptor))
            return LoadedIndex(descriptor=descriptor, index=raw, children=children)
        return self._manifest(descriptor, data, raw)

    def find(self, descriptor: Descriptor, platform: Platform, *, depth: int) -> LoadedImage | None:
        data, raw = self._document(descriptor, depth)
        if descriptor.media_type not in INDEX_TYPES:
            image = self._manifest(descriptor, data, raw)
            if not isinstance(image, LoadedImage):
                return None
            self.seen.append(str(image.platform))
            return image if platform_matches(image.platform, platform) else None
        for child in _children(data, descriptor):
            if child.platform is not None and not platform_matches(child.platform, platform):
                if child.platform.os != "unknown":
                    self.seen.append(str(child.platform))
                continue
            found = self.find(child, platform, depth=depth + 1)
            if found is not None:
                return found
        return None

    def _document(self, descriptor: Descriptor, depth: int) -> tuple[dict[str, Any], bytes]:
        place = str(descriptor.digest)
        if descriptor.media_type not in MANIFEST_TYPES | INDEX_TYPES:
            raise ImageError(
                "unknown-media-type",
                f"not an image manifest or index: {descriptor.media_type[:160]!r}",
                place=place,
                hint="Docker's schema 1 manifests are obsolete: push the image again with a current tool",
            )
        self._manifests += 1
        if depth >= _MAX_DEPTH or self._manifests > _MAX_MANIFESTS:
            raise ImageError(
                "nested-too-deep",
                f"an index nests more than {_MAX_DEPTH} levels or names over {_MAX_MANIFESTS} manifests",
                place=place,
            )
        raw = read_blob(descriptor, self._source, limit=MAX_MANIFEST)
        index = descriptor.media_type in INDEX_TYPES
        code = "bad-index" if index else "bad-manifest"
        data = parse_json_object(raw, code=code, place=place)
        if data.get("schemaVersion") != 2:
            raise ImageError(code, f"schemaVersion is {data.get('schemaVersion')!r}, not 2", place=place)
        # manifest.md: mediaType, when there, must be what the descriptor says; and the two kinds of
        # document must not be taken for each other.
        if data.get("mediaType", descriptor.media_type) != descriptor.media_type or (
            ("manifests" in data) != index or ("layers" in data) == index
        ):
            raise ImageError(
                code, f"is not the {descriptor.media_type} that its descriptor says", place=place
            )
        return data, raw

    def _manifest(
        self, descriptor: Descriptor, data: Mapping[str, Any], raw: bytes
    ) -> LoadedImage | LoadedArtifact:
        place = str(descriptor.digest)
        config_descriptor = Descriptor.from_json(data.get("config"))
        descriptors = _list_of_descriptors(data.get("layers"), "bad-manifest", place, _MAX_LAYERS)
        if _is_artifact(descriptor, data, descriptors):
            named = {part.digest: part for part in (config_descriptor, *descriptors)}
            parts = tuple((part, self._source.open(part)) for part in named.values())
            return LoadedArtifact(descriptor=descriptor, manifest=raw, parts=parts)
        for layer in descriptors:
            if layer.media_type not in LAYER_TYPES:
                raise ImageError(
                    "unknown-media-type",
                    f"not a layer that can be read: {layer.media_type[:160]!r}",
                    place=f"{place} layer {layer.digest}",
                )
        config = read_blob(config_descriptor, self._source, limit=MAX_CONFIG)
        blobs = [self._source.open(layer) for layer in descriptors]
        try:
            annotations = string_map(data.get("annotations"))
        except TypeError as error:
            raise ImageError("bad-manifest", f"annotations: {error}", place=place) from error
        image = image_from_config(config, descriptors, blobs, place=str(config_descriptor.digest))
        return LoadedImage(
            image=replace(image, annotations=annotations),
            descriptor=descriptor,
            manifest=raw,
            config_descriptor=config_descriptor,
            config=config,
        )


def image_from_config(
    config: bytes, descriptors: Sequence[Descriptor], blobs: Sequence[Blob], *, place: str
) -> Image:
    """Return the image that `config` (config.md) describes, with these layers.

    Raises ImageError `bad-config`, also when the number of diff_ids is not that of the layers.
    """
    data = parse_json_object(config, code="bad-config", place=place)
    try:
        platform = Platform.from_json(data)
        rootfs, run, created = data["rootfs"], data.get("config") or {}, data.get("created")
        if not isinstance(rootfs, dict) or rootfs.get("type") != "layers" or not isinstance(run, dict):
            raise TypeError("rootfs or config is not what config.md says")
        diff_ids = [Digest.parse(text) for text in rootfs["diff_ids"] or ()]
        if created is not None and not isinstance(created, str):
            raise TypeError("created is not a string")
        history = _created_by(data.get("history"))
    except (KeyError, TypeError) as error:
        raise ImageError("bad-config", f"malformed image config: {error}", place=place) from error
    if len(diff_ids) != len(descriptors):
        raise ImageError("bad-config", f"{len(diff_ids)} diff_ids for {len(descriptors)} layers", place=place)
    if len(history) != len(diff_ids):  # history is optional and for people: it may be short
        history = [""] * len(diff_ids)
    layers = tuple(
        Layer(descriptor=descriptor, diff_id=diff_id, blob=blob, created_by=created_by)
        for descriptor, diff_id, blob, created_by in zip(descriptors, diff_ids, blobs, history, strict=True)
    )
    return Image(platform=platform, layers=layers, config=RunConfig.from_json(run), created=created)


def parse_json_object(raw: bytes, *, code: str, place: str) -> dict[str, Any]:
    """Parse a JSON object; raises ImageError `code`."""
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ImageError(code, f"not JSON: {error}", place=place) from error
    if not isinstance(data, dict):
        raise ImageError(code, "not a JSON object", place=place)
    if b"\\u" in raw:
        try:
            json.dumps(data, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            # RFC 8259, 8.2: what programs make of half a surrogate pair is unpredictable.
            raise ImageError(code, "has half a surrogate pair, which is no text", place=place) from error
    return data


def _children(data: Mapping[str, Any], descriptor: Descriptor) -> Sequence[Descriptor]:
    return _list_of_descriptors(data["manifests"], "bad-index", str(descriptor.digest), _MAX_MANIFESTS)


def _list_of_descriptors(data: object, code: str, place: str, limit: int) -> Sequence[Descriptor]:
    if not isinstance(data, list):
        raise ImageError(code, "not a list of descriptors", place=place)
    if len(data) > limit:
        raise ImageError(code, f"names {len(data)} blobs; {limit} are accepted", place=place)
    return [Descriptor.from_json(item) for item in data]


def _is_artifact(descriptor: Descriptor, data: Mapping[str, Any], layers: Sequence[Descriptor]) -> bool:
    """Whether a manifest is no image: BuildKit's attestations have the platform unknown/unknown."""
    unknown = descriptor.platform is not None and descriptor.platform.os == "unknown"
    known = any(layer.media_type in LAYER_TYPES for layer in layers)
    return unknown or ("artifactType" in data and not known)


def _created_by(history: object) -> list[str]:
    if history is None:
        return []
    if not isinstance(history, list) or not all(isinstance(entry, dict) for entry in history):
        raise TypeError("history is not a list of objects")
    return [str(entry.get("created_by") or "") for entry in history if not entry.get("empty_layer")]
