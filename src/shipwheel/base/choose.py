"""Decide what an image stands on: configured, else Debian for the project's Python, else an official image.

Pure; nothing is looked up here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from shipwheel.base.debian.suites import SUITES
from shipwheel.base.model import Base, DebianBase
from shipwheel.errors import ProjectError
from shipwheel.project.model import Project

# Newest first, after the stable Debian release that brings its own Python; 3.14 is still Debian testing's.
_DEBIAN: Final = ("trixie", "bookworm")
_OFFICIAL: Final = ("3.13", "3.12", "3.14", "3.11", "3.10", "3.9")


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseChoice:
    """What to lock: a Debian `suite`, a registry reference, or a layout's path; and who said so.

    `python` is the minor version it brings, as far as it is known beforehand. `because` tells why
    nothing of Debian's served, where an official image is the way out.
    """

    kind: Literal["debian", "registry", "layout"]
    name: str
    source: str
    python: str | None = None
    because: str | None = None


def choose_base(project: Project, *, mirror_known: bool) -> BaseChoice:
    """Return the base for `project`; `mirror_known` tells whether Debian packages can be had.

    Raises ProjectError `no-base-for-python`, `two-bases`, `unknown-suite`.
    """
    settings = project.settings.base
    named = {"image": settings.image, "layout": settings.layout, "suite": settings.suite}
    given = [key for key, value in named.items() if value]
    if len(given) > 1:
        raise ProjectError(
            "two-bases",
            f"{' and '.join(given)} both name a base",
            place="pyproject.toml [tool.shipwheel.base]",
            hint="keep one of them",
        )
    if settings.image:
        return BaseChoice(kind="registry", name=settings.image, source="[tool.shipwheel.base] image")
    if settings.layout:
        return BaseChoice(kind="layout", name=settings.layout, source="[tool.shipwheel.base] layout")
    if settings.suite:
        from shipwheel.base.debian.suites import suite_named

        suite = suite_named(settings.suite)
        return BaseChoice(
            kind="debian", name=suite.name, source="[tool.shipwheel.base] suite", python=suite.python
        )
    return _by_python(project, mirror_known)


def matches_lock(choice: BaseChoice, base: Base, packages: tuple[str, ...]) -> bool:
    """Tell whether the locked `base` is what `choice` asks for, with these extra packages."""
    if isinstance(base, DebianBase):
        return choice.kind == "debian" and base.suite == choice.name and tuple(base.requested) == packages
    return base.kind == choice.kind and base.reference == choice.name


def check_python(project: Project, version: str, *, place: str) -> None:
    """Raise ProjectError `python-not-admitted` unless the project admits the base's full Python version."""
    wanted = project.settings.python
    if wanted is not None and version != wanted and not version.startswith(f"{wanted}."):
        raise ProjectError(
            "python-not-admitted",
            f"the base has Python {version}, not {wanted}",
            place="pyproject.toml [tool.shipwheel] python",
            hint="name a base that has it: [tool.shipwheel.base] image",
        )
    if not project.python.admits(version):
        raise ProjectError(
            "python-not-admitted",
            f"the base has Python {version}, and the project asks for {project.python.text}",
            place=project.python.place or place,
            hint="choose another base: [tool.shipwheel] python, or [tool.shipwheel.base] image",
        )


def _by_python(project: Project, mirror_known: bool) -> BaseChoice:
    wanted = project.settings.python
    source = "[tool.shipwheel] python" if wanted else project.python.place or "default"

    def admitted(minor: str) -> bool:
        if wanted is not None:
            return wanted == minor or wanted.startswith(f"{minor}.")
        # Which patch release there will be is not known yet: the locked one is checked in the end.
        return any(project.python.admits(f"{minor}.{patch}") for patch in (0, 2, 5, 9, 99))

    for name in _DEBIAN if mirror_known else ():
        if admitted(SUITES[name].python):
            return BaseChoice(kind="debian", name=name, source=source, python=SUITES[name].python)
    because = "no Debian mirror is known here"
    if mirror_known:
        debian = " and ".join(SUITES[name].python for name in _DEBIAN)
        because = f"Debian brings Python {debian}, and the project asks for {wanted or project.python.text}"
    for minor in _OFFICIAL:
        if admitted(minor):
            name = f"python:{wanted or minor}-slim"
            return BaseChoice(kind="registry", name=name, source=source, python=minor, because=because)
    raise ProjectError(
        "no-base-for-python",
        f"no base has a Python that {wanted or project.python.text} admits",
        place=source,
        hint=f"Debian brings 3.13 and 3.11, official images {', '.join(sorted(_OFFICIAL))}; "
        "or name one yourself: [tool.shipwheel.base] image",
    )
