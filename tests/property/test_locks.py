"""What holds for every lock: order says nothing, one version of a name, PEP 751 says the same."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.pylock import Pylock

from helpers.locks import (
    ALPINE,
    ARM,
    DEBIAN,
    INDEX,
    pdm_lock,
    pdm_package,
    poetry_lock,
    poetry_package,
    project_at,
    read_text_as,
    selection,
    source_text,
    target_for,
    uv_lock,
    uv_package,
)
from shipwheel.errors import LockError
from shipwheel.locks.export import to_pylock
from shipwheel.locks.model import Lock, Selection
from shipwheel.locks.pylock import parse_pylock
from shipwheel.locks.select import select_packages
from shipwheel.project.model import Project
from shipwheel.target import Target

NAMES = ("a", "b", "c", "d", "e")
TARGETS = (DEBIAN, ALPINE, ARM, target_for("3.11.4"))
MARKERS = (
    "",
    "sys_platform == 'win32'",
    "python_version >= '3.12'",
    "python_full_version < '3.13.5'",
    "platform_machine == 'x86_64' or sys_platform == 'darwin'",
)
WANTED = (
    selection(),
    selection(extras=["fast"]),
    selection(all_extras=True),
    selection(groups=["dev"]),
    selection(only=["dev"]),
)


@dataclass(frozen=True)
class Edge:
    name: str
    version: str
    marker: str
    extra: bool


edges = st.lists(
    st.builds(
        Edge, st.sampled_from(NAMES), st.sampled_from(("1.0", "2.0")), st.sampled_from(MARKERS), st.booleans()
    ),
    max_size=3,
)


@st.composite
def uv_locks(draw: st.DrawFn) -> list[str]:
    """The packages of a uv.lock: the project, and both versions of every name, with any wishes."""
    table = "\n".join(
        [
            "[package.optional-dependencies]",
            f"fast = [{', '.join(map(_uv_edge, draw(edges)))}]",
            "[package.dev-dependencies]",
            f"dev = [{', '.join(map(_uv_edge, draw(edges)))}]",
        ]
    )
    packages = [
        uv_package("app", source='{ virtual = "." }', needs=list(map(_uv_edge, draw(edges))), more=table)
    ]
    for name in NAMES:
        for version in ("1.0", "2.0"):
            extra = f"[package.optional-dependencies]\nx = [{', '.join(map(_uv_edge, draw(edges)))}]\n"
            needs = list(map(_uv_edge, draw(edges)))
            packages.append(uv_package(name, version, needs=needs, more=extra))
    return packages


def _uv_edge(edge: Edge) -> str:
    parts = [
        f'name = "{edge.name}", version = "{edge.version}", source = {{ registry = "{INDEX}" }}',
        'extra = ["x"]' if edge.extra else "",
        f'marker = "{edge.marker}"' if edge.marker else "",
    ]
    return f"{{ {', '.join(part for part in parts if part)} }}"


@st.composite
def poetry_locks(draw: st.DrawFn) -> list[str]:
    """The packages of a poetry.lock 2.1 with any groups and markers."""
    groups = st.sampled_from((["main"], ["dev"], ["main", "dev"]))
    marker = st.sampled_from((*MARKERS, "extra == 'fast'", "extra == 'fast' and os_name == 'posix'"))
    return [
        poetry_package(name, version, groups=draw(groups), markers=f'"{draw(marker)}"')
        for name in NAMES
        for version in draw(st.sampled_from((["1.0"], ["1.0", "2.0"])))
    ]


@st.composite
def pdm_locks(draw: st.DrawFn) -> list[str]:
    """The packages of a pdm.lock with any groups and markers, and entries for an extra."""
    groups = st.sampled_from((["default"], ["dev"], ["default", "fast"], ["fast"]))
    found = []
    for name in NAMES:
        found.append(
            pdm_package(name, groups=draw(groups), marker=draw(st.sampled_from(MARKERS)).replace("'", '"'))
        )
        if draw(st.booleans()):
            needs = [f"{name}==1.0", draw(st.sampled_from(NAMES))]
            found.append(pdm_package(name, groups=draw(groups), extras=["x"], needs=needs))
    return found


def outcome(lock: Lock, target: Target, wanted: Selection) -> list[str] | str:
    """What is selected, with files and who asks for it; or the code of the refusal."""
    try:
        found = select_packages(lock, target, wanted)
    except LockError as error:
        return error.code
    assert len({one.name for one in found}) == len(found), "two versions of one name"
    assert [one.name for one in found] == sorted(one.name for one in found)
    return [f"{one.name} {one.version} {source_text(one)}" for one in found]


def outcomes(lock: Lock) -> list[list[str] | str]:
    return [outcome(lock, target, wanted) for target in TARGETS for wanted in WANTED]


PROJECT = (
    '[project]\nname = "app"\n[project.optional-dependencies]\nfast = []\n[dependency-groups]\ndev = []\n'
)


def read(name: str, text: str) -> Lock:
    with tempfile.TemporaryDirectory() as folder:
        return read_text_as(name, text, project_at(Path(folder), PROJECT))


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_the_order_of_packages_says_nothing(data: st.DataObject) -> None:
    packages = data.draw(st.one_of(uv_locks(), poetry_locks(), pdm_locks()))
    shuffled = data.draw(st.permutations(packages))
    name, writer = _writer(packages)
    assert outcomes(read(name, writer(packages))) == outcomes(read(name, writer(shuffled)))


@settings(deadline=None, max_examples=60)
@given(packages=st.one_of(uv_locks(), poetry_locks(), pdm_locks()))
def test_pep_751_says_the_same(packages: list[str]) -> None:
    name, writer = _writer(packages)
    lock = read(name, writer(packages))
    located = to_pylock(
        lock,
        locate=lambda package: [
            file._replace(url=f"https://files.example/{file.name}") for file in package.files
        ],
    )
    document = tomllib.loads(tomli_w.dumps(located.to_dict()))
    Pylock.from_dict(document)
    again = parse_pylock(
        document, Path("pylock.toml"), Project(root=Path(), data={}, name=None, version=None)
    )
    assert outcomes(again) == outcomes(lock)


def _writer(packages: list[str]) -> tuple[str, Callable[[Sequence[str]], str]]:
    """Return the lock's file name and what writes the packages into one."""
    if "groups" not in packages[0]:
        return "uv.lock", lambda some: uv_lock(*some)
    if "optional = false" in packages[0]:
        return "poetry.lock", lambda some: poetry_lock(*some, extras='fast = ["a"]')
    return "pdm.lock", lambda some: pdm_lock(*some, groups=["default", "dev", "fast"])
