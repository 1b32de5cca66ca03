"""Make small images and broken ones. Every layer is a file below the folder given."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from shipwheel.oci.layer import write_layer
from shipwheel.oci.model import (
    LAYER_GZIP,
    Descriptor,
    Digest,
    FileBlob,
    Image,
    ImageIndex,
    Layer,
    Platform,
    RunConfig,
)
from shipwheel.oci.tar import Entry

AMD64 = Platform(os="linux", architecture="amd64")
ARM64 = Platform(os="linux", architecture="arm64")


def file(path: str, content: bytes = b"", *, mode: int = 0o644) -> tuple[Entry, bytes]:
    """Return a regular file."""
    return Entry(path=path, size=len(content), mode=mode), content


def folder(path: str, *, mode: int = 0o755) -> tuple[Entry, bytes]:
    """Return a folder."""
    return Entry(path=path, kind="directory", mode=mode), b""


def symlink(path: str, target: str) -> tuple[Entry, bytes]:
    """Return a symlink."""
    return Entry(path=path, kind="symlink", link=target, mode=0o777), b""


def hardlink(path: str, target: str) -> tuple[Entry, bytes]:
    """Return a hard link."""
    return Entry(path=path, kind="hardlink", link=target), b""


def make_layer(tmp_path: Path, *entries: tuple[Entry, bytes], created_by: str = "a test") -> Layer:
    """Return a layer of `entries`, written by the writer under test."""
    number = sum(1 for _ in tmp_path.glob("layer-*"))
    return write_layer(tmp_path / f"layer-{number}", entries, created_by=created_by)


def make_image(layers: Sequence[Layer], *, platform: Platform = AMD64) -> Image:
    """Return an image that runs `/bin/app`."""
    config = RunConfig(entrypoint=("/bin/app",), env=(("PATH", "/bin"),), user="65532")
    return Image(platform=platform, layers=layers, config=config, created="2026-01-02T03:04:05Z")


def small_image(tmp_path: Path, *, text: bytes = b"hello", platform: Platform = AMD64) -> Image:
    """Return an image of two layers with a file each."""
    lower = make_layer(tmp_path, folder("bin"), file("bin/app", b"#!/bin/true\n", mode=0o755))
    upper = make_layer(tmp_path, folder("etc"), file("etc/text", text))
    return make_image((lower, upper), platform=platform)


def small_index(tmp_path: Path) -> ImageIndex:
    """Return two images that share a layer's bytes."""
    return ImageIndex(images=(small_image(tmp_path), small_image(tmp_path, platform=ARM64)))


def foreign_tar(members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """Return a tar that another program could have written, sound or not."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def member(
    name: str, content: bytes = b"", *, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644
) -> tuple[tarfile.TarInfo, bytes]:
    """Return an entry for `foreign_tar`; nothing about it is checked."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info, content


def layer_of(
    tmp_path: Path, tar: bytes, *, packed: bytes | None = None, media_type: str = LAYER_GZIP
) -> Layer:
    """Return a layer of `tar`, packed with the standard library's gzip or as `packed`."""
    data = gzip.compress(tar, mtime=0) if packed is None else packed
    path = tmp_path / f"layer-{sum(1 for _ in tmp_path.glob('layer-*'))}"
    path.write_bytes(data)
    digest = Digest.of(data)
    return Layer(
        descriptor=Descriptor(media_type=media_type, digest=digest, size=len(data)),
        diff_id=Digest("sha256", hashlib.sha256(tar).hexdigest()),
        blob=FileBlob(path, digest, len(data)),
    )
