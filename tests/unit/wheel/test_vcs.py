"""Only a full commit is fetched, from its own repository, and no login is ever shown."""

import os
import subprocess
from pathlib import Path

import pytest
from packaging.pylock import PackageVcs

from helpers.tools import require_tool
from shipwheel.cache import Cache
from shipwheel.errors import HostError, LockError, NetworkError
from shipwheel.wheel.vcs import fetch_commit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def fetch(tmp_path: Path, source: PackageVcs, path: str | None = None) -> Path:
    environ = {"PATH": os.environ["PATH"] if path is None else path, "HOME": str(tmp_path / "home")}
    return fetch_commit(
        source, cache=Cache(tmp_path / "cache"), environ=environ, root=tmp_path, place="the lock"
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    run(root, "init", "--quiet", "--initial-branch", "main")
    (root / "file").write_text("one\r\n")
    (root / "tool").write_text("#!/bin/sh\n")
    (root / "tool").chmod(0o700)
    run(root, "add", "--all")
    run(root, "commit", "--quiet", "--message", "one")
    return root


def run(root: Path, *words: str) -> str:
    identity = ["-c", "user.name=Ann", "-c", "user.email=ann@mail.example"]
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        [require_tool("git"), *identity, *words],
        cwd=root,
        env=environ,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def test_the_files_are_those_of_the_commit_byte_by_byte(tmp_path: Path, repository: Path) -> None:
    commit = run(repository, "rev-parse", "HEAD")
    (repository / "file").write_text("two\n")
    run(repository, "commit", "--quiet", "--all", "--message", "two")

    tree = fetch(tmp_path, PackageVcs(type="git", url=repository.as_uri(), commit_id=commit))

    assert (tree / "file").read_bytes() == b"one\r\n"
    assert (tree / "tool").stat().st_mode & 0o777 == 0o755


def test_tags_come_along_for_versions_that_are_made_from_them(tmp_path: Path, repository: Path) -> None:
    run(repository, "tag", "v1.2")

    tree = fetch(
        tmp_path, PackageVcs(type="git", path="repository", commit_id=run(repository, "rev-parse", "HEAD"))
    )

    assert run(tree, "describe", "--tags") == "v1.2"


@pytest.mark.parametrize(
    ("pyproject", "commits"),
    [
        ('[project]\nname = "a"\nversion = "1"\n', "1"),
        ('[tool.poetry]\nversion = "1"\n[build-system]\nrequires = ["poetry-core"]\n', "1"),
        ('[project]\nname = "a"\ndynamic = ["version"]\n', "2"),
        (
            '[tool.poetry]\nversion = "1"\n[build-system]\nrequires = ["poetry-core", "poetry-dynamic-versioning"]\n',
            "2",
        ),
        ("no TOML", "2"),
    ],
)
def test_history_comes_along_unless_the_version_stands_in_the_file(
    tmp_path: Path, repository: Path, pyproject: str, commits: str
) -> None:
    (repository / "pyproject.toml").write_text(pyproject)
    run(repository, "add", "--all")
    run(repository, "commit", "--quiet", "--message", "two")
    commit = run(repository, "rev-parse", "HEAD")

    tree = fetch(tmp_path, PackageVcs(type="git", url=repository.as_uri(), commit_id=commit))

    assert run(tree, "rev-list", "--count", "HEAD") == commits


def test_a_commit_of_a_branch_that_was_rewritten_is_still_found(tmp_path: Path, repository: Path) -> None:
    run(repository, "config", "uploadpack.allowAnySHA1InWant", "true")
    old = run(repository, "rev-parse", "HEAD")
    run(repository, "commit", "--quiet", "--amend", "--message", "rewritten")

    tree = fetch(tmp_path, PackageVcs(type="git", url=repository.as_uri(), commit_id=old))

    assert run(tree, "rev-parse", "HEAD") == old


def test_what_the_callers_git_is_set_to_does_not_matter(tmp_path: Path, repository: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[core]\nautocrlf = true\n[init]\ndefaultBranch = x\n")
    commit = run(repository, "rev-parse", "HEAD")

    tree = fetch(tmp_path, PackageVcs(type="git", url=repository.as_uri(), commit_id=commit))

    assert (tree / "file").read_bytes() == b"one\r\n"
    assert (tree / "tool").read_bytes() == b"#!/bin/sh\n"


@pytest.mark.parametrize("commit", ["main", "abc", "v1.0", "--upload-pack=evil", COMMIT + "x"])
def test_what_is_no_full_commit_is_refused(tmp_path: Path, commit: str) -> None:
    with pytest.raises(LockError, match="not a full commit"):
        fetch(tmp_path, PackageVcs(type="git", url="https://code.example/x", commit_id=commit))


def test_other_version_control_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LockError) as caught:
        fetch(tmp_path, PackageVcs(type="hg", url="https://code.example/x", commit_id=COMMIT))

    assert caught.value.code == "not-git"


def test_no_git_is_told_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        fetch(
            tmp_path,
            PackageVcs(type="git", url="https://code.example/x", commit_id=COMMIT),
            path=str(tmp_path),
        )

    assert caught.value.code == "no-git"


def test_a_login_in_the_address_is_not_shown_when_it_fails(tmp_path: Path) -> None:
    source = PackageVcs(type="git", url="http://ann:hunter2@127.0.0.1:9/x", commit_id=COMMIT)

    with pytest.raises(NetworkError) as caught:
        fetch(tmp_path, source)

    assert caught.value.code == "git-failed"
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1:9" in str(caught.value)


def test_programs_as_transport_are_refused(tmp_path: Path) -> None:
    source = PackageVcs(type="git", url=f"ext::touch {tmp_path}/evil", commit_id=COMMIT)

    with pytest.raises(NetworkError):
        fetch(tmp_path, source)

    assert not (tmp_path / "evil").exists()
