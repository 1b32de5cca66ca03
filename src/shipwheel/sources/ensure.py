"""shipwheel.lock says how each locked source becomes a wheel: found out where it does not yet, then obeyed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from shipwheel.assemble.base import BaseMaker
from shipwheel.assemble.workshop import Workshop
from shipwheel.base.model import DebianBase
from shipwheel.errors import HostError, LockError, TargetError
from shipwheel.lockfile import FILE, ShipwheelLock
from shipwheel.locks.model import Selected
from shipwheel.oci.model import Platform
from shipwheel.plan.base import plan_footing
from shipwheel.plan.host import host_platform
from shipwheel.sources.names import locked_build, locked_builder
from shipwheel.target import Target
from shipwheel.wheel.origin import is_unbuilt, source_id
from shipwheel.wheel.source import BuiltWheel

if TYPE_CHECKING:
    from shipwheel.sources.builder import Builder
    from shipwheel.sources.maker import Compiling

_LIBRARY_FOLDERS = ("usr/lib", "usr/lib/*-linux-*", "usr/local/lib", "lib", "lib64", "lib/*-linux-*")


def ensure_sources(
    lock: ShipwheelLock, selections: Sequence[Sequence[Selected]], *, as_is: bool, workshop: Workshop
) -> ShipwheelLock:
    """Return the lock with what builds each selected source, and a builder where one compiles.

    Raises LockError `stale-shipwheel-lock` when it is wanted `as_is`; TargetError `sdist-only` where
    nothing can compile for the base; and what `maker.pin_source` and locking packages raise.
    """
    for item in (item for selected in selections for item in selected):
        if not is_unbuilt(item.source):
            continue
        known = lock.source_build(source_id(item.source))
        if known is None or lock.build_system(known.requires) is None:
            if as_is:
                locked_build(item, lock)
            lock = _pin(lock, item, workshop)
            known, _ = locked_build(item, lock)
        if known.native:
            lock = ensure_builder(lock, item, as_is=as_is, workshop=workshop)
    return lock


def ensure_builder(lock: ShipwheelLock, item: Selected, *, as_is: bool, workshop: Workshop) -> ShipwheelLock:
    """Return the lock with the packages to compile with; `item` is what has to be compiled.

    Raises TargetError `sdist-only` for a base that is an image; LockError `stale-shipwheel-lock`.
    """
    if not isinstance(lock.base, DebianBase):
        raise TargetError(
            "sdist-only",
            f"{item.name} {item.version or ''} has no wheel for this target and has code to compile, which"
            " works on a base of Debian packages alone",
            place=item.place,
            hint="choose a version with a wheel, or leave out image and layout in [tool.shipwheel.base]",
        )
    settings = workshop.project.settings.base
    requested = tuple(sorted({*settings.packages, *settings.build_packages}))
    found = lock.builder
    if found is not None and found.suite == lock.base.suite and tuple(found.requested) == requested:
        return lock
    if as_is:
        raise LockError(
            "stale-shipwheel-lock",
            f"{FILE} has not the packages that compile {item.name}",
            place=str(workshop.project.root / FILE),
            hint="run: shipwheel lock",
        )
    return replace(lock, builder=_lock_builder(lock.base, workshop, requested))


def make_source(
    item: Selected, lock: ShipwheelLock, base: BaseMaker, target: Target, workshop: Workshop
) -> BuiltWheel:
    """Return the wheel of `item`; raises what `maker.make_wheel` does, and TargetError `sdist-only`."""
    from shipwheel.sources.maker import Compiling, make_wheel

    def compiling() -> Compiling:
        return Compiling(
            builder=open_builder(item, lock, target.platform, workshop),
            libraries=lambda: frozenset(library_names(base.root())),
        )

    build, system = locked_build(item, lock)
    return make_wheel(item, build, system, target=target, workshop=workshop, compiling=compiling)


def open_builder(item: Selected, lock: ShipwheelLock, platform: Platform, workshop: Workshop) -> Builder:
    """Return the builder for `platform`; raises TargetError `sdist-only` when it cannot run here."""
    from shipwheel.sources.builder import Builder

    locked = locked_builder(lock, platform)
    if lock.builder is None or locked is None or platform != host_platform():
        raise TargetError(
            "sdist-only",
            f"{item.name} {item.version or ''} has no wheel for {platform} and has to be compiled, which"
            " works on such a machine alone",
            place=item.place,
            hint=f"build on {platform}, or choose a version with a wheel",
        )
    target = Target(
        python=locked.python, platform=platform, libc=plan_footing(lock.builder, platform).target.libc
    )
    return Builder(lock.builder, locked, target, workshop)


def library_names(root: Path) -> list[str]:
    """Return the names of the libraries that programs in `root` find by themselves, sorted."""
    return sorted({path.name for pattern in _LIBRARY_FOLDERS for path in root.glob(f"{pattern}/*.so*")})


def _pin(lock: ShipwheelLock, item: Selected, workshop: Workshop) -> ShipwheelLock:
    from shipwheel.sources.maker import pin_source

    workshop.progress.said(f"pinning what builds {item.name}")
    kept = [lock]

    def builder() -> Builder:
        here = host_platform()
        kept[0] = ensure_builder(kept[0], item, as_is=False, workshop=workshop)
        if here is None:
            raise HostError(
                "foreign-platform", f"{item.name} can be compiled on Linux alone", place=item.place
            )
        return open_builder(item, kept[0], here, workshop)

    build, system = pin_source(item, workshop, builder)
    lock = kept[0]
    others = tuple(known for known in lock.sources if known.source != build.source)
    systems = tuple(known for known in lock.build_systems if sorted(known.requires) != sorted(build.requires))
    return replace(lock, sources=(*others, build), build_systems=(*systems, system))


def _lock_builder(base: DebianBase, workshop: Workshop, requested: tuple[str, ...]) -> DebianBase:
    from shipwheel.base.debian.builder import as_builder, builder_packages
    from shipwheel.base.debian.lock import DebianRequest, lock_debian_base

    if workshop.mirrors is None:
        raise HostError(
            "no-mirror",
            "no Debian mirror is known, and packages to compile with are needed",
            hint="name one: [tool.shipwheel.base] mirror, or SHIPWHEEL_DEBIAN_MIRROR",
        )
    workshop.progress.started("builder", f"locking packages to compile with on {base.suite}")
    locked = lock_debian_base(
        DebianRequest(
            suite=base.suite,
            platforms=tuple(item.platform for item in base.platforms),
            packages=builder_packages(base.suite, requested),
        ),
        mirrors=workshop.mirrors,
        http=workshop.http,
        cache=workshop.cache,
        now=workshop.now,
        previous=base,
    )
    workshop.progress.finished("builder", f"packages to compile with on {base.suite}", note="locked")
    return as_builder(locked, requested)
