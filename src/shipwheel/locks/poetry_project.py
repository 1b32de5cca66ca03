"""What a Poetry project asks for: `[tool.poetry]` in its own syntax, `[project]` and `[dependency-groups]`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from packaging.utils import NormalizedName, canonicalize_name

from shipwheel.errors import ProjectError
from shipwheel.locks.constraint import parse_poetry_constraint, python_marker
from shipwheel.locks.markers import both, parse_marker, set_valued
from shipwheel.locks.model import PRODUCTION, Need, Root
from shipwheel.locks.requests import dependency_groups, project_extras, project_needs
from shipwheel.project.model import Project

MAIN = canonicalize_name("main")
DEV = canonicalize_name("dev")


def poetry_needs(key: str, value: object) -> Iterator[tuple[Need, bool]]:
    """Yield (need, is it optional) for one entry of a Poetry dependency table; raises ValueError."""
    if isinstance(value, list):
        for one in value:
            yield from poetry_needs(key, one)
        return
    if isinstance(value, str):
        yield Need(canonicalize_name(key), constraint=parse_poetry_constraint(value)), False
        return
    if not isinstance(value, dict):
        raise ValueError(f"neither a constraint nor a table: {value!r}")  # noqa: TRY004 - the callers' contract
    for part in ("python", "markers", "platform", "version", "source"):
        if not isinstance(value.get(part, ""), str):
            raise ValueError(f"{part} has to be a string")  # noqa: TRY004 - the callers' contract
    extras = value.get("extras", [])
    if not isinstance(extras, list) or not all(isinstance(extra, str) for extra in extras):
        raise ValueError("extras has to be an array of strings")
    python = value.get("python")
    marker = both(
        str(value.get("markers", "")),
        python_marker(parse_poetry_constraint(python)) if python else "",
        _platform_marker(str(value.get("platform", ""))),
    )
    yield (
        Need(
            name=canonicalize_name(key),
            extras=tuple(sorted(canonicalize_name(extra) for extra in extras)),
            marker=marker,
            constraint=parse_poetry_constraint(str(value.get("version", "*"))),
            source=value.get("source"),
        ),
        bool(value.get("optional", False)),
    )


def _platform_marker(text: str) -> str:
    """`win32 || !=linux` of Poetry's `platform` key, which constrains sys_platform."""
    if not text or text == "*":
        return ""
    alternatives = []
    for alternative in re.split(r"\s*\|\|?\s*", text):
        terms = []
        for part in re.split(r"\s*,\s*", alternative):
            operator, value = ("!=", part[2:]) if part.startswith("!=") else ("==", part.lstrip("="))
            terms.append(f'sys_platform {operator} "{value.strip()}"')
        alternatives.append(" and ".join(terms))
    return alternatives[0] if len(alternatives) == 1 else " or ".join(f"({one})" for one in alternatives)


def read_root(project: Project) -> Root:
    """Return what the project asks for, by group and extra; raises ProjectError for what is malformed."""
    data = project.data
    file = project.pyproject.name
    poetry = data.get("tool", {}).get("poetry", {})
    main, optional = _table(poetry.get("dependencies", {}), f"{file} [tool.poetry.dependencies]")
    groups: dict[NormalizedName, tuple[Need, ...]] = {
        PRODUCTION: (*project_needs(data, file=file), *main),
        **dependency_groups(data, file=file),
    }
    if "dev-dependencies" in poetry:
        groups[DEV] = _table(poetry["dev-dependencies"], f"{file} [tool.poetry.dev-dependencies]")[0]
    tables = {canonicalize_name(name): table for name, table in poetry.get("group", {}).items()}
    for name in tables:
        groups[name] = (*groups.get(name, ()), *_group_needs(name, tables, (), file))
    extras = project_extras(data, file=file)
    for extra, names in poetry.get("extras", {}).items():
        wanted = {canonicalize_name(name) for name in names}
        extras[canonicalize_name(extra)] = tuple(need for need in optional if need.name in wanted)
    return Root(
        name=project.name,
        groups=groups,
        extras=extras,
        aliases=frozenset({MAIN}),
        place=f"{file} [{'tool.poetry' if poetry else 'project'}]",
    )


def _group_needs(
    name: NormalizedName, tables: Mapping[NormalizedName, Any], path: tuple[str, ...], file: str
) -> tuple[Need, ...]:
    place = f"{file} [tool.poetry.group.{name}]"
    if name in path or name not in tables:
        raise ProjectError("bad-group", f"group {name} cannot be included", place=place)
    table = tables[name]
    needs = list(_table(table.get("dependencies", {}), f"{place[:-1]}.dependencies]")[0])
    for included in table.get("include-groups", ()):
        needs.extend(_group_needs(canonicalize_name(included), tables, (*path, name), file))
    return tuple(needs)


def _table(table: Mapping[str, Any], place: str) -> tuple[tuple[Need, ...], tuple[Need, ...]]:
    """Return the needs of a dependency table: (those that always apply, those that an extra asks for)."""
    always: list[Need] = []
    optional: list[Need] = []
    for key, value in table.items():
        if canonicalize_name(key) == "python":
            continue
        try:
            for need, is_optional in poetry_needs(key, value):
                if need.marker:
                    parse_marker(set_valued(need.marker))
                (optional if is_optional else always).append(need)
        except ValueError as error:
            raise ProjectError("bad-requirement", f"{key}: {error}", place=place) from error
    return tuple(always), tuple(optional)
