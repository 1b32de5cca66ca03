"""Commits come over https and ssh as code hosts give them; who may have them is never told to anybody else."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from helpers.git_server import SshServer, https_server, ssh_server
from helpers.tools import require_tool
from shipwheel.oci.layout import read_layout
from shipwheel.oci.model import Platform
from shipwheel.oci.read import LoadedImage
from shipwheel.testing.projects import poetry_project

from .conftest import Bench, content_of
from .test_sources import COW, SITE, commit_all, hashed

SECRET = "hunter2-and-more"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def repositories(tmp_path: Path) -> Path:
    """A folder of two repositories: `dep`, whose project lies in `python`, has `inner` for a submodule."""
    root = tmp_path / "repositories"
    inner = root / "inner"
    inner.mkdir(parents=True)
    (inner / "data.txt").write_text("of the submodule\n")
    commit_all(inner)
    files = {"dep/__init__.py": "VALUE = 'locked'\n"}
    poetry_project(root / "dep/python", name="dep", version="1.0", scripts={}, files=files, lock=False)
    git(root / "dep", "init", "--quiet")
    add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add")
    git(root / "dep", *add, "../inner", "python/dep/inner")
    return root


@pytest.fixture
def commit(repositories: Path) -> str:
    """The locked commit of `dep`; the branch has gone on since."""
    locked = commit_all(repositories / "dep")
    (repositories / "dep/python/dep/__init__.py").write_text("VALUE = 'newer'\n")
    commit_all(repositories / "dep", "two")
    return locked


@pytest.fixture
def trusting(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """An environment in which the private authority is named as everywhere else."""
    monkeypatch.delenv("GIT_SSL_CAINFO", raising=False)
    bundle = tmp_path / "private.pem"
    authority.cert_pem.write_to_path(str(bundle))
    yield {"SSL_CERT_FILE": str(bundle), "GIT_CONFIG_NOSYSTEM": "1"}


def git(folder: Path, *words: str) -> str:
    command = [require_tool("git"), "-c", "init.defaultBranch=main", *words]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def locked_at(bench: Bench, url: str, commit: str) -> Path:
    bench.index.add(COW)
    return hashed(
        bench, f"cow==1.0 --hash=sha256:{COW.sha256}\ndep @ git+{url}/dep@{commit}#subdirectory=python\n"
    )


def built(bench: Bench, project: Path, environ: dict[str, str]) -> bytes:
    """Build, look for what all tests here have in common, and return all that was said and written."""
    layout = bench.folder / "layout"
    done = bench.run("build", "--output", layout, project, environ=environ)
    assert done.returncode == 0, done.stderr
    image = read_layout(layout, platform=Platform.parse("linux/amd64"))
    assert isinstance(image, LoadedImage)
    assert content_of(image, f"{SITE}/dep/__init__.py") == b"VALUE = 'locked'\n"
    assert content_of(image, f"{SITE}/dep/inner/data.txt") == b"of the submodule\n"
    told = content_of(image, f"{SITE}/dep-1.0.dist-info/direct_url.json")
    lock = (project / "shipwheel.lock").read_bytes()
    kept = [path.read_bytes() for path in (bench.folder / "cache").rglob("*") if path.is_file()]
    return b"".join((done.stdout.encode(), done.stderr.encode(), told, lock, *kept))


def test_a_commit_comes_by_https_with_a_private_authority_and_without_its_history(
    bench: Bench, repositories: Path, commit: str, authority: trustme.CA, trusting: dict[str, str]
) -> None:
    with https_server(repositories, authority) as server:
        built(bench, locked_at(bench, server.url, commit), trusting)

        wants = [body for method, path, body in server.requests if b"want " in body and "/dep/" in path]

    assert wants
    assert all(b"deepen 1" in body for body in wants)


def test_an_authority_that_nobody_named_is_not_trusted(
    bench: Bench, repositories: Path, commit: str, authority: trustme.CA, trusting: dict[str, str]
) -> None:
    with https_server(repositories, authority) as server:
        project = locked_at(bench, server.url, commit)
        other = {**trusting, "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt"}

        message = bench.fails("build", project, code="git-failed", exit_code=5, environ=other)

    assert "certificate" in message
    assert server.requests == []


@pytest.mark.parametrize("where", ["netrc", "helper"])
def test_a_login_is_used_where_it_belongs_and_left_nowhere(
    bench: Bench,
    repositories: Path,
    commit: str,
    authority: trustme.CA,
    trusting: dict[str, str],
    where: str,
) -> None:
    home = Path(bench.environ["HOME"])
    with https_server(repositories, authority, users={"ann": SECRET}) as server:
        if where == "netrc":
            (home / ".netrc").write_text(f"machine 127.0.0.1 login ann password {SECRET}\n")
        else:
            (home / ".gitconfig").write_text("[credential]\nhelper = store\n")
            (home / ".git-credentials").write_text(f"{server.url.replace('//', f'//ann:{SECRET}@')}\n")

        left = built(bench, locked_at(bench, server.url, commit), trusting)

    assert SECRET.encode() not in left
    assert {path.split("/")[1] for _, path, _ in server.requests} == {"dep", "inner"}


def test_a_login_in_the_locks_address_is_not_used_and_the_places_that_count_are_told(
    bench: Bench, repositories: Path, commit: str, authority: trustme.CA, trusting: dict[str, str]
) -> None:
    with https_server(repositories, authority, users={"ann": SECRET}) as server:
        project = locked_at(bench, server.url.replace("//", f"//ann:{SECRET}@"), commit)

        message = bench.fails("build", project, code="git-failed", exit_code=5, environ=trusting)

    assert SECRET not in message
    assert "~/.netrc" in message


def test_who_has_no_login_is_told_without_being_asked(
    bench: Bench, repositories: Path, commit: str, authority: trustme.CA, trusting: dict[str, str]
) -> None:
    with https_server(repositories, authority, users={"ann": SECRET}) as server:
        project = locked_at(bench, server.url, commit)

        message = bench.fails("build", project, code="git-failed", exit_code=5, environ=trusting)

    assert "could not read Username" in message
    assert "requirements.txt:2" in message


def test_a_commit_that_is_gone_from_the_server_is_refused(
    bench: Bench, repositories: Path, commit: str, authority: trustme.CA, trusting: dict[str, str]
) -> None:
    with https_server(repositories, authority) as server:
        project = locked_at(bench, server.url, "ab" * 20)

        bench.fails("build", project, code="no-such-commit", exit_code=5, environ=trusting)


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[SshServer]:
    folder = tmp_path / "ssh"
    folder.mkdir()
    with ssh_server(folder) as server:
        yield server


def test_a_commit_comes_by_ssh_with_its_submodule(
    bench: Bench, repositories: Path, commit: str, ssh: SshServer
) -> None:
    project = locked_at(bench, f"{ssh.url}{repositories}", commit)

    built(bench, project, {"GIT_SSH_COMMAND": ssh.command})


def test_a_host_that_ssh_does_not_know_is_refused_without_being_asked(
    bench: Bench, repositories: Path, commit: str, ssh: SshServer, tmp_path: Path
) -> None:
    project = locked_at(bench, f"{ssh.url}{repositories}", commit)
    command = ssh.command.replace("known_hosts", "nobody")

    message = bench.fails(
        "build", project, code="git-failed", exit_code=5, environ={"GIT_SSH_COMMAND": command}
    )

    assert "Host key verification failed" in message


def test_a_version_that_is_made_of_tags_brings_the_history_with_it(
    bench: Bench, repositories: Path, authority: trustme.CA, trusting: dict[str, str]
) -> None:
    repository = repositories / "dep"
    pyproject = repository / "python/pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('version = "1.0"', 'dynamic = ["version"]'))
    back_end = repository / "python/_back_end.py"
    back_end.write_text(
        back_end.read_text()
        .replace("import base64", "import subprocess, base64")
        .replace(
            'table["version"]', "subprocess.check_output(['git', 'describe', '--tags'], text=True).strip()"
        )
    )
    commit_all(repository, "tagged")
    git(repository, "tag", "1.0")
    locked = git(repository, "rev-parse", "HEAD")
    (repository / "python/dep/__init__.py").write_text("VALUE = 'newer'\n")
    commit_all(repository, "two")

    with https_server(repositories, authority) as server:
        built(bench, locked_at(bench, server.url, locked), trusting)
