"""Test suites inside packages: which folders are ones. No program imports them, so nobody compiles them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

# What pytest or unittest would collect. Public modules for others' tests (`django.test`) hold none themselves.
_TEST: Final = re.compile(r"(?P<folder>.*?/tests?/)(?:.*/)?(?:test_[^/]*|[^/]*_test|conftest)\.py")


def suite_folders(paths: Iterable[str]) -> frozenset[str]:
    """Return the outermost folders called `test` or `tests` that hold tests, each with a slash at its end."""
    return frozenset(found["folder"] for found in map(_TEST.fullmatch, paths) if found)


def without_suites(paths: Iterable[str]) -> list[str]:
    """Return the paths that lie in no test suite, in order."""
    paths = list(paths)
    suites = tuple(suite_folders(paths))
    return [path for path in paths if not path.startswith(suites)]
