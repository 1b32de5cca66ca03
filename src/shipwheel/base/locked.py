"""What a registry's and a layout's base have in common: pinning one platform, reading the pins back."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final

from shipwheel.base.model import BaseLayer, ImageBase, ImagePlatform
from shipwheel.cache import Cache
from shipwheel.errors import ImageError, TargetError
from shipwheel.oci.files import BlobSource
from shipwheel.oci.model import Descriptor, Digest, Layer, Platform
from shipwheel.oci.read import LoadedImage, read_platform

if TYPE_CHECKING:
    from shipwheel.base.inspect import Contents

# Part of the key of what was found in an image: counts up when `inspect` finds more or better.
_INSPECTION: Final = "base-contents/1"


def lock_platform(
    descriptor: Descriptor, source: BlobSource, platform: Platform, cache: Cache, *, place: str
) -> ImagePlatform:
    """Pin the image for `platform` at `descriptor`; what is in it is remembered by its digest.

    Raises TargetError `base-without-platform` naming the platforms that exist, and as `inspect_image`.
    """
    try:
        image = read_platform(replace(descriptor, annotations={}), source, platform)
    except ImageError as error:
        if error.code != "no-such-platform":
            raise
        raise TargetError(
            "base-without-platform",
            f"the base image has no {platform}",
            place=place,
            hint=error.problems[0].hint,
        ) from error
    contents = _contents(image, cache, place)
    return ImagePlatform(
        platform=str(platform),
        digest=str(image.digest),
        python=contents.python,
        libc=contents.libc,
        executable=contents.executable,
        env=tuple(f"{name}={value}" for name, value in image.image.config.env or ()),
        layers=tuple(
            BaseLayer(
                media_type=layer.descriptor.media_type,
                digest=str(layer.descriptor.digest),
                size=layer.descriptor.size,
                diff_id=str(layer.diff_id),
                created_by=layer.created_by,
            )
            for layer in image.layers
        ),
    )


def locked_layers(base: ImageBase, platform: Platform, source: BlobSource) -> list[Layer]:
    """Return the layers that `base` pins for `platform`, opened from `source`.

    Raises TargetError `base-not-locked` naming the platforms that are.
    """
    pinned = {item.platform: item for item in base.platforms}
    if str(platform) not in pinned:
        raise TargetError(
            "base-not-locked",
            f"shipwheel.lock pins no base for {platform}",
            place=base.reference,
            hint=f"it has: {', '.join(sorted(pinned)) or 'none'}; `shipwheel lock` adds what is configured",
        )
    return [_layer(item, source) for item in pinned[str(platform)].layers]


def _layer(pinned: BaseLayer, source: BlobSource) -> Layer:
    descriptor = Descriptor(
        media_type=pinned.media_type, digest=Digest.parse(pinned.digest), size=pinned.size
    )
    return Layer(
        descriptor=descriptor,
        diff_id=Digest.parse(pinned.diff_id),
        blob=source.open(descriptor),
        created_by=pinned.created_by,
    )


def _contents(image: LoadedImage, cache: Cache, place: str) -> Contents:
    # Here, because reading layers takes modules that a build with a locked base has no use for.
    from shipwheel.base.inspect import Contents, inspect_image

    key = f"{_INSPECTION} {image.digest}"
    kept = cache.record(key)
    if isinstance(kept, dict) and kept.keys() == {"python", "libc", "executable"}:
        return Contents(**kept)
    contents = inspect_image(image, place=place)
    cache.add_record(key, asdict(contents))
    return contents
