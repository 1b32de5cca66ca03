"""Whether development is production with more on top: the same versions, and of our images the same layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from shipwheel.errors import ShipwheelError
from shipwheel.locks.model import PRODUCTION, Lock, Selection
from shipwheel.locks.select import select_packages, select_root
from shipwheel.oci.model import Image
from shipwheel.oci.read import LoadedImage
from shipwheel.target import Libc, Target
from shipwheel.verify.evidence import Evidence, collect
from shipwheel.verify.installed import Installed, find_installed
from shipwheel.verify.model import Finding, NotChecked, Place, Result, Rule
from shipwheel.verify.secure.packages import is_of_others
from shipwheel.verify.subject import Subject, count

VERSIONS: Final = Rule(
    code="dev-differs",
    promise="flexible",
    severity="error",
    title="Development and production hold different versions",
    why="What was tried is not what runs; a fault that only production shows cannot be looked at.",
    fix="Install both from one lock, development as production plus its groups.",
)
LAYERS: Final = Rule(
    code="dev-without-production",
    promise="flexible",
    severity="warning",
    title="The development image does not hold production's layers",
    why="The two were made from different locks or bases; with the same ones, dev has every layer of production.",
    fix="Build both from the same commit; `shipwheel build --group dev` shares the layers.",
)
RULES: Final = (VERSIONS, LAYERS)

_OURS: Final = "shipwheel"
# What a version is chosen for does not depend on these; wheels are not asked for.
_LIBC: Final = Libc("glibc", (2, 41))


def check(subject: Subject, dev: Image | LoadedImage | None) -> Iterator[Result]:
    """Yield what differs from the image `dev`; without one, what the lock chooses differently for the groups."""
    if dev is None:
        yield NotChecked(rule=LAYERS, reason="no image for development was given (--dev)")
        yield from _check_lock(subject)
        return
    evidence = collect(dev, look_for_secrets=False)
    installed = find_installed(evidence)
    places = [
        *_places(_versions(subject.installed), _versions(installed)),
        *_interpreters(subject.installed, installed),
    ]
    if places:
        yield _told(places)
    yield from _check_layers(subject.evidence, evidence)


def _check_layers(evidence: Evidence, dev: Evidence) -> Iterator[Result]:
    # The topmost is the app's own, which development has as source.
    ours = evidence.image.layers[:-1]
    if not all(layer.created_by.startswith(_OURS) for layer in (*evidence.image.layers, *dev.image.layers)):
        yield NotChecked(rule=LAYERS, reason="the images were not both made by shipwheel")
        return
    known = {layer.diff_id for layer in dev.image.layers}
    places = [
        Place(path=f"layer {number}", layer=number, size=layer.descriptor.size, detail=layer.created_by)
        for number, layer in enumerate(ours)
        if layer.diff_id not in known
    ]
    if places:
        message = f"{count(len(places), 'layer')} of {len(ours)} not in the development image"
        yield Finding(rule=LAYERS, message=message, places=places)


def _versions(installed: Installed) -> dict[str, str]:
    return {item.name: item.version for item in installed.distributions if not is_of_others(item)}


def _places(production: Mapping[str, str], dev: Mapping[str, str]) -> list[Place]:
    return [
        Place(path=name, package=f"{name} {production[name]}", detail=f"in development {dev[name]}")
        for name in sorted({*production} & {*dev})
        if production[name] != dev[name]
    ]


def _interpreters(production: Installed, dev: Installed) -> list[Place]:
    minors, others = ({item.minor for item in one.interpreters} for one in (production, dev))
    if not minors or not others or minors & others:
        return []
    detail = f"Python {', '.join(sorted(minors))}, in development {', '.join(sorted(others))}"
    return [Place(path="python", detail=detail)]


def _told(places: list[Place]) -> Finding:
    names = ", ".join(place.path for place in places[:6])
    return Finding(rule=VERSIONS, message=f"{count(len(places), 'difference')}: {names}", places=places)


def _check_lock(subject: Subject) -> Iterator[Result]:
    if subject.lock is None:
        yield NotChecked(
            rule=VERSIONS, reason=f"no image for development was given (--dev), and {subject.no_lock}"
        )
        return
    python = next((item.minor for item in subject.installed.interpreters), None)
    if python is None:
        yield NotChecked(rule=VERSIONS, reason="no Python interpreter was found in the image")
        return
    target = Target(python=f"{python}.0", platform=subject.evidence.image.platform, libc=_LIBC)
    try:
        production, dev = _chosen(subject.lock, target)
    except ShipwheelError as error:
        yield NotChecked(rule=VERSIONS, reason=error.problems[0].message)
        return
    if places := _places(production, dev):
        yield _told(places)


def _chosen(lock: Lock, target: Target) -> tuple[dict[str, str], dict[str, str]]:
    root = select_root(lock, Selection())
    groups = frozenset(root.groups) - {PRODUCTION} - root.aliases
    return _names(lock, target, Selection()), _names(lock, target, Selection(groups=groups))


def _names(lock: Lock, target: Target, selection: Selection) -> dict[str, str]:
    return {item.name: str(item.version) for item in select_packages(lock, target, selection)}
