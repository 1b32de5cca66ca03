"""Every value of a lock and of its project, made wrong in every way: what is refused names its file and key.

Exhaustive: each value of a valid project is in turn removed and replaced by values of other types and by
texts that mean nothing, and everything that reads it is run.
"""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from helpers.locks import DEBIAN, digest, selection
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
FILE = "sha256:" + digest("file")
URL = "https://files.example/a-1.0-py3-none-any.whl"
POETRY = {
    "pyproject.toml": """
[tool.poetry]
name = "app"
version = "1"
[tool.poetry.dependencies]
python = ">=3.11"
a = {version = "^1", extras = ["x"], markers = "os_name == 'posix'", python = ">=3.8", platform = "linux"}
b = [{version = "1.0", optional = true}]
[tool.poetry.extras]
more = ["b"]
[tool.poetry.group.dev]
include-groups = ["docs"]
[tool.poetry.group.dev.dependencies]
c = "*"
[tool.poetry.group.docs.dependencies]
d = {git = "https://git.example/d.git"}
""",
}
POETRY_LOCK = f"""
[[package]]
name = "a"
version = "1.0"
optional = false
python-versions = ">=3.8"
groups = ["main"]
markers = "os_name == 'posix'"
files = [{{file = "a-1.0-py3-none-any.whl", hash = "{FILE}"}}]
[package.dependencies]
b = {{version = ">=1", optional = true, markers = "extra == 'x'"}}
[package.extras]
x = ["b (>=1)"]
[[package]]
name = "b"
version = "1.0"
optional = true
python-versions = "*"
groups = ["main", "dev"]
markers = {{main = "extra == 'more'"}}
files = [{{file = "b-1.0.tar.gz", hash = "{FILE}"}}]
[package.source]
type = "legacy"
url = "https://index.example/simple"
reference = "own"
[[package]]
name = "c"
version = "1.0"
optional = false
python-versions = "*"
groups = ["dev"]
files = [{{file = "c-1.0.whl", hash = "{FILE}"}}]
[package.source]
type = "url"
url = "https://files.example/c-1.0.whl"
[[package]]
name = "d"
version = "1.0"
optional = false
python-versions = "*"
groups = ["docs"]
files = []
develop = false
[package.source]
type = "git"
url = "https://git.example/d.git"
reference = "main"
resolved_reference = "{"0" * 40}"
[extras]
more = ["b"]
[metadata]
lock-version = "VERSION"
python-versions = ">=3.11"
content-hash = "0"
"""
OLD_POETRY_LOCK = """
[[package]]
name = "a"
version = "1.0"
category = "main"
optional = false
python-versions = "*"
marker = "os_name == 'posix'"
[package.dependencies]
b = ">=1"
[[package]]
name = "b"
version = "1.0"
category = "main"
optional = false
python-versions = "*"
[[package]]
name = "c"
version = "1.0"
category = "dev"
optional = false
python-versions = "*"
[package.dependencies.b]
version = "*"
python = ">=3.8"
[[package]]
name = "d"
version = "1.0"
category = "dev"
optional = false
python-versions = "*"
[metadata]
content-hash = "0"
python-versions = "*"
[metadata.TABLE]
a = [A]
b = [B]
c = []
d = []
"""
PROJECT = """
[project]
name = "app"
version = "1"
requires-python = ">=3.11"
dependencies = ["a[x]>=1; os_name == 'posix'"]
[project.optional-dependencies]
more = ["b"]
[dependency-groups]
dev = ["c", {include-group = "docs"}]
docs = ["d"]
"""
UV = {
    "pyproject.toml": PROJECT
    + """
[tool.uv]
constraint-dependencies = ["a<2"]
override-dependencies = ["b>0"]
build-constraint-dependencies = ["e"]
exclude-dependencies = ["z"]
environments = ["sys_platform == 'linux'"]
required-environments = ["sys_platform == 'linux'"]
conflicts = [[{extra = "more"}, {group = "docs"}]]
default-groups = ["dev"]
dev-dependencies = ["e"]
dependency-metadata = [{name = "z", version = "1", requires-dist = ["a"], requires-python = ">=3"}]
exclude-newer = "2026-01-01"
exclude-newer-package = {a = "2026-01-01"}
resolution = "highest"
index = [{name = "own", url = "https://index.example/simple", explicit = true}]
find-links = ["links"]
[tool.uv.sources]
b = [{index = "own", marker = "os_name == 'posix'"}]
m = {workspace = true}
d = {git = "https://git.example/d.git", rev = "main"}
[tool.uv.dependency-groups]
dev = {requires-python = ">=3.11"}
[tool.uv.workspace]
members = ["members/*"]
exclude = ["members/out"]
""",
    "members/m/pyproject.toml": """
[project]
name = "m"
dynamic = ["version"]
dependencies = ["a"]
[tool.uv.sources]
a = {index = "own", group = "g", extra = "e"}
""",
}
UV_LOCK = f"""
version = 1
revision = 5
requires-python = ">=3.11"
resolution-markers = ["sys_platform == 'linux'"]
supported-markers = ["sys_platform == 'linux'"]
required-markers = ["sys_platform == 'linux'"]
conflicts = [
    [{{package = "app", extra = "more"}}, {{package = "app", group = "docs"}}],
    [{{package = "app", extra = "more"}}, {{package = "app", group = "dev"}}],
]
[options]
exclude-newer = "2026-01-02T00:00:00Z"
exclude-newer-package = {{a = "2026-01-02T00:00:00Z"}}
[manifest]
members = ["app", "m"]
constraints = [{{name = "a", specifier = "<2"}}]
overrides = [{{name = "b", specifier = ">0"}}]
build-constraints = [{{name = "e"}}]
excludes = ["z"]
dependency-metadata = [{{name = "z", version = "1", requires-dist = ["a"], requires-python = ">=3"}}]
[[package]]
name = "app"
version = "1"
source = {{virtual = "."}}
dependencies = [{{name = "a", extra = ["x"], marker = "os_name == 'posix'"}}]
[package.optional-dependencies]
more = [{{name = "b", version = "1.0", source = {{registry = "https://index.example/simple"}}}}]
[package.dev-dependencies]
dev = [{{name = "c"}}, {{name = "d"}}, {{name = "e"}}]
docs = [{{name = "d"}}]
[package.metadata]
requires-dist = [{{name = "a", extras = ["x"], specifier = ">=1", marker = "os_name == 'posix'"}}, {{name = "b", marker = "extra == 'more'", index = "https://index.example/simple"}}]
provides-extras = ["more"]
[package.metadata.requires-dev]
dev = [{{name = "c"}}, {{name = "d", git = "https://git.example/d.git?rev=main"}}, {{name = "e"}}]
docs = [{{name = "d", git = "https://git.example/d.git?rev=main"}}]
[[package]]
name = "m"
source = {{editable = "members/m"}}
dependencies = [{{name = "a"}}]
[package.metadata]
requires-dist = [{{name = "a"}}]
[[package]]
name = "a"
version = "1.0"
source = {{registry = "https://index.example/simple"}}
resolution-markers = ["sys_platform == 'linux'"]
wheels = [{{url = "{URL}", hash = "{FILE}", size = 1, upload-time = "2026-01-01T00:00:00Z"}}]
[package.optional-dependencies]
x = [{{name = "b"}}]
[[package]]
name = "b"
version = "1.0"
source = {{registry = "https://index.example/simple"}}
sdist = {{url = "https://files.example/b-1.0.tar.gz", hash = "{FILE}"}}
[[package]]
name = "c"
version = "1.0"
source = {{url = "https://files.example/c-1.0-py3-none-any.whl"}}
wheels = [{{url = "https://files.example/c-1.0-py3-none-any.whl", hash = "{FILE}"}}]
[[package]]
name = "d"
version = "1.0"
source = {{git = "https://git.example/d.git?rev=main#{"0" * 40}"}}
[[package]]
name = "e"
version = "1.0"
source = {{path = "e-1.0-py3-none-any.whl"}}
wheels = [{{filename = "e-1.0-py3-none-any.whl", hash = "{FILE}"}}]
"""
PDM = {
    "pyproject.toml": PROJECT
    + """
[tool.pdm]
source = [{name = "own", url = "https://index.example/simple", type = "index", include_packages = ["b"]}]
[tool.pdm.dev-dependencies]
old = ["-e file:///${PROJECT_ROOT}/e#egg=e"]
[tool.pdm.resolution.overrides]
a = ">=1"
[tool.pdm.workspace]
members = ["members/*"]
""",
    "members/m/pyproject.toml": '[project]\nname = "m"\n',
}
PDM_LOCK = f"""
[metadata]
groups = ["default", "dev", "docs", "more", "old"]
strategy = [STRATEGY]
lock_version = "4.5.0"
content_hash = "sha256:0"
[[metadata.targets]]
requires_python = ">=3.11"
platform = "manylinux_2_17_x86_64"
implementation = "cpython"
[[package]]
name = "a"
version = "1.0"
requires_python = ">=3"
groups = ["default"]
marker = "os_name == 'posix'"
dependencies = ["b>=1; os_name == 'posix'"]
files = [{{file = "a-1.0-py3-none-any.whl", hash = "{FILE}"}}]
[[package]]
name = "a"
version = "1.0"
extras = ["x"]
groups = ["default"]
dependencies = ["a==1.0", "b"]
files = [{{url = "{URL}", hash = "{FILE}"}}]
[[package]]
name = "b"
version = "1.0"
groups = ["default", "more"]
files = [{{file = "b-1.0.tar.gz", hash = "{FILE}"}}]
[[package]]
name = "c"
version = "1.0"
groups = ["dev"]
url = "https://files.example/c-1.0-py3-none-any.whl"
files = [{{url = "https://files.example/c-1.0-py3-none-any.whl", hash = "{FILE}"}}]
[[package]]
name = "d"
version = "1.0"
groups = ["dev", "docs"]
git = "https://git.example/d.git"
ref = "main"
revision = "{"0" * 40}"
subdirectory = "x"
[[package]]
name = "e"
version = "1.0"
groups = ["old"]
path = "./e"
editable = true
"""
PDM_INPUTS = """
[metadata.lock_inputs.project]
requires-python = ">=3.11"
sources = []
[metadata.lock_inputs.project.resolution.overrides]
a = ">=1"
[metadata.lock_inputs.project.groups]
default = ["a[x]; os_name == \\"posix\\""]
[metadata.lock_inputs.workspace."members/m"]
requires-python = ""
[metadata.lock_inputs.workspace."members/m".groups]
default = []
"""
PYLOCK = f"""
lock-version = "1.0"
created-by = "somebody"
requires-python = ">=3.11"
environments = ["sys_platform == 'linux'"]
extras = ["more"]
dependency-groups = ["dev", "default"]
default-groups = ["default"]
[[packages]]
name = "a"
version = "1.0"
requires-python = ">=3"
marker = "os_name == 'posix'"
index = "https://index.example/simple"
dependencies = [{{name = "b", version = "1.0"}}]
wheels = [{{name = "a-1.0-py3-none-any.whl", url = "{URL}", size = 1, upload-time = 2026-01-01T00:00:00Z, hashes = {{sha256 = "{digest("a")}"}}}}]
[[packages]]
name = "b"
version = "1.0"
marker = "'more' in extras"
sdist = {{path = "b-1.0.tar.gz", hashes = {{sha256 = "{digest("b")}"}}}}
[[packages]]
name = "c"
marker = "'dev' in dependency_groups"
directory = {{path = "c", editable = true, subdirectory = "x"}}
[[packages]]
name = "d"
vcs = {{type = "git", url = "https://git.example/d.git", requested-revision = "main", commit-id = "{"0" * 40}", subdirectory = "x"}}
[[packages]]
name = "e"
archive = {{url = "https://files.example/e.zip", size = 1, hashes = {{sha256 = "{digest("e")}"}}}}
[tool.pdm.hashes]
sha256 = "0"
"""
PIPFILE = """
[[source]]
url = "https://index.example/simple"
name = "own"
[packages]
a = "*"
[dev-packages]
c = {version = ">=1", extras = ["x"]}
[requires]
python_version = "3.13"
"""
PIPFILE_LOCK = json.dumps(
    {
        "_meta": {
            "hash": {"sha256": "0"},
            "pipfile-spec": 6,
            "requires": {"python_version": "3.13"},
            "sources": [{"name": "own", "url": "https://index.example/simple", "verify_ssl": True}],
        },
        "default": {
            "a": {"version": "==1.0", "hashes": [FILE], "index": "own", "markers": "os_name == 'posix'"},
            "d": {"git": "https://git.example/d.git", "ref": "0" * 40, "subdirectory": "x"},
        },
        "develop": {
            "c": {"file": "https://files.example/c.zip", "hashes": [FILE]},
            "e": {"path": "./e", "editable": True},
        },
    }
)


@dataclass(frozen=True)
class Family:
    """A project's files besides the lock, the lock's name, and its text."""

    files: Mapping[str, str]
    lock: str
    text: str


FAMILIES = {
    "poetry 2.1": Family(POETRY, "poetry.lock", POETRY_LOCK.replace("VERSION", "2.1")),
    "poetry 2.0": Family(POETRY, "poetry.lock", POETRY_LOCK.replace("VERSION", "2.0")),
    "poetry 1.0": Family(
        POETRY,
        "poetry.lock",
        OLD_POETRY_LOCK.replace("TABLE", "files")
        .replace("[A]", f'[{{file = "a-1.0-py3-none-any.whl", hash = "{FILE}"}}]')
        .replace("[B]", f'[{{file = "b-1.0.tar.gz", hash = "{FILE}"}}]'),
    ),
    "poetry before 1.0": Family(
        POETRY,
        "poetry.lock",
        OLD_POETRY_LOCK.replace("TABLE", "hashes")
        .replace("[A]", f'["{digest("a")}"]')
        .replace("[B]", f'["{digest("b")}"]'),
    ),
    "uv": Family(UV, "uv.lock", UV_LOCK),
    "pdm": Family(PDM, "pdm.lock", PDM_LOCK.replace("STRATEGY", '"inherit_metadata"')),
    "pdm without groups": Family(PDM, "pdm.lock", PDM_LOCK.replace("STRATEGY", "") + PDM_INPUTS),
    "pylock": Family({"pyproject.toml": PROJECT}, "pylock.toml", PYLOCK),
    "pipenv": Family({"pyproject.toml": PROJECT, "Pipfile": PIPFILE}, "Pipfile.lock", PIPFILE_LOCK),
}
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
