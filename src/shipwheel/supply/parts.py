"""What is installed in an image just built, layer by layer: a layer that was read before is not read again.

Gives what `inventory.read_inventory` gives, for images that `assemble` made: no layer of ours removes or
replaces what is below, so that each can be read by itself. The base counts as one. What was found travels
with an image's documents (`write_parts`), for machines that have not got its layers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from shipwheel.cache import Cache
from shipwheel.inventory import Inventory, PythonPackage, as_loaded, holds_own, read_inventory
from shipwheel.oci.model import FileBlob, Image, Layer, canonical_json
from shipwheel.plan.model import BuildPlan

# Part of the key of what was read: counts up when `inventory` finds more, or other things.
_RECIPE: Final = "inventory/2"


# What each part of an image holds, by a key that follows from its layers.
Parts = Mapping[str, Inventory]
MEDIA_TYPE: Final = "application/vnd.shipwheel.inventory.v1+json"


def built_parts(image: Image, plan: BuildPlan, cache: Cache, lent: Parts) -> dict[str, Inventory]:
    """Return what each part of the `image` of `plan` holds, from the bottom up.

    Only layers that `cache` does not know are read; of those that are not on this machine, what an
    earlier image's documents said (`lent`) is believed, as the layers themselves are.
    """
    cut = _base_layers(image, plan)
    found = {}
    for layers in (image.layers[:cut], *((layer,) for layer in image.layers[cut:])):
        key = _key(layers, image)
        found[key] = _known(key, layers, image, cache, lent)
    return found


def write_parts(parts: Parts) -> bytes:
    """Return the parts as canonical JSON."""
    return canonical_json(msgspec.to_builtins(dict(parts)))


def read_parts(data: bytes) -> dict[str, Inventory]:
    """Read what `write_parts` wrote; nothing from anything else (a document is anybody's)."""
    try:
        return msgspec.convert(json.loads(data), dict[str, Inventory])
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return {}


def built_inventory(image: Image, plan: BuildPlan, known: Parts) -> Inventory:
    """Return what is installed in the `image` of `plan`, put together from its parts."""
    cut = _base_layers(image, plan)
    base = known[_key(image.layers[:cut], image)]
    parts = [known[_key([layer], image)] for layer in image.layers[cut:]]
    python = [
        replace(package, layer=number, first_party=holds_own(image.layers[number], plan.project))
        for number, part in enumerate(parts, start=cut)
        for package in part.python
    ]
    below = [
        replace(package, first_party=holds_own(image.layers[package.layer], plan.project))
        for package in base.python
    ]
    return Inventory(
        python=tuple(sorted([*below, *python], key=_order)),
        system=base.system,
        os=base.os,
        runtime=base.runtime,
    )


def _is_here(layer: Layer, cache: Cache) -> bool:
    digest = layer.descriptor.digest
    return isinstance(layer.blob, FileBlob) or cache.file(digest.algorithm, digest.hex) is not None


def _order(package: PythonPackage) -> tuple[str, str]:
    return package.name, package.path


def _base_layers(image: Image, plan: BuildPlan) -> int:
    return len(image.layers) - sum(1 for layer in plan.layers if layer.kind != "base")


def _key(layers: Sequence[Layer], image: Image) -> str:
    # Where programs are looked for decides which Python is the base's.
    path = dict(image.config.env or ()).get("PATH", "")
    return f"{_RECIPE} {path} {' '.join(str(layer.diff_id) for layer in layers)}"


def _known(key: str, layers: Sequence[Layer], image: Image, cache: Cache, lent: Parts) -> Inventory:
    kept = cache.record(key)
    if kept is not None:
        return msgspec.convert(kept, Inventory)
    # Not kept in the cache: what somebody wrote beside one image has no say about another's.
    if not all(_is_here(layer, cache) for layer in layers) and key in lent:
        return lent[key]
    part = replace(image, layers=tuple(layers))
    found = read_inventory(as_loaded(part), place=key)
    cache.add_record(key, msgspec.to_builtins(found))
    return found
