"""The same with a Dockerfile and an engine: built once more from nothing, or after each change, and pushed."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from shipwheel.errors import HostError, ShipwheelError
from shipwheel.locks.find import find_lock
from shipwheel.trial.change import bump_version, code_files, locked_releases, other_release, replace_release
from shipwheel.trial.native import BUMP, CHANGES, EDIT, NOTHING, UPGRADE, from_the_middle, told, why
from shipwheel.trial.registry import ThrowAway, throw_away_registry
from shipwheel.trial.scratch import Scratch, scratch_copy
from shipwheel.verify.model import Measurement
from shipwheel.wheel.fetch import Fetcher

_TRIES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Docker or Podman, as its client at `program`."""

    program: str
    environ: Mapping[str, str]

    def run(self, *words: str) -> str:
        """Run the client; return what it says; raises HostError `engine-failed`."""
        done = subprocess.run(
            [self.program, *words],
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise HostError(
                "engine-failed", lines[-1].strip() if lines else f"it ended with {done.returncode}"
            )
        return done.stdout.strip()

    def build(self, dockerfile: Path, tag: str, *, fresh: bool = False) -> str:
        """Build `dockerfile` in its folder; return the image's id."""
        words = ["build", "--file", str(dockerfile), "--tag", tag, *(["--no-cache"] if fresh else [])]
        self.run(*words, str(dockerfile.parent))
        return self.run("image", "inspect", "--format", "{{.Id}}", tag)


def find_engine(environ: Mapping[str, str]) -> Engine | None:
    """Return the engine that answers, Docker before Podman, or None."""
    for name in ("docker", "podman"):
        program = shutil.which(name, path=environ.get("PATH"))
        if program is None:
            continue
        engine = Engine(program=program, environ=environ)
        try:
            engine.run("info")
        except HostError:
            continue
        return engine
    return None


@contextmanager
def built_again(dockerfile: Path, environ: Mapping[str, str]) -> Iterator[str]:
    """Build the Dockerfile with no cache; yield where the image is (`docker-daemon:…`), removed after the block.

    Raises HostError `no-engine`, `engine-failed`.
    """
    engine = find_engine(environ)
    if engine is None:
        raise HostError(
            "no-engine",
            "neither Docker nor Podman answers here to build the Dockerfile again",
            place="--rebuild",
        )
    tag = f"localhost/shipwheel-again:{uuid4().hex}"
    engine.build(dockerfile, tag, fresh=True)
    kind = "podman" if Path(engine.program).name == "podman" else "docker-daemon"
    try:
        yield f"{kind}:{tag}"
    finally:
        engine.run("image", "rm", "--force", tag)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    engine: Engine
    scratch: Scratch
    dockerfile: Path
    registry: ThrowAway | None
    tag: str
    before: str

    def measure(self, what: str, detail: str) -> Measurement | None:
        stored = 0 if self.registry is None else self.registry.stored()
        begun = time.perf_counter()
        if self.engine.build(self.dockerfile, self.tag) == self.before:
            return None
        how = "built by the engine with its cache"
        if self.registry is None:
            seconds = time.perf_counter() - begun
            how += "; bytes not measured, because no docker-registry is installed to push to"
            return Measurement(what=what, seconds=seconds, detail=f"{detail}; {how}")
        self.engine.run("push", self.tag)
        seconds = time.perf_counter() - begun
        size = self.registry.stored() - stored
        how += " and pushed to an empty registry here that had the image before"
        return Measurement(what=what, seconds=seconds, size=size, detail=f"{detail}; {how}")


def try_changes(
    dockerfile: Path, fetcher: Fetcher | None, environ: Mapping[str, str]
) -> Iterator[Measurement]:
    """Make each of `CHANGES` in a copy of the Dockerfile's folder, build and push it, and yield what that took.

    `fetcher` asks the index for another release of a dependency.
    """
    engine = find_engine(environ)
    if engine is None:
        for what in CHANGES:
            yield Measurement(what=what, reason="neither Docker nor Podman answers here")
        return
    tag = ""
    try:
        with (
            scratch_copy(dockerfile.resolve().parent) as scratch,
            throw_away_registry(environ) as registry,
        ):
            copy = scratch.root / dockerfile.name
            name = f"shipwheel-measured/{uuid4().hex}"
            tag = f"{registry.address}/{name}:latest" if registry else f"localhost/{name}:latest"
            before = engine.build(copy, tag)
            if registry is not None:
                engine.run("push", tag)
            trial = _Trial(
                engine=engine, scratch=scratch, dockerfile=copy, registry=registry, tag=tag, before=before
            )
            yield _tried(EDIT, trial, _edits(scratch.root))
            yield _tried(BUMP, trial, _bumps(scratch.root))
            yield _tried(UPGRADE, trial, _upgrades(scratch.root, fetcher))
    except (ShipwheelError, OSError) as error:
        for what in CHANGES:
            yield Measurement(what=what, reason=why(error))
    finally:
        if tag:
            _forget(engine, tag)


def _forget(engine: Engine, tag: str) -> None:
    try:
        engine.run("image", "rm", "--force", tag)
    except HostError:
        return  # it was never made


Edit = tuple[str, Path, str]


def _tried(what: str, trial: _Trial, edits: Iterator[Edit]) -> Measurement:
    reason = NOTHING[what]
    try:
        for number, (detail, path, text) in enumerate(edits):
            if number == _TRIES:
                break
            try:
                with trial.scratch.changed(path, text):
                    found = trial.measure(what, detail)
            except (ShipwheelError, OSError) as error:
                reason = f"{detail}: {why(error)}"
                continue
            if found is not None:
                return found
            reason = f"it leaves the image as it is: {detail}"
    except (ShipwheelError, OSError) as error:
        reason = why(error)
    return Measurement(what=what, reason=reason)


def _edits(root: Path) -> Iterator[Edit]:
    for path in code_files(root):
        text = path.read_text("utf-8")
        yield f"a line more in {path.name}", path, f"{text.rstrip()}\n# measured {time.time_ns()}\n"


def _bumps(root: Path) -> Iterator[Edit]:
    path = root / "pyproject.toml"
    if not path.is_file():
        return
    bumped = bump_version(path.read_text("utf-8"), time.time_ns() // 1_000_000)
    if bumped is not None:
        yield f"version {bumped[1]} in pyproject.toml", path, bumped[0]


def _upgrades(root: Path, fetcher: Fetcher | None) -> Iterator[Edit]:
    kind, path = find_lock(root)
    if fetcher is None:
        return
    text = path.read_text("utf-8")
    for locked in from_the_middle(locked_releases(kind, text)):
        # Which Python the image has does not matter here: what does not fit fails, and the next is tried.
        release = other_release(locked, fetcher.offered(locked.name, None), "3.11")
        edited = None if release is None else replace_release(kind, text, locked, release)
        if release is not None and edited is not None:
            yield told(locked, release), path, edited
