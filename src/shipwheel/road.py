"""The Dockerfile road: a plan that a Dockerfile can be rendered from, and the files made of it.

What the native road leaves open is decided here: the tool that installs, what it is made of by hash, the
build context, and an image to stand on. `render` turns it into text, `engine.build` builds it.
"""

from __future__ import annotations

import importlib.metadata
import os
import posixpath
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from shipwheel.assemble.workshop import Workshop
from shipwheel.base.debian.suites import suite_named
from shipwheel.base.model import DebianBase, ImageBase
from shipwheel.errors import NetworkError, ProjectError
from shipwheel.lockfile import FILE, PinnedImage, ShipwheelLock, write_lockfile
from shipwheel.locks.find import find_lock
from shipwheel.locks.model import Lock, LockKind, Selected, Selection
from shipwheel.locks.pdm_fresh import pdm_members
from shipwheel.locks.read import read_lock
from shipwheel.oci.model import Platform
from shipwheel.oci.reference import Reference
from shipwheel.pipeline import Planned, Request, plan
from shipwheel.plan.base import plan_footing
from shipwheel.plan.model import BuildPlan, DockerfilePlan, Installer, PlannedMember, PlannedPins
from shipwheel.project.model import Project
from shipwheel.sources.ensure import system_of
from shipwheel.target import Target
from shipwheel.wheel.pins import BuildPin, BuildSystem
from shipwheel.wheel.tools import pin_tools

_INSTALLERS: Final[dict[LockKind, Installer]] = {
    "poetry": "poetry",
    "uv": "uv",
    "pylock": "uv",
    "pdm": "pdm",
    "pipenv": "pipenv",
    "requirements": "pip",
}
# pipx makes environments with uv where it has it: five times as fast as with pip.
_LAUNCHER: Final = ("pipx[uv]",)
# What installs a wheel, what some back-ends need to link one to its source, and TOML for older Pythons.
_WHEEL_TOOLS: Final = ("installer", "editables", 'tomli ; python_version < "3.11"')
# PDM 2.29 admits newer ones, and cannot download with them.
_KNOWN_BAD: Final[dict[Installer, tuple[str, ...]]] = {"pdm": ("hishel<2", "unearth<0.19")}
_SERVICES: Final = {
    "postgres": ("psycopg", "psycopg2", "psycopg2-binary", "psycopg-binary", "asyncpg", "pg8000"),
    "redis": ("redis", "valkey", "aioredis", "hiredis"),
}
_DEV_REQUIREMENTS: Final = ("requirements-dev.txt", "dev-requirements.txt", "requirements.dev.txt")


def plan_dockerfile(request: Request, workshop: Workshop, *, unpinned: bool = False) -> BuildPlan:
    """Plan for the first platform asked for, with all that a Dockerfile needs; completes shipwheel.lock.

    `unpinned` takes a base that cannot be looked up by its tag. Raises what `plan` raises, ProjectError
    `no-image-for-dockerfile`, and NetworkError.
    """
    planned = plan(replace(request, platforms=request.platforms[:1]), workshop)[0]
    project = workshop.project
    kind, lock_path = find_lock(project.root, project.settings.lock)
    installer = _INSTALLERS[kind]
    lock = read_lock(lock_path, kind, project)
    ship_lock, image = _image(planned.lock, workshop, unpinned=unpinned)
    targets = _targets(ship_lock)
    pins = _Pins(ship_lock, targets, workshop, locked=request.locked)
    tool_requires = _tool_requires(installer, lock, project)
    tool = pins.take(tool_requires, _KNOWN_BAD.get(installer, ())) if tool_requires else None
    launcher = pins.take(_LAUNCHER) if installer in ("poetry", "pdm", "pipenv") else None
    wheel_tools = pins.take(_WHEEL_TOOLS)
    if pins.lock != planned.lock:
        write_lockfile(project.root / FILE, pins.lock)
    context = _context(project, planned.members, lock_path, kind)
    systems = _build_systems(planned, project)
    hints = planned.plan.hints
    if planned.plan.slim is not None:
        hints = (
            *hints,
            "[tool.shipwheel.slim] is for images made without a Dockerfile: packages are whole here",
        )
    return replace(
        planned.plan,
        hints=hints,
        slim=None,
        dockerfile=DockerfilePlan(
            image=image[0],
            digest=image[1],
            installer=installer,
            lock_kind=kind,
            context=_relative(context, project.root) or ".",
            folder=_relative(project.root, context),
            lock=_relative(lock_path, context),
            manifests=tuple(sorted(set(_manifests(project, lock_path, kind, context)))),
            launcher=launcher,
            tool=tool,
            wheel_tools=wheel_tools,
            build_systems=tuple(_pins_of(system) for system in systems),
            members=_members(planned, context, systems),
            packages=tuple(sorted(project.settings.base.packages)),
            build_packages=tuple(sorted(project.settings.base.build_packages)),
            dev_packages=tuple(sorted(project.settings.dockerfile.dev_packages)),
            groups=_names(request.selection, project, "groups"),
            extras=_names(request.selection, project, "extras"),
            dev_requirements=_dev_requirements(project, context) if installer == "pip" else None,
            sudo=project.settings.dockerfile.sudo,
            test=_test(project, lock),
            services=_services(planned.selected),
        ),
    )


def _image(
    ship_lock: ShipwheelLock, workshop: Workshop, *, unpinned: bool
) -> tuple[ShipwheelLock, tuple[str, str | None]]:
    """Return the image to stand on with its digest: the native base, or the official one for its Python."""
    base, wanted = ship_lock.base, workshop.project.settings.dockerfile.image
    if wanted is None and isinstance(base, ImageBase) and base.kind == "registry":
        reference, _, _ = base.reference.partition("@")
        return ship_lock, (reference, base.digest)
    if wanted is None:
        if not isinstance(base, DebianBase):
            raise ProjectError(
                "no-image-for-dockerfile",
                "a Dockerfile cannot stand on an OCI layout",
                place="pyproject.toml [tool.shipwheel.base] layout",
                hint='name an image: [tool.shipwheel.dockerfile] image = "registry.example/python:3.13-slim"',
            )
        suite = suite_named(base.suite)
        wanted = f"python:{suite.python}-slim-{suite.name}"
    name, _, digest = wanted.partition("@")
    if digest:
        return ship_lock, (name, digest)
    if ship_lock.image is not None and ship_lock.image.reference == wanted:
        return ship_lock, (wanted, ship_lock.image.digest)
    if unpinned:
        return ship_lock, (wanted, None)
    found = _look_up(wanted, workshop)
    return replace(ship_lock, image=PinnedImage(reference=wanted, digest=found)), (wanted, found)


def _look_up(image: str, workshop: Workshop) -> str:
    from shipwheel.oci.registry.pull import resolve

    try:
        return str(resolve(workshop.registry, Reference.parse(image)).digest)
    except NetworkError as error:
        way_out = (
            "name one that can be reached, [tool.shipwheel.dockerfile] image, or take the tag: --unpinned"
        )
        raise NetworkError(
            error.code, f"the base image {image} cannot be looked up: {error.problems[0].message}",
            place=error.problems[0].place, hint=way_out,
        ) from error  # fmt: skip


def _targets(ship_lock: ShipwheelLock) -> list[Target]:
    return [
        plan_footing(ship_lock.base, Platform.parse(item.platform)).target
        for item in ship_lock.base.platforms
    ]


class _Pins:
    """Tools by hash, from shipwheel.lock or resolved now; `lock` is the file with what was added."""

    def __init__(
        self, lock: ShipwheelLock, targets: Sequence[Target], workshop: Workshop, *, locked: bool
    ) -> None:
        self.lock = lock
        self._targets = targets
        self._workshop = workshop
        self._locked = locked

    def take(self, requires: Sequence[str], within: Sequence[str] = ()) -> PlannedPins:
        """Return the pins for `requires`, the first of which gives the version, `within` these limits."""
        wanted = (*requires, *within)
        found = self.lock.tool(wanted, self._targets[0].python_minor)
        if found is None:
            self._workshop.progress.said(f"pinning {', '.join(requires)}")
            found = pin_tools(wanted, self._targets, self._workshop.project, self._workshop.builder)
            others = tuple(item for item in self.lock.tools if _first(item.requires) != _first(requires))
            self.lock = replace(self.lock, tools=(*others, found))
        name = _first(requires)
        version = next(pin.version for pin in found.pins if pin.name == name)
        return PlannedPins(
            requires=tuple(requires), version=version, requirements=tuple(map(_requirement, found.pins))
        )


def _first(requires: Sequence[str]) -> str:
    return re.split(r"[=\[<>;@ ]", requires[0])[0]


def _requirement(pin: BuildPin) -> str:
    marker = f" ; {pin.marker}" if pin.marker else ""
    return f"{pin.name}=={pin.version}{marker} {' '.join(f'--hash={value}' for value in pin.hashes)}"


def _tool_requires(installer: Installer, lock: Lock, project: Project) -> tuple[str, ...]:
    plugins = project.settings.dockerfile.plugins
    match installer:
        case "poetry":
            made = re.search(r"\d+(\.\d+)+\S*", lock.info.created_by)
            # Locks before Poetry 1.4 do not say who made them; any newer Poetry reads them.
            return (f"poetry=={made[0]}" if made else "poetry", *plugins)
        case "uv":
            return (f"uv=={importlib.metadata.version('uv')}",)
        case "pdm" | "pipenv":
            return (installer, *plugins)
        case "pip":
            return ()


def _context(project: Project, members: Sequence[Project], lock_path: Path, kind: LockKind) -> Path:
    folders = [project.root, lock_path.parent, *(member.root for member in members)]
    if kind == "uv":
        folders += _uv_members(lock_path)
    return Path(os.path.commonpath([folder.resolve() for folder in folders]))


def _manifests(project: Project, lock_path: Path, kind: LockKind, context: Path) -> Iterator[str]:
    yield _relative(lock_path, context)
    match kind:
        case "poetry":
            yield _relative(project.pyproject, context)
        case "pdm":
            # PDM's hash of a workspace is one over those of its members.
            for folder in (project.root, *pdm_members(project.root, project.data)):
                yield _relative(folder / "pyproject.toml", context)
        case "pipenv":
            yield _relative(lock_path.parent / "Pipfile", context)
        case "uv":
            yield from (_relative(folder / "pyproject.toml", context) for folder in _uv_members(lock_path))
            yield _relative(lock_path.parent / "pyproject.toml", context)
        case "requirements":
            yield from (_relative(path, context) for path in _included(lock_path))
            if (dev := _dev_requirements(project, context)) is not None:
                yield from (_relative(path, context) for path in _included(context / dev))
        case _:
            return


def _included(path: Path) -> Iterator[Path]:
    """Yield a requirements file and those that it names with -r or -c."""
    yield path
    for found in re.finditer(
        r"(?m)^\s*(?:-r|-c|--requirement|--constraint)[ =]\s*(\S+)", path.read_text("utf-8")
    ):
        yield from _included((path.parent / found[1]).resolve())


def _uv_members(lock_path: Path) -> list[Path]:
    """Return the folders that a uv.lock names as sources of its own."""
    data: dict[str, Any] = tomllib.loads(lock_path.read_text("utf-8"))
    sources = (package.get("source", {}) for package in data.get("package", ()))
    paths = (source.get(key) for source in sources for key in ("editable", "virtual", "directory"))
    return sorted({(lock_path.parent / path).resolve() for path in paths if path is not None})


def _build_systems(planned: Planned, project: Project) -> list[BuildSystem]:
    found: list[BuildSystem] = []
    for member in planned.members:
        if not member.package_mode:
            continue
        system = system_of(member, planned.lock)
        if system is None:
            raise ProjectError(
                "no-back-end", f"{member.title} has no pinned build system", place=str(project.root)
            )
        if system not in found:
            found.append(system)
    return found


def _pins_of(system: BuildSystem) -> PlannedPins:
    return PlannedPins(
        requires=tuple(sorted({*system.requires, *system.extra})),
        version=system.pins[0].version if system.pins else "",
        requirements=tuple(map(_requirement, system.pins)),
    )


def _members(planned: Planned, context: Path, systems: Sequence[BuildSystem]) -> tuple[PlannedMember, ...]:
    def number_of(member: Project) -> int | None:
        system = system_of(member, planned.lock) if member.package_mode else None
        return None if system is None else systems.index(system)

    return tuple(
        PlannedMember(
            name=member.title, folder=_relative(member.root, context), build_system=number_of(member)
        )
        for member in planned.members
    )


def _names(selection: Selection, project: Project, what: str) -> tuple[str, ...]:
    chosen = selection.groups if what == "groups" else selection.extras
    settings = project.settings.groups if what == "groups" else project.settings.extras
    return tuple(sorted({*map(str, chosen), *settings}))


def _dev_requirements(project: Project, context: Path) -> str | None:
    for name in _DEV_REQUIREMENTS:
        if (project.root / name).is_file():
            return _relative(project.root / name, context)
    return None


def _test(project: Project, lock: Lock) -> tuple[str, ...]:
    if project.settings.dockerfile.test is not None:
        return project.settings.dockerfile.test
    if any(package.name == "pytest" for package in lock.packages):
        return ("python", "-m", "pytest")
    return ("python", "-m", "unittest", "discover")


def _services(selected: Sequence[Selected]) -> tuple[str, ...]:
    names = {str(item.name) for item in selected}
    return tuple(service for service, clients in _SERVICES.items() if names & set(clients))


def _relative(path: Path, start: Path) -> str:
    text = os.path.relpath(path.resolve(), start.resolve()).replace(os.sep, posixpath.sep)
    return "" if text == "." else text
