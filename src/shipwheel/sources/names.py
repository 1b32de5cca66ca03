"""Names for wheels that are yet to be built, from shipwheel.lock alone. Reads no source, imports little."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from packaging.utils import NormalizedName

from shipwheel.base.model import DebianPlatform, ImageBase
from shipwheel.errors import LockError
from shipwheel.lockfile import FILE, ShipwheelLock
from shipwheel.locks.model import Selected
from shipwheel.oci.model import Platform
from shipwheel.plan.base import footing_key, plan_footing
from shipwheel.plan.planner import PlannedBuild
from shipwheel.target import Target
from shipwheel.wheel.build import environment_id
from shipwheel.wheel.keys import built_wheel_id
from shipwheel.wheel.origin import is_unbuilt, source_id
from shipwheel.wheel.pins import BuildSystem, SourceBuild

# Changes whenever the same source would become another wheel.
RECIPE: Final = "source-wheel/1"


def wheel_id(
    build: SourceBuild, system: BuildSystem, builder: str | None, unbuilt: Sequence[str] = ()
) -> str:
    """Return what names the wheel of a source before it is built; `builder` is None for a pure one.

    `unbuilt` are the names of the wheels that its build requirements have to become first, `unbuilt_ids`.
    """
    environment = " ".join((environment_id(system), *unbuilt))
    return built_wheel_id(build.source, environment=environment, builder=builder, recipe=RECIPE)


def unbuilt_ids(system: BuildSystem, lock: ShipwheelLock, builder: str) -> tuple[str, ...]:
    """Return the names of the wheels that `system`'s sources become in the root named `builder`.

    Raises LockError `stale-shipwheel-lock` where `lock` does not say what builds them.
    """
    found = []
    for source in system.unbuilt or ():
        build = lock.source_build(source)
        below = None if build is None else lock.build_system(build.requires)
        if build is None or below is None:
            raise _unknown(f"{source}, which is needed to build", f"{FILE} [build-systems]")
        found.append(
            wheel_id(build, below, builder, unbuilt_ids(below, lock, builder))
            if build.native
            else wheel_id(build, below, None)
        )
    return tuple(found)


def plan_builds(
    selected: Sequence[Selected], lock: ShipwheelLock, platform: Platform
) -> dict[NormalizedName, PlannedBuild]:
    """Return how each of `selected` that is no wheel becomes one; all of them are in `lock`."""
    found: dict[NormalizedName, PlannedBuild] = {}
    for item in selected:
        if not is_unbuilt(item.source):
            continue
        build, system = locked_build(item, lock)
        builder = builder_name(lock, platform) if build.native else None
        unbuilt = () if builder is None else unbuilt_ids(system, lock, builder)
        name = wheel_id(build, system, builder, unbuilt)
        if build.native:
            # Before it is in a layer, its libraries were found in this base.
            name = f"sha256:{hashlib.sha256(f'{name} on {base_id(lock, platform)}'.encode()).hexdigest()}"
        found[item.name] = PlannedBuild(id=name, native=build.native)
    return found


def base_id(lock: ShipwheelLock, platform: Platform) -> str:
    """Return what names the base's whole content, as hex sha256."""
    return footing_key(plan_footing(lock.base, platform).layers)


def locked_build(item: Selected, lock: ShipwheelLock) -> tuple[SourceBuild, BuildSystem]:
    """Return what `lock` says builds `item`; raises LockError `stale-shipwheel-lock` when it says nothing."""
    build = lock.source_build(source_id(item.source))
    system = None if build is None else lock.build_system(build.requires)
    if build is None or system is None:
        raise _unknown(f"{item.name}, which is locked as source", item.place)
    return build, system


def locked_builder(lock: ShipwheelLock, platform: Platform) -> DebianPlatform | None:
    """Return the packages to compile with for `platform`, or None."""
    platforms = () if lock.builder is None else lock.builder.platforms
    return next((item for item in platforms if item.platform == str(platform)), None)


def builder_name(lock: ShipwheelLock, platform: Platform) -> str | None:
    """Return what names the root that compiles for `platform`, or None where there is none."""
    locked = locked_builder(lock, platform)
    if locked is None:
        return None
    from shipwheel.base.debian.builder import builder_id

    name = builder_id(locked)
    return name if own_python(lock, platform) is None else f"{name} with {base_id(lock, platform)}"


def own_python(lock: ShipwheelLock, platform: Platform) -> str | None:
    """Return the base's own interpreter where the builder runs that one: no Debian release has its version."""
    locked = locked_builder(lock, platform)
    if locked is None or not isinstance(lock.base, ImageBase):
        return None
    footing = plan_footing(lock.base, platform)
    same = locked.python.split(".")[:2] == footing.target.python.split(".")[:2]
    return None if same else footing.executable


def builder_target(lock: ShipwheelLock, platform: Platform) -> Target:
    """Return what runs in the builder: its C library, and its Python or the base's own."""
    if lock.builder is None:
        raise AssertionError("the builder is locked before something is compiled")
    target = plan_footing(lock.builder, platform).target
    if own_python(lock, platform) is None:
        return target
    return replace(target, python=plan_footing(lock.base, platform).target.python)


def _unknown(what: str, place: str) -> LockError:
    return LockError(
        "stale-shipwheel-lock",
        f"{FILE} does not say what builds {what}",
        place=place,
        hint="run: shipwheel lock",
    )
