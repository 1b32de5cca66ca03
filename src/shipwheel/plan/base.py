"""A locked base → its layers as planned, its interpreter and environment. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from shipwheel.base.debian.recipe import layer_keys
from shipwheel.base.model import Base, DebianBase, DebianPlatform, ImagePlatform
from shipwheel.errors import TargetError
from shipwheel.oci.model import Platform
from shipwheel.plan.model import LayerPlan
from shipwheel.target import Libc, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Footing:
    """A base for one platform: what it is a target for, its layers, and the variables that it sets."""

    target: Target
    executable: str
    layers: tuple[LayerPlan, ...]
    env: tuple[tuple[str, str], ...]


def plan_footing(base: Base, platform: Platform) -> Footing:
    """Return the base as it is on `platform`; raises TargetError `platform-not-in-base`."""
    locked = locked_platform(base, platform)
    if isinstance(locked, DebianPlatform):
        layers = _debian_layers(locked)
        env: tuple[tuple[str, str], ...] = ()
    else:
        layers = _image_layers(locked)
        pairs = (item.partition("=") for item in locked.env)
        env = tuple((name, value) for name, _, value in pairs)
    return Footing(
        target=Target(python=locked.python, platform=platform, libc=Libc.parse(locked.libc)),
        executable=locked.executable,
        layers=layers,
        env=env,
    )


def locked_platform(base: Base, platform: Platform) -> DebianPlatform | ImagePlatform:
    """Return the base's entry for `platform`; raises TargetError `platform-not-in-base`."""
    for item in base.platforms:
        if item.platform == str(platform):
            return item
    raise TargetError(
        "platform-not-in-base",
        f"the locked base is not there for {platform}",
        place="shipwheel.lock [base]",
        hint=f"it is locked for {', '.join(item.platform for item in base.platforms)}",
    )


def footing_key(layers: tuple[LayerPlan, ...]) -> str:
    """Return a hex sha256 that names the base's whole content."""
    return hashlib.sha256("\n".join(layer.key or "" for layer in layers).encode()).hexdigest()


def is_debian(base: Base) -> bool:
    """Tell whether the base is assembled from Debian packages."""
    return isinstance(base, DebianBase)


def _debian_layers(locked: DebianPlatform) -> tuple[LayerPlan, ...]:
    reasons = {"os": "C library, certificates, time zones", "python": f"CPython {locked.python}"}
    return tuple(
        LayerPlan(
            name=name,
            kind="base",
            reason=f"{reasons.get(name, name)}, from signed Debian packages",
            key=str(layer.key),
            size=layer.size,
        )
        for name, layer in layer_keys(locked).items()
    )


def _image_layers(locked: ImagePlatform) -> tuple[LayerPlan, ...]:
    return tuple(
        LayerPlan(
            name=f"base {number}",
            kind="base",
            reason="a layer of the base image, as it is",
            key=layer.digest,
            size=layer.size,
        )
        for number, layer in enumerate(locked.layers, start=1)
    )
