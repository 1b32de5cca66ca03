"""Which of a project's files go into an image, or into the building of its wheel.

What git or Docker ignore stays out, and so does what never belongs into an image: version control,
environments, caches, credentials, images built before (layouts and archives). Copies into a staging folder; builds nothing.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shipwheel.errors import ProjectError
from shipwheel.project.ignore import IgnoreFile, is_ignored
from shipwheel.staged import STAGED_NAMES

# Never needed by a program, often secret, or half-written. `include` does not bring these back.
NEVER: Final = IgnoreFile.from_gitignore(
    [
        ".git",
        ".hg",
        ".svn",
        ".env",
        ".env.*",
        "!.env.example",
        "!.env.sample",
        "!.env.template",
        ".netrc",
        ".pypirc",
        ".ssh/",
        ".aws/",
        ".gnupg/",
        ".docker/config.json",
        "id_rsa",
        "id_dsa",
        "id_ecdsa",
        "id_ed25519",
        "*.pfx",
        "*.p12",
        STAGED_NAMES,
    ]
)
# Rubbish of tools; `include` brings single files back.
USUALLY_NOT: Final = IgnoreFile.from_gitignore(
    [
        ".venv/",
        "__pycache__/",
        "*.py[co]",
        "*.egg-info/",
        ".mypy_cache/",
        ".pytest_cache/",
        ".ruff_cache/",
        ".hypothesis/",
        ".tox/",
        ".nox/",
        ".coverage",
        ".coverage.*",
        "htmlcov/",
        ".ipynb_checkpoints/",
        "node_modules/",
        ".idea/",
        ".vscode/",
        ".devcontainer/",
        ".DS_Store",
        "Thumbs.db",
    ]
)
# What builds or locks the project and does nothing once it runs: left out where source is copied.
NOT_AT_RUN_TIME: Final = IgnoreFile.from_gitignore(
    [
        "/shipwheel.lock",
        "/poetry.lock",
        "/uv.lock",
        "/pdm.lock",
        "/Pipfile",
        "/Pipfile.lock",
        "/pylock.toml",
        "/pylock.*.toml",
        "/requirements*.txt",
        "/pyproject.toml",
        "/poetry.toml",
        "/Dockerfile*",
        "/Containerfile*",
        "/compose*.y*ml",
        "/docker-compose*.y*ml",
        "/docker-bake.hcl",
        "/Makefile",
        "/.git*",
        "/.dockerignore",
        "/.pre-commit-config.yaml",
        "/.github/",
    ]
)
# A key is small, and stands at the start of whatever holds it.
KEY_WITHIN: Final = 256 * 1024
_PRIVATE_KEY: Final = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One file: its path below the root with `/`, whether it may be executed, its link target if a symlink."""

    path: str
    executable: bool
    link: str | None = None


def list_files(
    root: Path, *, include: Sequence[str] = (), exclude: Sequence[str] = (), at_run_time: bool = False
) -> tuple[SourceFile, ...]:
    """Return the files below `root` that count, sorted by path.

    With `at_run_time`, what only builds and locks stays out too. Raises ProjectError `escaping-link`
    for a symlink that leads out of the project, `special-file` for sockets, pipes and devices.
    """
    rules = _Rules(
        unwanted=(USUALLY_NOT, *([NOT_AT_RUN_TIME] if at_run_time else [])),
        excluded=IgnoreFile.from_gitignore(exclude),
        docker=IgnoreFile.from_dockerignore(_lines(root / ".dockerignore")),
        included=IgnoreFile.from_gitignore(include),
    )
    found = _walk(root, root, "", rules, tuple(_outer_gitignores(root)))
    return tuple(sorted(found, key=lambda file: file.path))


def hash_files(root: Path, files: Sequence[SourceFile]) -> str:
    """Return a hex sha256 over paths, modes and contents: equal trees, equal hash, whatever their mtimes."""
    total = hashlib.sha256()
    for file in files:
        if file.link is not None:
            content = file.link.encode("utf-8", "surrogateescape")
            kind = b"l"
        else:
            with (root / file.path).open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").digest()
            kind = b"x" if file.executable else b"f"
        path = file.path.encode("utf-8", "surrogateescape")
        total.update(b"%s %d %s %d %s\n" % (kind, len(path), path, len(content), content))
    return total.hexdigest()


def copy_files(root: Path, files: Sequence[SourceFile], into: Path) -> None:
    """Copy `files` into the empty folder `into`, with modes 0644 or 0755 and symlinks as symlinks."""
    for file in files:
        target = into / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.link is not None:
            target.symlink_to(file.link)
        else:
            shutil.copyfile(root / file.path, target)
            target.chmod(0o755 if file.executable else 0o644)


def holds_private_key(content: bytes) -> bool:
    """Tell whether `content` has the header of a PEM private key (RFC 7468)."""
    return _PRIVATE_KEY.search(content) is not None


def private_key_error(path: str, place: str) -> ProjectError:
    """Return the refusal of a private key at `path`, with both ways out."""
    return ProjectError(
        "private-key",
        f"{path} holds a private key",
        place=place,
        hint=f'exclude = ["{path}"] leaves it out; include = ["{path}"] says that you mean it',
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """Each of these may leave a file out on its own; `included` brings back what they left out."""

    unwanted: Sequence[IgnoreFile]
    excluded: IgnoreFile
    docker: IgnoreFile
    included: IgnoreFile

    def leaves_out(self, git: Sequence[IgnoreFile], path: str, *, is_folder: bool) -> bool:
        return any(
            is_ignored(files, path, is_folder=is_folder) for files in (self.unwanted, (self.excluded,), git)
        )

    def brings_back(self, path: str, *, is_folder: bool) -> bool:
        parts = path.split("/")
        return any(
            self.included.decide("/".join(parts[:length]), is_folder=is_folder or length < len(parts))
            for length in range(1, len(parts) + 1)
        )


def _walk(
    root: Path, folder: Path, prefix: str, rules: _Rules, git: Sequence[IgnoreFile]
) -> Iterator[SourceFile]:
    if lines := _lines(folder / ".gitignore"):
        git = (*git, IgnoreFile.from_gitignore(lines, folder=prefix))
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = f"{prefix}/{entry.name}" if prefix else entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if is_ignored([NEVER], path, is_folder=is_folder):
            continue
        left_out = rules.leaves_out(git, path, is_folder=is_folder)
        docker_ignores = bool(rules.docker.decide(path, is_folder=is_folder))
        brought_back = rules.brings_back(path, is_folder=is_folder)
        if not is_folder:
            if brought_back or not (left_out or docker_ignores or _is_archived_image(entry)):
                yield _source_file(root, entry, path)
        elif _is_output(Path(entry.path)):
            continue
        elif not (left_out or docker_ignores) or brought_back:
            yield from _walk(root, Path(entry.path), path, rules, git)
        elif rules.included.patterns or (docker_ignores and not left_out and rules.docker.takes_back):
            # Something in it may be brought back; git knows no such thing, so all else stays out.
            inner = (*git, IgnoreFile.from_gitignore(["*"], folder=path)) if left_out else git
            yield from _walk(root, Path(entry.path), path, rules, inner)


def _source_file(root: Path, entry: os.DirEntry[str], path: str) -> SourceFile:
    hint = f'leave it out: exclude = ["{path}"]'
    if entry.is_symlink():
        link = str(Path(entry.path).readlink())
        # Not resolved: a link is judged by what it says, since it is copied as it is.
        lexical = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
        if link.startswith("/") or lexical == ".." or lexical.startswith("../"):
            raise ProjectError(
                "escaping-link",
                f"{path} is a symbolic link to {link}, out of the project",
                place=str(root / path),
                hint=f"make it relative and inside, or {hint}",
            )
        return SourceFile(path=path, executable=False, link=link)
    mode = entry.stat(follow_symlinks=False).st_mode
    if not stat.S_ISREG(mode):
        raise ProjectError(
            "special-file", f"{path} is neither a file nor a folder", place=str(root / path), hint=hint
        )
    return SourceFile(path=path, executable=bool(mode & stat.S_IXUSR))


def _is_output(folder: Path) -> bool:
    """Tell a virtual environment (PEP 405) or an OCI layout: what tools put into a project."""
    return (folder / "pyvenv.cfg").exists() or (folder / "oci-layout").exists()


def _is_archived_image(entry: os.DirEntry[str]) -> bool:
    """Tell a tar that holds an image: an earlier build's output, which would make the next one another."""
    if not entry.is_file(follow_symlinks=False):
        return False
    size = entry.stat(follow_symlinks=False).st_size
    # POSIX.1, "ustar Interchange Format": whole blocks, and two more than the contents need.
    if size < 4 * 512 or size % 512:
        return False
    with open(entry.path, "rb") as file:  # noqa: PTH123 - a scan's entry
        start = file.read(1024)
    name = start[:100].rstrip(b"\0")
    return start[257:262] == b"ustar" and (
        name == b"oci-layout"
        or name.startswith(b"blobs/")
        or (name == b"manifest.json" and start[512:].startswith(b'[{"Config":'))
    )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except (FileNotFoundError, IsADirectoryError):
        return []


def _outer_gitignores(root: Path) -> list[IgnoreFile]:
    """Return the .gitignore files above `root`, outermost first, where it is part of a repository."""
    found: list[IgnoreFile] = []
    folder = root
    while not (folder / ".git").exists():
        if folder.parent == folder:
            return []
        folder = folder.parent
        above = root.relative_to(folder).as_posix()
        found.insert(0, IgnoreFile.from_gitignore(_lines(folder / ".gitignore"), above=above))
    return found
