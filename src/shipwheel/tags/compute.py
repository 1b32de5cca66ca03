"""Facts and policy → tags. Pure; refuses what must not be tagged."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from shipwheel.errors import ProjectError
from shipwheel.oci.model import Digest
from shipwheel.project.settings import TagSettings
from shipwheel.tags.facts import Facts
from shipwheel.tags.versions import (
    Tag,
    Withheld,
    branch_tag,
    known_versions,
    version_tags,
)

_COMMIT_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class TagPlan:
    """The tags in the order to print and push them, what was not given, and whether this is a release."""

    tags: Sequence[Tag]
    withheld: Sequence[Withheld] = ()
    release: bool
    notes: Sequence[str] = ()


def plan_tags(
    version: str | None,
    facts: Facts,
    policy: TagSettings,
    *,
    existing: Collection[str],
    allow_dirty: bool = False,
    release: bool | None = None,
) -> TagPlan:
    """Return the tags of what is checked out.

    `existing` are the tags that the registry (or, offline, git) has. `release` True or False overrules
    whether this is a release; None lets the policy decide. Raises ProjectError `dirty-tree`,
    `tag-is-not-version`, `no-version`, `bad-version`, `no-tags`.
    """
    if facts.dirty and not allow_dirty and not policy.dirty:
        raise ProjectError(
            "dirty-tree",
            "the working tree has changes that no commit has",
            place=f"git status: {facts.dirty[0]}"
            + (f" and {len(facts.dirty) - 1} more" if facts.dirty[1:] else ""),
            hint="commit them, or say --allow-dirty",
        )
    tagged = git_tag_versions(facts.tags, policy)
    releasing = _is_release(facts, policy, tagged) if release is None else release
    tags: list[Tag] = []
    withheld: Sequence[Withheld] = ()
    notes: list[str] = []
    if releasing:
        parsed = _parse(version)
        if tagged and parsed not in map(Version, tagged):
            raise ProjectError(
                "tag-is-not-version",
                f"the commit is tagged as {', '.join(tagged)}, and the project's version is {version}",
                place=f"git tag {', '.join(facts.tags)}",
                hint="tag the commit that sets the version, or set the version",
            )
        given, withheld = version_tags(parsed, known_versions(existing, like=parsed))
        wanted = set(policy.floating)
        tags += [tag for tag in given if not tag.moves or (tag.kind in wanted and not policy.immutable)]
    elif version is not None:
        notes.append(f"no version tags: {_why_no_release(facts, policy)}")
    tags += _other_tags(facts, policy)
    if not tags:
        raise ProjectError(
            "no-tags",
            "nothing here has a tag: no release, no branch and no commit",
            place="pyproject.toml [tool.shipwheel.tags]",
            hint="--release gives the version's tags",
        )
    unique = {tag.name: tag for tag in reversed(tags)}
    ordered = list(dict.fromkeys(tag.name for tag in tags))
    return TagPlan(
        tags=tuple(unique[name] for name in ordered),
        withheld=tuple(withheld),
        release=releasing,
        notes=tuple(notes),
    )


def check_existing(
    tags: Sequence[Tag], existing: Mapping[str, Digest | None], *, digest: Digest | None = None
) -> None:
    """Refuse to give another image a tag that stays what it is once it exists.

    `existing` maps the registry's tags to what they name (None: not asked). Equal to `digest`, a tag
    may be given again. Raises ProjectError `version-exists`, naming every such tag.
    """
    taken = [
        tag.name
        for tag in tags
        # The commit's tag is given by every build of that commit, which need not be the first.
        if tag.kind == "version" and tag.name in existing and (digest is None or existing[tag.name] != digest)
    ]
    if taken:
        raise ProjectError(
            "version-exists",
            f"the registry has {', '.join(taken)} already",
            place="pyproject.toml version",
            hint="raise the version; or say --replace, and whoever pulled it has something else",
        )


def git_labels(facts: Facts) -> dict[str, str]:
    """Return the image specification's labels that git and CI know: revision and source.

    The revision of a tree with changes ends in `-dirty`: the commit alone would not give that image.
    """
    prefix = "org.opencontainers.image."
    revision = f"{facts.commit}-dirty" if facts.commit and facts.dirty else facts.commit
    found = {"revision": revision, "source": facts.source}
    return {prefix + name: value for name, value in found.items() if value}


def git_tag_versions(tags: Collection[str], policy: TagSettings) -> list[str]:
    """Return the versions that git `tags` name, sorted, as a registry would have them as tags."""
    before, _, after = policy.git_tag.partition("{version}")
    # A project that says nothing else tags `v1.4.2` or `1.4.2`.
    prefix = "v?" if policy.git_tag == TagSettings().git_tag else re.escape(before)
    found = set()
    for tag in tags:
        match = re.fullmatch(rf"{prefix}(?P<version>\d.*){re.escape(after)}", tag)
        if match is not None:
            with suppress(InvalidVersion):
                found.add(Version(match["version"]))
    return [str(version) for version in sorted(found)]


def _is_release(facts: Facts, policy: TagSettings, tagged: Sequence[str]) -> bool:
    if facts.pull_request is not None:
        return False
    return policy.release == "always" or bool(tagged) or facts.commit is None


def _why_no_release(facts: Facts, policy: TagSettings) -> str:
    if facts.pull_request is not None:
        return "a pull request releases nothing"
    if facts.tags:
        return f"the git tag {facts.tags[0]} is not of the form {policy.git_tag}"
    return f"the commit has no git tag {policy.git_tag}; --release gives them"


def _other_tags(facts: Facts, policy: TagSettings) -> list[Tag]:
    tags = []
    # What moves cannot be pushed twice to a registry where nothing moves.
    if policy.immutable:
        pass
    elif facts.pull_request is not None:
        if policy.pull_request:
            name = f"pr-{facts.pull_request}"
            reason = f"pull request {facts.pull_request}"
            tags.append(Tag(name=name, kind="pull-request", reason=reason, moves=True))
    elif facts.branch is not None and policy.branch:
        name = branch_tag(facts.branch)
        tags.append(Tag(name=name, kind="branch", reason=f"the branch {facts.branch}", moves=True))
    if facts.commit is not None and policy.commit and not facts.dirty:
        name = f"sha-{facts.commit[:_COMMIT_DIGITS]}"
        tags.append(Tag(name=name, kind="commit", reason=f"the commit {facts.commit}"))
    return tags


def _parse(version: str | None) -> Version:
    if version is None:
        raise ProjectError(
            "no-version",
            "the project has no version to release",
            place="pyproject.toml",
            hint="add a version; or release nothing: --no-release",
        )
    try:
        return Version(version)
    except InvalidVersion as error:
        raise ProjectError(
            "bad-version", f"not a version (PEP 440): {version!r}", place="pyproject.toml version"
        ) from error
