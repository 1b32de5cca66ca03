"""What a change of a project really costs to build and to push, without a Dockerfile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from shipwheel.assemble.book import LayerBook
from shipwheel.assemble.workshop import Workshop
from shipwheel.errors import ShipwheelError
from shipwheel.locks.find import find_lock
from shipwheel.oci.model import Digest
from shipwheel.oci.reference import Reference
from shipwheel.pipeline import Built, Planned, Request, build, plan
from shipwheel.project.reader import read_project
from shipwheel.trial.change import (
    Locked,
    Release,
    bump_version,
    code_files,
    locked_releases,
    other_release,
    replace_release,
)
from shipwheel.trial.registry import ThrowAway, throw_away_registry
from shipwheel.trial.scratch import Scratch, scratch_copy
from shipwheel.verify.model import Measurement

EDIT: Final = "a code edit"
BUMP: Final = "a new version"
UPGRADE: Final = "one dependency at another version"
CHANGES: Final = (EDIT, BUMP, UPGRADE)

NOTHING: Final = {
    EDIT: "no Python file of the project's own was found",
    BUMP: "pyproject.toml has no version that could be raised",
    UPGRADE: "the lock has no release for every platform that the index has in another version too",
}
# Of what changes no image (a development tool's release, a file that is not packed), so many are tried.
_TRIES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """Builds the scratch copy. `before` are the digests of the layers of the unchanged image."""

    scratch: Scratch
    request: Request
    workshop: Workshop
    registry: ThrowAway | None
    before: frozenset[Digest] = frozenset()

    def build(self) -> tuple[Built, float]:
        """Build, and push where there is a registry; return the seconds of both."""
        workshop = replace(self.workshop, project=read_project(self.scratch.root), book=LayerBook())
        begun = time.perf_counter()
        return build(self.request, workshop), time.perf_counter() - begun

    def measure(self, what: str, detail: str) -> Measurement | None:
        """Build the changed copy and return what that took; None when no layer is new."""
        built, seconds = self.build()
        image = built.images[0]
        new = [layer.descriptor.size for layer in image.layers if layer.descriptor.digest not in self.before]
        if not new:
            return None
        if built.pushed:
            size = built.pushed[0].sent_bytes
            how = f"built and pushed to an empty registry here that had the image before; {len(new)} layers are new"
        else:
            size = sum(new) + image.config_blob().size
            how = f"built; the bytes are those of {len(new)} layers that the image before has not, not of a push"
        how = how.replace("1 layers are", "1 layer is").replace("1 layers that", "1 layer that")
        return Measurement(what=what, seconds=seconds, size=size, detail=f"{detail}; {how}")


def try_changes(request: Request, workshop: Workshop) -> Iterator[Measurement]:
    """Make each of `CHANGES` in a copy of the project, build and push it, and yield what that took."""
    try:
        planned = plan(request, workshop)[0]
        _, lock = find_lock(workshop.project.root, workshop.project.settings.lock)
        folders = [lock.parent, *(member.root for member in planned.members)]
        with (
            scratch_copy(workshop.project.root, folders) as scratch,
            throw_away_registry(workshop.environ) as registry,
        ):
            trial = _prepare(scratch, request, workshop, registry)
            for what, change in ((EDIT, _edits), (BUMP, _bumps)):
                yield _tried(what, trial, change(trial))
            yield _tried(UPGRADE, trial, _upgrades(trial, planned))
    except (ShipwheelError, OSError) as error:
        for what in CHANGES:
            yield Measurement(what=what, reason=why(error))


def _prepare(scratch: Scratch, request: Request, workshop: Workshop, registry: ThrowAway | None) -> _Trial:
    names: tuple[Reference, ...] = ()
    if registry is not None:
        names = (Reference.parse(f"{registry.address}/measured:latest"),)
    plain = replace(
        request, references=names, push=registry is not None, output=None, load=None, tags=None,
        attest=False, cache_from=None if registry is not None else (), frozen=True,
    )  # fmt: skip
    trial = _Trial(scratch=scratch, request=plain, workshop=workshop, registry=registry)
    built, _ = trial.build()
    return replace(trial, before=frozenset(layer.descriptor.digest for layer in built.images[0].layers))


def why(error: ShipwheelError | OSError) -> str:
    """Return in one line why something could not be done."""
    if isinstance(error, ShipwheelError):
        return error.problems[0].message
    return f"{error.filename}: {error.strerror}"


Change = tuple[str, Callable[[], AbstractContextManager[None]]]


def _tried(what: str, trial: _Trial, changes: Iterator[Change]) -> Measurement:
    """Make the first of `changes` that changes the image."""
    reason = NOTHING[what]
    try:
        for number, (detail, change) in enumerate(changes):
            if number == _TRIES:
                break
            try:
                with change():
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


def _edits(trial: _Trial) -> Iterator[Change]:
    for path in code_files(trial.scratch.root):
        text = path.read_text("utf-8", errors="strict")
        # Never the same line twice: a layer of an earlier measurement must not be found again.
        edited = f"{text.rstrip()}\n# measured {time.time_ns()}\n"
        yield f"a line more in {path.name}", _changing(trial.scratch, path, edited)


def _bumps(trial: _Trial) -> Iterator[Change]:
    path = trial.scratch.root / "pyproject.toml"
    bumped = bump_version(path.read_text("utf-8"), time.time_ns() // 1_000_000)
    if bumped is not None:
        yield f"version {bumped[1]} in pyproject.toml", _changing(trial.scratch, path, bumped[0])


def _upgrades(trial: _Trial, planned: Planned) -> Iterator[Change]:
    project = read_project(trial.scratch.root)
    kind, path = find_lock(project.root, project.settings.lock)
    text = path.read_text("utf-8")
    wanted = {item.name: item for item in planned.selected}
    offered = [item for item in locked_releases(kind, text) if item.name in wanted]
    sizes = {item.name: trial.workshop.fetcher.size_of(wanted[item.name], ask=False) or 0 for item in offered}
    offered.sort(key=lambda item: (sizes[item.name], item.name))
    for locked in from_the_middle(offered):
        files = trial.workshop.fetcher.offered(locked.name, wanted[locked.name].index)
        release = other_release(locked, files, planned.plan.python.version)
        edited = None if release is None else replace_release(kind, text, locked, release)
        if release is not None and edited is not None:
            yield told(locked, release), _changing(trial.scratch, path, edited)


def from_the_middle(items: Sequence[Locked]) -> list[Locked]:
    """Return the items, the one in the middle first and the outermost last."""
    middle = (len(items) - 1) / 2
    return [item for _, item in sorted(enumerate(items), key=lambda pair: (abs(pair[0] - middle), pair[0]))]


def told(locked: Locked, release: Release) -> str:
    """Return the change of a dependency in words."""
    return f"{locked.name} {release.version} instead of {locked.version}"


def _changing(scratch: Scratch, path: Path, text: str) -> Callable[[], AbstractContextManager[None]]:
    return lambda: scratch.changed(path, text)
