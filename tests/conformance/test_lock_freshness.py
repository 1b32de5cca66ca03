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
from shipwheel.wheel.indexes import default_url

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


PDM_EDITS = (
    Edit("a file beside", "nothing\n", file="README"),
    sub("a comment", "[tool.pdm]\n", "# nothing\n[tool.pdm]\n"),
    sub("another specifier", ">=3,<4", ">=3,<5"),
    sub("a specifier that excludes what is locked", ">=3,<4", "<3"),
    sub("another spelling of the specifier", ">=3,<4", "<4, >=3"),
    sub("another marker", "'3.12'", "'3.13'"),
    sub("a marker in other quotes", "'3.12'", '\\"3.12\\"'),
    sub("a dependency more", '"idna>=3,<4"', '"idna>=3,<4", "certifi"'),
    sub("a dependency less", ", \"sniffio; python_version < '3.12'\"", ""),
    sub("the order of dependencies", '"idna>=3,<4", "anyio"', '"anyio", "idna>=3,<4"'),
    sub("a name in capitals", '"anyio"', '"AnyIO"'),
    sub("the version", 'version = "1"', 'version = "2"'),
    sub("the description", 'version = "1"', 'version = "1"\ndescription = "x"'),
    sub("another extra", "fast = [", 'none = ["idna"]\nfast = ['),
    sub("an empty extra more", "fast = [", "none = []\nfast = ["),
    sub("a group more", "lint = [", 'docs = ["idna"]\nlint = ['),
    sub("a group's requirement", "attrs>=22", "attrs>=21"),
    sub("a group in capitals", "lint = [", "Lint = ["),
    sub("a development group of the old kind", "[tool.pdm]\n", '[tool.pdm]\ndev-dependencies = {more = ["idna"]}\n'),
    sub("requires-python", '">=3.11"', '">=3.12"'),
    sub("requires-python in other words", '">=3.11"', '">=3.11.0"'),
    sub("an override", 'certifi = ">2000"', 'certifi = ">2020"'),
    sub("an exclusion", "[tool.pdm.resolution]\n", '[tool.pdm.resolution]\nexcludes = ["idna"]\n'),
    sub("pre-releases", "[tool.pdm.resolution]\n", "[tool.pdm.resolution]\nallow-prereleases = true\n"),
    sub("a source", "[tool.pdm]\n", '[tool.pdm]\nsource = [{name = "x", url = "https://index.example/simple"}]\n'),
    sub("a script", "[tool.pdm]\n", '[tool.pdm]\nscripts = {x = "y"}\n'),
)  # fmt: skip
PDM_HEAD = HEAD.format(name="app") + (
    'dependencies = ["idna>=3,<4", "anyio", "sniffio; python_version < \'3.12\'"]\n'
    '[project.optional-dependencies]\nfast = ["iniconfig"]\n'
    '[dependency-groups]\ndev = ["colorama", {include-group = "lint"}]\nlint = ["attrs>=22"]\n'
    "[tool.pdm]\ndistribution = false\n"
    '[tool.pdm.resolution]\noverrides = {certifi = ">2000"}\n'
)
PDM = {
    "a project": Place({"pyproject.toml": PDM_HEAD}, PDM_EDITS),
    "a workspace": Place(
        {
            "pyproject.toml": PDM_HEAD + '[tool.pdm.workspace]\nmembers = ["packages/*", "one"]\n',
            "packages/a/pyproject.toml": HEAD.format(name="lib-a")
            + 'dependencies = ["certifi"]\n[dependency-groups]\ndev = ["colorama"]\n'
            + BUILD,
            "packages/a/lib_a/__init__.py": "",
            "one/pyproject.toml": HEAD.format(name="one") + 'dependencies = ["idna"]\n' + BUILD,
            "one/one/__init__.py": "",
        },
        (
            *PDM_EDITS,
            sub("a member's dependency", '"certifi"', '"certifi", "attrs"', "packages/a/pyproject.toml"),
            sub("a member's group", "colorama", "attrs", "packages/a/pyproject.toml"),
            sub("a member's version", 'version = "1"', 'version = "2"', "packages/a/pyproject.toml"),
            sub("a member's Python", ">=3.11", ">=3.12", "one/pyproject.toml"),
            sub("the same members by name", '"packages/*"', '"packages/a"'),
            sub("a member twice", '"packages/*"', '"packages/*", "packages/a"'),
            sub("a member less", ', "one"', ""),
            Edit("a new member", HEAD.format(name="new"), file="packages/new/pyproject.toml"),
            Edit("a folder that is no member", "nothing\n", file="packages/new/README"),
            Edit("a member that is gone", "", file="one/pyproject.toml"),
        ),
    ),
}


PDM["a workspace with lock_inputs"] = Place(
    {
        name: text.replace("[tool.pdm.resolution]\n", "[tool.pdm.resolution]\nlock_inputs = true\n").replace(
            '"anyio", ', '"anyio", "beside @ file:///${PROJECT_ROOT}/libs/beside", '
        )
        for name, text in {
            **PDM["a workspace"].files,
            "libs/beside/pyproject.toml": HEAD.format(name="beside") + 'dependencies = ["idna"]\n' + BUILD,
            "libs/beside/beside/__init__.py": "",
        }.items()
    },
    (
        *(edit for edit in PDM["a workspace"].edits if "order of dep" not in edit.title),
        sub("a path dependency's dependency", '"idna"', '"certifi"', "libs/beside/pyproject.toml"),
        sub("a path dependency's version", 'version = "1"', 'version = "2"', "libs/beside/pyproject.toml"),
    ),
)


@pytest.mark.parametrize("title", PDM)
def test_pdm_finds_stale_what_we_find_stale(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PDM_USE_VENV", "false")
    assert (
        differences(
            PDM[title],
            tmp_path,
            lambda root: run_tool("pdm", ["lock", "-q", "-G", ":all"], root),
            lambda root: _succeeds("pdm", ["lock", "--check"], root),
        )
        == []
    )


POETRY_COMMON = (
    Edit("a file beside", "nothing\n", file="README"),
    sub("a comment", "[tool.poetry]\n", "# nothing\n[tool.poetry]\n"),
    sub("the version", 'version = "1"', 'version = "2"'),
    sub("a script", "[tool.poetry]\n", '[tool.poetry]\nclassifiers = ["x"]\n'),
    sub("a setting of another tool", "[tool.poetry]\n", "[tool.other]\nx = 1\n[tool.poetry]\n"),
    sub("a group more", "[tool.poetry.group.dev", '[tool.poetry.group.docs.dependencies]\nidna = "*"\n[tool.poetry.group.dev'),
    sub("a group's requirement", 'colorama = "*"', 'colorama = ">=0.4"'),
    sub("a group made optional", "[tool.poetry.group.dev", "[tool.poetry.group.dev]\noptional = true\n[tool.poetry.group.dev"),
    sub("the order in a group", 'colorama = "*"\nattrs = "*"', 'attrs = "*"\ncolorama = "*"'),
    sub("a source", "[tool.poetry]\n", '[[tool.poetry.source]]\nname = "x"\nurl = "https://index.example/simple/"\npriority = "explicit"\n[tool.poetry]\n'),
    sub("a development group of the old kind", "[tool.poetry.group.dev", '[tool.poetry.dev-dependencies]\niniconfig = "*"\n[tool.poetry.group.dev'),
    sub("the package mode", "[tool.poetry]\n", "[tool.poetry]\npackage-mode = false\n"),
)  # fmt: skip
POETRY_TABLE = """[tool.poetry]
name = "app"
version = "1"
description = ""
authors = []
[tool.poetry.dependencies]
python = ">=3.11"
idna = "^3"
anyio = {version = ">=4", optional = true}
[tool.poetry.extras]
fast = ["anyio"]
[tool.poetry.group.dev.dependencies]
colorama = "*"
attrs = "*"
"""
POETRY_PROJECT = """[project]
name = "app"
version = "1"
description = ""
requires-python = ">=3.11"
dependencies = ["idna>=3"]
[project.optional-dependencies]
fast = ["anyio>=4"]
[dependency-groups]
lint = ["iniconfig", {include-group = "more"}]
more = ["sniffio"]
[tool.poetry]
[tool.poetry.dependencies]
sniffio = "*"
[tool.poetry.group.dev.dependencies]
colorama = "*"
attrs = "*"
"""
POETRY = {
    "a Poetry table": Place(
        {"pyproject.toml": POETRY_TABLE},
        (
            *POETRY_COMMON,
            sub("a constraint", '"^3"', '"^3.0"'),
            sub("the Python", '">=3.11"', '">=3.12"'),
            sub("an extra", 'fast = ["anyio"]', 'fast = ["anyio"]\nslow = ["anyio"]'),
            sub("an empty table of dependencies in [project]", "[tool.poetry]\n", "[project]\nname = 'app'\n[tool.poetry]\n"),
            sub("dependencies in [project]", "[tool.poetry]\n", "[project]\nname = 'app'\nversion = '1'\ndependencies = ['idna']\n[tool.poetry]\n"),
            sub("a dependency group", "[tool.poetry]\n", "[dependency-groups]\nx = ['idna']\n[tool.poetry]\n"),
        ),
    ),
    "a project table": Place(
        {"pyproject.toml": POETRY_PROJECT},
        (
            *POETRY_COMMON,
            sub("a specifier", "idna>=3", "idna>=2"),
            sub("a specifier in other words", "idna>=3", "idna >= 3"),
            sub("the Python", '">=3.11"', '">=3.12"'),
            sub("an extra", '"anyio>=4"', '"anyio>=3"'),
            sub("an empty extra more", "fast =", "none = []\nfast ="),
            sub("a dependency group", "iniconfig", "iniconfig>=1"),
            sub("an empty dependency group", "more = [", "none = []\nmore = ["),
            sub("what Poetry adds", 'sniffio = "*"', 'sniffio = ">=1"'),
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("writer", "title"),
    [
        ("poetry", "a Poetry table"),
        ("poetry", "a project table"),
        ("poetry@2.1.3", "a project table"),
        ("poetry@1.8.5", "a Poetry table"),
    ],
)
def test_poetry_finds_stale_what_we_find_stale(
    writer: str, title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POETRY_VIRTUALENVS_CREATE", "false")
    # Older Poetry asks the default index in a way that not every mirror answers.
    source = f'[[tool.poetry.source]]\nname = "main"\nurl = "{default_url()}"\n'
    text = POETRY[title].files["pyproject.toml"] + source
    assert (
        differences(
            Place({"pyproject.toml": text}, POETRY[title].edits),
            tmp_path,
            lambda root: run_tool(writer, ["lock", "-q"], root),
            lambda root: _is_fresh_for_poetry(writer, root),
        )
        == []
    )


def _is_fresh_for_poetry(tool: str, root: Path) -> bool:
    # `check` fails for much else, too.
    try:
        run_tool(tool, ["check", "--lock", "--no-ansi"], root)
    except RuntimeError as error:
        return "changed significantly" not in str(error)
    return True
