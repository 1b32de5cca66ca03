"""pylock.toml (PEP 751): reading it, and writing any lock as one."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import tomli_w
from packaging.pylock import Pylock

from helpers.locks import (
    DEBIAN,
    chosen,
    chosen_names,
    digest,
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
from shipwheel.errors import LockError, TargetError
from shipwheel.locks.export import to_pylock
from shipwheel.locks.model import Lock, LockedFile, LockedPackage
from shipwheel.locks.pylock import parse_pylock
from shipwheel.locks.select import select_packages

HEAD = 'lock-version = "1.0"\ncreated-by = "hand"\nrequires-python = ">=3.11"\n'


def wheel_package(name: str, more: str = "") -> str:
    file = f"{name}-1.0-py3-none-any.whl"
    return (
        f'[[packages]]\nname = "{name}"\nversion = "1.0"\n{more}\n'
        f'wheels = [{{ url = "https://files.example/{file}", hashes = {{ sha256 = "{digest(file)}" }} }}]\n'
    )


def read(tmp_path: Path, text: str) -> Lock:
    return read_text_as("pylock.toml", text, project_at(tmp_path))


def test_markers_extras_and_groups(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        HEAD
        + 'extras = ["fast"]\ndependency-groups = ["dev", "main"]\ndefault-groups = ["main"]\n'
        + wheel_package("web", "marker = \"'main' in dependency_groups\"")
        + wheel_package("uvloop", "marker = \"'fast' in extras and sys_platform == 'linux'\"")
        + wheel_package("pytest", "marker = \"'dev' in dependency_groups\"")
        + wheel_package("colorama", "marker = \"sys_platform == 'win32'\""),
    )
    assert chosen_names(lock) == ["web"]
    assert chosen_names(lock, wanted=selection(extras=["fast"])) == ["uvloop", "web"]
    assert chosen_names(lock, wanted=selection(groups=["dev"])) == ["pytest", "web"]
    assert chosen_names(lock, wanted=selection(only=["dev"])) == ["pytest"]


def test_the_sources_that_are_no_index(tmp_path: Path) -> None:
    commit = "e" * 40
    lock = read(
        tmp_path,
        HEAD
        + f'[[packages]]\nname = "a"\nvcs = {{ type = "git", url = "https://git.example/a.git", commit-id = "{commit}" }}\n'
        + '[[packages]]\nname = "b"\ndirectory = { path = "libs/b", editable = true }\n'
        + f'[[packages]]\nname = "c"\narchive = {{ url = "https://files.example/c.zip", hashes = {{ sha256 = "{digest("c")}" }} }}\n'
        + f'[[packages]]\nname = "d"\nwheels = [{{ path = "links/d-1.0-py3-none-any.whl", hashes = {{ sha256 = "{digest("d")}" }} }}]\n',
    )
    assert [source_text(one) for one in select_packages(lock, DEBIAN)] == [
        f"https://git.example/a.git {commit}",
        "libs/b editable",
        "https://files.example/c.zip",
        "d-1.0-py3-none-any.whl",
    ]


def test_python_of_the_lock_of_an_environment_and_of_a_package(tmp_path: Path) -> None:
    with pytest.raises(TargetError) as caught:
        select_packages(read(tmp_path, HEAD + "packages = []\n"), target_for("3.10.0"))
    assert caught.value.code == "python-not-locked"
    with pytest.raises(TargetError) as caught:
        select_packages(
            read(tmp_path, HEAD + "environments = [\"sys_platform == 'win32'\"]\npackages = []\n"), DEBIAN
        )
    assert caught.value.code == "platform-not-locked"
    with pytest.raises(TargetError) as caught:
        select_packages(read(tmp_path, HEAD + wheel_package("web", 'requires-python = "<3.13"')), DEBIAN)
    assert caught.value.problems[0].place == "pylock.toml [packages.web]"


def test_two_matching_entries_of_a_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LockError) as caught:
        select_packages(read(tmp_path, HEAD + wheel_package("web") + wheel_package("web")), DEBIAN)
    assert caught.value.code == "ambiguous-lock"


def test_every_problem_of_the_file_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(LockError) as caught:
        read(
            tmp_path,
            HEAD
            + '[[packages]]\nname = "nothing"\n'
            + '[[packages]]\nname = "both"\ndirectory = { path = "x" }\n'
            + 'vcs = { type = "git", url = "u", commit-id = "c" }\n'
            + wheel_package("marked", 'marker = "what is this"')
            + wheel_package("hashed").replace("sha256", "md5"),
        )
    assert [(problem.code, problem.place) for problem in caught.value.problems] == [
        ("bad-lock", "pylock.toml [packages.nothing]"),
        ("bad-lock", "pylock.toml [packages.both]"),
        ("bad-marker", "pylock.toml [packages.marked]"),
    ]


def test_one_file_name_with_two_hashes_is_refused(tmp_path: Path) -> None:
    files = ", ".join(
        f'{{ name = "web-1.0-py3-none-any.whl", url = "https://files.example/w", hashes = {{ sha256 = "{digest(one)}" }} }}'
        for one in "ab"
    )
    with pytest.raises(LockError, match="listed with two different hashes") as caught:
        read(tmp_path, HEAD + f'[[packages]]\nname = "web"\nversion = "1.0"\nwheels = [{files}]\n')
    assert caught.value.problems[0].place == "pylock.toml [packages.web]"


def test_a_newer_major_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LockError) as caught:
        read(tmp_path, HEAD.replace('"1.0"', '"2.0"') + "packages = []\n")
    assert caught.value.code == "unsupported-lock-version"


# --- the other way ---


def located(package: LockedPackage) -> Sequence[LockedFile]:
    return [file._replace(url=f"https://files.example/{file.name}") for file in package.files]


def there_and_back(lock: Lock, tmp_path: Path) -> Lock:
    """Write `lock` as PEP 751, let packaging validate the text, and read it again."""
    text = tomli_w.dumps(to_pylock(lock, locate=located).to_dict())
    Pylock.from_dict(tomllib.loads(text))
    return parse_pylock(tomllib.loads(text), tmp_path / "pylock.toml", project_at(tmp_path))


def test_groups_and_extras_of_a_flat_lock_become_markers(tmp_path: Path) -> None:
    lock = read_text_as(
        "poetry.lock",
        poetry_lock(
            poetry_package("web"),
            poetry_package("uvloop", markers='"extra == \\"fast\\" and sys_platform != \\"win32\\""'),
            poetry_package("pytest", groups=["dev"]),
            poetry_package("shared", groups=["main", "dev"], markers="{main = \"os_name == 'nt'\"}"),
            extras='fast = ["uvloop"]',
        ),
        project_at(tmp_path),
    )
    again = there_and_back(lock, tmp_path)
    for wanted in (
        selection(),
        selection(extras=["fast"]),
        selection(groups=["dev"]),
        selection(only=["dev"]),
    ):
        assert chosen(again, wanted=wanted) == chosen(lock, wanted=wanted)
    by_name = {str(package.name): str(package.marker) for package in to_pylock(lock).packages}
    assert by_name["web"] == '"default" in dependency_groups'


def test_a_lock_with_production_alone_needs_no_groups(tmp_path: Path) -> None:
    lock = read_text_as("poetry.lock", poetry_lock(poetry_package("web")), project_at(tmp_path))
    pylock = to_pylock(lock)
    assert pylock.packages[0].marker is None
    assert not pylock.default_groups


def test_extras_of_pdm_are_extras(tmp_path: Path) -> None:
    project = '[project]\nname = "app"\n[project.optional-dependencies]\nredis = ["redis"]\n'
    lock = read_text_as(
        "pdm.lock",
        pdm_lock(pdm_package("web"), pdm_package("redis", groups=["redis"]), groups=["default", "redis"]),
        project_at(tmp_path, project),
    )
    again = there_and_back(lock, tmp_path)
    assert chosen_names(again) == ["web"]
    assert chosen_names(again, wanted=selection(extras=["redis"])) == ["redis", "web"]


def test_a_graph_becomes_markers_of_all_the_ways_to_a_package(tmp_path: Path) -> None:
    lock = read_text_as(
        "uv.lock",
        uv_lock(
            uv_package(
                "app",
                source='{ virtual = "." }',
                needs=['{ name = "a", marker = "sys_platform == \'linux\'" }', '{ name = "b" }'],
                more='[package.optional-dependencies]\nfast = [{ name = "c", extra = ["x"] }]\n',
            ),
            uv_package("a", needs=['{ name = "shared" }']),
            uv_package(
                "b", needs=['{ name = "shared", marker = "python_version >= \'3.13\'" }', '{ name = "a" }']
            ),
            uv_package(
                "c", more='[package.optional-dependencies]\nx = [{ name = "shared" }, { name = "c" }]\n'
            ),
            uv_package("shared"),
        ),
        project_at(tmp_path),
    )
    again = there_and_back(lock, tmp_path)
    for target in (DEBIAN, target_for("3.11.4")):
        for wanted in (selection(), selection(extras=["fast"])):
            assert chosen(again, target, wanted) == chosen(lock, target, wanted)
    by_name = {str(package.name): package.marker for package in to_pylock(lock).packages}
    # The way over b holds always, so the narrower way over the platform says nothing.
    assert by_name["a"] is None
    assert str(by_name["c"]) == '"fast" in extras'


def test_encoded_conflicts_become_the_projects_extras(tmp_path: Path) -> None:
    one = '{ name = "e", version = "1", marker = "extra == \'extra-3-app-cpu\'" }'
    two = '{ name = "e", version = "2", marker = "extra != \'extra-3-app-cpu\'" }'
    lock = read_text_as(
        "uv.lock",
        uv_lock(
            uv_package(
                "app",
                source='{ virtual = "." }',
                needs=['{ name = "web" }'],
                more=f"[package.optional-dependencies]\ncpu = [{one}]\ngpu = [{two}]\n",
            ),
            uv_package("web", needs=[one, two]),
            uv_package("e", "1"),
            uv_package("e", "2"),
            more='conflicts = [[{ package = "app", extra = "cpu" }, { package = "app", extra = "gpu" }]]\n',
        ),
        project_at(tmp_path),
    )
    again = there_and_back(lock, tmp_path)
    for extras in ([], ["cpu"], ["gpu"]):
        assert chosen(again, wanted=selection(extras=extras)) == chosen(lock, wanted=selection(extras=extras))


def test_what_cannot_be_said_is_refused_by_name(tmp_path: Path) -> None:
    flat = read_text_as("poetry.lock", poetry_lock(poetry_package("web")), project_at(tmp_path))
    hashes = replace(
        flat, packages=tuple(replace(one, files=(), hashes=("sha256:0",)) for one in flat.packages)
    )
    with pytest.raises(LockError, match="known by hash only") as caught:
        to_pylock(hashes)
    assert caught.value.code == "not-expressible"
    graph = read_text_as(
        "poetry.lock",
        poetry_lock(
            poetry_package("x", "1.0", groups=None), poetry_package("x", "2.0", groups=None), version="2.0"
        ),
        project_at(tmp_path, '[tool.poetry]\nname = "app"\n[tool.poetry.dependencies]\nx = "*"\n'),
    )
    with pytest.raises(LockError, match=r"x may be 1\.0 or 2\.0"):
        to_pylock(graph)
