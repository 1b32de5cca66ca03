"""What git and the CI system say of what is checked out. Decides nothing; `compute` does."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from shipwheel.errors import HostError

# Variables by which git would look at another repository than the folder's.
_GIT_ENVIRON = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Where the source is: `commit` in full, `branch`, git `tags` at it, `pull_request` number.

    `dirty` are lines of `git status` (none: clean), `git_tags` all tags of the repository, `source`
    the repository's address without credentials; a `shallow` clone may lack tags. None where there is
    no git, or it does not say.
    """

    commit: str | None = None
    branch: str | None = None
    tags: Sequence[str] = ()
    pull_request: str | None = None
    dirty: Sequence[str] = ()
    git_tags: Sequence[str] = ()
    source: str | None = None
    shallow: bool = False


def read_facts(root: Path, environ: Mapping[str, str]) -> Facts:
    """Return what git knows of `root`, overruled by what the CI system says. Writes nothing.

    Raises HostError `git-failed` when a repository cannot be read.
    """
    return with_ci(_read_git(root, environ), environ)


def with_ci(facts: Facts, environ: Mapping[str, str]) -> Facts:
    """Return `facts` with what GitHub Actions or GitLab CI say in `environ`; unchanged elsewhere.

    A CI system checks out a commit, not a branch, so that git alone does not know the branch.
    """
    if environ.get("GITHUB_ACTIONS") == "true":
        return _with_github(facts, environ)
    if environ.get("GITLAB_CI") == "true":
        return _with_gitlab(facts, environ)
    return facts


def public_address(url: str) -> str | None:
    """Return a repository's address as people open it, without credentials; None where it is a path."""
    if match := re.fullmatch(r"(?:ssh://)?(?:[^@/]+@)([^:/]+)(?::\d+/|[:/])(.+?)(?:\.git)?/?", url):
        return f"https://{match[1]}/{match[2]}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "git", "ssh") or not parts.hostname:
        return None
    scheme = parts.scheme if parts.scheme == "http" else "https"
    host = (
        parts.hostname
        if parts.port is None or parts.scheme in ("git", "ssh")
        else f"{parts.hostname}:{parts.port}"
    )
    return urlunsplit((scheme, host, parts.path.rstrip("/").removesuffix(".git"), "", ""))


def _with_github(facts: Facts, environ: Mapping[str, str]) -> Facts:
    ref = environ.get("GITHUB_REF", "")
    server, repository = environ.get("GITHUB_SERVER_URL"), environ.get("GITHUB_REPOSITORY")
    source = f"{server}/{repository}" if server and repository else facts.source
    commit = environ.get("GITHUB_SHA") or facts.commit
    found = replace(facts, commit=commit, source=source, branch=None, pull_request=None)
    if match := re.fullmatch(r"refs/pull/(\d+)/\w+", ref):
        return replace(found, pull_request=match[1], tags=())
    if ref.startswith("refs/tags/"):
        return replace(found, tags=(ref.removeprefix("refs/tags/"),))
    if ref.startswith("refs/heads/"):
        # A push to a branch is not the release of a tag that happens to be at the same commit.
        return replace(found, branch=ref.removeprefix("refs/heads/"), tags=())
    return found


def _with_gitlab(facts: Facts, environ: Mapping[str, str]) -> Facts:
    return replace(
        facts,
        commit=environ.get("CI_COMMIT_SHA") or facts.commit,
        tags=(environ["CI_COMMIT_TAG"],) if environ.get("CI_COMMIT_TAG") else (),
        branch=environ.get("CI_COMMIT_BRANCH") or None,
        pull_request=environ.get("CI_MERGE_REQUEST_IID") or None,
        source=environ.get("CI_PROJECT_URL") or facts.source,
    )


def _read_git(root: Path, environ: Mapping[str, str]) -> Facts:
    clean = {name: value for name, value in environ.items() if name not in _GIT_ENVIRON}
    # Looking must not write: git status would refresh the index.
    clean |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", "-C", str(root), *words],
            env=clean,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )

    try:
        inside = git("rev-parse", "--is-inside-work-tree")
    except FileNotFoundError:
        return Facts()
    if inside.returncode != 0:
        if "dubious ownership" in inside.stderr:
            raise HostError(
                "git-failed",
                "git refuses the repository: it belongs to another user",
                place=str(root),
                hint=f"git config --global --add safe.directory {root}",
            )
        return Facts()
    commit = git("rev-parse", "--verify", "--quiet", "HEAD").stdout.strip() or None
    branch = git("symbolic-ref", "--quiet", "--short", "HEAD").stdout.strip() or None
    status = git("status", "--porcelain", "--untracked-files=normal")
    if status.returncode != 0:
        raise HostError("git-failed", status.stderr.strip() or "git status failed", place=str(root))
    here = sorted(git("tag", "--points-at", "HEAD").stdout.split()) if commit else []
    remote = git("config", "--get", "remote.origin.url").stdout.strip()
    return Facts(
        commit=commit,
        branch=branch,
        tags=tuple(here),
        dirty=tuple(line.strip() for line in status.stdout.splitlines()),
        git_tags=tuple(sorted(git("tag", "--list").stdout.split())),
        source=public_address(remote) if remote else None,
        shallow=git("rev-parse", "--is-shallow-repository").stdout.strip() == "true",
    )
