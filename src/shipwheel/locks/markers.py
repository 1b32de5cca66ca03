"""Markers as locks use them: combined as text, parsed late, evaluated once each for one environment.

A lock's `extra == "x"` speaks of a set of extras, which PEP 508 has no word for and PEP 751 has
(`"x" in extras`). The first is rewritten to the second.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from shipwheel.errors import LockError
from shipwheel.target import Target

_STRING = r"""("[^"]*"|'[^']*')"""
_EXTRA = re.compile(rf"\bextra\s*(==|!=)\s*{_STRING}|{_STRING}\s*(==|!=)\s*extra\b(?!s)")
# Every Python has an os_name.
_TRUE, _FALSE = 'os_name != ""', 'os_name == ""'


@lru_cache(maxsize=8192)
def set_valued(text: str) -> str:
    """Return the marker `text` with each `extra == "x"` as `"x" in extras` (PEP 751, "Marker expressions")."""
    if "extra" not in text:
        return text

    def replace(match: re.Match[str]) -> str:
        operator, value = (match[1], match[2]) if match[1] else (match[4], match[3])
        return f"{value} {'in' if operator == '==' else 'not in'} extras"

    return _EXTRA.sub(replace, text)


@lru_cache(maxsize=8192)
def given_extra(text: str, extra: str) -> str:
    """Return the marker `text` where a package's own extra is known to be `extra`; empty where nothing is left.

    What compares extras becomes a comparison of a constant with the same outcome.
    """
    if "extra" not in text:
        return text

    def replace(match: re.Match[str]) -> str:
        operator, value = (match[1], match[2]) if match[1] else (match[4], match[3])
        same = canonicalize_name(value.strip("\"'")) == extra
        return _TRUE if same == (operator == "==") else _FALSE

    replaced = _EXTRA.sub(replace, text).strip()
    return "" if replaced == _TRUE else replaced


@lru_cache(maxsize=8192)
def parse_marker(text: str) -> Marker:
    """Parse `text` once; raises packaging's InvalidMarker."""
    try:
        return Marker(text)
    except RecursionError as error:
        raise InvalidMarker("nested too deeply") from error


def parse_requirement(text: str) -> Requirement:
    """Parse a PEP 508 requirement; raises packaging's InvalidRequirement, also for what is nested too deeply."""
    try:
        return Requirement(text)
    except RecursionError as error:
        raise InvalidRequirement("nested too deeply") from error


def both(*texts: str) -> str:
    """Return the marker that holds where all of `texts` hold; empty texts always do."""
    given = [text for text in dict.fromkeys(texts) if text]
    if len(given) < 2:
        return given[0] if given else ""
    return " and ".join(f"({text})" if " or " in text else text for text in given)


def either(*texts: str) -> str:
    """Return the marker that holds where one of `texts` holds; an empty text always does."""
    if not texts or not all(texts):
        return ""
    given = list(dict.fromkeys(texts))
    return given[0] if len(given) == 1 else " or ".join(f"({text})" for text in given)


class MarkerEnvironment:
    """The target's marker environment with extras and groups; remembers what it was asked."""

    def __init__(self, target: Target, *, extras: Collection[str] = (), groups: Collection[str] = ()) -> None:
        self._values: dict[str, str | frozenset[str]] = {
            key: str(value) for key, value in target.marker_environment().items()
        }
        self._values["extras"] = frozenset(extras)
        self._values["dependency_groups"] = frozenset(groups)
        self._known: dict[str, bool] = {"": True}
        self.python = target.python

    def and_extras(self, extras: Collection[str]) -> MarkerEnvironment:
        """Return this environment with `extras` besides its own."""
        other = MarkerEnvironment.__new__(MarkerEnvironment)
        other.python = self.python
        other._values = {**self._values, "extras": frozenset(self._values["extras"]) | frozenset(extras)}
        other._known = {text: known for text, known in self._known.items() if "extra" not in text}
        return other

    def holds(self, text: str, *, place: str) -> bool:
        """Tell whether the marker `text` holds; raises LockError `bad-marker` at `place`."""
        known = self._known.get(text)
        if known is None:
            known = self._known[text] = self._evaluate(text, place)
        return known

    def _evaluate(self, text: str, place: str) -> bool:
        try:
            return parse_marker(set_valued(text)).evaluate(self._values, context="lock_file")
        except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName) as error:
            raise LockError(
                "bad-marker", f"not a marker: {text}", place=place, hint=str(error).splitlines()[0]
            ) from error
