"""What is needed to build and has no wheel for the builder root: pinned with the rest, and built there first.

An old back-end or plug-in may be on the index as source only. It becomes a wheel as a locked source does,
and is installed into the environment of what needs it; it reaches no image. Chooses no versions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from shipwheel.assemble.workshop import Workshop
from shipwheel.errors import BuildError, TargetError
from shipwheel.lockfile import ShipwheelLock
from shipwheel.locks.model import Selected
from shipwheel.oci.model import Platform
from shipwheel.plan.host import host_platform
from shipwheel.sources.builder import Builder, name_requirement, pins_for
from shipwheel.sources.ensure import find_libraries, title_of
from shipwheel.sources.maker import Compiling, make_wheel
from shipwheel.sources.names import builder_target, locked_build
from shipwheel.wheel.origin import is_unbuilt, source_id
from shipwheel.wheel.pins import BuildSystem
from shipwheel.wheel.source import BuiltWheel


def note_unbuilt(
    lock: ShipwheelLock,
    system: BuildSystem,
    needed_by: Sequence[Selected],
    workshop: Workshop,
    *,
    pin: Callable[[ShipwheelLock, Selected], ShipwheelLock],
) -> tuple[ShipwheelLock, BuildSystem]:
    """Return the lock with what builds each pin of `system` that has no wheel, and `system` with these noted.

    All the builder's platforms are looked at, so that the lock is the same wherever it is written. `needed_by`
    are the sources that are waiting, outermost first. Raises BuildError `build-cycle`, what `pin` raises, and
    as `builder.name_requirement`.
    """
    if lock.builder is None:
        raise AssertionError("the builder is locked before something is compiled")
    noted: set[str] = set()
    waiting = [source_id(item.source) for item in needed_by]
    for item in lock.builder.platforms:
        platform = Platform.parse(item.platform)
        target = builder_target(lock, platform)
        for requirement in pins_for(system, target):
            try:
                named = name_requirement(requirement, target, workshop)
            except TargetError:
                if platform == host_platform():
                    raise
                continue  # who compiles for that platform will be told
            if not is_unbuilt(named.source):
                continue
            source = source_id(named.source)
            if source in waiting:
                raise _cycle([*needed_by[waiting.index(source) :], named])
            noted.add(source)
            known = lock.source_build(source)
            if known is None or lock.build_system(known.requires) is None:
                lock = pin(lock, named)
    return lock, replace(system, unbuilt=tuple(sorted(noted)))


def make_requirement(item: Selected, lock: ShipwheelLock, builder: Builder, workshop: Workshop) -> BuiltWheel:
    """Return the wheel of a build requirement that is a source; raises as `maker.make_wheel`."""

    def libraries() -> Mapping[str, Path]:
        return find_libraries(builder.root().path)

    build, system = locked_build(item, lock)
    return make_wheel(
        item,
        build,
        system,
        target=builder.target,
        workshop=workshop,
        compiling=lambda: Compiling(builder=builder, libraries=libraries),
    )


def _cycle(items: Sequence[Selected]) -> BuildError:
    first = items[0]
    return BuildError(
        "build-cycle",
        f"{title_of(first)} needs itself to be built: {' needs '.join(title_of(item) for item in items)}, "
        "and none of them has a wheel",
        place=first.place,
        hint="lock a version with a wheel, or lend a wheel of one of them: find-links of pip or uv",
    )
