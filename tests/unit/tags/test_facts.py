"""What git and CI systems say of a checkout."""

import os
import subprocess
from pathlib import Path

import pytest

from shipwheel.tags.facts import Facts, public_address, read_facts, with_ci

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LOCAL = Facts(commit=COMMIT, branch="work", tags=("v9",), source="https://git.example/me/shop")


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), "-c", "user.name=A", "-c", "user.email=a@mail.example", *words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull},
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / "app.py").write_text("")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    return folder


def test_a_folder_without_git_says_nothing(tmp_path: Path) -> None:
    assert (
        read_facts(tmp_path, {"PATH": os.environ["PATH"], "GIT_CEILING_DIRECTORIES": str(tmp_path)})
        == Facts()
    )


def test_a_machine_without_git_says_nothing(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    assert read_facts(repository, {"PATH": ""}) == Facts()


def test_branch_commit_tags_and_address_are_read(repository: Path) -> None:
    git(repository, "tag", "v1.4.2")
    git(repository, "tag", "shop-1")
    git(repository, "remote", "add", "origin", "https://me:secret@git.example/team/shop.git")

    facts = read_facts(repository, os.environ)

    assert facts.commit == git(repository, "rev-parse", "HEAD")
    assert (facts.branch, facts.tags, facts.dirty) == ("main", ("shop-1", "v1.4.2"), ())
    assert facts.source == "https://git.example/team/shop"


def test_changed_and_new_files_make_a_tree_dirty_and_ignored_ones_do_not(repository: Path) -> None:
    (repository / ".git" / "info" / "exclude").write_text("*.pyc\n")
    (repository / "app.pyc").write_text("")
    assert read_facts(repository, os.environ).dirty == ()

    (repository / "new.py").write_text("")
    (repository / "app.py").write_text("changed")

    assert read_facts(repository, os.environ).dirty == ("M app.py", "?? new.py")


def test_looking_writes_nothing(repository: Path) -> None:
    index = repository / ".git" / "index"
    os.utime(repository / "app.py", (1, 1))  # git would refresh its index for this
    before = index.read_bytes()

    read_facts(repository, os.environ)

    assert index.read_bytes() == before


def test_a_variable_of_git_does_not_lead_to_another_repository(repository: Path, tmp_path: Path) -> None:
    facts = read_facts(repository, {**os.environ, "GIT_DIR": str(tmp_path / "elsewhere")})

    assert facts.branch == "main"


def test_a_repository_without_a_commit_has_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")

    assert read_facts(tmp_path, os.environ).commit is None


def test_a_detached_head_has_no_branch(repository: Path) -> None:
    git(repository, "checkout", "--quiet", "--detach")

    assert read_facts(repository, os.environ).branch is None


def test_a_shallow_clone_is_told(repository: Path, tmp_path: Path) -> None:
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "second")
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{repository}", "clone")

    assert read_facts(tmp_path / "clone", os.environ).shallow
    assert not read_facts(repository, os.environ).shallow


GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://git.example",
    "GITHUB_REPOSITORY": "team/shop",
    "GITHUB_SHA": "f" * 40,
}


@pytest.mark.parametrize(
    ("ref", "branch", "tags", "pull_request"),
    [
        ("refs/heads/feature/x", "feature/x", (), None),
        ("refs/tags/v1.4.2", None, ("v1.4.2",), None),
        ("refs/pull/7/merge", None, (), "7"),
    ],
)
def test_github_actions_says_what_is_built(
    ref: str, branch: str | None, tags: tuple[str, ...], pull_request: str | None
) -> None:
    facts = with_ci(LOCAL, {**GITHUB, "GITHUB_REF": ref})

    assert facts.branch == branch
    assert facts.pull_request == pull_request
    assert facts.commit == "f" * 40
    assert facts.source == "https://git.example/team/shop"
    assert facts.tags == (tags if ref != "refs/tags/v1.4.2" else ("v1.4.2",))


def test_gitlab_says_what_is_built() -> None:
    common = {
        "GITLAB_CI": "true",
        "CI_COMMIT_SHA": "f" * 40,
        "CI_PROJECT_URL": "https://git.example/team/shop",
    }

    branch = with_ci(LOCAL, {**common, "CI_COMMIT_BRANCH": "main"})
    tag = with_ci(LOCAL, {**common, "CI_COMMIT_TAG": "v1.4.2"})
    request = with_ci(LOCAL, {**common, "CI_MERGE_REQUEST_IID": "7"})

    assert (branch.branch, branch.tags, branch.commit) == ("main", (), "f" * 40)
    assert (tag.branch, tag.tags) == (None, ("v1.4.2",))
    assert (request.branch, request.tags, request.pull_request) == (None, (), "7")


def test_no_other_machine_is_taken_for_a_ci_system() -> None:
    assert with_ci(LOCAL, {"GITHUB_REF": "refs/heads/x", "CI_COMMIT_TAG": "v1"}) == LOCAL


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://user:token@git.example/team/shop.git", "https://git.example/team/shop"),
        ("git@git.example:team/shop.git", "https://git.example/team/shop"),
        ("ssh://git@git.example:2222/team/shop", "https://git.example/team/shop"),
        ("http://git.example:8080/shop.git/", "http://git.example:8080/shop"),
        ("git://git.example/shop", "https://git.example/shop"),
        ("/srv/git/shop.git", None),
        ("../shop", None),
        ("file:///srv/git/shop.git", None),
    ],
)
def test_an_address_is_shown_without_credentials_and_a_path_not_at_all(url: str, address: str | None) -> None:
    assert public_address(url) == address
