"""pyproject.toml → Project, in both styles, and all that can be wrong with it."""

from pathlib import Path

import pytest

from shipwheel.errors import ProjectError
from shipwheel.project.model import Project
from shipwheel.project.reader import read_project


def project_with(folder: Path, text: str) -> Project:
    (folder / "pyproject.toml").write_text(text)
    return read_project(folder)


def problems_of(folder: Path, text: str) -> dict[str, str | None]:
    with pytest.raises(ProjectError) as caught:
        project_with(folder, text)
    return {problem.code: problem.place for problem in caught.value.problems}


STANDARD = """
[build-system]
requires = ["hatchling"]
[project]
name = "Shop.API"
version = "1.2"
description = "Sells things"
requires-python = ">=3.11"
license = "MIT"
authors = [{ name = "Ann", email = "ann@shop.example" }, { name = "Bob" }]
[project.scripts]
shop = "shop.main:main"
[project.urls]
Repository = "https://code.example/shop"
"""

POETRY = """
[tool.poetry]
name = "shop"
version = "1.2"
authors = ["Ann <ann@shop.example>"]
[tool.poetry.dependencies]
python = "^3.11"
[tool.poetry.scripts]
shop = "shop.main:main"
tool = { reference = "bin/tool.sh", type = "file" }
"""


def test_standard_table_gives_name_version_scripts_and_metadata(tmp_path: Path) -> None:
    project = project_with(tmp_path, STANDARD)

    assert (project.name, project.version) == ("shop-api", "1.2")
    assert project.scripts == {"shop": "shop.main:main"}
    assert project.package_mode
    assert project.metadata.authors == ("Ann <ann@shop.example>", "Bob")
    assert project.metadata.urls == {"Repository": "https://code.example/shop"}
    assert project.metadata.license == "MIT"


def test_poetry_table_is_read_as_well_and_file_scripts_are_not_entry_points(tmp_path: Path) -> None:
    project = project_with(tmp_path, POETRY)

    assert (project.name, project.version) == ("shop", "1.2")
    assert project.scripts == {"shop": "shop.main:main"}
    assert project.package_mode
    assert project.metadata.authors == ("Ann <ann@shop.example>",)


@pytest.mark.parametrize(
    ("constraint", "admitted", "refused"),
    [
        ("^3.11", "3.13.5", "4.0.0"),
        ("~3.11", "3.11.9", "3.12.0"),
        (">=3.8,<3.12 || ^3.13", "3.13.1", "3.12.4"),
        ("3.11.*", "3.11.2", "3.13.5"),
        ("*", "3.9.1", None),
    ],
)
def test_poetry_constraints_decide_which_python_is_admitted(
    tmp_path: Path, constraint: str, admitted: str, refused: str | None
) -> None:
    python = project_with(tmp_path, POETRY.replace("^3.11", constraint)).python

    assert python.admits(admitted)
    assert refused is None or not python.admits(refused)


def test_requires_python_wins_over_poetrys_own(tmp_path: Path) -> None:
    text = STANDARD + '[tool.poetry.dependencies]\npython = "^3.8"\n'

    assert project_with(tmp_path, text).python.text == ">=3.11"


@pytest.mark.parametrize(
    "text",
    [
        '[tool.poetry]\npackage-mode = false\n[tool.poetry.dependencies]\npython = "^3.11"\n',
        '[project]\nname = "a"\nversion = "1"\n',
        '[build-system]\nrequires = []\n[project]\nname = "a"\nversion = "1"\n[tool.uv]\npackage = false\n',
    ],
)
def test_projects_that_are_no_packages_are_known(tmp_path: Path, text: str) -> None:
    assert not project_with(tmp_path, text).package_mode


def test_dynamic_version_is_none(tmp_path: Path) -> None:
    text = '[build-system]\nrequires=["hatchling"]\n[project]\nname = "a"\ndynamic = ["version"]\n'

    assert project_with(tmp_path, text).version is None


def test_poetry_placeholder_version_of_a_dynamic_one_is_none(tmp_path: Path) -> None:
    text = '[project]\nname = "a"\ndynamic = ["version"]\n[tool.poetry]\nversion = "0"\n'

    assert project_with(tmp_path, text).version is None


def test_all_problems_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    text = """
    [project]
    name = "-bad-"
    version = 3
    requires-python = "three"
    [tool.shipwheel]
    pyhton = "3.13"
    ports = ["http"]
    """

    with pytest.raises(ProjectError) as caught:
        project_with(tmp_path, text)

    assert sorted(problem.code for problem in caught.value.problems) == [
        "bad-metadata",
        "bad-metadata",
        "bad-metadata",
        "bad-setting",
        "unknown-setting",
    ]
    assert caught.value.exit_code == 3


def test_invalid_toml_names_the_line(tmp_path: Path) -> None:
    assert problems_of(tmp_path, "[project]\nname = oops\n") == {
        "invalid-toml": f"{tmp_path / 'pyproject.toml'}:2"
    }


def test_a_file_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes(b"# fine\n# \xff\n")

    with pytest.raises(ProjectError) as caught:
        read_project(tmp_path)

    assert caught.value.problems[0].place == f"{tmp_path / 'pyproject.toml'}:2"


def test_a_folder_without_pyproject_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(ProjectError) as caught:
        read_project(tmp_path)

    assert caught.value.code == "no-pyproject"
    assert "shipwheel build PATH" in str(caught.value)


def test_the_file_itself_may_be_named(tmp_path: Path) -> None:
    project_with(tmp_path, STANDARD)

    assert read_project(tmp_path / "pyproject.toml").root == tmp_path


@pytest.mark.parametrize("enable", ["true", "false"])
def test_a_version_that_a_plug_in_replaces_is_no_version(tmp_path: Path, enable: str) -> None:
    text = f"{POETRY}[tool.poetry-dynamic-versioning]\nenable = {enable}\n"

    assert project_with(tmp_path, text).version == (None if enable == "true" else "1.2")
