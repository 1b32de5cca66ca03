"""The tags of a project on this machine: its version, git, CI and registry are asked, `compute` decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shipwheel.assemble.workshop import Workshop
from shipwheel.lockfile import FILE, read_lockfile
from shipwheel.oci.model import Digest
from shipwheel.oci.reference import Reference
from shipwheel.project.model import Project
from shipwheel.tags.compute import TagPlan, check_existing, git_tag_versions, plan_tags
from shipwheel.tags.facts import Facts, read_facts
from shipwheel.tags.versions import Tag


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRequest:
    """How strict to be, and whom to ask. `release`: True and False overrule the policy."""

    offline: bool = False
    allow_dirty: bool = False
    replace: bool = False
    release: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoTags:
    """The tags for each of `names` (whose own tags count for nothing), and what they follow from.

    `existing` are the tags that the registry has (None: it was not asked).
    """

    names: Sequence[Reference]
    request: TagRequest
    plan: TagPlan
    version: str | None
    facts: Facts
    existing: Sequence[str] | None

    @property
    def references(self) -> tuple[Reference, ...]:
        """Every name with every tag, in the order to push them: those that move come last."""
        ordered = sorted(self.plan.tags, key=lambda tag: tag.moves)
        return tuple(name.with_tag(tag.name) for name in self.names for tag in ordered)

    def refuse_replacing(self, workshop: Workshop, digest: Digest | None = None) -> None:
        """Raise ProjectError `version-exists` where a version's tag names another image than `digest`.

        Asked once the image is built: the same image may be pushed again. Not asked with `replace`.
        """
        if not self.request.replace:
            for name in self.names:
                _refuse_replacing(self.plan.tags, name, workshop, digest)


def auto_tags(names: Sequence[Reference], workshop: Workshop, request: TagRequest) -> AutoTags:
    """Return the tags for the workshop's project under `names` (at least one).

    The registries' lists of tags say which floating tags may move; offline, and for an image of no
    registry (localhost/…), git's tags do. Raises as `plan_tags` and `read_facts`, NetworkError; and
    BuildError where a dynamic version's wheel cannot be built.
    """
    project = workshop.project
    repositories = tuple({name.name: name for name in names}.values())
    facts = read_facts(project.root, workshop.environ)
    version = project_version(project, workshop)
    policy = project.settings.tags
    known = [] if request.offline else [registry_tags(name, workshop) for name in repositories]
    asked = [tags for tags in known if tags is not None]
    existing = sorted({tag for tags in asked for tag in tags}) if asked else None
    if existing is None and facts.shallow:
        workshop.progress.said(
            "note: git's clone is shallow, so tags may be missing that say what is the newest version"
        )
    plan = plan_tags(
        version,
        facts,
        policy,
        existing=git_tag_versions(facts.git_tags, policy) if existing is None else existing,
        allow_dirty=request.allow_dirty,
        release=request.release,
    )
    for note in (*plan.notes, *(f"not {item.name}: {item.reason}" for item in plan.withheld)):
        workshop.progress.said(f"note: {note}")
    return AutoTags(
        names=repositories, request=request, plan=plan, version=version, facts=facts, existing=existing
    )


def registry_tags(reference: Reference, workshop: Workshop) -> Sequence[str] | None:
    """Return the tags of the image's repository; None for localhost/…, which is no registry."""
    if reference.registry == "localhost":
        return None
    from shipwheel.oci.registry import Repository, list_tags

    return list_tags(workshop.registry, Repository.of(reference))


def project_version(project: Project, workshop: Workshop) -> str | None:
    """Return the version: the static one, else the one of the project's wheel, which is built for it.

    None for a project that is no package and says none. Raises BuildError.
    """
    if project.version is not None or not project.package_mode:
        return project.version
    from packaging.utils import parse_wheel_filename

    from shipwheel.wheel.build import BackEnd
    from shipwheel.wheel.source import build_project, pin_build_system, source_key

    locked = read_lockfile(project.root / FILE)
    requires = BackEnd.of(project.data).requires
    system = None if locked is None else locked.member_system(requires, project.title)
    if system is None:
        system = pin_build_system(project, workshop.builder)
    built = build_project(project, system, source_key(project, system), workshop.builder)
    return str(parse_wheel_filename(built.filename)[1])


def _refuse_replacing(
    tags: Sequence[Tag], reference: Reference, workshop: Workshop, digest: Digest | None
) -> None:
    if reference.registry == "localhost":
        return
    from shipwheel.oci.registry import find_digest

    versions = [tag for tag in tags if tag.kind == "version"]
    found: Mapping[str, Digest | None] = {
        tag.name: find_digest(workshop.registry, reference.with_tag(tag.name)) for tag in versions
    }
    existing = {name: value for name, value in found.items() if value is not None}
    check_existing(versions, existing, digest=digest)
