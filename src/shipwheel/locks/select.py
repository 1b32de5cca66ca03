"""Which packages of a lock a target installs, and from which files. Pure; downloads and builds nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from packaging.utils import NormalizedName
from packaging.version import Version

from shipwheel.errors import LockError, Problem, TargetError, UsageError
from shipwheel.locks.choose import FileChooser
from shipwheel.locks.constraint import admits
from shipwheel.locks.markers import MarkerEnvironment
from shipwheel.locks.model import PRODUCTION, Lock, LockedPackage, Root, Selected, Selection
from shipwheel.locks.walk import Walk
from shipwheel.target import Target


def select_packages(lock: Lock, target: Target, selection: Selection | None = None) -> tuple[Selected, ...]:
    """Return what `selection` of `lock` installs on `target`, sorted by name.

    Markers are evaluated for the target alone. Raises UsageError `unknown-group`, `unknown-extra`,
    `unknown-package`, `choose-package`; LockError `bad-marker`, `incomplete-lock`, `ambiguous-lock`,
    `no-hash`; TargetError `python-not-locked`, `platform-not-locked`, `no-wheel-for-target`.
    """
    selection = selection or Selection()
    root = select_root(lock, selection)
    groups = select_groups(lock, root, selection)
    extras = select_extras(lock, root, selection)
    active = groups | (root.defaults if PRODUCTION in groups else frozenset())
    environment = MarkerEnvironment(target, extras=extras, groups=active)
    _check_admitted(lock, target, environment)
    walk = Walk(lock, environment, root)
    if lock.flat:
        chosen = _members(lock, active | extras if lock.extras_are_groups else active, environment)
        walk.follow(groups, extras, within=chosen)
    else:
        chosen = walk.follow(groups, extras)
    # The project itself is built and installed by its own step.
    wanted = [package for package in chosen.values() if not package.virtual and package.name != root.name]
    return _choose_files(wanted, walk, target)


def select_root(lock: Lock, selection: Selection) -> Root:
    """Return the project or workspace member to install; raises UsageError."""
    names = sorted(root.name for root in lock.roots if root.name is not None)
    if selection.package is not None:
        for root in lock.roots:
            if root.name == selection.package:
                return root
        raise _unknown("package", selection.package, names, lock)
    for root in lock.roots:
        if len(lock.roots) == 1 or (root.name is not None and root.name == lock.project):
            return root
    raise UsageError(
        "choose-package",
        f"the lock holds several projects: {', '.join(names)}",
        place=str(lock.info.path),
        hint="--package NAME picks one, or build in the project's own folder",
    )


def select_groups(lock: Lock, root: Root, selection: Selection) -> frozenset[NormalizedName]:
    """Return the groups to install, production as `PRODUCTION`; raises UsageError `unknown-group`."""
    known = sorted(group for group in root.groups if group != PRODUCTION)

    def real(group: NormalizedName) -> NormalizedName:
        if group in root.groups:
            return group
        if group in root.aliases:
            return PRODUCTION
        raise _unknown("group", group, known, lock)

    asked = selection.only_groups if selection.only_groups is not None else {PRODUCTION, *selection.groups}
    if selection.only_groups is not None:
        asked = {*asked, *selection.groups}
    without = {real(group) for group in selection.without}
    return frozenset(real(group) for group in asked) - without


def select_extras(lock: Lock, root: Root, selection: Selection) -> frozenset[NormalizedName]:
    """Return the project's extras to install; raises UsageError `unknown-extra`."""
    for extra in sorted(selection.extras):
        if extra not in root.extras:
            raise _unknown("extra", extra, sorted(root.extras), lock)
    return frozenset(root.extras) if selection.all_extras else selection.extras


def _unknown(what: str, name: str, known: Sequence[str], lock: Lock) -> UsageError:
    import difflib

    close = difflib.get_close_matches(name, known, n=1)
    there = f"there are: {', '.join(known)}" if known else f"there is no {what} at all"
    return UsageError(
        f"unknown-{what}",
        f"no {what} {name!r}; {there}",
        place=str(lock.info.path),
        hint=f"did you mean {close[0]}?" if close else None,
    )


def _check_admitted(lock: Lock, target: Target, environment: MarkerEnvironment) -> None:
    if not admits(lock.python, target.python):
        raise TargetError(
            "python-not-locked",
            f"the lock is for Python {lock.python}, the image has {target.python}",
            place=str(lock.info.path),
            hint="choose a base with such a Python, or widen the project's Python and lock again",
        )
    place = f"{lock.info.path.name} [environments]"
    if lock.environments and not any(environment.holds(text, place=place) for text in lock.environments):
        raise TargetError(
            "platform-not-locked",
            f"the lock was made for other environments than {target.platform} Python {target.python_minor}: "
            + "; ".join(lock.environments),
            place=str(lock.info.path),
            hint="add the image's platform to the lock's environments and lock again",
        )


def _members(
    lock: Lock, groups: frozenset[NormalizedName], environment: MarkerEnvironment
) -> dict[NormalizedName, LockedPackage]:
    """Return the packages of a flat lock that belong to the environment."""
    chosen: dict[NormalizedName, LockedPackage] = {}
    for package in lock.packages:
        belongs = any(
            (not member.groups or member.groups & groups)
            and environment.holds(member.marker, place=package.place)
            for member in package.memberships
        )
        if not belongs:
            continue
        # PEP 751, "packages.requires-python": an error MUST be raised if it is not met.
        if lock.info.kind == "pylock" and not admits(package.python, environment.python):
            raise TargetError(
                "python-not-locked",
                f"{package.name} {package.version} is for Python {package.python}, the image has {environment.python}",
                place=package.place,
            )
        other = chosen.setdefault(package.name, package)
        # PEP 751: an error about the ambiguity MUST be raised.
        if other is not package:
            raise ambiguous(other, package)
    return chosen


def ambiguous(one: LockedPackage, other: LockedPackage) -> LockError:
    """Return the error that a lock asks for two packages of one name at once."""
    what = " and ".join(
        f"{package.version}"
        + (f" from {package.index or package.source}" if package.index or package.source else "")
        for package in (one, other)
    )
    return LockError(
        "ambiguous-lock",
        f"{one.name} is locked twice for this target: {what}",
        place=one.place,
        hint="groups or extras that exclude each other were asked for together, or the lock contradicts itself",
    )


def _choose_files(packages: Iterable[LockedPackage], walk: Walk, target: Target) -> tuple[Selected, ...]:
    chooser = FileChooser(target)
    selected: list[Selected] = []
    problems: list[Problem] = []
    for package in sorted(packages, key=lambda package: package.name):
        choice = chooser.choose(package)
        if isinstance(choice, Problem):
            problems.append(choice)
            continue
        selected.append(
            Selected(
                name=package.name,
                version=Version(package.version) if package.version is not None else None,
                source=choice.source,
                index=package.index,
                place=package.place,
                alternatives=choice.alternatives,
                required_by=walk.required_by(package),
                reason=choice.reason,
            )
        )
    if problems:
        family = (
            TargetError if any(problem.code == "no-wheel-for-target" for problem in problems) else LockError
        )
        raise family.of(problems)
    return tuple(selected)
