"""What an image says of its source: nothing, unless the project asks for it."""

from pathlib import Path

from functional.pipeline.conftest import Bench
from functional.ship.conftest import Yard
from helpers.bases import python_base
from shipwheel.oci.registry import Repository, push_image

from .test_command import NO_CI, commit, git

REVISION = "org.opencontainers.image.revision"
CREATED = "org.opencontainers.image.created"


def test_two_commits_with_the_same_files_give_the_same_image(bench: Bench) -> None:
    project = bench.project()
    commit(project)
    first = bench.build(project, environ=NO_CI)["digest"]
    git(project, "commit", "--quiet", "--allow-empty", "--message", "second")

    assert bench.build(project, environ=NO_CI)["digest"] == first


def test_a_project_that_asks_for_it_has_commit_and_repository_in_its_image(bench: Bench) -> None:
    project = bench.project(extra="[tool.shipwheel.tags]\ngit-labels = true\n")
    commit(project)
    git(project, "remote", "add", "origin", "https://user:secret@git.example/team/app.git")
    revision = git(project, "rev-parse", "HEAD")

    image = bench.image(project).image

    assert image.annotations[REVISION] == (image.config.labels or {})[REVISION] == revision
    assert image.annotations["org.opencontainers.image.source"] == "https://git.example/team/app"

    (project / "app" / "__init__.py").write_text("changed = True\n")
    assert bench.image(project).image.annotations[REVISION] == f"{revision}-dirty"


def test_the_date_is_said_where_one_was_given(bench: Bench) -> None:
    project = bench.project()

    assert CREATED not in bench.image(project).image.annotations
    dated = bench.image(project, "--epoch", "1700000000").image
    assert dated.annotations[CREATED] == dated.created == "2023-11-14T22:13:20Z"


def test_licence_version_and_base_are_labels_and_annotations(yard: Yard, tmp_path: Path) -> None:
    base = Repository(registry=yard.registry, name=f"{yard.repository}/base")
    pushed = python_base(tmp_path / "base")
    push_image(yard.client, pushed, base, tags=["3.13"])
    settings = f'[tool.shipwheel]\nbytecode = false\n[tool.shipwheel.base]\nimage = "{base}:3.13"\n'
    project = yard.bench.project(base=False, settings=settings, version="1.4.2")
    pyproject = project / "pyproject.toml"
    pyproject.write_text(
        pyproject.read_text().replace("[project]\n", '[project]\nlicense = "Apache-2.0"\n', 1)
    )

    image = yard.bench.image(project, "--epoch", "1700000000").image

    prefix = "org.opencontainers.image."
    expected = {
        "title": "app",
        "version": "1.4.2",
        "licenses": "Apache-2.0",
        "base.name": f"{base}:3.13",
        "base.digest": str(pushed.digest),
    }
    said = {f"{prefix}{key}": value for key, value in expected.items()}
    assert said.items() <= (image.config.labels or {}).items()
    assert {**said, CREATED: "2023-11-14T22:13:20Z"}.items() <= image.annotations.items()
