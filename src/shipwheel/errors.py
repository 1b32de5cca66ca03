"""Every error a user can meet. Imports nothing of ours; prints nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong: what (`code`, `message`), where (`place`), and the way out (`hint`).

    `code` is stable and kebab-case. `place` is a file with a line or key, an image, or an address
    without credentials.
    """

    code: str
    message: str
    place: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        lines = [f"error[{self.code}]: {self.message}"]
        if self.place is not None:
            lines.append(f"  --> {self.place}")
        if self.hint is not None:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


class ShipwheelError(Exception):
    """Base of all errors: one or more problems of one family. `exit_code` tells the family apart."""

    exit_code: ClassVar[int] = 70

    def __init__(self, code: str, message: str, *, place: str | None = None, hint: str | None = None) -> None:
        self.problems: tuple[Problem, ...] = (Problem(code=code, message=message, place=place, hint=hint),)
        super().__init__(code, message)

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> ShipwheelError:
        """Return one error that carries all of `problems` (at least one), in their order."""
        first = problems[0]
        error = cls(first.code, first.message, place=first.place, hint=first.hint)
        error.problems = tuple(problems)
        return error

    @property
    def code(self) -> str:
        """The first problem's code."""
        return self.problems[0].code

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class UsageError(ShipwheelError):
    """The command line asks for what cannot be (exit 2)."""

    exit_code = 2


class ProjectError(ShipwheelError):
    """`pyproject.toml`, its configuration or the project's files are wrong (exit 3)."""

    exit_code = 3


class LockError(ShipwheelError):
    """A lock file is missing, stale, unreadable or contradicts itself (exit 4)."""

    exit_code = 4


class NetworkError(ShipwheelError):
    """An index, mirror or registry cannot be reached or refuses (exit 5)."""

    exit_code = 5


class IntegrityError(ShipwheelError):
    """Bytes are not what was locked, signed or promised (exit 6)."""

    exit_code = 6


class TargetError(ShipwheelError):
    """What is locked does not exist for the target's Python or platform (exit 7)."""

    exit_code = 7


class HostError(ShipwheelError):
    """This machine lacks a tool, a permission or disk space (exit 8)."""

    exit_code = 8


class BuildError(ShipwheelError):
    """A build back-end or a compiler failed (exit 9)."""

    exit_code = 9


class ImageError(ShipwheelError):
    """An image, layout or archive is malformed (exit 10)."""

    exit_code = 10
