"""Is a lock stale after an edit? What `uv lock --check`, `pdm lock --check` and `poetry check --lock` say, we say.

Each edit is made to a project that the tool has just locked. The tools ask the real index.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from helpers.lock_corpus import run_tool
from shipwheel.errors import LockError
from shipwheel.locks.find import find_lock
from shipwheel.locks.fresh import check_fresh
from shipwheel.locks.read import read_lock
from shipwheel.project.reader import read_project

pytestmark = [pytest.mark.conformance, pytest.mark.network]
HEAD = '[project]\nname = "{name}"\nversion = "1"\nrequires-python = ">=3.11"\n'
BUILD = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'


@dataclass(frozen=True)
class Edit:
    """A change of one file: `before` becomes `after`; without `before`, `after` is the whole new file."""

    title: str
    after: str
    before: str = ""
    file: str = "pyproject.toml"

    def make(self, root: Path) -> None:
        path = root / self.file
        if self.before:
            text = path.read_text()
            assert self.before in text, self.title
            path.write_text(text.replace(self.before, self.after, 1))
        elif self.after:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.after)
        else:
            shutil.rmtree(path.parent)


def sub(title: str, before: str, after: str, file: str = "pyproject.toml") -> Edit:
    return Edit(title, after, before, file)


@dataclass(frozen=True)
class Place:
    """A project's files, and the edits that are tried on it."""

    files: Mapping[str, str]
    edits: tuple[Edit, ...] = field(default=())


def lay_out(place: Place, root: Path) -> None:
    for name, text in place.files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def is_fresh(root: Path) -> bool:
    project = read_project(root)
    kind, path = find_lock(root)
    try:
        check_fresh(read_lock(path, kind, project), project)
    except LockError as error:
        assert error.code == "stale-lock", str(error)
        return False
    return True


def differences(
    place: Place, tmp_path: Path, lock: Callable[[Path], object], check: Callable[[Path], bool]
) -> list[str]:
    """Return the edits about which the tool and we do not agree."""
    locked = tmp_path / "locked"
    lay_out(place, locked)
    lock(locked)
    assert check(locked)
    assert is_fresh(locked)
    wrong = []
    stale = 0
    for number, edit in enumerate(place.edits):
        root = tmp_path / str(number)
        shutil.copytree(locked, root)
        edit.make(root)
        theirs, ours = check(root), is_fresh(root)
        stale += not theirs
        if theirs != ours:
            wrong.append(f"{edit.title}: the tool says {_word(theirs)}, we say {_word(ours)}")
    # The table tries both.
    assert 0 < stale < len(place.edits)
    return wrong


def _word(fresh: bool) -> str:
    return "fresh" if fresh else "stale"


UV = Place(
    {
        "pyproject.toml": HEAD.format(name="app")
        + 'dependencies = ["idna>=3,<4", "lib-a", "beside", "sniffio; python_version < \'3.12\'"]\n'
        "[project.optional-dependencies]\n"
        'old = ["iniconfig==1.1.1"]\nnew = ["iniconfig==2.0.0"]\n'
        "[dependency-groups]\n"
        'dev = ["colorama", {include-group = "lint"}]\nlint = ["attrs>=22"]\n'
        "[tool.uv]\n"
        'constraint-dependencies = ["attrs<30"]\noverride-dependencies = ["colorama>=0.4"]\n'
        'build-constraint-dependencies = ["hatchling<2"]\n'
        'conflicts = [[{extra = "old"}, {extra = "new"}]]\n'
        "environments = [\"sys_platform == 'linux'\", \"sys_platform == 'darwin'\"]\n"
        "required-environments = [\"sys_platform == 'linux'\"]\n"
        'dependency-metadata = [{name = "never", version = "1", requires-dist = []}]\n'
        '[tool.uv.workspace]\nmembers = ["packages/*"]\nexclude = ["packages/out"]\n'
        '[tool.uv.sources]\nlib-a = {workspace = true}\nbeside = {path = "libs/beside"}\n',
        "packages/a/pyproject.toml": HEAD.format(name="lib-a")
        + 'dependencies = ["lib-b", "certifi"]\n'
        "[tool.uv.sources]\nlib-b = {workspace = true}\n" + BUILD,
        "packages/a/lib_a/__init__.py": "",
        "packages/b/pyproject.toml": '[project]\nname = "lib-b"\ndynamic = ["version"]\nrequires-python = ">=3.11"\n'
        'dependencies = ["idna"]\n[project.optional-dependencies]\nx = ["colorama"]\n'
        '[dependency-groups]\ndev = ["colorama"]\n'
        + BUILD
        + '[tool.hatch.version]\npath = "lib_b/__init__.py"\n',
        "packages/b/lib_b/__init__.py": '__version__ = "1"\n',
        "packages/out/pyproject.toml": HEAD.format(name="out"),
        "libs/beside/pyproject.toml": HEAD.format(name="beside") + 'dependencies = ["colorama"]\n' + BUILD,
        "libs/beside/beside/__init__.py": "",
    },
    (
        Edit("a file beside", "nothing\n", file="README"),
        sub("a comment", "[tool.uv]\n", "# nothing\n[tool.uv]\n"),
        sub("another spelling of the specifier", ">=3,<4", "<4, >=3"),
        sub("another specifier", ">=3,<4", ">=3,<5"),
        sub("another marker that says the same", "python_version < '3.12'", "python_full_version < '3.12'"),
        sub("another marker", "'3.12'", "'3.13'"),
        sub("a marker that always holds", '"idna>=3,<4"', "\"idna>=3,<4; python_version >= '3.8'\""),
        sub("a dependency more", '"lib-a", ', '"lib-a", "certifi", '),
        sub("a dependency less", '"lib-a", ', ""),
        sub("the order of dependencies", '"lib-a", "beside"', '"beside", "lib-a"'),
        sub("an extra of a dependency", '"lib-a", ', '"lib-a[y]", '),
        sub("the name spelled otherwise", '"lib-a", ', '"Lib_A", '),
        sub("the version", 'version = "1"', 'version = "2"'),
        sub("the same version in other words", 'version = "1"', 'version = "1.0"'),
        sub("an empty extra more", "[dependency-groups]", "none = []\n[dependency-groups]"),
        sub("an extra renamed", "new = [", "newer = ["),
        sub("a group more", "lint = [", 'docs = ["idna"]\nlint = ['),
        sub("an empty group more", "lint = [", "docs = []\nlint = ["),
        sub("a group that is included", "attrs>=22", "attrs>=21"),
        sub("requires-python narrower", '">=3.11"', '">=3.12"'),
        sub("requires-python in other words", '">=3.11"', '">=3.11.0"'),
        sub("requires-python bounded above", '">=3.11"', '">=3.11,<4"'),
        sub("a constraint", "attrs<30", "attrs<31"),
        sub("an override", "colorama>=0.4", "colorama>=0.3"),
        sub("a build constraint", "hatchling<2", "hatchling<3"),
        sub("an exclusion", "[tool.uv]\n", '[tool.uv]\nexclude-dependencies = ["certifi"]\n'),
        sub("no conflicts", 'conflicts = [[{extra = "old"}, {extra = "new"}]]', ""),
        sub("another conflict", '{extra = "new"}]]', '{extra = "new"}], [{group = "dev"}, {extra = "old"}]]'),
        sub("the conflict's order", '{extra = "old"}, {extra = "new"}', '{extra = "new"}, {extra = "old"}'),
        sub("an environment less", ", \"sys_platform == 'darwin'\"", ""),
        sub(
            "the environments' order",
            "\"sys_platform == 'linux'\", \"sys_platform == 'darwin'\"",
            "\"sys_platform == 'darwin'\", \"sys_platform == 'linux'\"",
        ),
        sub("no required environment", "required-environments = [\"sys_platform == 'linux'\"]", ""),
        sub("the metadata of a package", 'version = "1", requires-dist', 'version = "2", requires-dist'),
        sub("the resolution", "[tool.uv]\n", '[tool.uv]\nresolution = "lowest-direct"\n'),
        sub("the pre-releases", "[tool.uv]\n", '[tool.uv]\nprerelease = "allow"\n'),
        sub("the fork strategy", "[tool.uv]\n", '[tool.uv]\nfork-strategy = "fewest"\n'),
        sub("the default of both", "[tool.uv]\n", '[tool.uv]\nresolution = "highest"\nprerelease = "if-necessary-or-explicit"\n'),
        sub("an upper date", "[tool.uv]\n", '[tool.uv]\nexclude-newer = "2026-01-01T00:00:00Z"\n'),
        sub("a setting that resolves nothing", "[tool.uv]\n", "[tool.uv]\ncompile-bytecode = true\n"),
        sub("a package instead of a virtual project", "[tool.uv]\n", "[tool.uv]\npackage = true\n"),
        sub("default groups", "[tool.uv]\n", '[tool.uv]\ndefault-groups = ["lint"]\n'),
        sub("a source's path", '"libs/beside"', '"./libs/beside"'),
        sub("a source that is editable", '"libs/beside"', '"libs/beside", editable = true'),
        sub("a source that nobody uses", "lib-a = {workspace = true}", 'lib-a = {workspace = true}\nother = {path = "x"}'),
        sub("a member excluded", '"packages/out"', '"packages/out", "packages/b"'),
        sub("a member no longer excluded", '"packages/out"', ""),
        sub("the same members by name", '"packages/*"', '"packages/a", "packages/b"'),
        Edit("a new member", HEAD.format(name="new"), file="packages/new/pyproject.toml"),
        Edit("a folder without project among the members", "nothing\n", file="packages/.hidden/README"),
        sub("a member's dependency", '"certifi"', '"certifi", "attrs"', "packages/a/pyproject.toml"),
        sub("a member's version", 'version = "1"', 'version = "2"', "packages/a/pyproject.toml"),
        sub("a member's Python", ">=3.11", ">=3.12", "packages/a/pyproject.toml"),
        sub("a member's extra", 'x = ["colorama"]', 'x = ["colorama", "attrs"]', "packages/b/pyproject.toml"),
        sub("a member's group", 'dev = ["colorama"]', 'dev = ["attrs"]', "packages/b/pyproject.toml"),
        sub("a member's dynamic version", '"1"', '"2"', "packages/b/lib_b/__init__.py"),
        sub("a member's version no longer dynamic", 'dynamic = ["version"]', 'version = "1"', "packages/b/pyproject.toml"),
        sub("a member's version now dynamic", 'version = "1"', 'dynamic = ["version"]', "packages/a/pyproject.toml"),
        sub("a member that is no package", BUILD, "", "packages/a/pyproject.toml"),
        sub("a member's source", "workspace = true", 'path = "../b"', "packages/a/pyproject.toml"),
        sub("a path dependency's dependency", '"colorama"', '"attrs"', "libs/beside/pyproject.toml"),
        sub("a path dependency's version", 'version = "1"', 'version = "2"', "libs/beside/pyproject.toml"),
        sub("a path dependency's group", "[build-system]", '[dependency-groups]\ndev = ["idna"]\n[build-system]', "libs/beside/pyproject.toml"),
    ),
)  # fmt: skip


# A uv whose locks have no revision yet, and what it did not know. Today's uv judges its locks, too.
OLD_UV = "uv@0.5.31"
NEWER = (
    "no required environment",
    "a build constraint",
    "an exclusion",
    "an empty group more",
    "default groups",
)
UNKNOWN = (
    "required-environments = [\"sys_platform == 'linux'\"]\n",
    'build-constraint-dependencies = ["hatchling<2"]\n',
)


def before_revisions(place: Place) -> Place:
    text = place.files["pyproject.toml"]
    for line in UNKNOWN:
        text = text.replace(line, "")
    edits = tuple(edit for edit in place.edits if edit.title not in NEWER)
    return Place({**place.files, "pyproject.toml": text}, edits)


def _succeeds(tool: str, arguments: list[str], root: Path) -> bool:
    try:
        run_tool(tool, arguments, root)
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("writer", ["uv", OLD_UV])
def test_uv_finds_stale_what_we_find_stale(writer: str, tmp_path: Path) -> None:
    place = UV if writer == "uv" else before_revisions(UV)
    assert (
        differences(
            place,
            tmp_path,
            lambda root: run_tool(writer, ["lock", "-q"], root),
            lambda root: _succeeds("uv", ["lock", "--check", "-q"], root),
        )
        == []
    )
