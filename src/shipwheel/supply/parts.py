"""What is installed in an image just built, layer by layer: a layer that was read before is not read again.

Gives what `inventory.read_inventory` gives, for images that `assemble` made: no layer of ours removes or
replaces what is below, so that each can be read by itself. The base counts as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec

from shipwheel.cache import Cache
from shipwheel.inventory import Inventory, PythonPackage, as_loaded, holds_own, read_inventory
from shipwheel.oci.model import Image, Layer
from shipwheel.plan.model import BuildPlan

# Part of the key of what was read: counts up when `inventory` finds more, or other things.
_RECIPE: Final = "inventory/1"


def built_inventory(image: Image, plan: BuildPlan, cache: Cache) -> Inventory:
    """Return what is installed in the `image` of `plan`; only layers that `cache` does not know are read."""
    upper = sum(1 for layer in plan.layers if layer.kind != "base")
    cut = len(image.layers) - upper
    base = _known(image.layers[:cut], image, cache)
    parts = [_known([layer], image, cache) for layer in image.layers[cut:]]
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


def _order(package: PythonPackage) -> tuple[str, str]:
    return package.name, package.path


def _known(layers: Sequence[Layer], image: Image, cache: Cache) -> Inventory:
    # Where programs are looked for decides which Python is the base's.
    path = dict(image.config.env or ()).get("PATH", "")
    key = f"{_RECIPE} {path} {' '.join(str(layer.diff_id) for layer in layers)}"
    kept = cache.record(key)
    if kept is not None:
        return msgspec.convert(kept, Inventory)
    part = replace(image, layers=tuple(layers))
    found = read_inventory(as_loaded(part), place=key)
    cache.add_record(key, msgspec.to_builtins(found))
    return found
