"""What a project asks for in the standards' own words: PEP 508 requirements, PEP 621 tables, PEP 735 groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from packaging.requirements import InvalidRequirement
from packaging.utils import NormalizedName, canonicalize_name

from shipwheel.errors import ProjectError
from shipwheel.locks.markers import parse_requirement
from shipwheel.locks.model import Need


def parse_need(text: str, *, place: str) -> Need:
    """Parse a PEP 508 requirement; raises ProjectError `bad-requirement` at `place`."""
    try:
        requirement = parse_requirement(text)
    except InvalidRequirement as error:
        raise ProjectError(
            "bad-requirement", f"not a requirement: {text!r}", place=place, hint=str(error).splitlines()[0]
        ) from error
    return Need(
        name=canonicalize_name(requirement.name),
        extras=tuple(sorted(canonicalize_name(extra) for extra in requirement.extras)),
        marker=str(requirement.marker) if requirement.marker else "",
        constraint=str(requirement.specifier),
    )


def project_needs(data: Mapping[str, Any], *, file: str) -> tuple[Need, ...]:
    """Return `[project] dependencies`."""
    wishes = data.get("project", {}).get("dependencies", [])
    return tuple(parse_need(text, place=f"{file} [project.dependencies]") for text in wishes)


def project_extras(data: Mapping[str, Any], *, file: str) -> dict[NormalizedName, tuple[Need, ...]]:
    """Return `[project.optional-dependencies]` by normalised extra."""
    table = data.get("project", {}).get("optional-dependencies", {})
    return {
        canonicalize_name(extra): tuple(
            parse_need(text, place=f"{file} [project.optional-dependencies.{extra}]") for text in wishes
        )
        for extra, wishes in table.items()
    }


def dependency_groups(data: Mapping[str, Any], *, file: str) -> dict[NormalizedName, tuple[Need, ...]]:
    """Return `[dependency-groups]` with includes filled in (PEP 735); raises ProjectError `bad-group`."""
    table = {canonicalize_name(name): wishes for name, wishes in data.get("dependency-groups", {}).items()}
    return {name: _group(name, table, (), file) for name in table}


def _group(
    name: NormalizedName, table: Mapping[NormalizedName, Any], path: tuple[str, ...], file: str
) -> tuple[Need, ...]:
    place = f"{file} [dependency-groups.{path[0] if path else name}]"
    # PEP 735: cycles and unknown names MUST be errors.
    if name in path:
        raise ProjectError("bad-group", f"group {name} includes itself", place=place)
    if name not in table:
        raise ProjectError("bad-group", f"there is no group {name} to include", place=place)
    needs: list[Need] = []
    for wish in table[name]:
        if isinstance(wish, str):
            needs.append(parse_need(wish, place=place))
        elif isinstance(wish, dict) and isinstance(wish.get("include-group"), str):
            included = canonicalize_name(wish["include-group"])
            needs.extend(_group(included, table, (*path, name), file))
    return tuple(dict.fromkeys(needs))
