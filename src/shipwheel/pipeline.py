"""The verbs in order: read → lock → plan → build → ship. Each takes earlier values and returns a new one.

Read this first: everything shipwheel does for an image is on this page, or one call away from it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from packaging.pylock import PackageVcs

from shipwheel.assemble.base import BaseMaker
from shipwheel.assemble.book import PastImage
from shipwheel.assemble.image import Materials, assemble
from shipwheel.assemble.workshop import Workshop
from shipwheel.base.choose import check_python, choose_base, matches_lock
from shipwheel.base.debian.recipe import RECIPE
from shipwheel.base.model import Base, DebianBase
from shipwheel.errors import LockError, UsageError
from shipwheel.lockfile import FILE, ShipwheelLock, read_lockfile, write_lockfile
from shipwheel.locks.find import find_lock
from shipwheel.locks.fresh import check_fresh
from shipwheel.locks.model import Lock, Selected, Selection
from shipwheel.locks.read import read_lock
from shipwheel.locks.select import select_packages
from shipwheel.oci.model import Image, ImageIndex, Platform
from shipwheel.oci.reference import Reference
from shipwheel.plan.base import plan_footing
from shipwheel.plan.host import host_platform
from shipwheel.plan.model import BuildPlan
from shipwheel.plan.planner import Inputs, locked_hash, plan_image
from shipwheel.project.model import Project
from shipwheel.resolve import (
    choose_base_here,
    first_party,
    lock_base,
    plan_bytecode,
    project_hints,
    with_settings,
)
from shipwheel.ship.explain import LayerStory, explain_image
from shipwheel.ship.output import Output, write_output
from shipwheel.ship.previous import learn_local, learn_named, learn_replaced, remember_build
from shipwheel.ship.push import PushReport, check_pushable, push
from shipwheel.sources.ensure import Forge, ensure_members, ensure_sources, member_builders
from shipwheel.sources.names import plan_builds
from shipwheel.sources.settle import Settler
from shipwheel.wheel.build import BackEnd
from shipwheel.wheel.source import pin_build_system

if TYPE_CHECKING:
    from shipwheel.engine.load import EngineName, Loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the caller wants: which platforms, which dependencies, and how strict about locks.

    `locked`: shipwheel.lock must be there and fit. `frozen`: the project's lock is taken as it is,
    fresh or stale. `epoch` in seconds since 1970 dates the image and the app's files. `references` are
    the image's names (default: the project's own), each pushed to with `push`. `cache_from` are images
    that lend their layers; None: those that a push replaces. `load` names the engine to load into.
    """

    platforms: Sequence[Platform]
    selection: Selection = field(default_factory=Selection)
    references: Sequence[Reference] = ()
    output: Output | None = None
    push: bool = False
    load: EngineName | None = None
    cache_from: Sequence[Reference] | None = None
    locked: bool = False
    frozen: bool = False
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan and what it was made of; `members` are the first-party projects, the project itself first."""

    plan: BuildPlan
    selected: Sequence[Selected]
    members: Sequence[Project]
    lock: ShipwheelLock


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The images, one a platform, what they were planned as, and the name they go by.

    `references` are all names, `stories` tell of each image's layers where they came from, `pushed` and
    `loaded` what became of the image; `fetched` counts the bytes of reused layers that were needed here.
    """

    image: Image | ImageIndex
    images: Sequence[Image]
    plans: Sequence[BuildPlan]
    reference: Reference
    references: Sequence[Reference]
    stories: Sequence[Sequence[LayerStory]]
    seconds: float
    pushed: Sequence[PushReport] = ()
    loaded: Loaded | None = None
    fetched: int = 0


def build(request: Request, workshop: Workshop) -> Built:
    """Build the project's image for every platform asked for, and write, push and load it as requested."""
    begun = time.perf_counter()
    names = tuple(request.references) or (name_image(workshop.project),)
    if request.push:
        check_pushable(names)
    with workshop.cache.in_use():
        planned = plan(request, workshop)
        past = learn_past(request, names, workshop)
        images = [_assemble(item, workshop) for item in planned]
        stories = [
            _explain(item.plan, made, past, workshop) for item, made in zip(planned, images, strict=True)
        ]
        image = images[0] if len(images) == 1 else ImageIndex(images=tuple(images))
        references = tuple(name.with_digest(image.digest) for name in names)
        if request.output is not None:
            write_output(image, request.output, references[0])
        pushed = push(image, names, workshop) if request.push else ()
        loaded = None
        if request.load is not None:
            from shipwheel.engine.load import load_image

            loaded = load_image(_one_image(images), names, request.load, workshop)
    return Built(
        image=image,
        images=tuple(images),
        plans=tuple(item.plan for item in planned),
        reference=references[0],
        references=references,
        stories=tuple(stories),
        seconds=time.perf_counter() - begun,
        pushed=pushed,
        loaded=loaded,
        fetched=workshop.book.fetched,
    )


def learn_past(request: Request, names: Sequence[Reference], workshop: Workshop) -> list[PastImage]:
    """Return the images that lend this build their layers: named ones, or those that a push replaces."""
    platforms = list(request.platforms)
    here = host_platform()
    if here is not None and here not in platforms:
        # Its Python compiles for the others.
        platforms.append(here)
    if request.cache_from is not None:
        return learn_named(request.cache_from, platforms, workshop)
    return learn_replaced(names, platforms, workshop) if request.push else []


def plan(request: Request, workshop: Workshop) -> list[Planned]:
    """Plan the image for every platform; the network is asked only for what shipwheel.lock lacks."""
    project = workshop.project
    locked = read_project_lock(project, frozen=request.frozen)
    before = read_lockfile(project.root / FILE)
    ship_lock = ensure_base(before, request, workshop)
    footings = [plan_footing(ship_lock.base, platform) for platform in request.platforms]
    selection = with_settings(request.selection, project)
    settler = Settler(
        root=project.root,
        lock_folder=locked.info.path.parent,
        names=ship_lock.files,
        # Not the method itself: most locks need no index to be read.
        list_files=lambda item: workshop.fetcher.list_files(item),  # noqa: PLW0108
    )
    selections = []
    for footing in footings:
        check_python(project, footing.target.python, place=FILE)
        selections.append(settler.settle(select_packages(locked, footing.target, selection), footing.target))
    members = first_party(project, selections)
    ship_lock = ensure_sources(ship_lock, selections, as_is=request.locked, workshop=workshop)
    ship_lock = ensure_members(ship_lock, members, as_is=request.locked, workshop=workshop)
    # Other platforms' names stay, as sizes do.
    ship_lock = replace(ship_lock, files={**ship_lock.files, **settler.learnt})
    ship_lock = ensure_build_systems(ship_lock, members, request, workshop)
    ship_lock = with_sizes(ship_lock, selections, workshop)
    if ship_lock != before and not request.locked:
        write_lockfile(project.root / FILE, ship_lock)
    base_source = choose_base(project, mirror_known=isinstance(ship_lock.base, DebianBase)).source
    return [
        Planned(
            plan=plan_image(
                Inputs(
                    project=project,
                    lock=locked.info,
                    selected=selected,
                    base=ship_lock.base,
                    base_source=base_source,
                    footing=footing,
                    epoch=request.epoch,
                    bytecode=plan_bytecode(project, ship_lock.base, footing, workshop),
                    sizes=ship_lock.sizes,
                    builds=plan_builds(selected, ship_lock, footing.target.platform),
                    hints=project_hints(project, selected),
                )
            ),
            selected=selected,
            members=members,
            lock=ship_lock,
        )
        for footing, selected in zip(footings, selections, strict=True)
    ]


def lock(request: Request, workshop: Workshop) -> ShipwheelLock:
    """Write shipwheel.lock anew: the base as it is today, what builds the project, and sizes."""
    path = workshop.project.root / FILE
    base = lock_base(choose_base_here(workshop), read_lockfile(path), request.platforms, workshop)
    write_lockfile(path, ShipwheelLock(base=base))
    return plan(replace(request, locked=False), workshop)[0].lock


def read_project_lock(project: Project, *, frozen: bool) -> Lock:
    """Read the project's own lock, and refuse a stale one unless it is `frozen`."""
    kind, path = find_lock(project.root, project.settings.lock)
    locked = read_lock(path, kind, project)
    if not frozen:
        check_fresh(locked, project)
    return locked


def ensure_base(found: ShipwheelLock | None, request: Request, workshop: Workshop) -> ShipwheelLock:
    """Return shipwheel.lock with the base that the project asks for, looked up where it is not there.

    Raises LockError `no-shipwheel-lock`, `stale-shipwheel-lock` when the request wants it as it is.
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
    if request.locked:
        raise LockError(code, message, place=str(path), hint="run: shipwheel lock")
    workshop.progress.said(f"{message}: writing it")
    if found is not None and fits and isinstance(found.base, DebianBase):
        # The same packages, put together by newer rules.
        return replace(found, base=replace(found.base, recipe=RECIPE))
    base = lock_base(choose_base_here(workshop), found, request.platforms, workshop)
    return replace(found, base=base) if found is not None else ShipwheelLock(base=base)


def older_recipe(base: Base) -> str | None:
    """Return the rules that an assembled base was locked for, where they are not this program's."""
    return base.recipe if isinstance(base, DebianBase) and base.recipe != RECIPE else None


def ensure_build_systems(
    ship_lock: ShipwheelLock, members: Sequence[Project], request: Request, workshop: Workshop
) -> ShipwheelLock:
    """Return the lock with pins for what builds each of `members`, resolved where they are not there.

    Raises LockError `stale-shipwheel-lock` when the request wants it as it is.
    """
    # What builds locked sources stays.
    used = {tuple(sorted(source.requires)) for source in ship_lock.sources}
    known = {tuple(sorted(system.requires)): system for system in ship_lock.build_systems}
    systems = {requires: system for requires, system in known.items() if requires in used}
    for member in members:
        if not member.package_mode:
            continue
        requires = tuple(sorted(BackEnd.of(member.data).requires))
        system = systems.get(requires) or ship_lock.build_system(requires)
        if system is None and request.locked:
            raise LockError(
                "stale-shipwheel-lock",
                f"{FILE} does not pin what builds {member.title}: {', '.join(requires)}",
                place=str(workshop.project.root / FILE),
                hint="run: shipwheel lock",
            )
        if system is None:
            workshop.progress.said(f"pinning what builds {member.title}")
            system = pin_build_system(member, workshop.builder)
        systems[requires] = system
    return replace(ship_lock, build_systems=tuple(systems.values()))


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


def name_image(project: Project) -> Reference:
    """Return the image's name and tag: configured, else the project's; the version, else latest."""
    named = Reference.parse(project.settings.name or f"localhost/{project.title}")
    if named.tag is not None or named.digest is not None:
        return named
    # PEP 440's local versions have a plus sign, which a tag cannot have.
    return named.with_tag((project.version or "latest").replace("+", "-"))


def _explain(
    plan: BuildPlan, image: Image, past: Sequence[PastImage], workshop: Workshop
) -> tuple[LayerStory, ...]:
    before = next((item for item in past if str(item.platform) == plan.platform), None)
    before = before or learn_local(image.platform, workshop)
    remember_build(image, workshop)
    return explain_image(plan, image, workshop.book, before, fresh=workshop.cache.fresh)


def _one_image(images: Sequence[Image]) -> Image:
    if len(images) == 1:
        return images[0]
    raise UsageError("one-platform", "an engine is given the image for one platform", place="--platform")


def _assemble(planned: Planned, workshop: Workshop) -> Image:
    systems = {
        member.root: planned.lock.build_system(BackEnd.of(member.data).requires) for member in planned.members
    }
    platform = Platform.parse(planned.plan.platform)
    base = BaseMaker(planned.lock.base, platform, workshop)
    target = plan_footing(planned.lock.base, platform).target
    forge = Forge(lock=planned.lock, base=base, target=target, workshop=workshop)
    materials = Materials(
        selected=planned.selected,
        base=base,
        build_source=forge.source,
        build_member=forge.member,
        systems=systems,
        builders=member_builders(planned.members, planned.lock, platform),
    )
    return assemble(planned.plan, materials, workshop)
