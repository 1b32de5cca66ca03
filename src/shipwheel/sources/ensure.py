"""shipwheel.lock says how each locked source becomes a wheel: found out where it does not yet, then obeyed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from shipwheel.assemble.base import BaseMaker
from shipwheel.assemble.workshop import Once, Workshop
from shipwheel.base.model import Base, DebianBase
from shipwheel.engine.platform import is_emulated
from shipwheel.errors import BuildError, HostError, LockError, TargetError
from shipwheel.lockfile import FILE, ShipwheelLock
from shipwheel.locks.model import Selected
from shipwheel.oci.model import Platform
from shipwheel.plan.host import host_platform
from shipwheel.project.model import Project
from shipwheel.sources.names import (
    base_id,
    builder_name,
    builder_target,
    locked_build,
    locked_builder,
    own_python,
    unbuilt_ids,
)
from shipwheel.target import Target
from shipwheel.wheel.build import BackEnd
from shipwheel.wheel.native import declares_extensions
from shipwheel.wheel.origin import is_unbuilt, source_id
from shipwheel.wheel.pins import BuildSystem
from shipwheel.wheel.source import BuiltWheel, build_project

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
            lock = ensure_builder(lock, title_of(item), item.place, as_is=as_is, workshop=workshop)
    return lock


def ensure_members(
    lock: ShipwheelLock, members: Sequence[Project], *, as_is: bool, workshop: Workshop
) -> ShipwheelLock:
    """Return the lock with a builder where a first-party project compiles; raises as `ensure_builder`."""
    for member in members:
        if compiles(member):
            lock = ensure_builder(lock, member.title, str(member.pyproject), as_is=as_is, workshop=workshop)
    return lock


def compiles(project: Project) -> bool:
    """Tell whether a first-party project says that it compiles."""
    return project.package_mode and declares_extensions(project.root, BackEnd.of(project.data).requires)


def ensure_builder(
    lock: ShipwheelLock, title: str, place: str, *, as_is: bool, workshop: Workshop
) -> ShipwheelLock:
    """Return the lock with the packages to compile with; `title` at `place` is what has to be compiled.

    Raises TargetError `sdist-only` for a base that nothing compiles for; LockError `stale-shipwheel-lock`.
    """
    suite = builder_suite(lock.base, title, place)
    settings = workshop.project.settings.base
    requested = tuple(sorted({*settings.packages, *settings.build_packages}))
    found = lock.builder
    if found is not None and found.suite == suite and tuple(found.requested) == requested:
        return lock
    if as_is:
        raise LockError(
            "stale-shipwheel-lock",
            f"{FILE} has not the packages that compile {title}",
            place=str(workshop.project.root / FILE),
            hint="run: shipwheel lock",
        )
    return replace(lock, builder=_lock_builder(lock.base, suite, workshop, requested))


def builder_suite(base: Base, title: str, place: str) -> str:
    """Return the Debian release whose compilers and Python make extensions for `base`'s Python.

    For a base that is an image: the one with the same minor version of Python, else the newest, in which the
    base's own Python runs. Its C library may be newer than the image's, so what was compiled is compared with the
    image's own libraries (`wheel.native`). Raises TargetError `sdist-only` where there is none; `title` at `place` is what has to be compiled.
    """
    if isinstance(base, DebianBase):
        return base.suite
    from shipwheel.base.debian.suites import DEFAULT_SUITE, SUITES
    from shipwheel.sources.builder import OWN_PREFIX

    musl = [item.platform for item in base.platforms if not item.libc.startswith("glibc")]
    pythons = {".".join(item.python.split(".")[:2]) for item in base.platforms}
    suites = {suite.python: suite.name for suite in SUITES.values()}
    known = sorted(suites, key=lambda version: [int(part) for part in version.split(".")])
    offered = ", ".join(f"{version} ({suites[version]})" for version in known)
    if musl:
        why = f"the base's C library is {base.platforms[0].libc}, and Debian's compilers make code for glibc"
        hint = "choose a version with a musllinux wheel, or a base with glibc"
    elif len(pythons) == 1 and pythons <= suites.keys():
        return suites[pythons.pop()]
    elif all(item.executable.startswith(f"{OWN_PREFIX}/") for item in base.platforms):
        return DEFAULT_SUITE
    else:
        why = (
            f"the base has Python {' and '.join(sorted(pythons))}, which is not in {OWN_PREFIX}, and the Debian "
            f"releases that it could be compiled in have {offered}"
        )
        hint = "choose a version with a wheel, lend one by find-links, or choose a base with such a Python"
    raise TargetError(
        "sdist-only", f"{title} has code to compile, and nothing does: {why}", place=place, hint=hint
    )


class Forge:
    """What one image's wheels are built with: the lock, the base below them, the target, the machine.

    Its methods are called from several threads; what compiles is assembled once for all of them.
    """

    def __init__(self, lock: ShipwheelLock, base: BaseMaker, target: Target, workshop: Workshop) -> None:
        self.lock, self.base, self.target, self.workshop = lock, base, target, workshop
        self._opening = threading.Lock()
        self._builder: Builder | None = None
        self._libraries = Once(lambda: find_libraries(base.root()))

    def source(self, item: Selected) -> BuiltWheel:
        """Return the wheel of `item`; raises what `maker.make_wheel` does, and TargetError `sdist-only`."""
        from shipwheel.sources.maker import make_wheel

        def compiling() -> Compiling:
            return self._compiling(title_of(item), item.place, item.alternatives)

        build, system = locked_build(item, self.lock)
        return make_wheel(
            item, build, system, target=self.target, workshop=self.workshop, compiling=compiling
        )

    def member(self, project: Project, system: BuildSystem, key: str) -> BuiltWheel:
        """Return the wheel of a first-party project whose files have `key`.

        Raises what `wheel.source.build_project` and `maker.compile_member` do, BuildError `wrong-wheel`
        for one that compiles and does not say so, and TargetError `sdist-only`.
        """
        if not compiles(project):
            built = build_project(project, system, key, self.workshop.builder)
            if not built.filename.endswith("-none-any.whl"):
                raise BuildError(
                    "wrong-wheel",
                    f"{project.title} became {built.filename}, which may not be for {self.target.platform}",
                    place=str(project.pyproject),
                    hint="does it compile? Its setup.py, ext-modules or [build-system] requires have to say so",
                )
            return built
        from shipwheel.sources.maker import compile_member

        compiling = self._compiling(project.title, str(project.pyproject))
        return compile_member(
            project, system, key, target=self.target, workshop=self.workshop, compiling=compiling
        )

    def _compiling(self, title: str, place: str, others: Sequence[str] = ()) -> Compiling:
        from shipwheel.sources.maker import Compiling

        with self._opening:
            if self._builder is None:
                self._builder = open_builder(
                    self.lock, title, place, self.target.platform, self.workshop, others=others
                )
        assembled = isinstance(self.lock.base, DebianBase)
        return Compiling(
            builder=self._builder,
            libraries=self._libraries,
            takes_packages=assembled,
            packages=self.workshop.project.settings.base.packages,
        )


def ensure_requirements(
    lock: ShipwheelLock, members: Sequence[Project], *, as_is: bool, workshop: Workshop
) -> ShipwheelLock:
    """Return the lock with what the first-party projects that compile need built first, as `_pin` does it."""
    for member in () if as_is else members:
        system = system_of(member, lock) if compiles(member) else None
        if system is None or system.unbuilt is not None:
            continue
        from shipwheel.sources.requirements import note_unbuilt

        def pin_needed(lock: ShipwheelLock, needed: Selected) -> ShipwheelLock:
            return _pin(lock, needed, workshop)

        lock, noted = note_unbuilt(lock, system, (), workshop, pin=pin_needed)
        others = tuple(known for known in lock.build_systems if known != system)
        lock = replace(lock, build_systems=(*others, noted))
    return lock


def system_of(member: Project, lock: ShipwheelLock) -> BuildSystem | None:
    """Return what `lock` pins for building a first-party project, or None."""
    return lock.member_system(BackEnd.of(member.data).requires, member.title)


def member_builders(members: Sequence[Project], lock: ShipwheelLock, platform: Platform) -> dict[Path, str]:
    """Return for the folder of each first-party project that compiles what names what it is compiled with."""
    builder = builder_name(lock, platform)
    if builder is None:
        return {}
    systems = {member.root: system_of(member, lock) for member in members if compiles(member)}
    return {
        root: " ".join((builder, *unbuilt_ids(system, lock, builder), base_id(lock, platform)))
        for root, system in systems.items()
        if system is not None
    }


def open_builder(
    lock: ShipwheelLock,
    title: str,
    place: str,
    platform: Platform,
    workshop: Workshop,
    *,
    others: Sequence[str] = (),
) -> Builder:
    """Return the builder for `platform`; raises TargetError `sdist-only` when it cannot run here.

    `title` at `place` is what has to be compiled; `others` are the files of its release that were not chosen.
    """
    from shipwheel.sources.builder import Builder, OwnPython
    from shipwheel.sources.requirements import make_requirement

    locked = locked_builder(lock, platform)
    if lock.builder is None or locked is None:
        raise TargetError(
            "sdist-only",
            f"{title} has to be compiled for {platform}, and {FILE} has no packages to do it there",
            place=place,
            hint="choose a version with a wheel; compilers are locked for linux/amd64 and linux/arm64",
        )
    here = host_platform()
    if platform != here:
        if not is_emulated(platform.architecture):
            raise _foreign(title, place, platform, here, others)
        workshop.progress.said(f"note: compiling for {platform} runs in this machine's emulator, and is slow")

    def unbuilt(system: BuildSystem) -> tuple[str, ...]:
        return unbuilt_ids(system, lock, builder.id)

    def make(item: Selected, builder: Builder) -> BuiltWheel:
        return make_requirement(item, lock, builder, workshop)

    own = None
    if own_python(lock, platform) is not None:
        own = OwnPython(title=title, place=place, root=BaseMaker(lock.base, platform, workshop).root)
    builder = Builder(
        lock.builder,
        locked,
        builder_target(lock, platform),
        workshop,
        name=builder_name(lock, platform) or "",
        own=own,
        unbuilt=unbuilt,
        make=make,
    )
    return builder


def _foreign(
    title: str, place: str, platform: Platform, here: Platform | None, others: Sequence[str]
) -> TargetError:
    tags = sorted({name[:-4].split("-", 2)[2] for name in others if name.endswith(".whl")})
    return TargetError(
        "sdist-only",
        f"{title} has to be compiled for {platform}, and this machine is {here or 'another system'}"
        + (f"; its wheels are for {', '.join(tags)}" if tags else "; it has no wheel"),
        place=place,
        hint=f"build on {platform}; or build its wheel there, offer it on an index or by find-links, and lock "
        f"again; or have {platform} emulated here, which is slow (Debian: qemu-user-static)",
    )


def title_of(item: Selected) -> str:
    """Return name and version for people."""
    return f"{item.name} {item.version}" if item.version is not None else str(item.name)


def find_libraries(root: Path) -> dict[str, Path]:
    """Return the libraries that programs in `root` find by themselves, each file by its name."""
    found: dict[str, Path] = {}
    for path in sorted(path for pattern in _LIBRARY_FOLDERS for path in root.glob(f"{pattern}/*.so*")):
        if (real := _inside(path, root)) is not None:
            found.setdefault(path.name, real)
    return found


def _inside(path: Path, root: Path) -> Path | None:
    """Follow `path`'s links as a program sees them whose root folder is `root`; None where they lead nowhere."""
    for _ in range(40):  # as the kernel: path_resolution(7)
        if not path.is_symlink():
            return path if path.is_file() else None
        target = path.readlink()
        path = root / target.relative_to("/") if target.is_absolute() else path.parent / target
    return None


def _pin(
    lock: ShipwheelLock, item: Selected, workshop: Workshop, needed_by: Sequence[Selected] = ()
) -> ShipwheelLock:
    from shipwheel.sources.maker import pin_source
    from shipwheel.sources.requirements import note_unbuilt

    workshop.progress.said(f"pinning what builds {item.name}")
    kept = [lock]

    def pin_needed(lock: ShipwheelLock, needed: Selected) -> ShipwheelLock:
        return _pin(lock, needed, workshop, (*needed_by, item))

    def ready(system: BuildSystem) -> tuple[Builder, BuildSystem]:
        here = host_platform()
        lock = ensure_builder(kept[0], title_of(item), item.place, as_is=False, workshop=workshop)
        if here is None:
            raise HostError(
                "foreign-platform", f"{item.name} can be compiled on Linux alone", place=item.place
            )
        kept[0], system = note_unbuilt(lock, system, (*needed_by, item), workshop, pin=pin_needed)
        return open_builder(kept[0], title_of(item), item.place, here, workshop), system

    def pinned(requires: Sequence[str]) -> BuildSystem | None:
        return kept[0].build_system(requires)

    build, system = pin_source(item, workshop, pinned=pinned, ready=ready)
    lock = kept[0]
    others = tuple(known for known in lock.sources if known.source != build.source)
    systems = tuple(known for known in lock.build_systems if known is not lock.build_system(build.requires))
    return replace(lock, sources=(*others, build), build_systems=(*systems, system))


def _lock_builder(base: Base, suite: str, workshop: Workshop, requested: tuple[str, ...]) -> DebianBase:
    from shipwheel.base.debian.builder import as_builder, builder_packages
    from shipwheel.base.debian.lock import DebianRequest, lock_debian_base
    from shipwheel.base.debian.suites import ARCHITECTURES

    if workshop.mirrors is None:
        raise HostError(
            "no-mirror",
            "no Debian mirror is known, and packages to compile with are needed",
            hint="name one: [tool.shipwheel.base] mirror, or SHIPWHEEL_DEBIAN_MIRROR",
        )
    workshop.progress.started("builder", f"locking packages to compile with on {suite}")
    locked = lock_debian_base(
        DebianRequest(
            suite=suite,
            platforms=tuple(item.platform for item in base.platforms if item.platform in ARCHITECTURES),
            packages=builder_packages(suite, requested),
        ),
        mirrors=workshop.mirrors,
        http=workshop.http,
        cache=workshop.cache,
        now=workshop.now,
        previous=base if isinstance(base, DebianBase) else None,
    )
    workshop.progress.finished("builder", f"packages to compile with on {suite}", note="locked")
    return as_builder(locked, requested)
