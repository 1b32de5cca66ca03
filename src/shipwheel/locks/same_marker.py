"""Do two markers mean the same? By asking both for every environment that can tell them apart."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice, product
from typing import Any

from packaging.markers import InvalidMarker, UndefinedComparison, UndefinedEnvironmentName

from shipwheel.locks.constraint import admits
from shipwheel.locks.markers import parse_marker, set_valued

# Enough to tell real markers apart; beyond it two markers on the same variables count as the same.
_MOST_ENVIRONMENTS = 20_000


def same_marker(one: str, other: str, python: str) -> bool:
    """Tell whether two markers agree on all environments whose Python `python` (specifiers) admits."""
    one, other = set_valued(one), set_valued(other)
    if one == other:
        return True
    try:
        markers = [parse_marker(text) if text else None for text in (one, other)]
    except InvalidMarker:
        return False
    values = [(name, _values(name, f"{one} {other}", python)) for name in _variables(f"{one} {other}")]
    for combination in islice(product(*(choices for _, choices in values)), _MOST_ENVIRONMENTS):
        environment: dict[str, Any] = {"extras": frozenset(), "dependency_groups": frozenset()}
        for (name, _), value in zip(values, combination, strict=True):
            environment[name] = value
        version = environment.get("python_full_version")
        if version is not None:
            environment["python_version"] = ".".join(version.split(".")[:2])
        try:
            first, second = (
                marker is None or marker.evaluate(environment, context="lock_file") for marker in markers
            )
        except (UndefinedComparison, UndefinedEnvironmentName):
            return False
        if first != second:
            return False
    return True


def _variables(text: str) -> list[str]:
    bare = re.sub(r"""("[^"]*"|'[^']*')""", "", text)
    names = set(re.findall(r"[a-z_]+", bare)) - {"and", "or", "in", "not"}
    # One value decides both.
    if "python_version" in names:
        names = names - {"python_version"} | {"python_full_version"}
    return sorted(names)


def _values(name: str, text: str, python: str) -> list[Any]:
    constants = {
        constant for pair in re.findall(r'"([^"]*)"|\'([^\']*)\'', text) for constant in pair if constant
    }
    if name == "extras":
        return [frozenset(), *(frozenset({constant}) for constant in sorted(constants))]
    if name == "python_full_version":
        return _pythons(python, tuple(sorted(constants)))
    return [*sorted(constants), "something else"]


@lru_cache(maxsize=256)
def _pythons(python: str, constants: tuple[str, ...] = ()) -> list[str]:
    found = {(3, minor, patch) for minor in range(6, 20) for patch in (0, 7, 30)}
    for constant in constants:
        if match := re.match(r"3\.(\d+)(?:\.(\d+))?", constant):
            minor, patch = int(match[1]), int(match[2] or 0)
            found |= {(3, minor, near) for near in (patch - 1, patch, patch + 1) if near >= 0}
    versions = [".".join(map(str, version)) for version in sorted(found)]
    return [version for version in versions if admits(python, version)] or ["3.13.0"]
