"""Small random OCI images in memory, the same ones for the same seed. Writes no file."""

from __future__ import annotations

import io
import random
from collections.abc import Mapping, Sequence

from shipwheel.oci.layer import LayerWriter
from shipwheel.oci.model import BytesBlob, Image, ImageIndex, Layer, Platform, RunConfig
from shipwheel.oci.tar import Entry

LINUX_AMD64 = Platform(os="linux", architecture="amd64")
LINUX_ARM64 = Platform(os="linux", architecture="arm64")


def make_layer(files: Mapping[str, bytes | str], *, created_by: str = "shipwheel.testing") -> Layer:
    """Return a gzip layer of `files` (path without a leading slash → content) with their folders."""
    folders = {"/".join(path.split("/")[:end]) for path in files for end in range(1, path.count("/") + 1)}
    buffer = io.BytesIO()
    writer = LayerWriter(buffer)
    for path in sorted({*folders, *files}):
        if path in folders:
            writer.add(Entry(path=path, kind="directory", mode=0o755), b"")
        else:
            content = files[path]
            data = content.encode() if isinstance(content, str) else content
            writer.add(Entry(path=path, size=len(data)), data)
    descriptor, diff_id = writer.finish()
    return Layer(
        descriptor=descriptor, diff_id=diff_id, blob=BytesBlob(buffer.getvalue()), created_by=created_by
    )


def random_image(
    seed: int = 0,
    *,
    layers: int = 3,
    files: int = 4,
    file_size: int = 2000,
    platform: Platform = LINUX_AMD64,
    config: RunConfig | None = None,
    created: str | None = "2020-02-02T00:00:00Z",
) -> Image:
    """Return an image of `layers` layers with `files` files of at most `file_size` random bytes each."""
    chance = random.Random(f"{seed} {platform}")  # noqa: S311 - reproducible on purpose
    return Image(
        platform=platform,
        layers=tuple(
            make_layer(
                {
                    f"random/{position}/{number}.bin": chance.randbytes(chance.randint(0, file_size))
                    for number in range(files)
                }
            )
            for position in range(layers)
        ),
        config=config
        or RunConfig(user="65532", env=(("PATH", "/usr/bin"),), entrypoint=("/app/run",), working_dir="/app"),
        created=created,
    )


def random_index(seed: int = 0, *, platforms: Sequence[Platform] = (LINUX_AMD64, LINUX_ARM64)) -> ImageIndex:
    """Return an image index with one random image for each of `platforms`."""
    return ImageIndex(images=tuple(random_image(seed, platform=platform) for platform in platforms))
