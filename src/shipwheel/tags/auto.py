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
    """The tags, what they follow from, and the tags that the registry has (None: it was not asked)."""

    plan: TagPlan
    version: str | None
    facts: Facts
    existing: Sequence[str] | None

    @property
    def names(self) -> tuple[str, ...]:
        """The tags' names, in the order to push them: those that move come last."""
        ordered = sorted(self.plan.tags, key=lambda tag: tag.moves)
        return tuple(tag.name for tag in ordered)


def auto_tags(reference: Reference, workshop: Workshop, request: TagRequest) -> AutoTags:
    """Return the tags for the image `reference` (its tag counts for nothing) of the workshop's project.

    The registry's list of tags says which floating tags may move; offline, and for an image of no
    registry (localhost/…), git's tags do. Raises as `plan_tags` and `read_facts`, NetworkError; and
    BuildError where a dynamic version's wheel cannot be built. Whether a version exists already is
    asked by `refuse_replacing`, as only then the digest is known.
    """
    project = workshop.project
    facts = read_facts(project.root, workshop.environ)
    version = project_version(project, workshop)
    policy = project.settings.tags
    existing = None if request.offline else registry_tags(reference, workshop)
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
    return AutoTags(plan=plan, version=version, facts=facts, existing=existing)


def registry_tags(reference: Reference, workshop: Workshop) -> Sequence[str] | None:
    """Return the tags of the image's repository; None for localhost/…, which is no registry."""
    if reference.registry == "localhost":
        return None
    from shipwheel.oci.registry import Repository, list_tags

    return list_tags(workshop.registry, Repository.of(reference))


def refuse_replacing(
    tags: Sequence[Tag], reference: Reference, workshop: Workshop, *, digest: Digest | None = None
) -> None:
    """Raise ProjectError `version-exists` where a version's tag names another image than `digest` already."""
    from shipwheel.oci.registry import find_digest

    if reference.registry == "localhost":
        return
    versions = [tag for tag in tags if tag.kind == "version"]
    found: Mapping[str, Digest | None] = {
        tag.name: find_digest(workshop.registry, reference.with_tag(tag.name)) for tag in versions
    }
    existing = {name: value for name, value in found.items() if value is not None}
    check_existing(versions, existing, digest=digest)


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
    system = None if locked is None else locked.build_system(requires)
    if system is None:
        system = pin_build_system(project, workshop.builder)
    built = build_project(project, system, source_key(project, system), workshop.builder)
    return str(parse_wheel_filename(built.filename)[1])
