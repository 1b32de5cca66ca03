"""What a source tree asks for in its pyproject.toml, as uv reads it: `[project]` and its groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from packaging.utils import NormalizedName, canonicalize_name

from shipwheel.locks.uv_wishes import Member, Sources, Wish


def project_wishes(member: Member, sources: Sources) -> Iterator[Wish]:
    """Yield what `[project]` asks for, extras included, in uv's terms; raises ProjectError."""
    for text in member.project.get("dependencies", ()):
        yield sources.wish(text, "project.dependencies")
    for extra, texts in member.project.get("optional-dependencies", {}).items():
        for text in texts:
            yield sources.wish(text, f"project.optional-dependencies.{extra}", extra=extra)


def group_wishes(member: Member, sources: Sources) -> Iterator[tuple[NormalizedName, list[Wish]]]:
    """Yield each group with its requirements, those of included groups among them; raises ProjectError."""
    groups = {
        canonicalize_name(name): texts for name, texts in member.data.get("dependency-groups", {}).items()
    }
    # A group may have a Python of its own.
    pythons = {
        canonicalize_name(name): str(setting.get("requires-python") or "")
        for name, setting in member.tool.get("dependency-groups", {}).items()
        if isinstance(setting, Mapping)
    }
    legacy = member.tool.get("dev-dependencies", ())
    dev = canonicalize_name("dev")
    for name in sorted({*groups, *((dev,) if legacy else ())}):
        wishes = [
            sources.wish(text, f"dependency-groups.{name}", group=inner, python=pythons.get(name, ""))
            for inner, text in _flat_group(name, groups, ())
        ]
        if name == dev:
            wishes += [sources.wish(text, "tool.uv.dev-dependencies", group=dev) for text in legacy]
        yield name, wishes


def _flat_group(
    name: NormalizedName, groups: Mapping[NormalizedName, Any], path: tuple[str, ...]
) -> Iterator[tuple[NormalizedName, str]]:
    """Yield the requirements of a group and of those it includes, each with the group it stands in."""
    for wish in groups.get(name, ()) if name not in path else ():
        if isinstance(wish, str):
            yield name, wish
        elif isinstance(wish, dict) and isinstance(wish.get("include-group"), str):
            yield from _flat_group(canonicalize_name(wish["include-group"]), groups, (*path, name))
