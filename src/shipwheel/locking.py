"""Both locks, read and brought to agree with the project: which files go in, and what pins the rest.

Everything is looked up first and shipwheel.lock written once, at the end: a failure leaves it as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from packaging.pylock import PackageVcs

from shipwheel.assemble.workshop import Workshop
from shipwheel.base.choose import check_python, choose_base, matches_lock
from shipwheel.base.debian.recipe import RECIPE
from shipwheel.base.model import Base, DebianBase
from shipwheel.errors import HostError, LockError
from shipwheel.lockfile import FILE, ShipwheelLock, read_lockfile, write_lockfile
from shipwheel.locks.find import find_lock
from shipwheel.locks.fresh import check_fresh
from shipwheel.locks.model import Lock, Selected, Selection
from shipwheel.locks.read import read_lock
from shipwheel.locks.select import select_packages
from shipwheel.oci.model import Platform
from shipwheel.plan.base import Footing, plan_footing
from shipwheel.plan.planner import locked_hash
from shipwheel.project.model import Project
from shipwheel.resolve import choose_base_here, first_party, lock_base, with_settings
from shipwheel.sources.ensure import ensure_members, ensure_requirements, ensure_sources
from shipwheel.sources.settle import Settler
from shipwheel.wheel.build import BackEnd, adds_nothing
from shipwheel.wheel.pins import BuildSystem
from shipwheel.wheel.source import pin_build_system


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What is certain before planning: the project's lock, shipwheel.lock, and for each platform the base
    and the files selected. `members` are the first-party projects, the project itself first.
    """

    locked: Lock
    ship_lock: ShipwheelLock
    footings: Sequence[Footing]
    selections: Sequence[Sequence[Selected]]
    members: Sequence[Project]


def settle(
    platforms: Sequence[Platform],
    selection: Selection,
    *,
    as_is: bool,
    frozen: bool,
    renew: bool,
    workshop: Workshop,
) -> Settled:
    """Read both locks, and look up what shipwheel.lock lacks; with `renew`, all that it can be asked for anew.

    `as_is`: shipwheel.lock must be there and fit, and is not written. `frozen`: the project's lock is
    taken fresh or stale. Raises what reading, selecting and resolving raise.
    """
    project = workshop.project
    locked = read_project_lock(project, frozen=frozen)
    before = read_lockfile(project.root / FILE)
    if renew:
        base = lock_base(choose_base_here(workshop), before, platforms, workshop)
        ship_lock = ShipwheelLock(base=base, sizes=before.sizes if before is not None else {})
    else:
        ship_lock = ensure_base(before, platforms, as_is=as_is, workshop=workshop)
    footings = [plan_footing(ship_lock.base, platform) for platform in platforms]
    settler = Settler(
        root=project.root,
        lock_folder=locked.info.path.parent,
        names=ship_lock.files,
        # Not the method itself: most locks need no index to be read.
        list_files=lambda item: workshop.fetcher.list_files(item),  # noqa: PLW0108
    )
    wanted = with_settings(selection, project)
    selections = []
    for footing in footings:
        check_python(project, footing.target.python, place=FILE)
        selections.append(settler.settle(select_packages(locked, footing.target, wanted), footing.target))
    members = first_party(project, selections)
    ship_lock = ensure_sources(ship_lock, selections, as_is=as_is, workshop=workshop)
    ship_lock = ensure_members(ship_lock, members, as_is=as_is, workshop=workshop)
    # Other platforms' names stay, as sizes do.
    ship_lock = replace(ship_lock, files={**ship_lock.files, **settler.learnt})
    ship_lock = ensure_build_systems(ship_lock, members, as_is=as_is, workshop=workshop)
    ship_lock = ensure_requirements(ship_lock, members, as_is=as_is, workshop=workshop)
    ship_lock = with_sizes(ship_lock, selections, workshop)
    if not as_is:
        _keep(ship_lock, before, workshop)
    return Settled(
        locked=locked, ship_lock=ship_lock, footings=footings, selections=selections, members=members
    )


def read_project_lock(project: Project, *, frozen: bool) -> Lock:
    """Read the project's own lock, and refuse a stale one unless it is `frozen`."""
    kind, path = find_lock(project.root, project.settings.lock)
    locked = read_lock(path, kind, project)
    if not frozen:
        check_fresh(locked, project)
    return locked


def ensure_base(
    found: ShipwheelLock | None, platforms: Sequence[Platform], *, as_is: bool, workshop: Workshop
) -> ShipwheelLock:
    """Return shipwheel.lock with the base that the project asks for, looked up where it is not there.

    Raises LockError `no-shipwheel-lock`, `stale-shipwheel-lock` when it has to be taken `as_is`.
    """
    project = workshop.project
    packages = tuple(sorted(project.settings.base.packages))
    # What a machine knows of mirrors decides nothing once a base is locked.
    choices = [choose_base(project, mirror_known=known) for known in (True, False)]
    fits = found is not None and any(matches_lock(choice, found.base, packages) for choice in choices)
    if found is not None and fits and not (older := older_recipe(found.base)):
        return found
    path = project.root / FILE
    if found is None:
        code, message = "no-shipwheel-lock", f"there is no {FILE}"
    elif fits:
        code, message = "stale-shipwheel-lock", f"{FILE} was made for recipe {older}, and this is {RECIPE}"
    else:
        code, message = "stale-shipwheel-lock", f"{FILE} has another base than pyproject.toml asks for"
    if as_is:
        raise LockError(code, message, place=str(path), hint="run: shipwheel lock")
    workshop.progress.said(f"{message}: writing it")
    if found is not None and fits and isinstance(found.base, DebianBase):
        # The same packages, put together by newer rules.
        return replace(found, base=replace(found.base, recipe=RECIPE))
    base = lock_base(choose_base_here(workshop), found, platforms, workshop)
    return replace(found, base=base) if found is not None else ShipwheelLock(base=base)


def older_recipe(base: Base) -> str | None:
    """Return the rules that an assembled base was locked for, where they are not this program's."""
    return base.recipe if isinstance(base, DebianBase) and base.recipe != RECIPE else None


def ensure_build_systems(
    ship_lock: ShipwheelLock, members: Sequence[Project], *, as_is: bool, workshop: Workshop
) -> ShipwheelLock:
    """Return the lock with pins for what builds each of `members`, resolved where they are not there.

    Raises LockError `stale-shipwheel-lock` when it has to be taken `as_is`.
    """
    # What builds locked sources stays.
    kept = [ship_lock.build_system(source.requires) for source in ship_lock.sources]
    systems = {system.requires: system for system in kept if system is not None}
    special: list[BuildSystem] = []
    groups: dict[tuple[str, ...], list[Project]] = {}
    for member in members:
        if member.package_mode:
            groups.setdefault(tuple(sorted(BackEnd.of(member.data).requires)), []).append(member)
    for requires, group in groups.items():
        asking = [member for member in group if not adds_nothing(BackEnd.of(member.data))]
        # Of several projects with equal requirements, each back-end may ask for something else besides.
        if as_is or len(asking) < 2:
            found = [_shared(ship_lock, member, as_is=as_is, workshop=workshop) for member in group]
        else:
            found = _pin_each(ship_lock, asking, workshop)
            if len(asking) < len(group):
                found.append(_shared(ship_lock, group[0], as_is=as_is, workshop=workshop))
        for system in found:
            if not system.members:
                systems[requires] = system
            elif system not in special:
                special.append(system)
    return replace(ship_lock, build_systems=(*systems.values(), *special))


def _shared(ship_lock: ShipwheelLock, member: Project, *, as_is: bool, workshop: Workshop) -> BuildSystem:
    requires = BackEnd.of(member.data).requires
    system = ship_lock.member_system(requires, member.title)
    if system is not None:
        return system
    if as_is:
        raise LockError(
            "stale-shipwheel-lock",
            f"{FILE} does not pin what builds {member.title}: {', '.join(sorted(requires))}",
            place=str(workshop.project.root / FILE),
            hint="run: shipwheel lock",
        )
    workshop.progress.said(f"pinning what builds {member.title}")
    return pin_build_system(member, workshop.builder)


def _pin_each(ship_lock: ShipwheelLock, members: Sequence[Project], workshop: Workshop) -> list[BuildSystem]:
    """Return the build systems of `members`, whose `[build-system]` is the same; each back-end is asked once."""
    found: list[BuildSystem] = []
    declared: BuildSystem | None = None
    for member in members:
        system = ship_lock.member_system(BackEnd.of(member.data).requires, member.title)
        if system is None or member.title not in system.members:
            workshop.progress.said(f"pinning what builds {member.title}")
            system = pin_build_system(member, workshop.builder, declared)
            declared = declared or (system if not system.extra else None)
        found.append(replace(system, members=()))
    names = [member.title for member in members]
    return [
        replace(
            system,
            members=tuple(sorted(name for name, other in zip(names, found, strict=True) if other == system)),
        )
        for system in found
    ]


def with_sizes(
    ship_lock: ShipwheelLock, selections: Sequence[Sequence[Selected]], workshop: Workshop
) -> ShipwheelLock:
    """Return the lock with the size of every selected file whose own lock does not tell it, and no other."""
    sizes: dict[str, int] = {}
    for item in (item for selected in selections for item in selected):
        digest = locked_hash(item.source)
        if digest is None or digest in sizes or getattr(item.source, "size", None) is not None:
            continue
        if isinstance(item.source, PackageVcs):
            continue
        size = ship_lock.sizes.get(digest)
        if size is None:
            size = workshop.fetcher.size_of(item)
        if size is not None:
            sizes[digest] = size
    # Other platforms' sizes stay: they are as true, and another machine may plan for those.
    return replace(ship_lock, sizes={**ship_lock.sizes, **sizes})


def _keep(ship_lock: ShipwheelLock, before: ShipwheelLock | None, workshop: Workshop) -> None:
    if ship_lock == before:
        return
    try:
        write_lockfile(workshop.project.root / FILE, ship_lock)
    except HostError:
        # What is only remembered can be learnt again; what pins the image has to be written down.
        if before is None or replace(ship_lock, sizes=before.sizes, files=before.files) != before:
            raise
        workshop.progress.said(f"note: {FILE} cannot be written, so sizes will be asked for again")
