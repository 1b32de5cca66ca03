"""Prove that packages can be imported after something was left out of them, and name what one cannot lack.

The image is run, without network and on a read-only root. What fails is tried again with nothing left out:
only what works then is slimming's fault. Decides nothing about the image; `slimmed_worker` runs in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from shipwheel.assemble.workshop import Workshop
from shipwheel.errors import BuildError, HostError, ImageError, Problem, ShipwheelError
from shipwheel.oci.model import Image
from shipwheel.plan.host import host_platform
from shipwheel.plan.model import BuildPlan

if TYPE_CHECKING:
    from shipwheel.engine.spec import Runner

# Part of what a proof is kept under: counts up when more is tried.
_RECIPE: Final = "slim-proof/1"
_WORKER: Final = Path(__file__).with_name("slimmed_worker.py")
_SECONDS: Final = 60
_ALL_SECONDS: Final = 900.0
# Those that leave nothing behind first; an engine would be given the image.
_RUNNERS: Final = ("bwrap", "runc", "unshare", "podman", "docker")
_PLACE: Final = "pyproject.toml [tool.shipwheel.slim]"

# What fails (`import numpy`, or a library's path) with its error, by package.
Faults = Mapping[str, Mapping[str, str]]


class Try(Protocol):
    """Imports packages in an image."""

    def __call__(self, image: Image, packages: Sequence[str]) -> Faults:
        """Return what fails; raises HostError, ImageError, TimeoutError."""
        ...


def prove_imports(
    plan: BuildPlan,
    image: Image,
    workshop: Workshop,
    *,
    rebuild: Callable[[Sequence[str] | None], Image],
    attempt: Try | None = None,
) -> None:
    """Import what the `plan` slimmed in its `image`, unless that was done before for the same layers.

    `rebuild` makes the image with these words added to `keep`, or with nothing left out for None;
    `attempt` imports (default: with a runner of this machine). Raises BuildError `slim-breaks-import`, one
    problem a package, and HostError `slim-not-tested`.
    """
    packages = sorted(wheel.name for layer in plan.layers for wheel in layer.wheels if wheel.slim)
    if plan.slim is None or not plan.slim.verify or not packages or not _is_new(plan, workshop):
        return
    below = [
        str(layer.diff_id)
        for planned, layer in zip(plan.layers, image.layers, strict=True)
        if planned.kind not in ("app", "first-party")
    ]
    key = f"{_RECIPE} {hashlib.sha256(' '.join([*below, *packages]).encode()).hexdigest()}"
    if workshop.cache.record(key) is not None:
        return
    if attempt is None and image.platform != host_platform():
        workshop.progress.said(
            f"note: {image.platform} does not run here: what was slimmed was not imported for it"
        )
        return
    attempt = attempt or _Attempt(workshop)
    workshop.progress.said(f"importing {len(packages)} slimmed packages")
    found = attempt(image, packages)
    if any(found.values()):
        whole = attempt(rebuild(None), [name for name in packages if found.get(name)])
        ours = {name: _without(found[name], whole.get(name, {})) for name in sorted(found)}
        if problems := [
            _problem(name, faults, plan, rebuild, attempt) for name, faults in ours.items() if faults
        ]:
            raise BuildError.of(problems)
        for name in sorted(whole):
            for what, said in whole[name].items():
                # Not a fault of slimming, and no proof either.
                workshop.progress.said(f"note: {name}: {what} fails with nothing left out too: {said}")
    workshop.cache.add_record(key, {"packages": packages})


def _is_new(plan: BuildPlan, workshop: Workshop) -> bool:
    """Tell whether a slimmed layer is of this machine; those of a pushed image were proven before its push."""
    keys = [layer.key for layer in plan.layers if any(wheel.slim for wheel in layer.wheels)]
    return any(workshop.book.origin(key) in ("made", "cache") for key in keys if key is not None)


def _without(faults: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    return {what: said for what, said in faults.items() if what not in others}


def _problem(
    name: str,
    faults: Mapping[str, str],
    plan: BuildPlan,
    rebuild: Callable[[Sequence[str] | None], Image],
    attempt: Try,
) -> Problem:
    what, said = next(iter(faults.items()))
    options = next(wheel.slim for layer in plan.layers for wheel in layer.wheels if wheel.name == name)
    guilty = [
        option
        for option in options
        if len(options) > 1 and not set(faults) & set(attempt(rebuild([f"{name}:{option}"]), [name])[name])
    ]
    word = f"{name}:{guilty[0]}" if guilty else name
    lacks = (guilty[0] if guilty else ", ".join(options)).replace("-", " ")
    kept = json.dumps(sorted({*(plan.slim.keep if plan.slim else ()), word}))
    return Problem(
        code="slim-breaks-import",
        message=f"{name} does not work without its {lacks}: {what}: {said}",
        place=_PLACE,
        hint=f"leave them in: keep = {kept}",
    )


class _Attempt:
    """Imports in an image with a runner of this machine."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._runner = _find_runner(workshop)

    def __call__(self, image: Image, packages: Sequence[str]) -> Faults:
        # Most builds find their proof, and run nothing.
        from shipwheel.engine.probe import probe

        task = json.dumps({"packages": list(packages), "seconds": _SECONDS})
        argv = ["python", "-c", _WORKER.read_text(encoding="utf-8"), task]
        try:
            done = probe(image, argv, runner=self._runner, timeout=_ALL_SECONDS)
        except (HostError, ImageError, TimeoutError) as error:
            said = error.problems[0].message if isinstance(error, ShipwheelError) else "no end in sight"
            raise _untested(f"the image cannot be run to import what was slimmed: {said}") from error
        line = done.stdout.decode("utf-8", "replace").strip().rpartition("\n")[2]
        try:
            found: dict[str, dict[str, dict[str, str]]] = json.loads(line)
        except ValueError as error:
            said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:300]
            raise _untested(f"the image's Python ended with {done.returncode}: {said}") from error
        for name in sorted(found):
            for what, wanted in found[name]["wanting"].items():
                said = f"note: {name}: {what} was not tried, for it needs {wanted}, which is not installed"
                self._workshop.progress.said(said)
        return {name: said["faults"] for name, said in found.items()}


def _find_runner(workshop: Workshop) -> Runner:
    from shipwheel.engine.detect import find_runner

    reasons = []
    for name in _RUNNERS:
        try:
            return find_runner(workshop.environ, name, cache=workshop.cache)
        except HostError as error:
            reasons.append(error.problems[0].message.rpartition("an image: ")[2])
    raise _untested(f"nothing here can run the image to import what was slimmed: {'; '.join(reasons)}")


def _untested(message: str) -> HostError:
    return HostError(
        "slim-not-tested",
        message,
        place=_PLACE,
        hint="build where an image can run (bubblewrap, Podman, user namespaces), or set verify = false",
    )
