"""The Poetry projects that tests use are whole: fresh locks, the right groups and hashes, a module that builds."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from shipwheel.testing.projects import Style, content_hash, poetry_project
from shipwheel.testing.wheels import make_wheel

A = make_wheel("a", "1.0", requires=["b>=1", "c; extra == 'x'"], extras=["x"])
B, C, T = make_wheel("b", "2.0"), make_wheel("c"), make_wheel("t", requires=["b"])
STYLES: list[Style] = ["project", "poetry"]


def lock_of(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "poetry.lock").read_text())


@pytest.mark.parametrize("style", STYLES)
def test_the_lock_holds_what_is_wanted_with_groups_and_hashes(tmp_path: Path, style: Style) -> None:
    root = poetry_project(
        tmp_path,
        ["a>=1"],
        wheels=[A, B, C, T],
        groups={"dev": ["t"]},
        style=style,
        index="https://i.example/",
    )
    packages = {package["name"]: package for package in lock_of(root)["package"]}
    assert {name: package["groups"] for name, package in packages.items()} == {
        "a": ["main"],
        "b": ["dev", "main"],
        "t": ["dev"],
    }
    assert packages["b"]["files"] == [{"file": B.filename, "hash": f"sha256:{B.sha256}"}]
    assert packages["a"]["source"]["url"] == "https://i.example"
    assert packages["a"]["extras"] == {"x": ["c"]}


def test_an_extra_pulls_its_packages_in(tmp_path: Path) -> None:
    root = poetry_project(tmp_path, ["a[x]"], wheels=[A, B, C])
    assert [package["name"] for package in lock_of(root)["package"]] == ["a", "b", "c"]


# `poetry check --lock` of Poetry 2.5.1 accepted these very projects with these hashes.
@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("project", "6d805b74231214eec0db472996ea543e1d1efee76a5be2569252853c14cfd42e"),
        ("poetry", "cf97d277094d3a2ef4b5b9378362c69dad306de38743c70c3e0ca2244d5c539b"),
    ],
)
def test_the_content_hash_is_poetrys(tmp_path: Path, style: Style, expected: str) -> None:
    root = poetry_project(tmp_path, ["a"], wheels=[A, B, C], groups={"dev": ["c"]}, style=style)
    assert lock_of(root)["metadata"]["content-hash"] == expected
    assert content_hash(tomllib.loads((root / "pyproject.toml").read_text())) == expected


def test_a_requirement_without_wheel_is_told(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="missing"):
        poetry_project(tmp_path, ["missing"])


@pytest.mark.parametrize("style", STYLES)
def test_its_own_back_end_builds_a_wheel_without_anything_else(tmp_path: Path, style: Style) -> None:
    root = poetry_project(tmp_path / "p", style=style, name="my-app")
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import _back_end, sys; print(_back_end.build_wheel(sys.argv[1]))",
            str(tmp_path),
        ],
        cwd=root,
        check=True,
        env={"PYTHONPATH": str(root)},
    )
    with zipfile.ZipFile(tmp_path / "my_app-1.0.0-py3-none-any.whl") as wheel:
        assert "my_app/__init__.py" in wheel.namelist()
        assert "my-app = my_app:main" in wheel.read("my_app-1.0.0.dist-info/entry_points.txt").decode()


@pytest.mark.parametrize("style", STYLES)
def test_package_mode_can_be_off(tmp_path: Path, style: Style) -> None:
    root = poetry_project(tmp_path, style=style, package_mode=False)
    data = tomllib.loads((root / "pyproject.toml").read_text())
    assert data["tool"]["poetry"]["package-mode"] is False
    assert "build-system" not in data
