"""Whatever stands in a project's files, only our errors come out: with code and place, never a traceback."""

import copy
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shipwheel.errors import ShipwheelError
from shipwheel.lockfile import ShipwheelLock, read_lockfile, render_lockfile
from shipwheel.locks.fresh import check_fresh
from shipwheel.locks.read import read_lock
from shipwheel.project.reader import read_project
from shipwheel.testing.projects import poetry_project
from shipwheel.testing.wheels import make_wheel
from shipwheel.wheel.build import BackEnd
from shipwheel.wheel.pins import BuildPin, BuildSystem
from unit.test_lockfile import DEBIAN

COW = make_wheel("cow", "1.0")
SHEEP = make_wheel("sheep", "2.0", requires=["cow"])
SETTINGS = """
[tool.shipwheel]
env = { A = "b" }
ports = ["80"]
user = { uid = 1000, gid = 1001, name = "x" }
[tool.poetry.extras]
wool = ["sheep"]
"""
LOCK = render_lockfile(
    ShipwheelLock(
        base=DEBIAN,
        build_systems=(
            BuildSystem(requires=("a",), pins=(BuildPin(name="a", version="1", hashes=("sha256:00",)),)),
        ),
    )
)
VALUES = st.one_of(
    st.sampled_from(
        ["", "*", "^1", ">=", "sha256:", "../..", "\0", "python_version <", "[", "git+https://x"]
    ),
    st.integers(-1, 2),
    st.floats(),
    st.booleans(),
    st.lists(st.one_of(st.text(max_size=3), st.integers(), st.just({})), max_size=2),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    st.text(max_size=5),
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value inside `value`."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*path, key)
        yield from paths(item, (*path, key))


def damaged(draw: st.DrawFn, text: str) -> str:
    """Return the document with one value replaced or removed."""
    data = copy.deepcopy(tomllib.loads(text))
    path = draw(st.sampled_from(list(paths(data))))
    holder: Any = data
    for key in path[:-1]:
        holder = holder[key]
    if draw(st.booleans()):
        holder[path[-1]] = draw(VALUES)
    else:
        del holder[path[-1]]
    return tomli_w.dumps(data)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), style=st.sampled_from(["project", "poetry"]))
def test_a_damaged_project_is_read_or_refused(tmp_path: Path, data: st.DataObject, style: Any) -> None:
    root = poetry_project(
        tmp_path / style,
        ["cow", "sheep"],
        wheels=[COW, SHEEP],
        groups={"dev": ["cow"]},
        style=style,
        extra=SETTINGS,
    )
    name = data.draw(st.sampled_from(["pyproject.toml", "poetry.lock"]))
    (root / name).write_text(data.draw(st.composite(damaged)((root / name).read_text())))

    try:
        project = read_project(root)
        BackEnd.of(project.data)
        check_fresh(read_lock(root / "poetry.lock", "poetry", project), project)
    except ShipwheelError as error:
        assert all(problem.code and problem.place for problem in error.problems)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_shipwheel_lock_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "shipwheel.lock"
    path.write_text(data.draw(st.composite(damaged)(LOCK)))

    try:
        read_lockfile(path)
    except ShipwheelError as error:
        assert all(problem.code and problem.place for problem in error.problems)
