"""A first-party project → its wheel, made once for equal sources. Locks nothing and makes no layer."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from shipwheel.cache import Cache
from shipwheel.project.files import (
    KEY_WITHIN,
    SourceFile,
    copy_files,
    hash_files,
    holds_private_key,
    list_files,
    private_key_error,
)
from shipwheel.project.ignore import IgnoreFile
from shipwheel.project.model import Project
from shipwheel.project.reader import read_project
from shipwheel.wheel.build import (
    RECIPE,
    BackEnd,
    IndexOptions,
    adds_nothing,
    build_wheel,
    environment_id,
    extra_requirements,
    pin_requirements,
    prepare_environment,
)
from shipwheel.wheel.pins import BuildSystem

# Back-ends and plug-ins that take the version from version control.
_VCS_VERSION: Final = (
    "setuptools-scm",
    "setuptools_scm",
    "hatch-vcs",
    "poetry-dynamic-versioning",
    "versioningit",
    "vcs-versioning",
    "pdm-backend",
    "versioneer",
    "dunamai",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltWheel:
    """A wheel in the cache: its file name, and its path named by sha256."""

    filename: str
    path: Path
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """Where wheels are built: cache, index for build requirements, and the caller's environment."""

    cache: Cache
    index: IndexOptions
    environ: Mapping[str, str]


def read_member(folder: Path, name: str) -> Project:
    """Return the path dependency `name` in `folder`, which a lock says is to be installed.

    That makes a package of what has no `[build-system]`, or no pyproject.toml beside its setup.py.
    """
    if not (folder / "pyproject.toml").is_file() and (folder / "setup.py").is_file():
        return Project(root=folder, data={}, name=canonicalize_name(name), version=None)
    return replace(read_project(folder), package_mode=True)


def pin_build_system(project: Project, builder: Builder, declared: BuildSystem | None = None) -> BuildSystem:
    """Resolve what building `project` needs; `declared` is what its `[build-system]` came to, where known.

    Raises BuildError `build-requirements`, `build-environment`, `no-back-end`.
    """
    back_end, index, environ = BackEnd.of(project.data), builder.index, builder.environ
    system = declared or pin_requirements(back_end.requires, index=index, environ=environ)
    if adds_nothing(back_end):
        return system
    with tempfile.TemporaryDirectory(prefix="shipwheel-") as folder:
        tree = stage_project(project, Path(folder))
        extra = extra_requirements(tree, back_end, system, cache=builder.cache, index=index, environ=environ)
    if not extra:
        return system
    pinned = pin_requirements([*back_end.requires, *extra], index=index, environ=environ)
    return BuildSystem(requires=system.requires, pins=pinned.pins, extra=tuple(sorted(set(extra))))


def source_key(project: Project, system: BuildSystem | None) -> str:
    """Return what the project's wheel follows from: its files, its back-end's pins, its VCS version."""
    settings = project.settings
    if project.package_mode:
        files = _files(project)
    else:
        files = list_files(project.root, include=settings.include, exclude=settings.exclude, at_run_time=True)
    identity = environment_id(system) if system else "copied"
    described = _describe(project)
    return f"{RECIPE} {hash_files(project.root, files)} {identity} {described}"


def _files(project: Project) -> tuple[SourceFile, ...]:
    """Return the files that the back-end is given: not the locks that it does not read.

    So that a base or a dependency that moves on does not make another wheel of the project.
    """
    settings = project.settings
    unread = []
    # Who looks at version control would see a file missing, and tell of a changed version.
    if not _versioned_by_vcs(project):
        unread.append("/shipwheel.lock")
        if BackEnd.of(project.data).name == "poetry.core.masonry.api":
            unread.append("/poetry.lock")
    return list_files(project.root, include=settings.include, exclude=(*settings.exclude, *unread))


def build_project(project: Project, system: BuildSystem, key: str, builder: Builder) -> BuiltWheel:
    """Return the wheel of `project`, whose sources have `key`; built unless it was before.

    Raises BuildError `build-failed`, `no-back-end`, `build-environment`.
    """
    cache = builder.cache
    if (kept := kept_wheel(cache, key)) is not None:
        return kept
    env = prepare_environment(system, cache=cache, index=builder.index, environ=builder.environ)
    with tempfile.TemporaryDirectory(prefix="shipwheel-") as folder:
        tree = stage_project(project, Path(folder))
        into = Path(folder) / "out"
        into.mkdir()
        built = build_wheel(tree, BackEnd.of(project.data), env, into, environ=builder.environ)
        check_no_private_keys(built, project)
        return keep_wheel(cache, key, built)


def kept_wheel(cache: Cache, key: str) -> BuiltWheel | None:
    """Return the wheel that was kept under `key`, or None."""
    known = cache.record(f"wheel of {key}")
    if known is None or (path := cache.file("sha256", known["sha256"])) is None:
        return None
    return BuiltWheel(filename=known["filename"], path=path, sha256=known["sha256"])


def keep_wheel(cache: Cache, key: str, built: Path) -> BuiltWheel:
    """Copy a wheel that was just built into the cache, to be found under `key`."""
    content = built.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    with cache.staging() as (staged, file):
        file.write(content)
        file.close()
        path = cache.add_file(staged, "sha256", digest)
    cache.add_record(f"wheel of {key}", {"filename": built.name, "sha256": digest})
    return BuiltWheel(filename=built.name, path=path, sha256=digest)


def check_no_private_keys(wheel: Path, project: Project) -> None:
    """Raise ProjectError `private-key` for a key that the back-end took in and `include` does not name."""
    meant = IgnoreFile.from_gitignore(project.settings.include)
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            if meant.decide(info.filename, is_folder=False) or info.is_dir():
                continue
            with archive.open(info) as member:
                if holds_private_key(member.read(KEY_WITHIN)):
                    raise private_key_error(info.filename, f"{project.title}'s wheel: {info.filename}")


def stage_project(project: Project, folder: Path) -> Path:
    """Copy the files that count into a folder below `folder`, and return it.

    One whose version comes from version control sees its repository.
    """
    # The folder's name is the project's: back-ends report it, and never a random one.
    tree = folder / "project"
    tree.mkdir()
    copy_files(project.root, _files(project), tree)
    if _versioned_by_vcs(project) and (project.root / ".git").exists():
        show_repository(project.root, tree)
    return tree


def show_repository(root: Path, tree: Path) -> None:
    """Make `tree`, a copy of some of the files in the git worktree `root`, a worktree of the same commit.

    It has an index of its own, beside it, by which files that were not copied are no change. Does
    nothing where git cannot tell: the back-end will say what it lacks.
    """
    try:
        # gitrepository-layout(5): HEAD and index are the worktree's own, all else is in the common folder.
        own, common = _git(
            root, "rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir"
        ).split("\n")[:2]
        folder = tree.parent / "git"
        folder.mkdir()
        (folder / "commondir").write_text(f"{common}\n")
        (folder / "gitdir").write_text(f"{tree / '.git'}\n")
        for name in ("HEAD", "index"):
            if (Path(own) / name).exists():
                (folder / name).write_bytes((Path(own) / name).read_bytes())
        (tree / ".git").write_text(f"gitdir: {folder}\n")
        gone = _git(tree, "ls-files", "-z", "--deleted")
        _git(tree, "update-index", "-z", "--skip-worktree", "--stdin", text=gone)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return


def _git(folder: Path, *words: str, text: str = "") -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], input=text, capture_output=True, text=True, check=True
    )
    return done.stdout


def _versioned_by_vcs(project: Project) -> bool:
    requires = " ".join(BackEnd.of(project.data).requires)
    return any(name in requires for name in _VCS_VERSION)


def _describe(project: Project) -> str:
    if not _versioned_by_vcs(project) or not (project.root / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(project.root), "describe", "--always", "--long", "--tags", "--dirty"],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:  # the back-end will say what it lacks
        return ""
    return done.stdout.strip()
