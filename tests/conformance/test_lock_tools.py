"""Locks that uv and PDM write today: what they export is what shipwheel selects, and both find the lock fresh.

The projects are small; the tools resolve them against the real index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from packaging.pylock import PackageDirectory
from packaging.utils import canonicalize_name

from helpers.lock_corpus import requirement_pins, run_tool
from helpers.locks import project_at, selection, target_for
from shipwheel.errors import LockError, UsageError
from shipwheel.locks.find import find_lock
from shipwheel.locks.fresh import check_fresh
from shipwheel.locks.model import Selection
from shipwheel.locks.read import read_lock
from shipwheel.locks.select import select_packages

pytestmark = [pytest.mark.conformance, pytest.mark.network]
TARGETS = (target_for("3.11.9"), target_for("3.13.5"))
HEAD = '[project]\nname = "app"\nversion = "1"\nrequires-python = ">=3.11"\n'
BUILD = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'


@dataclass(frozen=True)
class Case:
    """What is selected, in the tool's words and in ours; `refused` where both refuse."""

    arguments: Sequence[str]
    wanted: Selection
    refused: bool = False


@dataclass(frozen=True)
class Workplace:
    """A project's files by path, and the cases that are compared."""

    files: Mapping[str, str]
    cases: Sequence[Case] = field(default_factory=lambda: (Case((), selection()),))


UV = {
    "conflicting extras": Workplace(
        {
            "pyproject.toml": HEAD
            + 'dependencies = ["requests"]\n[project.optional-dependencies]\nold = ["idna==3.6"]\n'
            + 'new = ["idna==3.7"]\nmore = ["app[new]", "colorama"]\n'
            + '[tool.uv]\nconflicts = [[{extra = "old"}, {extra = "new"}], [{extra = "old"}, {extra = "more"}]]\n'
        },
        (
            Case((), selection()),
            Case(("--extra", "old"), selection(extras=["old"])),
            Case(("--extra", "new"), selection(extras=["new"])),
            Case(("--extra", "more"), selection(extras=["more"])),
            Case(("--extra", "new", "--extra", "old"), selection(extras=["new", "old"]), refused=True),
            Case(("--extra", "more", "--extra", "old"), selection(extras=["more", "old"]), refused=True),
        ),
    ),
    "conflicting groups": Workplace(
        {
            "pyproject.toml": HEAD
            + 'dependencies = ["requests"]\n[project.optional-dependencies]\nx = ["idna==3.4"]\n'
            + '[dependency-groups]\na = ["idna==3.6"]\nb = ["idna==3.7", {include-group = "c"}]\nc = ["colorama"]\n'
            + '[tool.uv]\nconflicts = [[{group = "a"}, {group = "b"}, {extra = "x"}]]\n'
        },
        (
            Case(("--group", "a"), selection(groups=["a"])),
            Case(("--group", "b"), selection(groups=["b"])),
            Case(("--only-group", "b"), selection(only=["b"])),
            Case(("--extra", "x", "--group", "c"), selection(extras=["x"], groups=["c"])),
            Case(("--group", "a", "--group", "b"), selection(groups=["a", "b"]), refused=True),
            Case(("--group", "a", "--extra", "x"), selection(groups=["a"], extras=["x"]), refused=True),
        ),
    ),
    "workspace": Workplace(
        {
            "pyproject.toml": HEAD
            + 'dependencies = ["lib-a[fast]", "requests; sys_platform == \'linux\'"]\n'
            + '[project.optional-dependencies]\nz = ["colorama"]\n'
            + '[dependency-groups]\ndev = ["pytest"]\nt = ["lib_b", "app[z]"]\n'
            + '[tool.uv.workspace]\nmembers = ["packages/*"]\n'
            + "[tool.uv.sources]\nlib-a = {workspace = true}\nlib-b = {workspace = true}\n",
            "packages/a/pyproject.toml": '[project]\nname = "lib.A"\nversion = "2"\nrequires-python = ">=3.11"\n'
            'dependencies = ["lib-b", "certifi"]\n[project.optional-dependencies]\nfast = ["sniffio"]\n'
            + BUILD,
            "packages/a/lib_a/__init__.py": "",
            "packages/b/pyproject.toml": '[project]\nname = "lib_b"\ndynamic = ["version"]\n'
            'requires-python = ">=3.11"\ndependencies = ["tomli; python_version < \'3.12\'", "idna"]\n'
            '[dependency-groups]\ndev = ["iniconfig"]\n'
            + BUILD
            + '[tool.hatch.version]\npath = "lib_b/__init__.py"\n',
            "packages/b/lib_b/__init__.py": '__version__ = "0.1"\n',
        },
        (
            Case((), selection()),
            Case(("--group", "dev"), selection(groups=["dev"])),
            Case(("--group", "t"), selection(groups=["t"])),
            Case(("--only-group", "t"), selection(only=["t"])),
            Case(("--package", "lib-a"), selection(package="lib-a")),
            Case(("--package", "lib-a", "--all-extras"), selection(package="lib-a", all_extras=True)),
            Case(("--package", "lib-b", "--group", "dev"), selection(package="lib-b", groups=["dev"])),
        ),
    ),
    "a root that is no project": Workplace(
        {
            "pyproject.toml": '[tool.uv.workspace]\nmembers = ["a", "b"]\n[dependency-groups]\ndev = ["iniconfig"]\n',
            "a/pyproject.toml": HEAD.replace("app", "a")
            + 'dependencies = ["idna", "b"]\n[tool.uv.sources]\nb = {workspace = true}\n',
            "b/pyproject.toml": HEAD.replace("app", "b") + 'dependencies = ["sniffio"]\n',
        },
        (
            Case(("--package", "a"), selection(package="a")),
            Case(("--package", "b"), selection(package="b")),
        ),
    ),
    "forks": Workplace(
        {
            "pyproject.toml": HEAD
            + "dependencies = [\"idna==3.6; python_version < '3.12'\", \"idna==3.7; python_version >= '3.12'\","
            + " \"anyio==4.3.0; sys_platform == 'darwin'\", \"anyio==4.4.0; sys_platform != 'darwin'\","
            + " \"colorama; platform_machine == 'aarch64'\"]\n"
            + "[tool.uv]\nenvironments = [\"sys_platform == 'linux'\", \"sys_platform == 'darwin'\"]\n"
            + 'constraint-dependencies = ["sniffio<1.4"]\noverride-dependencies = ["typing-extensions>=4"]\n'
        }
    ),
}
PDM = {
    "groups and extras": Workplace(
        {
            "pyproject.toml": HEAD
            + 'dependencies = ["requests[socks]", "colorama; sys_platform == \'win32\'"]\n'
            + '[project.optional-dependencies]\nfast = ["sniffio", "anyio"]\n'
            + '[dependency-groups]\ndev = ["iniconfig", {include-group = "lint"}]\nlint = ["tomli; python_version < \'3.12\'"]\n'
            + "[tool.pdm]\ndistribution = false\n"
        },
        (
            Case(("--prod",), selection()),
            Case(("--prod", "-G", "fast"), selection(extras=["fast"])),
            Case(("-G", "dev"), selection(groups=["dev", "lint"])),
            Case(("--no-default", "-G", "lint"), selection(only=["lint"])),
        ),
    ),
    "a folder beside": Workplace(
        {
            "pyproject.toml": HEAD
            + 'dependencies = ["beside @ file:///${PROJECT_ROOT}/libs/beside"]\n[tool.pdm]\ndistribution = false\n',
            "libs/beside/pyproject.toml": HEAD.replace("app", "beside") + 'dependencies = ["idna"]\n' + BUILD,
            "libs/beside/beside/__init__.py": "",
        },
        (Case(("--prod",), selection()),),
    ),
}


def write(workplace: Workplace, root: Path) -> Path:
    for name, text in workplace.files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def compare(root: Path, lock_name: str, case: Case, export: Sequence[str], tool: str) -> None:
    project = project_at(root, (root / "pyproject.toml").read_text())
    lock = read_lock(root / lock_name, find_lock(root)[0], project)
    check_fresh(lock, project)
    if case.refused:
        with pytest.raises(RuntimeError):
            run_tool(tool, [*export, *case.arguments], root)
        with pytest.raises((UsageError, LockError)):
            select_packages(lock, TARGETS[0], case.wanted)
        return
    output = run_tool(tool, [*export, *case.arguments], root)
    for target in TARGETS:
        found = select_packages(lock, target, case.wanted)
        ours = {
            (str(one.name), str(one.version)) for one in found if not isinstance(one.source, PackageDirectory)
        }
        assert ours == requirement_pins(output, target)
        folders = {str(one.name) for one in found if isinstance(one.source, PackageDirectory)}
        assert folders <= {canonicalize_name(name) for name in ("lib-a", "lib-b", "b", "beside")}


@pytest.mark.parametrize("title", UV)
def test_uv_exports_what_is_selected(title: str, tmp_path: Path) -> None:
    root = write(UV[title], tmp_path)
    run_tool("uv", ["lock", "-q"], root)
    export = ["export", "--frozen", "--no-hashes", "--no-header", "--no-annotate", "--no-default-groups"]
    for case in UV[title].cases:
        compare(root, "uv.lock", case, export, "uv")


@pytest.mark.parametrize("member", ["a", "b"])
def test_a_members_own_pyproject_is_fresh_in_its_workspace(member: str, tmp_path: Path) -> None:
    root = write(UV["workspace"], tmp_path)
    run_tool("uv", ["lock", "-q"], root)
    folder = root / "packages" / member
    kind, path = find_lock(folder)
    project = project_at(folder, (folder / "pyproject.toml").read_text())
    check_fresh(read_lock(path, kind, project), project)
    changed = project_at(
        folder,
        (folder / "pyproject.toml").read_text().replace("dependencies = [", 'dependencies = ["attrs", ', 1),
    )
    with pytest.raises(LockError, match="attrs is not in it"):
        check_fresh(read_lock(path, kind, changed), changed)


@pytest.mark.parametrize("flags", [(), ("--static-urls",)])
@pytest.mark.parametrize("title", PDM)
def test_pdm_exports_what_is_selected(title: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    root = write(PDM[title], tmp_path)
    run_tool("pdm", ["lock", "-q", "-G", ":all", *flags], root)
    for case in PDM[title].cases:
        compare(root, "pdm.lock", case, ["export", "--without-hashes"], "pdm")


@pytest.mark.parametrize("title", PDM)
def test_pdms_graph_selects_what_its_groups_and_markers_select(title: str, tmp_path: Path) -> None:
    found = []
    for number, strategy in enumerate(("inherit_metadata", "no_inherit_metadata")):
        root = write(PDM[title], tmp_path / str(number))
        run_tool("pdm", ["lock", "-q", "-G", ":all", "--strategy", strategy], root)
        project = project_at(root, (root / "pyproject.toml").read_text())
        lock = read_lock(root / "pdm.lock", "pdm", project)
        assert lock.flat == (strategy == "inherit_metadata")
        found.append(
            [
                [(one.name, one.version) for one in select_packages(lock, target, case.wanted)]
                for case in PDM[title].cases
                for target in TARGETS
            ]
        )
    assert found[0] == found[1]
