"""The assembling rules' version, the layers they make, which package is in which, and the layers' keys."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Final, Literal

from shipwheel.base.model import DebianPlatform
from shipwheel.oci.layer import RECIPE as LAYER_RECIPE

# Changes whenever the same packages would give other bytes.
RECIPE: Final = "debian/1"

LayerName = Literal["os", "python"]
LAYERS: Final[tuple[LayerName, ...]] = ("os", "python")
_PYTHON_PACKAGE: Final = re.compile(r"(?:lib)?python3\.\d+(?:-[a-z]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerKey:
    """A layer's identity before it exists: `key` follows from lock data and recipes alone.

    `size` is that of the packages in it as they are downloaded, in bytes: near the layer's own.
    """

    key: str
    size: int
    created_by: str


def layer_keys(platform: DebianPlatform) -> dict[LayerName, LayerKey]:
    """Return the keys of the layers that `assemble_debian` writes for `platform`, in its order."""
    members = {
        name: [package for package in platform.packages if layer_of(package.name) == name] for name in LAYERS
    }
    keys: dict[LayerName, LayerKey] = {}
    for name in LAYERS:
        # The upper layer's ld.so.cache depends on what is below.
        packages = members["os"] if name == "os" else platform.packages
        identity = {
            "layer": name,
            "packages": sorted(package.sha256 for package in packages),
            "platform": platform.platform,
            "recipe": [RECIPE, LAYER_RECIPE],
        }
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        keys[name] = LayerKey(
            key=f"debian-{name}:{digest}",
            size=sum(package.size for package in members[name]),
            created_by=created_by(platform, name),
        )
    return keys


def layer_of(package: str) -> LayerName:
    """Return the layer that `package` is in: `python` for those built from Python's own source."""
    return "python" if _PYTHON_PACKAGE.fullmatch(package) else "os"


def created_by(platform: DebianPlatform, name: LayerName) -> str:
    """Return what an image's history says of the layer."""
    what = "Debian packages" if name == "os" else f"Debian's Python {platform.python}"
    return f"shipwheel {RECIPE}: {what}"
