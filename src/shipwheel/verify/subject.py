"""What is checked: an image's evidence with what is known around it. Helpers that several rules share."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from packaging.utils import NormalizedName

from shipwheel.errors import Problem
from shipwheel.locks.model import Lock
from shipwheel.project.model import Project
from shipwheel.verify.evidence import Evidence, FoundSecret
from shipwheel.verify.health import HealthCheck
from shipwheel.verify.installed import Installed
from shipwheel.verify.model import Measurement, Place, Result, Rule

# Less than this is not worth a line in a report.
WORTH_A_LINE: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The image under check; `project` and `lock` where they are known. `name` is what the user called it.

    `lock_problem` says why a project has no lock. `max_size` is the budget in bytes, compressed. `first_party` are the distributions that are the
    user's own. `health` is the image's own health check.
    """

    name: str
    evidence: Evidence
    installed: Installed
    project: Project | None = None
    lock: Lock | None = None
    lock_problem: Problem | None = None
    max_size: int | None = None
    first_party: frozenset[NormalizedName] = field(default_factory=frozenset)
    health: HealthCheck | None = None

    @property
    def no_lock(self) -> str:
        """Why there is no lock to compare with."""
        if self.lock_problem is not None:
            return self.lock_problem.message
        return "no project with a lock was given (--project)"

    def place(self, path: str, *, detail: str = "", size: bool = False) -> Place:
        """Return the visible `path` (no leading slash) as evidence, with its layer and its package."""
        node = self.evidence.visible[path]
        owner = self.installed.owner(path)
        return Place(
            path=f"/{path}",
            layer=node.layer,
            size=node.size if size and node.kind == "file" else None,
            package=None if owner is None else f"{owner.name} {owner.version}",
            detail=detail,
        )

    def is_visible(self, secret: FoundSecret) -> bool:
        """Whether the file that a secret was found in is seen in the end."""
        node = self.evidence.visible.get(secret.path)
        return node is not None and node.source == secret.source


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """Rules that one function looks into; it is not called when none of them is asked for."""

    rules: Sequence[Rule]
    check: Callable[[Subject], Iterator[Result]]


def count(number: int, one: str, many: str | None = None) -> str:
    """Return `1 file`, `2 files`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def measured_text(item: Measurement) -> str:
    """Return what was measured for people: `0.42 s, 1.3 kB pushed: how`, or why it was not."""
    if item.reason:
        return f"Not measured, because {item.reason}"
    parts = [] if item.seconds is None else [f"{item.seconds:.2f} s"]
    parts += [] if item.size is None else [f"{size_text(item.size)} pushed"]
    return ", ".join(parts) + (f": {item.detail}" if item.detail else "")


def size_text(size: int) -> str:
    """Return bytes for people, in units of 1000: `19.3 MB`."""
    if size < 1000:
        return f"{size} B"
    for unit, scale in (("kB", 1e3), ("MB", 1e6)):
        if size < scale * 999.95:
            return f"{size / scale:.1f} {unit}"
    return f"{size / 1e9:.1f} GB"


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether `path` fits one of the shell `patterns`; `*` crosses slashes."""
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def total(places: Sequence[Place]) -> int:
    """Return the bytes of `places`."""
    return sum(place.size or 0 for place in places)
