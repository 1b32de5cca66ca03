"""The OCI image model as frozen values. Reads and writes no file; see `layout`, `archive`, `registry`."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, Self

from shipwheel.errors import ImageError

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER_TAR: Final = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_ZSTD: Final = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"

# image-spec descriptor.md, "Digests"; algorithms we can recompute.
_HEX_LENGTH: Final = {"sha256": 64, "sha512": 128}
_DIGEST: Final = re.compile(r"(?P<algorithm>[a-z0-9]+(?:[+._-][a-z0-9]+)*):(?P<encoded>[a-zA-Z0-9=_-]+)")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A content digest (image-spec descriptor.md, "Digests"); `str()` gives `algorithm:hex`."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `sha256:<64 hex>` or `sha512:<128 hex>`; raises ImageError `bad-digest`."""
        match = _DIGEST.fullmatch(text)
        if match is None or _HEX_LENGTH.get(match["algorithm"]) != len(match["encoded"]):
            raise ImageError("bad-digest", f"not a sha256 or sha512 digest: {text[:160]!r}")
        encoded = match["encoded"]
        # descriptor.md: the encoded portion of sha256 and sha512 MUST match /[a-f0-9]+/.
        if not re.fullmatch("[a-f0-9]+", encoded):
            raise ImageError("bad-digest", f"a digest's hex digits must be lower case: {text[:160]!r}")
        return cls(match["algorithm"], encoded)

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Return the sha256 digest of `data`."""
        return cls("sha256", hashlib.sha256(data).hexdigest())

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Platform:
    """What an image runs on (image-index.md, "platform"); `str()` gives `os/architecture[/variant]`."""

    os: str
    architecture: str
    variant: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `os/architecture[/variant]`; raises ImageError `bad-platform`."""
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(re.fullmatch("[a-z0-9_.]+", part) for part in parts):
            raise ImageError("bad-platform", f"not a platform: {text!r}", hint="write it as linux/amd64")
        return cls(os=parts[0], architecture=parts[1], variant=parts[2] if len(parts) == 3 else None)

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read the members `os`, `architecture` and `variant`; raises KeyError or TypeError."""
        if not isinstance(data, dict):
            raise TypeError("platform is not an object")
        parts = (data["os"], data["architecture"], data.get("variant") or None)
        if not all(isinstance(part, str) and part for part in parts[:2]):
            raise TypeError(f"os or architecture is not a name: {parts[:2]!r}")
        return cls(os=parts[0], architecture=parts[1], variant=_optional_string(parts[2]))

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def to_json(self) -> dict[str, str]:
        """Return the specification's JSON object."""
        data = {"architecture": self.architecture, "os": self.os}
        return data | {"variant": self.variant} if self.variant else data


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A reference to content (image-spec descriptor.md); `size` in bytes."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None
    artifact_type: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the specification's JSON object, without empty members."""
        data: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        if self.annotations:
            data["annotations"] = dict(sorted(self.annotations.items()))
        if self.platform is not None:
            data["platform"] = self.platform.to_json()
        if self.artifact_type is not None:
            data["artifactType"] = self.artifact_type
        return data

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read a descriptor object; raises ImageError `bad-descriptor`."""
        try:
            if not isinstance(data, dict):
                raise TypeError("not an object")
            size, media_type = data["size"], data["mediaType"]
            if not isinstance(size, int) or isinstance(size, bool) or size < 0:
                raise ValueError(f"size is {size!r}")
            if not isinstance(media_type, str):
                raise TypeError(f"mediaType is {media_type!r}")
            return cls(
                media_type=media_type,
                digest=Digest.parse(data["digest"]),
                size=size,
                annotations=string_map(data.get("annotations")),
                platform=None if data.get("platform") is None else Platform.from_json(data["platform"]),
                artifact_type=_optional_string(data.get("artifactType")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ImageError("bad-descriptor", f"malformed descriptor: {error}") from error


class Blob(Protocol):
    """Content that can be opened again and again, with its descriptor's digest and size."""

    @property
    def digest(self) -> Digest:
        """Digest of the whole content."""
        ...

    @property
    def size(self) -> int:
        """Length in bytes."""
        ...

    def open(self) -> BinaryIO:
        """Open the content for reading from its start."""
        ...


@dataclass(frozen=True, slots=True)
class BytesBlob:
    """A small blob in memory: a manifest, a config."""

    data: bytes

    @property
    def digest(self) -> Digest:
        """The sha256 of the data."""
        return Digest.of(self.data)

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.data)

    def open(self) -> BinaryIO:
        """Open the data."""
        return io.BytesIO(self.data)


@dataclass(frozen=True, slots=True)
class FileBlob:
    """A blob in a file that nobody rewrites (the cache, a layout)."""

    path: Path
    digest: Digest
    size: int

    def open(self) -> BinaryIO:
        """Open the file."""
        return self.path.open("rb")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A filesystem changeset (image-spec layer.md): its compressed blob and the digest of its tar."""

    descriptor: Descriptor
    diff_id: Digest
    blob: Blob
    created_by: str = ""

    def with_annotations(self, annotations: Mapping[str, str]) -> Layer:
        """Return this layer with `annotations` added to its descriptor."""
        merged = {**self.descriptor.annotations, **annotations}
        return replace(self, descriptor=replace(self.descriptor, annotations=merged))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """What a runtime does with the image (config.md, "config"). None: not set; empty: set to nothing."""

    user: str | None = None
    exposed_ports: Sequence[str] | None = None
    env: Sequence[tuple[str, str]] | None = None
    entrypoint: Sequence[str] | None = None
    cmd: Sequence[str] | None = None
    volumes: Sequence[str] | None = None
    working_dir: str | None = None
    labels: Mapping[str, str] | None = None
    stop_signal: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the specification's JSON object, with unset members left out."""
        data: dict[str, Any] = {
            "User": self.user,
            "ExposedPorts": None
            if self.exposed_ports is None
            else {port: {} for port in sorted(self.exposed_ports)},
            "Env": None if self.env is None else [f"{name}={value}" for name, value in self.env],
            "Entrypoint": None if self.entrypoint is None else list(self.entrypoint),
            "Cmd": None if self.cmd is None else list(self.cmd),
            "Volumes": None if self.volumes is None else {path: {} for path in sorted(self.volumes)},
            "WorkingDir": self.working_dir,
            "Labels": None if self.labels is None else dict(sorted(self.labels.items())),
            "StopSignal": self.stop_signal,
        }
        return {key: value for key, value in data.items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read the `config` object; raises ImageError `bad-config`."""
        try:
            env = _strings(data.get("Env"), list)
            return cls(
                user=_optional_string(data.get("User")) or None,
                exposed_ports=_strings(data.get("ExposedPorts"), dict),
                env=None if env is None else tuple(_env_pair(item) for item in env),
                entrypoint=_strings(data.get("Entrypoint"), list),
                cmd=_strings(data.get("Cmd"), list),
                volumes=_strings(data.get("Volumes"), dict),
                working_dir=_optional_string(data.get("WorkingDir")) or None,
                labels=None if data.get("Labels") is None else string_map(data["Labels"]),
                stop_signal=_optional_string(data.get("StopSignal")) or None,
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise ImageError("bad-config", f"malformed image config: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image for one platform: layers from the bottom up and how to run them.

    `created` is RFC 3339; `annotations` go on the manifest. History holds one line a layer.
    """

    platform: Platform
    layers: Sequence[Layer] = ()
    config: RunConfig = field(default_factory=RunConfig)
    created: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)

    def config_blob(self) -> BytesBlob:
        """Return the image configuration (config.md) as canonical JSON."""
        data: dict[str, Any] = {
            **self.platform.to_json(),
            "config": self.config.to_json(),
            "rootfs": {"type": "layers", "diff_ids": [str(layer.diff_id) for layer in self.layers]},
            "history": [self._history(layer) for layer in self.layers],
        }
        if self.created is not None:
            data["created"] = self.created
        return BytesBlob(canonical_json(data))

    def manifest_blob(self) -> BytesBlob:
        """Return the image manifest (manifest.md) as canonical JSON; its digest is the image's."""
        config = self.config_blob()
        data: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": Descriptor(media_type=CONFIG, digest=config.digest, size=config.size).to_json(),
            "layers": [layer.descriptor.to_json() for layer in self.layers],
        }
        if self.annotations:
            data["annotations"] = dict(sorted(self.annotations.items()))
        return BytesBlob(canonical_json(data))

    @property
    def descriptor(self) -> Descriptor:
        """The manifest's descriptor, with the platform."""
        manifest = self.manifest_blob()
        return Descriptor(
            media_type=MANIFEST, digest=manifest.digest, size=manifest.size, platform=self.platform
        )

    @property
    def digest(self) -> Digest:
        """The manifest's digest: what a registry serves this image under."""
        return self.manifest_blob().digest

    @property
    def size(self) -> int:
        """Bytes a node pulls that has nothing: layers, config and manifest."""
        return (
            sum(layer.descriptor.size for layer in self.layers)
            + self.config_blob().size
            + self.manifest_blob().size
        )

    def blobs(self) -> Iterable[tuple[Descriptor, Blob]]:
        """Yield every blob the manifest names, each digest once, layers first, then the config."""
        seen: set[Digest] = set()
        for layer in self.layers:
            if layer.descriptor.digest not in seen:
                seen.add(layer.descriptor.digest)
                yield layer.descriptor, layer.blob
        config = self.config_blob()
        yield Descriptor(media_type=CONFIG, digest=config.digest, size=config.size), config

    def _history(self, layer: Layer) -> dict[str, Any]:
        entry: dict[str, Any] = {"created_by": layer.created_by}
        if self.created is not None:
            entry["created"] = self.created
        return entry


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageIndex:
    """Images of one name for several platforms (image-index.md), sorted by platform when written."""

    images: Sequence[Image]
    annotations: Mapping[str, str] = field(default_factory=dict)

    def index_blob(self) -> BytesBlob:
        """Return the image index as canonical JSON; its digest is the name's."""
        ordered = sorted(self.images, key=lambda image: str(image.platform))
        data: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [image.descriptor.to_json() for image in ordered],
        }
        if self.annotations:
            data["annotations"] = dict(sorted(self.annotations.items()))
        return BytesBlob(canonical_json(data))

    @property
    def descriptor(self) -> Descriptor:
        """The index's descriptor."""
        blob = self.index_blob()
        return Descriptor(media_type=INDEX, digest=blob.digest, size=blob.size)

    @property
    def digest(self) -> Digest:
        """The index's digest."""
        return self.index_blob().digest


def append_layers(image: Image, layers: Sequence[Layer]) -> Image:
    """Return a new image with `layers` on top; `image` is unchanged."""
    return replace(image, layers=(*image.layers, *layers))


def canonical_json(data: object) -> bytes:
    """Encode `data` as UTF-8 JSON with sorted keys and no blanks: equal values, equal bytes."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def string_map(data: object) -> dict[str, str]:
    """Return `data` if it is a map of strings (None: an empty one); raises TypeError."""
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise TypeError("not a map of strings")
    return dict(data)


def _optional_string(data: object) -> str | None:
    if data is not None and not isinstance(data, str):
        raise TypeError(f"{data!r} is not a string")
    return data


def _strings(data: object, kind: type[list[Any]] | type[dict[Any, Any]]) -> tuple[str, ...] | None:
    """Return the strings of a list, or the names of an object (config.md writes sets as objects)."""
    if data is None:
        return None
    if not isinstance(data, kind) or not all(isinstance(item, str) for item in data):
        raise TypeError(f"{data!r} is not a {kind.__name__} of strings")
    return tuple(data)


def _env_pair(item: str) -> tuple[str, str]:
    name, _, value = item.partition("=")
    return name, value
