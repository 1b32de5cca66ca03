"""`shipwheel tags`: a project's tags from its version, git, CI, and what a real registry has."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from functional.pipeline.conftest import Bench
from functional.ship.conftest import Yard

NO_CI = {"GITHUB_ACTIONS": "", "GITLAB_CI": ""}


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), "-c", "user.name=A", "-c", "user.email=a@mail.example", *words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull},
    )
    return done.stdout.strip()


def commit(project: Path, *tags: str) -> str:
    """Make the project a repository with one commit; return `sha-…`."""
    git(project, "init", "--quiet", "--initial-branch", "main")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "--message", "first")
    for tag in tags:
        git(project, "tag", tag)
    return f"sha-{git(project, 'rev-parse', 'HEAD')[:12]}"


def tags(bench: Bench, project: Path, *words: str, environ: dict[str, str] | None = None) -> list[str]:
    done = bench.run("tags", project, *words, environ={**NO_CI, **(environ or {})})
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_tagged_commit_prints_its_version_and_what_floats_one_a_line(bench: Bench) -> None:
    project = bench.project(version="1.4.2")
    sha = commit(project, "v1.4.2")

    assert tags(bench, project) == ["1.4.2", "1.4", "1", "latest", "main", sha]


def test_a_commit_without_a_tag_releases_nothing_and_says_so(bench: Bench) -> None:
    project = bench.project(version="1.4.2")
    sha = commit(project)

    done = bench.run("tags", project, environ=NO_CI)

    assert done.stdout.splitlines() == ["main", sha]
    assert "no version tags: the commit has no git tag v{version}" in done.stderr
    assert tags(bench, project, "--release")[0] == "1.4.2"


def test_offline_gits_tags_say_what_is_newer(bench: Bench) -> None:
    project = bench.project(version="1.4.2")
    commit(project, "v1.4.2", "v1.5.0", "v0.9")

    assert tags(bench, project, "--offline")[:3] == ["1.4.2", "1.4", "main"]


def test_a_dirty_tree_is_refused(bench: Bench) -> None:
    project = bench.project(version="1.4.2")
    commit(project, "v1.4.2")
    (project / "new.py").write_text("")

    message = bench.fails("tags", project, code="dirty-tree", exit_code=3, environ=NO_CI)

    assert "git status: ?? new.py" in message
    assert tags(bench, project, "--allow-dirty")[0] == "1.4.2"


def test_a_dynamic_version_is_that_of_the_projects_wheel(bench: Bench) -> None:
    project = bench.project()
    text = (project / "pyproject.toml").read_text()
    assert 'version = "1.0.0"' in text
    (project / "pyproject.toml").write_text(text.replace('version = "1.0.0"', 'dynamic = ["version"]'))
    [back_end] = [path for path in project.rglob("*.py") if "build_wheel" in path.read_text()]
    back_end.write_text(back_end.read_text().replace('table["version"]', '"2.5.0"'))

    assert tags(bench, project, "--release", "--allow-dirty")[:3] == ["2.5.0", "2.5", "2"]


def test_the_registry_decides_what_moves_and_an_existing_version_is_refused(yard: Yard) -> None:
    project = yard.bench.project(version="1.4.2", settings=f'name = "{yard.name}"\n')
    commit(project, "v1.4.2")
    for tag in ("1.4.1", "2.0.0", "latest"):
        yard.push(project, tag=tag)

    assert tags(yard.bench, project)[:3] == ["1.4.2", "1.4", "1"]
    assert "latest" not in tags(yard.bench, project)

    yard.push(project, tag="1.4.2")
    message = yard.bench.fails("tags", project, code="version-exists", exit_code=3, environ=NO_CI)
    assert "the registry has 1.4.2 already" in message
    assert tags(yard.bench, project, "--replace")[0] == "1.4.2"


def test_a_repository_that_is_not_there_yet_has_no_tags(yard: Yard) -> None:
    project = yard.bench.project(version="1.4.2", settings=f'name = "{yard.name}"\n')
    commit(project, "v1.4.2")

    assert tags(yard.bench, project)[:4] == ["1.4.2", "1.4", "1", "latest"]


def test_a_pull_request_in_ci_gets_its_number(bench: Bench) -> None:
    project = bench.project(version="1.4.2")
    sha = commit(project)
    ci = {"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/pull/7/merge", "GITHUB_SHA": sha.removeprefix("sha-")}

    assert tags(bench, project, environ=ci) == ["pr-7", sha]


def test_the_json_says_why(bench: Bench) -> None:
    project = bench.project(version="1.4.2rc1")
    commit(project, "v1.4.2rc1")

    data = json.loads("\n".join(tags(bench, project, "--json")))

    assert data["version"] == "1.4.2rc1"
    assert data["release"]
    assert data["tags"][0] == {
        "name": "1.4.2rc1",
        "kind": "version",
        "moves": False,
        "reason": "the version 1.4.2rc1",
    }
    assert {item["name"] for item in data["withheld"]} == {"1.4", "1", "latest"}


@pytest.mark.parametrize("setting", ['release = "always"', 'git-tag = "app-{version}"'])
def test_the_policy_is_the_projects(bench: Bench, setting: str) -> None:
    project = bench.project(version="1.4.2", extra=f"[tool.shipwheel.tags]\n{setting}\n")
    commit(project, "app-1.4.2")

    assert tags(bench, project)[0] == "1.4.2"
