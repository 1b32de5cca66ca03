"""The corpus of real locks beside the project (see its README): specimens, and what other installers say."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

import tomli
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helpers.locks import target_for
from shipwheel.errors import ShipwheelError
from shipwheel.locks.find import lock_kind
from shipwheel.locks.model import Lock, Selection
from shipwheel.locks.read import read_lock
from shipwheel.project.model import Project
from shipwheel.target import Target

REPOSITORY: Final = Path(__file__).parent.parent.parent
CORPUS: Final = REPOSITORY.parent / "shared" / "lock-corpus"
# Newest first: a specimen is selected from for the newest Python that its lock admits.
PYTHONS: Final = ("3.14.2", "3.13.5", "3.12.10", "3.11.9", "3.10.14", "3.9.20", "3.8.18", "3.7.17")
_LOCKS: Final = ("poetry.lock", "uv.lock", "pdm.lock", "pylock.toml", "requirements.txt", "main.txt")
Pin = tuple[str, str]


@dataclass(frozen=True)
class Specimen:
    """One lock of the corpus with its project; `meta` is set where a selection is expected."""

    path: Path
    meta: Path | None = None

    @property
    def id(self) -> str:
        return self.path.parent.relative_to(CORPUS).as_posix() + "/" + self.path.name

    @cached_property
    def facts(self) -> dict[str, Any]:
        assert self.meta is not None
        facts: dict[str, Any] = json.loads(self.meta.read_text())
        return facts

    @property
    def pyproject(self) -> Path | None:
        named = [self.path.parents[1] / self.facts["pyproject"]] if self.meta is not None else []
        near = [self.path.parent / "pyproject.toml", self.path.parents[1] / "pyproject.toml"]
        found = [
            path
            for path in (*near, *named, *sorted(self.path.parent.glob("*/pyproject.toml")))
            if path.is_file()
        ]
        return found[0] if found else None

    def project(self) -> Project:
        path = self.pyproject
        data = tomllib.loads(path.read_text()) if path is not None else {}
        name = data.get("project", {}).get("name") or data.get("tool", {}).get("poetry", {}).get("name")
        root = path.parent if path is not None else self.path.parent
        return Project(root=root, data=data, name=canonicalize_name(name) if name else None, version=None)

    def read(self) -> Lock:
        return read_lock(self.path, lock_kind(self.path), self.project())

    def selection(self) -> Selection:
        groups = frozenset(canonicalize_name(name) for name in self.facts["groups"])
        extras = frozenset(canonicalize_name(name) for name in self.facts["extras"])
        only = groups if self.facts["only_groups"] else None
        return Selection(groups=frozenset() if only else groups, only_groups=only, extras=extras)

    def target(self) -> Target:
        python = next(full for full in PYTHONS if full.startswith(f"{self.facts['python']}."))
        return corpus_target(python)

    def expected(self) -> list[dict[str, Any]]:
        assert self.meta is not None
        entries: list[dict[str, Any]] = json.loads(self.meta.with_name("expected-selection.json").read_text())
        return entries


def corpus_target(python: str) -> Target:
    """The platform of the expected selections."""
    return target_for(python, libc="glibc 2.36")


def specimens() -> list[Specimen]:
    """Every lock of the corpus: the latest, all generations and steps, traps and exports."""
    latest = {meta.parent / "latest": meta for meta in CORPUS.glob("*/*/META.json")}
    found = []
    for path in sorted(CORPUS.rglob("*")):
        if path.name not in _LOCKS or not path.is_file():
            continue
        meta = next((meta for folder, meta in latest.items() if path.is_relative_to(folder)), None)
        found.append(Specimen(path, meta))
    return found


def with_expectation() -> list[Specimen]:
    return [specimen for specimen in specimens() if specimen.meta is not None]


@cache
def known_hashes() -> dict[str, str]:
    """`sha256:…` by file name, of every TOML lock in the corpus."""
    found: dict[str, str] = {}
    for specimen in specimens():
        if specimen.path.suffix == ".txt":
            continue
        try:
            document = tomli.loads(specimen.path.read_text())
        except tomli.TOMLDecodeError:
            continue
        found.update(_hashes(document))
    return found


def _hashes(document: dict[str, Any]) -> Iterator[Pin]:
    for package in document.get("package", ()):
        for file in (*package.get("files", ()), *package.get("wheels", ()), package.get("sdist", {})):
            name = file.get("file") or str(file.get("url", "")).rsplit("/", 1)[-1]
            if name and "hash" in file:
                yield name.replace("%2B", "+"), file["hash"]
    shared = document.get("metadata", {}).get("files", {})
    for files in shared.values() if isinstance(shared, dict) else ():
        yield from ((file["file"], file["hash"]) for file in files)


# --- other installers ---


def find_python(minor: str) -> str | None:
    """Return an interpreter of Python `minor` on this machine; None without one."""
    candidates = [
        shutil.which(f"python{minor}"),
        *map(str, sorted(Path.home().glob(f".pyenv/versions/{minor}.*/bin/python"))),
    ]
    for candidate in candidates:
        if candidate is None:
            continue
        answer = subprocess.run(
            [candidate, "-c", "import sys; print(sys.version)"], capture_output=True, text=True, check=False
        )
        if answer.stdout.startswith(f"{minor}."):
            return candidate
    return None


def uv() -> str:
    return str(Path(sys.executable).with_name("uv"))


def run_tool(tool: str, arguments: Sequence[str], folder: Path, environment: Path | None = None) -> str:
    """Run another installer, fetched by uv, in `folder` with the virtual environment `environment`."""
    environ = {
        **os.environ,
        "UV_PYTHON_DOWNLOADS": "never",
        "PDM_IGNORE_SAVED_PYTHON": "1",
        "PDM_CHECK_UPDATE": "0",
    }
    if environment is not None:
        environ["VIRTUAL_ENV"] = str(environment)
    # PDM 2.29 does not bound these two, and their newest releases lack what PDM calls.
    extra = ["--with", "hishel<1.2", "--with", "unearth<0.18"] if tool == "pdm" else []
    fetched = [uv(), "tool", "run", "-p", sys.executable, *extra, tool]
    command = [uv(), *arguments] if tool == "uv" else [*fetched, *arguments]
    answer = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise RuntimeError(f"{tool} {' '.join(arguments)}: {answer.stdout[-4000:]}{answer.stderr[-4000:]}")
    return answer.stdout


def poetry_pins(output: str) -> set[Pin]:
    """Return (name, version) of what `poetry install --dry-run --no-ansi` would install."""
    found: set[Pin] = set()
    for line in output.splitlines():
        match = re.match(
            r"  [-•] (?:Installing (\S+) \(([^ ):]+)|Updating (\S+) \(\S+ (?:\S+ )?-> ([^ ):]+))", line
        )
        if match and "Skipped" not in line:
            found.add((canonicalize_name(match[1] or match[3]), match[2] or match[4]))
    return found


def requirement_pins(output: str, target: Target) -> set[Pin]:
    """Return (name, version) of an exported requirements.txt whose markers hold for `target`."""
    found: set[Pin] = set()
    environment = {key: str(value) for key, value in target.marker_environment().items()}
    for line in output.splitlines():
        text = line.partition(" #")[0].strip()
        if not text or text.startswith(("#", "-", ".")):
            continue
        requirement = Requirement(text)
        # What comes from a folder has no version to compare.
        if requirement.url is None and (
            requirement.marker is None or requirement.marker.evaluate(environment)
        ):
            found.add((canonicalize_name(requirement.name), str(requirement.specifier).removeprefix("==")))
    return found


def describe(error: ShipwheelError) -> str:
    """The first problem, in the words of a table."""
    problem = error.problems[0]
    return f"{problem.code} at {problem.place}" if problem.place else problem.code
