"""Every value of a lock and of its project, made wrong in every way: what is refused names its file and key.

Exhaustive: each value of a valid project is in turn removed and replaced by values of other types and by
texts that mean nothing, and everything that reads it is run.
"""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from helpers.locks import DEBIAN, selection
from helpers.valid_projects import (
    FAMILIES,
    FILE,
    UV_LOCK,
    Family,
)
from shipwheel.errors import ShipwheelError
from shipwheel.locks.export import to_pylock
from shipwheel.locks.find import find_lock
from shipwheel.locks.fresh import check_fresh
from shipwheel.locks.read import read_lock
from shipwheel.locks.select import select_packages
from shipwheel.project.reader import read_project

FEW: tuple[Any, ...] = (None, "\0 >= [", [[]])
WRONG: tuple[Any, ...] = (
    None,  # taken away
    7,
    True,
    "",
    "\0 >= [",
    "sha256:0",
    "https://[",
    "https://u:secret@[::1/",
    [],
    {},
    [7],
    ["]"],
    [{}],
    [[]],
    {"x": 7},
    {"": {}},
)
# What is wrong with a lock as a whole, or with what was asked of it.
WHOLE = {
    "stale-lock",
    "python-not-locked",
    "platform-not-locked",
    "unknown-group",
    "unknown-extra",
    "choose-package",
    "no-lock",
}
WANTED = (
    selection(),
    selection(all_extras=True),
    selection(groups=["dev"]),
)


def ways(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value inside `value`."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*path, key)
        yield from ways(item, (*path, key))


def damaged(document: dict[str, Any], way: tuple[Any, ...], wrong: Any) -> dict[str, Any]:
    data = copy.deepcopy(document)
    holder: Any = data
    for key in way[:-1]:
        holder = holder[key]
    if wrong is None:
        del holder[way[-1]]
    else:
        holder[way[-1]] = wrong
    return data


def read_everything(root: Path) -> Iterator[ShipwheelError]:
    """Do all that is done with a project's files; yield what is refused."""
    try:
        project = read_project(root)
        kind, path = find_lock(root)
        lock = read_lock(path, kind, project)
    except ShipwheelError as error:
        yield error
        return
    steps: list[Callable[[], object]] = [
        partial(check_fresh, lock, project),
        *(partial(select_packages, lock, DEBIAN, wanted) for wanted in WANTED),
        partial(to_pylock, lock),
    ]
    for step in steps:
        try:
            step()
        except ShipwheelError as error:
            yield error


def without_place(error: ShipwheelError, files: set[str]) -> list[str]:
    """Return the problems that do not name one of the files and a line or key in it."""
    names = "|".join(re.escape(name) for name in sorted(files, key=len, reverse=True))
    exact = re.compile(rf"(?:.*/)?(?:{names})(?::\d+|:? \S.*)")
    whole = re.compile(rf"(?:.*/)?(?:{names}).*|/.*")
    return [
        f"{problem.code} at {problem.place}: {problem.message}"
        for problem in error.problems
        if not (whole if problem.code in WHOLE else exact).fullmatch(problem.place or "")
    ]


@pytest.mark.parametrize("title", FAMILIES)
def test_whatever_is_wrong_is_told_with_its_file_and_key(title: str, tmp_path: Path) -> None:
    assert told_without_place(FAMILIES[title], tmp_path, FEW) == set()


@pytest.mark.conformance
@pytest.mark.parametrize("title", FAMILIES)
def test_however_it_is_wrong_it_is_told_with_its_file_and_key(title: str, tmp_path: Path) -> None:
    assert told_without_place(FAMILIES[title], tmp_path, WRONG) == set()


def told_without_place(family: Family, root: Path, values: Sequence[Any]) -> set[str]:
    """Make each value of the project wrong; return the problems that came without their place."""
    files = {**family.files, family.lock: family.text}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    refused = 0
    missing: set[str] = set()
    for name, text in files.items():
        is_json = name == "Pipfile.lock"
        document = json.loads(text) if is_json else tomllib.loads(text)
        for way in ways(document):
            for wrong in values:
                data = damaged(document, way, wrong)
                (root / name).write_text(json.dumps(data) if is_json else tomli_w.dumps(data))
                try:
                    for error in read_everything(root):
                        refused += 1
                        assert "secret" not in str(error)
                        missing.update(without_place(error, set(files)))
                except Exception as error:
                    raise AssertionError(f"{name} {way} = {wrong!r}") from error
        (root / name).write_text(text)
    assert refused > 100
    return missing


@pytest.mark.parametrize(
    ("lock", "text"),
    [
        ("poetry.lock", "x = " + "{a=" * 3000 + "1" + "}" * 3000),
        ("uv.lock", "x = " + "[" * 3000 + "]" * 3000),
        ("Pipfile.lock", "[" * 100_000),
        ("pyproject.toml", "x = " + "[" * 3000 + "]" * 3000),
        ("requirements.txt", f"a==1 ; {'(' * 3000}os_name == 'x'{')' * 3000} --hash={FILE}"),
        ("uv.lock", UV_LOCK.replace("os_name == 'posix'", "(" * 3000 + "os_name == 'x'" + ")" * 3000)),
    ],
    ids=["poetry.lock", "uv.lock", "Pipfile.lock", "pyproject.toml", "a line", "a marker"],
)
def test_what_is_nested_too_deeply_is_told_with_its_place(lock: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "app"\nversion = "1"\n')
    (tmp_path / lock).write_text(text)
    found = list(read_everything(tmp_path))
    assert found
    assert [problem for error in found for problem in without_place(error, {lock, "pyproject.toml"})] == []


def test_a_long_row_of_blanks_takes_no_time(tmp_path: Path) -> None:
    # With a pattern that looks back for each of them this would not end.
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "app"\nversion = "1"\n')
    (tmp_path / "requirements.txt").write_text(f"a==1.0 {' ' * 1_000_000} --hash={FILE}\n{' #' * 500_000}\n")
    project = read_project(tmp_path)
    (package,) = read_lock(tmp_path / "requirements.txt", "requirements", project).packages
    assert package.hashes == (FILE,)


LINES = {
    "a==1.0 --hash=sha256:0": "bad-hash",
    "a==1.0 --hash=md5:00": "bad-hash",
    f"a>=1.0 --hash={FILE}": "not-locked",
    f"a==1.* --hash={FILE}": "not-locked",
    f"a==x --hash={FILE}": "bad-lock",
    f"a===x --hash={FILE}": "bad-lock",
    "a==1.0": "no-hash",
    f"a==1.0 ; nonsense --hash={FILE}": "bad-lock",
    f"a==1.0 ; python_version --hash={FILE}": "bad-lock",
    f"]] --hash={FILE}": "bad-lock",
    "-r missing.txt": "bad-lock",
    "-r": "bad-lock",
    "-c": "bad-lock",
    "-r .": "bad-lock",
    "-r 'missing": "bad-lock",
    "--unknown-option x": "bad-lock",
    "--": "bad-lock",
    "-": "bad-lock",
    "git+https://git.example/a.git@main": "not-locked",
    "git+https://git.example/a.git": "not-locked",
    "a @ git+https://[::1/a.git": "bad-lock",
    f"https://[/a.whl --hash={FILE}": "bad-lock",
    "a @ https://files.example/a-1.0.whl": "no-hash",
    "-e": "bad-lock",
}


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_requirements_that_is_wrong_is_told_by_its_number(line: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "app"\n')
    (tmp_path / "requirements.txt").write_text(f"# made by hand\nb==1.0 \\\n  --hash={FILE}\n\n{line}\n")
    found = [
        problem
        for error in read_everything(tmp_path)
        for problem in error.problems
        if problem.code != "unknown-group"
    ]
    assert {(problem.code, problem.place) for problem in found} - {
        ("not-expressible", "requirements.txt:2")
    } == {(LINES[line], "requirements.txt:5")}
