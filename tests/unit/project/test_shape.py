"""Values of a wrong shape in pyproject.toml are told with their place, before anything reads them."""

from pathlib import Path

import pytest

from shipwheel.errors import ProjectError
from shipwheel.project.reader import read_project

HEAD = '[tool.poetry]\nname = "shop"\nversion = "1"\n'


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('build-system = "poetry"\n', "build-system"),
        ("[build-system]\nrequires = 1\n", "build-system.requires"),
        ('[build-system]\nrequires = ["a", 1]\n', "build-system.requires[1]"),
        ("[build-system]\nrequires = []\nbuild-backend = true\n", "build-system.build-backend"),
        ('[build-system]\nrequires = []\nbackend-path = "."\n', "build-system.backend-path"),
        ('[project]\nname = "a"\ndependencies = "cow"\n', "project.dependencies"),
        ('[project]\nname = "a"\ndependencies = [{ cow = "1" }]\n', "project.dependencies[0]"),
        (
            '[project]\nname = "a"\n[project.optional-dependencies]\nx = "cow"\n',
            "project.optional-dependencies.x",
        ),
        ('[project]\nname = "a"\nauthors = "Ann"\n', "project.authors"),
        ('[project]\nname = "a"\nrequires-python = {}\n', "project.requires-python"),
        ('dependency-groups = ["dev"]\n', "dependency-groups"),
        ("[dependency-groups]\ndev = [1]\n", "dependency-groups.dev[0]"),
        (HEAD + 'dependencies = ["cow"]\n', "tool.poetry.dependencies"),
        (HEAD + "[tool.poetry.dependencies]\ncow = 1\n", "tool.poetry.dependencies.cow"),
        (
            HEAD + '[tool.poetry.dependencies]\ncow = { extras = "x" }\n',
            "tool.poetry.dependencies.cow.extras",
        ),
        (HEAD + 'extras = ["x"]\n', "tool.poetry.extras"),
        (HEAD + '[tool.poetry.extras]\nx = "cow"\n', "tool.poetry.extras.x"),
        (HEAD + 'group = "dev"\n', "tool.poetry.group"),
        (HEAD + "[tool.poetry.group]\ndev = []\n", "tool.poetry.group.dev"),
        (HEAD + '[tool.poetry.group.dev]\ndependencies = "cow"\n', "tool.poetry.group.dev.dependencies"),
    ],
)
def test_a_value_of_another_shape_is_refused_with_its_place(tmp_path: Path, text: str, place: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)

    with pytest.raises(ProjectError) as caught:
        read_project(tmp_path)

    assert [(item.code, item.place) for item in caught.value.problems] == [
        ("bad-metadata", f"pyproject.toml {place}")
    ]


def test_all_that_poetry_allows_in_its_tables_is_read(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        HEAD
        + """
[tool.poetry.dependencies]
python = "^3.11"
cow = "*"
sheep = { version = "^1", extras = ["wool"], optional = true, markers = "sys_platform == 'linux'" }
goat = [{ version = "<2", python = "<3.12" }, { version = ">=2", python = ">=3.12" }]
here = { path = "../here", develop = true }
mixed = ["^1.0", { version = "^2" }]
[tool.poetry.extras]
wool = ["sheep"]
[tool.poetry.group.dev]
optional = true
include-groups = ["test"]
[tool.poetry.group.dev.dependencies]
dog = "*"
[tool.poetry.group.test.dependencies]
"""
    )

    assert read_project(tmp_path).name == "shop"
