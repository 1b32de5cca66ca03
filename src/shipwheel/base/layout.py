"""A base from an OCI layout folder: pinned by digest like one from a registry."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shipwheel.base.locked import lock_platform, locked_layers
from shipwheel.base.model import ImageBase
from shipwheel.cache import Cache
from shipwheel.errors import TargetError
from shipwheel.oci.layout import REF_NAME, LayoutSource, read_entries
from shipwheel.oci.model import Descriptor, Layer, Platform


def lock_layout_base(
    reference: str, platforms: Sequence[Platform], cache: Cache, *, root: Path, name: str | None = None
) -> ImageBase:
    """Pin the image named `name` (or the only one) of the layout at `reference`, a path from `root`.

    Raises ImageError `not-a-layout`, TargetError `base-ambiguous`, `base-without-platform` and those of
    `inspect_image`.
    """
    path = root / reference
    descriptor = _only_entry(read_entries(path), name, reference)
    source = LayoutSource(path)
    return ImageBase(
        kind="layout",
        reference=reference,
        digest=str(descriptor.digest),
        platforms=tuple(
            lock_platform(descriptor, source, platform, cache, place=reference)
            for platform in sorted(platforms)
        ),
    )


def open_layout_layers(base: ImageBase, platform: Platform, *, root: Path) -> list[Layer]:
    """Return the locked layers of `base` for `platform`, bottom-up, as files of the layout.

    Raises ImageError `absent-blob`, `wrong-size`, TargetError `base-not-locked`. Their digests are
    checked by who copies or sends them, as with all blobs.
    """
    return locked_layers(base, platform, LayoutSource(root / base.reference))


def _only_entry(entries: Sequence[Descriptor], name: str | None, place: str) -> Descriptor:
    found = [entry for entry in entries if name is None or entry.annotations.get(REF_NAME) == name]
    if len({entry.digest for entry in found}) != 1:
        names = sorted({entry.annotations.get(REF_NAME, str(entry.digest)) for entry in entries})
        raise TargetError(
            "base-ambiguous",
            f"the layout has {len(found)} images that may be meant",
            place=place,
            hint=f"keep one image in the base's layout; it has: {', '.join(names) or 'none'}",
        )
    return found[0]
