"""A workspace's member is found by its name, from the root and from any other member."""

from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from shipwheel.project.reader import read_project
from shipwheel.project.workspace import find_member

ROOT = '[project]\nname = "root"\nversion = "1"\n[tool.uv.workspace]\nmembers = ["packages/*"]\nexclude = ["packages/old"]\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(ROOT)
    for name in ("api", "Core.Lib", "old"):
        folder = tmp_path / "packages" / name
        folder.mkdir(parents=True)
        (folder / "pyproject.toml").write_text(f'[project]\nname = "{name}"\nversion = "1"\n')
    (tmp_path / "packages" / "notes").mkdir()
    return tmp_path


def found(folder: Path, name: str) -> Path | None:
    member = find_member(read_project(folder), canonicalize_name(name))
    return None if member is None else member.root


@pytest.mark.parametrize("folder", [".", "packages/api"])
def test_a_member_is_found_from_the_root_and_from_another_member(root: Path, folder: str) -> None:
    assert found(root / folder, "core-lib") == root / "packages/Core.Lib"
    assert found(root / folder, "root") == root


def test_what_is_excluded_or_not_there_is_no_member(root: Path) -> None:
    assert found(root, "old") is None
    assert found(root, "nobody") is None


def test_a_member_whose_file_is_damaged_hides_no_other(root: Path) -> None:
    (root / "packages/api/pyproject.toml").write_text("[project\n")

    assert found(root, "core-lib") == root / "packages/Core.Lib"


def test_without_a_workspace_nobody_is_found(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "alone"\nversion = "1"\n')

    assert found(tmp_path, "other") is None
