"""Version constraints: Poetry's syntax → PEP 440, and the check of a version against either."""

from __future__ import annotations

import re
from functools import lru_cache

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

_TOKEN = re.compile(r"(?:(?P<op>\^|~=|~|===|==|!=|<=|>=|<|>|=)\s*)?(?P<version>[^\s,]+)")
_HYPHEN = re.compile(r"^\s*(\S+)\s+-\s+(\S+)\s*$")


@lru_cache(maxsize=4096)
def parse_poetry_constraint(text: str) -> str:
    """Return Poetry's `text` (`^1.2`, `~1`, `1.*`, `>=1 <2`, `a || b`) as specifier sets joined by ` || `.

    Empty for what admits everything. Raises ValueError with the part that is none.
    """
    alternatives = [_alternative(part) for part in re.split(r"\s*\|\|?\s*", text.strip())]
    return "" if "" in alternatives else " || ".join(alternatives)


def _alternative(text: str) -> str:
    if hyphen := _HYPHEN.match(text):
        text = f">={hyphen[1]},<={hyphen[2]}"
    specifiers: list[str] = []
    for match in _TOKEN.finditer(text):
        specifiers.extend(_specifiers(match["op"] or "", match["version"]))
    result = ",".join(specifiers)
    try:
        SpecifierSet(result)
    except InvalidSpecifier as error:
        raise ValueError(f"not a version constraint: {text!r}") from error
    return result


def _specifiers(operator: str, version: str) -> list[str]:
    if version in ("*", "x", "X"):
        return []
    if operator in ("^", "~"):
        return _range(operator, version)
    if operator in ("", "=", "=="):
        wildcard = re.sub(r"(\.[xX*])+$", ".*", version)
        return [f"=={wildcard}"]
    # PEP 440 has wildcards with == and != only; Poetry reads >=3.* as >=3.
    if operator != "!=" and version.endswith(".*"):
        version = version[:-2]
    # PEP 440 orders no local versions: the public part bounds them.
    if operator not in ("!=", "==="):
        version = version.partition("+")[0]
    return [f"{operator}{version}"]


def _range(operator: str, text: str) -> list[str]:
    try:
        version = Version(text.removesuffix(".*"))
    except InvalidVersion as error:
        raise ValueError(f"not a version constraint: {operator}{text!r}") from error
    release = version.release
    if operator == "~":
        index = 0 if len(release) == 1 else 1
    else:
        # The first part that is not zero is the one that may not change; ^0 and ^0.0 end at their last.
        index = next((place for place, part in enumerate(release) if part), len(release) - 1)
    upper = ".".join(str(part) for part in (*release[:index], release[index] + 1))
    epoch = f"{version.epoch}!" if version.epoch else ""
    return [f">={version.public}", f"<{epoch}{upper}"]


@lru_cache(maxsize=4096)
def _sets(constraint: str) -> tuple[SpecifierSet, ...]:
    return tuple(SpecifierSet(part) for part in constraint.split(" || "))


def admits(constraint: str, version: str) -> bool:
    """Tell whether `constraint` (specifier sets joined by ` || `; empty: everything) admits `version`."""
    if not constraint:
        return True
    # What is locked was chosen: a pre-release in it is meant.
    return any(one.contains(version, prereleases=True) for one in _sets(constraint))


def python_marker(constraint: str) -> str:
    """Return a marker that says the same of `python_full_version` as `constraint` does; empty for everything."""
    if not constraint:
        return ""
    parts = []
    for alternative in constraint.split(" || "):
        terms = [
            f'python_full_version {match[1]} "{match[2]}"'
            for match in re.finditer(r"(~=|===|==|!=|<=|>=|<|>)\s*([^,\s]+)", alternative)
        ]
        parts.append(" and ".join(terms))
    return parts[0] if len(parts) == 1 else " or ".join(f"({part})" for part in parts)
