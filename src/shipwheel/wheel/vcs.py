"""A locked commit of a git repository → its files, fetched once into the cache. Builds nothing.

Only the commit in the lock counts. Where its version is made from version control, branches and tags come
along; otherwise nothing but the commit. Logins are git's own (its credential helpers, .netrc, ssh): the readers
of locks leave out those in addresses, for git would show them to all users of this machine. None is kept.
"""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from packaging.pylock import PackageVcs

from shipwheel.cache import Cache
from shipwheel.errors import HostError, LockError, NetworkError
from shipwheel.net.address import redact
from shipwheel.net.settings import tls_context

RECIPE: Final = "git/2"
_COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
# The same files on every machine: no conversion of line ends, no hooks, no programs of the repository's.
_SETTINGS: Final = (
    "core.autocrlf=false",
    "core.eol=lf",
    "core.symlinks=true",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "protocol.ext.allow=never",
    "advice.detachedHead=false",
    "init.defaultBranch=main",
    "fetch.fsckObjects=false",
)
# git(1), "ENVIRONMENT VARIABLES": where the caller's own repository is must not matter here.
_DROPPED: Final = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
)


def fetch_commit(
    source: PackageVcs, *, cache: Cache, environ: Mapping[str, str], root: Path, place: str
) -> Path:
    """Return a folder with the files of the locked commit, submodules too, and its repository in `.git`.

    It is the cache's: copy it before use. A path in the lock is relative to `root`. Raises HostError
    `no-git`; LockError `not-git`, `bad-commit`; NetworkError `git-failed`, `no-such-commit`.
    """
    if source.type != "git":
        raise LockError("not-git", f"{source.type} repositories are not supported", place=place)
    commit = source.commit_id
    if not _COMMIT.fullmatch(commit):
        raise LockError("bad-commit", f"not a full commit: {commit!r}", place=place)
    url = source.url or (root / (source.path or "")).resolve().as_uri()
    # `git+file:` goes by both names: urllib knows of no authority in such a scheme.
    url = re.sub(r"^file:/(?!/)", "file:///", url.removeprefix("git+"))
    key = f"{RECIPE} {redact(url)} {commit} {source.subdirectory or ''}"
    if (kept := cache.folder(key)) is not None:
        return kept
    with cache.staging_folder() as staged:
        tree = staged / "tree"
        git = _Git(url, environ, place, staged)
        git.run("init", "--quiet", str(tree))
        shallow = _fetch(git, tree, commit, source.subdirectory)
        if (tree / ".gitmodules").is_file():
            git.run("-C", str(tree), "remote", "add", "origin", git.url.partition("?")[0])
            update = ("-C", str(tree), "submodule", "--quiet", "update", "--init", "--recursive")
            # A server may refuse to give a commit that no branch ends with.
            if not (shallow and git.works(*update, "--depth=1")):
                git.run(*update)
            # What leads from a submodule to its repository is no part of the source.
            for link in sorted(tree.rglob(".git")):
                if link.is_file():
                    link.unlink()
        return cache.add_folder(tree, key)


def _fetch(git: _Git, tree: Path, commit: str, subdirectory: str | None) -> bool:
    """Fetch and check out the commit into the new repository `tree`; tell whether its history was left out."""
    here = ("-C", str(tree))
    checkout = (*here, "checkout", "--quiet", "--force", "--detach", commit)
    deepen: tuple[str, ...] = ()
    # Most servers give any commit that is asked for by name.
    if git.works(*here, "fetch", "--quiet", "--depth=1", "--no-tags", "--", git.url, commit):
        git.run(*checkout)
        if _says_its_version(tree / (subdirectory or "")):
            return True
        deepen = ("--unshallow",)
    # All of it, as pip does: `git describe` needs tags and history.
    everything = ("--tags", "--force", *deepen, "--", git.url, "+refs/heads/*:refs/remotes/origin/*")
    git.run(*here, "fetch", "--quiet", *everything)
    if not git.works(*here, "cat-file", "-e", f"{commit}^{{commit}}"):
        # A commit of a branch that was rewritten, or of a pull request; some servers give those too.
        git.run(*here, "fetch", "--quiet", "--", git.url, commit, code="no-such-commit")
    git.run(*checkout)
    return False


def _says_its_version(folder: Path) -> bool:
    """Tell whether the project's version stands in its pyproject.toml, so that no history can matter to it."""
    try:
        data = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        # PyPA "pyproject.toml specification": a back-end must not change what is static.
        if "project" in data:
            return "version" in data["project"]
        requires = " ".join(data["build-system"]["requires"])
        return "version" in data["tool"]["poetry"] and "dynamic" not in requires
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError):
        return False  # whoever builds it says what is wrong


class _Git:
    """Runs git without questions and with settings that do not vary."""

    def __init__(self, url: str, environ: Mapping[str, str], place: str, folder: Path) -> None:
        program = shutil.which("git", path=environ.get("PATH", os.defpath))
        if program is None:
            raise HostError(
                "no-git",
                "git is not installed, and a dependency is locked as a commit of a repository",
                place=place,
                hint="install git, or lock a release of the package",
            )
        self.url, self._place = url, place
        settings = [*_SETTINGS]
        if url.startswith("file:"):
            # Since git 2.38.1 submodules by path are refused, but what is here is trusted as a whole.
            settings.append("protocol.file.allow=always")
        self._command = [program, *(word for setting in settings for word in ("-c", setting))]
        self._environ = {name: value for name, value in environ.items() if name not in _DROPPED}
        self._environ |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}
        self._environ.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
        if url.startswith("https:"):
            self._trust(folder)

    def run(self, *words: str, code: str = "git-failed") -> None:
        """Run git; raises NetworkError with the end of what it says, without logins."""
        done = self._run(words)
        if done.returncode == 0:
            return
        said = re.sub(r"(\w+://)[^/\s@]*@", r"\1", done.stderr.strip())
        what = "the repository does not have the locked commit" if code == "no-such-commit" else "git failed"
        raise NetworkError(
            code,
            f"{what}: {' '.join(filter(None, said.splitlines()[:5]))}",
            place=f"{redact(self.url)}, {self._place}",
            hint="was it pushed, and can this user read it? `git ls-remote` tells; a login counts in git's own "
            "places alone (a credential helper, ~/.netrc, ssh), not in the lock's address",
        )

    def works(self, *words: str) -> bool:
        """Run git, and tell whether it did what was asked."""
        return self._run(words).returncode == 0

    def _trust(self, folder: Path) -> None:
        """Have git trust the authorities that every other connection trusts, unless it is told which."""
        if "GIT_SSL_CAINFO" in self._environ:
            return
        if self.works("config", "--get-urlmatch", "http.sslCAInfo", self.url):
            return
        found = tls_context(self._environ).get_ca_certs(binary_form=True)
        bundle = folder / "authorities.pem"
        bundle.write_text("".join(ssl.DER_cert_to_PEM_cert(certificate) for certificate in found))
        self._environ["GIT_SSL_CAINFO"] = str(bundle)

    def _run(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._command, *words],
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            umask=0o022,
            check=False,
        )
