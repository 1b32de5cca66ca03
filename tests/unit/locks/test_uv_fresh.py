"""A uv.lock of a workspace and edits of its project: what `uv lock --check` (0.13) calls stale is stale here.

tests/conformance/test_lock_freshness.py asks uv itself about these edits and more.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.locks import uv_lock, uv_package
from shipwheel.errors import LockError, ProjectError
from shipwheel.locks.fresh import check_fresh
from shipwheel.locks.read import read_lock
from shipwheel.project.reader import read_project

BUILD = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
ROOT = """[project]
name = "app"
version = "1"
requires-python = ">=3.11"
dependencies = ["idna>=3,<4", "lib-a", "beside"]
[project.optional-dependencies]
old = ["iniconfig==1.1.1"]
new = ["iniconfig==2.0.0"]
[dependency-groups]
dev = ["colorama", {include-group = "lint"}]
lint = ["attrs>=22"]
[tool.uv]
constraint-dependencies = ["attrs<30"]
build-constraint-dependencies = ["hatchling<2"]
conflicts = [[{extra = "old"}, {extra = "new"}], [{group = "lint"}, {extra = "old"}]]
environments = ["sys_platform == 'linux'"]
dependency-metadata = [{name = "never", version = "1", requires-dist = ["idna>=2"]}]
[tool.uv.workspace]
members = ["packages/*"]
exclude = ["packages/out"]
[tool.uv.sources]
lib-a = {workspace = true}
beside = {path = "libs/beside"}
"""
MEMBER = """[project]
name = "lib-a"
dynamic = ["version"]
requires-python = ">=3.10"
dependencies = ["certifi"]
[project.optional-dependencies]
x = ["lib-a[y]"]
y = ["colorama"]
[dependency-groups]
dev = ["colorama"]
"""
BESIDE = '[project]\nname = "beside"\nversion = "1"\ndependencies = ["colorama"]\n'
# The member's metadata is as its back-end told it: the extra x of the extra y is resolved.
LOCK = uv_lock(
    uv_package(
        "app",
        "1",
        source='{ virtual = "." }',
        more="""[package.metadata]
requires-dist = [
    { name = "beside", directory = "libs/beside" },
    { name = "idna", specifier = ">=3,<4" },
    { name = "iniconfig", marker = "extra == 'new'", specifier = "==2.0.0" },
    { name = "iniconfig", marker = "extra == 'old'", specifier = "==1.1.1" },
    { name = "lib-a", editable = "packages/a" },
]
provides-extras = ["old", "new"]
[package.metadata.requires-dev]
dev = [{ name = "attrs", specifier = ">=22" }, { name = "colorama" }]
lint = [{ name = "attrs", specifier = ">=22" }]
""",
    ),
    uv_package(
        "lib-a",
        None,
        source='{ editable = "packages/a" }',
        more="""[package.metadata]
requires-dist = [
    { name = "certifi" },
    { name = "colorama", marker = "extra == 'x'" },
    { name = "colorama", marker = "extra == 'y'" },
]
provides-extras = ["x", "y"]
[package.metadata.requires-dev]
dev = [{ name = "colorama" }]
""",
    ),
    uv_package(
        "beside",
        "1",
        source='{ directory = "libs/beside" }',
        more='[package.metadata]\nrequires-dist = [{ name = "colorama" }]\n',
    ),
    uv_package("idna", "3.7"),
    more="""supported-markers = ["sys_platform == 'linux'"]
conflicts = [
    [{ package = "app", extra = "new" }, { package = "app", extra = "old" }],
    [{ package = "app", extra = "old" }, { package = "app", group = "lint" }],
    [{ package = "app", extra = "old" }, { package = "app", group = "dev" }],
]
[manifest]
members = ["app", "lib-a"]
constraints = [{ name = "attrs", specifier = "<30" }]
build-constraints = [{ name = "hatchling", specifier = "<2" }]
[[manifest.dependency-metadata]]
name = "never"
version = "1"
requires-dist = ["idna>=2"]
""",
).replace("revision = 3", "revision = 5")
FILES = {
    "pyproject.toml": ROOT,
    "packages/a/pyproject.toml": MEMBER + BUILD,
    "packages/out/pyproject.toml": '[project]\nname = "out"\n',
    "libs/beside/pyproject.toml": BESIDE + BUILD,
    "uv.lock": LOCK,
}


def staleness(tmp_path: Path, files: dict[str, str], folder: str = ".") -> str | None:
    """What is said to differ; None for a fresh lock."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    project = read_project(tmp_path / folder)
    try:
        check_fresh(read_lock(tmp_path / "uv.lock", "uv", project), project)
    except LockError as error:
        assert error.code == "stale-lock", str(error)
        return str(error).splitlines()[0].partition("as it is: ")[2]
    return None


def edited(before: str, after: str, file: str = "pyproject.toml") -> dict[str, str]:
    assert before in FILES[file]
    return {**FILES, file: FILES[file].replace(before, after, 1)}


@pytest.mark.parametrize("folder", [".", "packages/a"])
def test_a_workspace_is_fresh_seen_from_its_root_and_from_a_member(tmp_path: Path, folder: str) -> None:
    assert staleness(tmp_path, FILES, folder) is None


@pytest.mark.parametrize(
    ("before", "after", "file"),
    [
        ('"libs/beside"', '"./libs/beside"', "pyproject.toml"),
        ('members = ["packages/*"]', 'members = ["packages/a"]', "pyproject.toml"),
        ('{extra = "old"}, {extra = "new"}', '{extra = "new"}, {extra = "old"}', "pyproject.toml"),
        ("[tool.uv]\n", '[tool.uv]\nresolution = "highest"\ndefault-groups = ["dev"]\n', "pyproject.toml"),
        ("[tool.uv]\n", '[tool.uv]\ncompile-bytecode = true\nindex-url = "https://index.example/simple"\n', "pyproject.toml"),
        (">=3.10", ">=3.9", "packages/a/pyproject.toml"),
        ('["idna>=2"]', '["Idna >= 2"]', "pyproject.toml"),
        ("sys_platform == 'linux'", "'linux' == sys_platform", "pyproject.toml"),
    ],
)  # fmt: skip
def test_what_says_the_same_leaves_a_workspace_fresh(
    tmp_path: Path, before: str, after: str, file: str
) -> None:
    assert staleness(tmp_path, edited(before, after, file)) is None


@pytest.mark.parametrize(
    ("before", "after", "file", "difference"),
    [
        ("[tool.uv]\n", '[tool.uv]\nresolution = "lowest"\n', "pyproject.toml", "[tool.uv] resolution: it was made with highest"),
        ("[tool.uv]\n", '[tool.uv]\nprerelease = "allow"\n', "pyproject.toml", "[tool.uv] prerelease: it was made with if-necessary-or-explicit"),
        ("[tool.uv]\n", '[tool.uv]\nexclude-newer = "7 days"\n', "pyproject.toml", "[tool.uv] exclude-newer: it was made with none"),
        ("[tool.uv]\n", '[tool.uv]\nexclude-dependencies = ["idna"]\n', "pyproject.toml", "[tool.uv] exclude-dependencies differ"),
        ("[tool.uv]\n", '[tool.uv]\ndefault-groups = "all"\n', "pyproject.toml", "[tool.uv] default-groups differ"),
        ("[tool.uv]\n", "[tool.uv]\npackage = true\n", "pyproject.toml", "app is locked as virtual, and is editable now"),
        ("[tool.uv]\n", '[tool.uv]\nindex = [{url = "https://other.example/simple", default = true}]\n', "pyproject.toml", "it has packages of https://index.example/simple, which is no index of the project"),
        ("hatchling<2", "hatchling<3", "pyproject.toml", "[tool.uv] build-constraint-dependencies: the project asks for hatchling in another way"),
        ('[{group = "lint"}, {extra = "old"}]', "", "pyproject.toml", "[tool.uv] conflicts differ"),
        ("\"sys_platform == 'linux'\"", "\"sys_platform == 'linux'\", \"sys_platform == 'darwin'\"", "pyproject.toml", "[tool.uv] environments: the project asks for others"),
        ("[tool.uv]\n", "[tool.uv]\nrequired-environments = [\"sys_platform == 'linux'\"]\n", "pyproject.toml", "[tool.uv] required-environments: the project asks for others"),
        ("idna>=2", "idna>=1", "pyproject.toml", "[tool.uv] dependency-metadata differs"),
        ('exclude = ["packages/out"]', "", "pyproject.toml", "the workspace's members differ: out"),
        ("lint = [", "docs = []\nlint = [", "pyproject.toml", "the groups differ: docs"),
        ("old = [", "none = []\nold = [", "pyproject.toml", "the project's extras differ: none"),
        ('"libs/beside"}', '"libs/beside", editable = true}', "pyproject.toml", "the project asks for beside in another way"),
        (">=3.10", ">=3.12", "packages/a/pyproject.toml", "it is for Python >=3.11, the project for >=3.11,>=3.12"),
        ('"certifi"', '"attrs"', "packages/a/pyproject.toml", "lib-a: attrs is not in it"),
        ('dev = ["colorama"]', 'dev = ["attrs"]', "packages/a/pyproject.toml", "lib-a: group dev: attrs is not in it"),
        ('dynamic = ["version"]', 'version = "1"', "packages/a/pyproject.toml", "lib-a: its version is no longer dynamic"),
        ('"colorama"', '"attrs"', "libs/beside/pyproject.toml", "beside: attrs is not in it"),
        ('version = "1"', 'version = "2"', "libs/beside/pyproject.toml", "beside: it has version 1, the project is 2"),
    ],
)  # fmt: skip
def test_an_edit_anywhere_in_a_workspace_makes_its_lock_stale(
    tmp_path: Path, before: str, after: str, file: str, difference: str
) -> None:
    assert staleness(tmp_path, edited(before, after, file)) == difference


def test_a_uv_toml_beside_stands_for_the_settings_in_pyproject(tmp_path: Path) -> None:
    settings = 'dependency-metadata = [{name = "never", version = "1", requires-dist = ["idna>=2"]}]\n'
    assert staleness(tmp_path, {**FILES, "uv.toml": settings}) is None
    changed = {**FILES, "uv.toml": settings + 'fork-strategy = "fewest"\n'}
    assert staleness(tmp_path, changed) == "[tool.uv] fork-strategy: it was made with requires-python"


@pytest.mark.parametrize(
    ("asked", "locked", "fresh"),
    [
        ('"7 days"', 'exclude-newer = "0001-01-01T00:00:00Z"\nexclude-newer-span = "P7D"', True),
        ('"1 week"', 'exclude-newer = "0001-01-01T00:00:00Z"\nexclude-newer-span = "P7D"', True),
        ('"8 days"', 'exclude-newer = "0001-01-01T00:00:00Z"\nexclude-newer-span = "P7D"', False),
        ('"2026-01-01"', 'exclude-newer = "2026-01-02T05:00:00Z"', True),
        ('"2026-01-01"', 'exclude-newer = "2026-02-02T05:00:00Z"', False),
        ('"2026-01-02T05:00:00Z"', 'exclude-newer = "2026-01-02T06:00:00+01:00"', True),
        ('"7 days"', 'exclude-newer = "2026-01-02T05:00:00Z"', False),
    ],
)
def test_an_upper_date_counts_in_every_form(tmp_path: Path, asked: str, locked: str, fresh: bool) -> None:
    files = edited("[tool.uv]\n", f"[tool.uv]\nexclude-newer = {asked}\n")
    files["uv.lock"] = LOCK.replace("[manifest]\n", f"[options]\n{locked}\n[manifest]\n")
    assert (staleness(tmp_path, files) is None) is fresh


def test_a_member_that_cannot_be_read_is_told_by_its_own_file(tmp_path: Path) -> None:
    broken = {**FILES, "packages/a/pyproject.toml": "[project\n"}
    with pytest.raises(ProjectError) as caught:
        staleness(tmp_path, broken)
    assert (caught.value.code, caught.value.problems[0].place) == (
        "invalid-toml",
        "packages/a/pyproject.toml:1",
    )
    with pytest.raises(ProjectError, match="not a requirement") as caught:
        staleness(tmp_path, edited('"certifi"', '"certifi >"', "packages/a/pyproject.toml"))
    assert caught.value.problems[0].place == "packages/a/pyproject.toml [project.dependencies]"
