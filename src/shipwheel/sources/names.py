"""Names for wheels that are yet to be built, from shipwheel.lock alone. Reads no source, imports little."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from packaging.utils import NormalizedName

from shipwheel.base.model import DebianPlatform
from shipwheel.errors import LockError
from shipwheel.lockfile import FILE, ShipwheelLock
from shipwheel.locks.model import Selected
from shipwheel.oci.model import Platform
from shipwheel.plan.planner import PlannedBuild
from shipwheel.wheel.build import environment_id
from shipwheel.wheel.keys import built_wheel_id
from shipwheel.wheel.origin import is_unbuilt, source_id
from shipwheel.wheel.pins import BuildSystem, SourceBuild

# Changes whenever the same source would become another wheel.
RECIPE: Final = "source-wheel/1"


def wheel_id(build: SourceBuild, system: BuildSystem, builder: str | None) -> str:
    """Return what names the wheel of a source before it is built; `builder` is None for a pure one."""
    return built_wheel_id(build.source, environment=environment_id(system), builder=builder, recipe=RECIPE)


def plan_builds(
    selected: Sequence[Selected], lock: ShipwheelLock, platform: Platform
) -> dict[NormalizedName, PlannedBuild]:
    """Return how each of `selected` that is no wheel becomes one; all of them are in `lock`."""
    found: dict[NormalizedName, PlannedBuild] = {}
    for item in selected:
        if not is_unbuilt(item.source):
            continue
        build, system = locked_build(item, lock)
        locked = locked_builder(lock, platform) if build.native else None
        builder = None
        if locked is not None:
            from shipwheel.base.debian.builder import builder_id

            builder = builder_id(locked)
        found[item.name] = PlannedBuild(id=wheel_id(build, system, builder), native=build.native)
    return found


def locked_build(item: Selected, lock: ShipwheelLock) -> tuple[SourceBuild, BuildSystem]:
    """Return what `lock` says builds `item`; raises LockError `stale-shipwheel-lock` when it says nothing."""
    build = lock.source_build(source_id(item.source))
    system = None if build is None else lock.build_system(build.requires)
    if build is None or system is None:
        raise LockError(
            "stale-shipwheel-lock",
            f"{FILE} does not say what builds {item.name}, which is locked as source",
            place=item.place,
            hint="run: shipwheel lock",
        )
    return build, system


def locked_builder(lock: ShipwheelLock, platform: Platform) -> DebianPlatform | None:
    """Return the packages to compile with for `platform`, or None."""
    platforms = () if lock.builder is None else lock.builder.platforms
    return next((item for item in platforms if item.platform == str(platform)), None)
