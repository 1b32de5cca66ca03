"""Write images as one tar: an OCI layout (`oci-archive`) or what `docker load` takes.

Equal images give equal bytes. A file appears whole or not at all; a stream is written as it goes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from shipwheel.errors import HostError, UsageError
from shipwheel.oci.files import copy_blob, host_errors, new_file
from shipwheel.oci.layout import (
    INDEX_FILE,
    LAYOUT_FILE,
    LAYOUT_JSON,
    index_entry,
    render_index,
)
from shipwheel.oci.model import (
    CONFIG,
    LAYER_TAR,
    LAYER_ZSTD,
    Blob,
    BytesBlob,
    Descriptor,
    Digest,
    ImageIndex,
    canonical_json,
)
from shipwheel.oci.read import (
    AnyImage,
    AnyIndex,
    LoadedImage,
    LoadedIndex,
    all_blobs,
)
from shipwheel.oci.reference import Reference
from shipwheel.oci.tar import END_OF_ARCHIVE, Entry, padding, render_header

DOCKER_MANIFEST_FILE: Final = "manifest.json"
_SUFFIX: Final = {LAYER_TAR: ".tar", LAYER_ZSTD: ".tar.zst"}


def write_oci_archive(
    destination: Path | BinaryIO,
    value: AnyImage | AnyIndex,
    *,
    ref_name: str | None = None,
    annotations: Mapping[str, str] | None = None,
    more_names: Sequence[tuple[str, Mapping[str, str]]] = (),
) -> Descriptor:
    """Write `value` as a tar of an OCI layout to a file or an open stream; return its entry's descriptor.

    `ref_name` and `annotations` as for `layout.write_layout`; `more_names` are such pairs for further
    entries. Raises UsageError `bad-ref-name`,
    HostError, and IntegrityError when a blob is not what its descriptor says.
    """
    entry = index_entry(value, ref_name, annotations)
    entries = [entry, *(index_entry(value, name, notes) for name, notes in more_names)]
    blobs = sorted(all_blobs(value), key=lambda pair: str(pair[0].digest))
    with _tar(destination) as tar:
        tar.add_bytes(LAYOUT_FILE, LAYOUT_JSON)
        tar.add_bytes(INDEX_FILE, render_index([item.to_json() for item in entries]))
        tar.add_folder("blobs")
        for algorithm in sorted({descriptor.digest.algorithm for descriptor, _ in blobs}):
            tar.add_folder(f"blobs/{algorithm}")
        for descriptor, blob in blobs:
            tar.add_blob(blob_path(descriptor.digest), descriptor, blob)
    return entry


def write_docker_archive(
    destination: Path | BinaryIO, value: AnyImage | AnyIndex, *, tags: Sequence[Reference] = ()
) -> None:
    """Write an image as `docker load` and `podman load` take it, named `tags` (`latest` where none is said).

    Raises UsageError `multi-platform-archive` for an index of several images, HostError, and
    IntegrityError when a blob is not what its descriptor says.
    """
    image = _only_image(value)
    if isinstance(image, LoadedImage):
        config: BytesBlob = BytesBlob(image.config)
    else:
        config = image.config_blob()
    config_descriptor = Descriptor(media_type=CONFIG, digest=config.digest, size=config.size)
    layers = {_layer_path(layer.descriptor): layer for layer in image.layers}
    config_name = f"{config.digest.hex}.json"
    manifest = {
        "Config": config_name,
        "RepoTags": [_repo_tag(tag) for tag in tags],
        "Layers": [_layer_path(layer.descriptor) for layer in image.layers],
    }
    with _tar(destination) as tar:
        tar.add_bytes(DOCKER_MANIFEST_FILE, canonical_json([manifest]))
        tar.add_blob(config_name, config_descriptor, config)
        for path, layer in layers.items():
            tar.add_blob(path, layer.descriptor, layer.blob)


def _only_image(value: AnyImage | AnyIndex) -> AnyImage:
    if not isinstance(value, ImageIndex | LoadedIndex):
        return value
    images: list[AnyImage] = list(value.images)
    if len(images) == 1:
        return images[0]
    has = ", ".join(sorted(str(image.platform) for image in images))
    raise UsageError(
        "multi-platform-archive",
        f"a docker-archive holds one platform, not {len(images)}",
        hint=f"choose one platform ({has}), or write an oci-archive",
    )


def _repo_tag(reference: Reference) -> str:
    named = Reference(registry=reference.registry, repository=reference.repository, tag=reference.tag)
    return named.with_default_tag().familiar


def _layer_path(descriptor: Descriptor) -> str:
    return descriptor.digest.hex + _SUFFIX.get(descriptor.media_type, ".tar.gz")


def blob_path(digest: Digest) -> str:
    """Return where a layout keeps a blob."""
    return f"blobs/{digest.algorithm}/{digest.hex}"


class _TarWriter:
    """Entries of one owner, mode and time."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def add_folder(self, path: str) -> None:
        self._file.write(render_header(Entry(path=path, kind="directory", mode=0o755)))

    def add_bytes(self, path: str, data: bytes) -> None:
        self._file.write(render_header(Entry(path=path, size=len(data))) + data + padding(len(data)))

    def add_blob(self, path: str, descriptor: Descriptor, blob: Blob) -> None:
        self._file.write(render_header(Entry(path=path, size=descriptor.size)))
        copy_blob(descriptor, blob, self._file.write)
        self._file.write(padding(descriptor.size))

    def finish(self) -> None:
        self._file.write(END_OF_ARCHIVE)
        self._file.flush()


@contextlib.contextmanager
def _tar(destination: Path | BinaryIO) -> Iterator[_TarWriter]:
    with contextlib.ExitStack() as stack:
        if isinstance(destination, Path):
            path = destination.resolve()
            with host_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                if path.is_dir():
                    raise HostError(
                        "cannot-write",
                        "an archive is a file, and a folder is in its place",
                        place=str(path),
                        hint="name a file: oci-archive:FILE",
                    )
                is_device = destination.exists() and not destination.is_file()
            if is_device:
                # A pipe or /dev/null is written to; a file in its place would be a disaster.
                stack.enter_context(host_errors(path))
                file: BinaryIO = stack.enter_context(destination.open("wb"))
            else:
                file = stack.enter_context(new_file(path))
        else:
            stack.enter_context(host_errors(Path("-")))
            file = destination
        tar = _TarWriter(file)
        yield tar
        tar.finish()
