"""The verbs in order: read → lock → plan → build → ship. Each takes earlier values and returns a new one.

Read this first: everything shipwheel does for an image is on this page, or one call away from it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from shipwheel.assemble.base import BaseMaker
from shipwheel.assemble.book import PastImage
from shipwheel.assemble.image import Materials, assemble
from shipwheel.assemble.workshop import Workshop
from shipwheel.base.choose import choose_base
from shipwheel.base.model import DebianBase
from shipwheel.errors import NetworkError, UsageError
from shipwheel.lockfile import ShipwheelLock
from shipwheel.locking import Settled, settle
from shipwheel.locks.model import Selected, Selection
from shipwheel.oci.model import Image, ImageIndex, Platform
from shipwheel.oci.reference import Reference
from shipwheel.plan.base import plan_footing
from shipwheel.plan.host import host_platform
from shipwheel.plan.model import BuildPlan
from shipwheel.plan.planner import Inputs, plan_image
from shipwheel.project.model import Project
from shipwheel.resolve import (
    plan_bytecode,
    project_hints,
)
from shipwheel.ship.explain import LayerStory, explain_image
from shipwheel.ship.output import Output, write_output
from shipwheel.ship.previous import learn_local, learn_named, learn_replaced, remember_build
from shipwheel.ship.push import PushReport, check_pushable, push
from shipwheel.sources.ensure import Forge, member_builders, system_of
from shipwheel.sources.names import plan_builds

if TYPE_CHECKING:
    from shipwheel.engine.load import EngineName, Loaded
    from shipwheel.oci.registry.client import Repository
    from shipwheel.tags.auto import AutoTags, TagRequest
    from shipwheel.wheel.kit import KitStory


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the caller wants: which platforms, which dependencies, and how strict about locks.

    `locked`: shipwheel.lock must be there and fit. `frozen`: the project's lock is taken as it is,
    fresh or stale. `epoch` in seconds since 1970 dates the image and the app's files. `references` are
    the image's names (default: the project's own), each pushed to with `push`. `cache_from` are images
    that lend their layers; None: those that a push replaces. `load` names the engine to load into.
    With `tags`, the references' own tags give way to those that version, git and CI make. With `attest`,
    components and provenance are attached to what was pushed.
    """

    platforms: Sequence[Platform]
    selection: Selection = field(default_factory=Selection)
    references: Sequence[Reference] = ()
    output: Output | None = None
    push: bool = False
    load: EngineName | None = None
    tags: TagRequest | None = None
    attest: bool = False
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
    `loaded` what became of the image; `fetched` counts the bytes of reused layers that were needed here,
    `attached` the documents that refer to it. `tools` tell where what built the project's wheels came from.
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
    attached: int = 0
    tools: Sequence[KitStory] = ()


def build(request: Request, workshop: Workshop) -> Built:
    """Build the project's image for every platform asked for, and write, push and load it as requested."""
    begun = time.perf_counter()
    names = tuple(request.references) or (name_image(workshop.project),)
    if request.push:
        check_pushable(names)
    workshop.book.lenders = find_lenders(request, names)
    auto = None
    if request.tags is not None:
        from shipwheel.tags.auto import auto_tags

        auto = auto_tags(names, workshop, request.tags)
        names = auto.references
    with workshop.cache.in_use():
        planned = plan(request, workshop)
        past = learn_past(request, names, workshop)
        made = _while_lent(
            lambda: _make_and_ship(planned, past, request, workshop, names=names, auto=auto), workshop
        )
    return replace(made, seconds=time.perf_counter() - begun)


def _make_and_ship(
    planned: Sequence[Planned],
    past: Sequence[PastImage],
    request: Request,
    workshop: Workshop,
    *,
    names: Sequence[Reference],
    auto: AutoTags | None,
) -> Built:
    images = [_assemble(item, workshop) for item in planned]
    for item, made in zip(planned, images, strict=True):
        if item.plan.slim is not None:
            _prove_slimmed(item.plan, made, request, workshop)
    stories = [_explain(item.plan, made, past, workshop) for item, made in zip(planned, images, strict=True)]
    image = images[0] if len(images) == 1 else ImageIndex(images=tuple(images))
    references = tuple(name.with_digest(image.digest) for name in names)
    if request.output is not None:
        write_output(image, request.output, references)
    if request.push and auto is not None:
        auto.refuse_replacing(workshop, image.digest)
    pushed = push(image, names, workshop) if request.push else ()
    if request.push:
        leave_tools(planned, names, workshop)
    wanted = request.push and request.attest
    attached = _attest(planned, images, names, past, workshop) if wanted else 0
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
        seconds=0.0,
        pushed=pushed,
        loaded=loaded,
        fetched=workshop.book.fetched,
        attached=attached,
        tools=workshop.tools(),
    )


def _while_lent(make: Callable[[], Built], workshop: Workshop) -> Built:
    """Return what `make` gives; it is called again when a registry has lost a layer that it lent.

    What is forgotten is made, so that each turn has one layer less to lose.
    """
    while True:
        lost = workshop.book.lost
        try:
            return make()
        except NetworkError as error:
            if workshop.book.lost == lost:
                raise
            from shipwheel.assemble.reuse import LAYER_IS_GONE, forget_lost

            if error.code != LAYER_IS_GONE:
                raise
            forget_lost(workshop.book)
            count = workshop.book.lost - lost
            workshop.progress.said(
                f"note: {count} reused layer{'s are' if count > 1 else ' is'} gone from the registry "
                f"and made again: {error.problems[0].place}"
            )


def _prove_slimmed(plan_: BuildPlan, image: Image, request: Request, workshop: Workshop) -> None:
    """Import what was slimmed in the image; raises what `slimmed.prove_imports` raises."""
    import msgspec

    from shipwheel.project.settings import SlimSettings
    from shipwheel.slimmed import prove_imports

    settings = workshop.project.settings

    def rebuild(keep: Sequence[str] | None) -> Image:
        slim = (
            SlimSettings()
            if keep is None
            else msgspec.structs.replace(settings.slim, keep=(*settings.slim.keep, *keep))
        )
        project = replace(workshop.project, settings=msgspec.structs.replace(settings, slim=slim))
        other = replace(workshop, project=project)
        return _assemble(plan(replace(request, platforms=(image.platform,)), other)[0], other)

    prove_imports(plan_, image, workshop, rebuild=rebuild)


def _attest(
    planned: Sequence[Planned],
    images: Sequence[Image],
    names: Sequence[Reference],
    past: Sequence[PastImage],
    workshop: Workshop,
) -> int:
    """Attach to each image what it is made of and how; return the number of documents."""
    from shipwheel.supply.documents import BuiltImage, attest

    built = [
        BuiltImage(image=image, plan=item.plan, selected=item.selected, lock=item.lock)
        for item, image in zip(planned, images, strict=True)
    ]
    firsts = {name.name: name for name in reversed(names)}.values()
    return sum(len(attest(built, name, workshop, past=past)) for name in firsts)


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


def find_lenders(request: Request, names: Sequence[Reference]) -> tuple[Repository, ...]:
    """Return the repositories whose images lend this build their layers, in the order they are asked."""
    if request.cache_from is None and not request.push:
        return ()
    from shipwheel.oci.registry.client import Repository

    lending = names if request.cache_from is None else request.cache_from
    return tuple(dict.fromkeys(Repository.of(name) for name in lending))


def leave_tools(planned: Sequence[Planned], names: Sequence[Reference], workshop: Workshop) -> None:
    """Leave beside a pushed image what builds the project's wheels, for machines that know nothing."""
    from shipwheel.assemble.kits import leave_kits
    from shipwheel.oci.registry.client import Repository

    systems = {
        system.requires: system
        for item in planned
        for member in item.members
        if member.package_mode and (system := system_of(member, item.lock)) is not None
    }
    repositories = tuple(dict.fromkeys(Repository.of(name) for name in names))
    leave_kits(tuple(systems.values()), repositories, workshop.kits, workshop)


def plan(request: Request, workshop: Workshop) -> list[Planned]:
    """Plan the image for every platform; the network is asked only for what shipwheel.lock lacks."""
    return _plan(request, _settle(request, workshop), workshop)


def lock(request: Request, workshop: Workshop) -> ShipwheelLock:
    """Write shipwheel.lock anew: the base as it is today, what builds the project, and sizes."""
    return _settle(replace(request, locked=False), workshop, renew=True).ship_lock


def name_image(project: Project) -> Reference:
    """Return the image's name and tag: configured, else the project's; the version, else latest."""
    named = Reference.parse(project.settings.name or f"localhost/{project.title}")
    if named.tag is not None or named.digest is not None:
        return named
    # PEP 440's local versions have a plus sign, which a tag cannot have.
    return named.with_tag((project.version or "latest").replace("+", "-"))


def _settle(request: Request, workshop: Workshop, *, renew: bool = False) -> Settled:
    return settle(
        request.platforms,
        request.selection,
        as_is=request.locked,
        frozen=request.frozen,
        renew=renew,
        workshop=workshop,
    )


def _git_labels(workshop: Workshop) -> dict[str, str]:
    """Return the commit and repository where the project asks for them."""
    if not workshop.project.settings.tags.git_labels:
        return {}
    from shipwheel.tags.compute import git_labels
    from shipwheel.tags.facts import read_facts

    return git_labels(read_facts(workshop.project.root, workshop.environ))


def _plan(request: Request, settled: Settled, workshop: Workshop) -> list[Planned]:
    project, ship_lock = workshop.project, settled.ship_lock
    base_source = choose_base(project, mirror_known=isinstance(ship_lock.base, DebianBase)).source
    return [
        Planned(
            plan=plan_image(
                Inputs(
                    project=project,
                    lock=settled.locked.info,
                    selected=selected,
                    base=ship_lock.base,
                    base_source=base_source,
                    footing=footing,
                    epoch=request.epoch,
                    bytecode=plan_bytecode(project, ship_lock.base, footing, workshop),
                    sizes=ship_lock.sizes,
                    builds=plan_builds(selected, ship_lock, footing.target.platform),
                    hints=project_hints(project, selected),
                    git_labels=_git_labels(workshop),
                )
            ),
            selected=selected,
            members=settled.members,
            lock=ship_lock,
        )
        for footing, selected in zip(settled.footings, settled.selections, strict=True)
    ]


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
    return assemble(planned.plan, materials_of(planned, workshop), workshop)


def materials_of(planned: Planned, workshop: Workshop) -> Materials:
    """Return what the layers of a plan are made from; fetches and builds nothing yet."""
    systems = {member.root: system_of(member, planned.lock) for member in planned.members}
    platform = Platform.parse(planned.plan.platform)
    base = BaseMaker(planned.lock.base, platform, workshop)
    target = plan_footing(planned.lock.base, platform).target
    forge = Forge(planned.lock, base, target, workshop)
    return Materials(
        selected=planned.selected,
        base=base,
        build_source=forge.source,
        build_member=forge.member,
        systems=systems,
        builders=member_builders(planned.members, planned.lock, platform),
    )
