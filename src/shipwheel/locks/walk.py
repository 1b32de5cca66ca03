"""Walks a lock's graph from what a project asks for to the packages of one environment.

Every tool's resolver has run already: this only finds, among the locked packages, those that the
wishes reach. Where several packages of one name are locked, the wishes' versions, sources and
constraints tell them apart.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from packaging.utils import NormalizedName
from packaging.version import Version

from shipwheel.errors import LockError
from shipwheel.locks.conflicts import activate
from shipwheel.locks.constraint import admits
from shipwheel.locks.markers import MarkerEnvironment
from shipwheel.locks.model import Lock, LockedPackage, Need, Root

_Wish = tuple[Need, LockedPackage | None]


# Combinations of versions that are tried before a lock counts as contradicting itself; real ones need a few.
_MOST_TRIES = 500


class _DeadEndError(Exception):
    """What was chosen cannot be continued: `told` is what to say where nothing else can be chosen."""

    def __init__(self, told: LockError) -> None:
        super().__init__(told.code)
        self.told = told


class _Choice(NamedTuple):
    """Several versions of `name` would do; best first."""

    name: NormalizedName
    candidates: Sequence[LockedPackage]


class Walk:
    """One walk over `lock` in `environment`; `required_by` tells afterwards who asked for what."""

    def __init__(self, lock: Lock, environment: MarkerEnvironment, root: Root) -> None:
        self._lock = lock
        self._environment = environment
        self._root = root
        self._by_name: dict[NormalizedName, list[LockedPackage]] = {}
        for package in lock.packages:
            self._by_name.setdefault(package.name, []).append(package)
        self._asked: dict[NormalizedName, set[NormalizedName]] = {}
        self._within: Mapping[NormalizedName, LockedPackage] | None = None
        self._tries = 0

    def follow(
        self,
        groups: frozenset[NormalizedName],
        extras: frozenset[NormalizedName],
        *,
        within: Mapping[NormalizedName, LockedPackage] | None = None,
    ) -> dict[NormalizedName, LockedPackage]:
        """Return the packages that the root's `groups` and `extras` reach, by name.

        With `within` the packages are chosen already and the walk only finds who asks for whom.
        Raises LockError `incomplete-lock`, `ambiguous-lock`.
        """
        self._within = within
        place = self._root.place or self._lock.info.path.name
        if self._lock.conflicts and within is None:
            self._environment = activate(
                self._lock, self._by_name, self._environment, root=self._root, groups=groups, extras=extras
            )
        wishes: list[_Wish] = [
            (need, None) for group in sorted(groups) for need in self._root.groups.get(group, ())
        ]
        wishes += [(need, None) for extra in sorted(extras) for need in self._root.extras.get(extra, ())]
        if within is not None:
            # What a flat lock chose may be asked for by nothing that we can read: each starts a walk.
            wishes += [(Need(name), None) for name in sorted(within)]
        wishes = [wish for wish in wishes if self._environment.holds(wish[0].marker, place=place)]
        self._tries = 0
        try:
            return self._search(wishes, {})
        except _DeadEndError as error:
            raise error.told from None

    def _search(
        self, wishes: Sequence[_Wish], decided: Mapping[NormalizedName, LockedPackage]
    ) -> dict[NormalizedName, LockedPackage]:
        """Run with the versions `decided`; where more are open, try them in order. Raises _DeadEndError."""
        self._tries += 1
        found = self._run(wishes, decided)
        if not isinstance(found, _Choice):
            return found
        ends: list[_DeadEndError] = []
        for candidate in found.candidates:
            try:
                return self._search(wishes, {**decided, found.name: candidate})
            except _DeadEndError as error:
                ends.append(error)
                if self._tries > _MOST_TRIES:
                    break
        raise ends[0]

    def required_by(self, package: LockedPackage) -> tuple[NormalizedName, ...]:
        """Return the names that asked for `package`, sorted; the project's own wish has no name."""
        asked = self._asked.get(package.name, set()) | {NormalizedName(name) for name in package.required_by}
        return tuple(sorted(asked - {package.name, self._root.name}))

    def _run(
        self, wishes: Iterable[_Wish], decided: Mapping[NormalizedName, LockedPackage]
    ) -> dict[NormalizedName, LockedPackage] | _Choice:
        """Return all that the wishes reach, or the first choice that is not `decided`. Raises _DeadEndError."""
        chosen: dict[NormalizedName, LockedPackage] = {}
        seen: set[tuple[int, NormalizedName | None]] = set()
        self._asked = {}
        queue: deque[_Wish] = deque(wishes)
        undecided: deque[_Wish] = deque()
        while queue or undecided:
            # A wish that leaves a choice waits for one that does not.
            waited = not queue
            need, asker = (undecided if waited else queue).popleft()
            found = self._candidates(need, asker)
            if not found:
                continue
            package = chosen.get(need.name) or decided.get(need.name)
            if package is None and len(found) > 1:
                if waited:
                    return _Choice(need.name, found)
                undecided.append((need, asker))
                continue
            package = package or found[0]
            if all(package is not candidate for candidate in found):
                raise _DeadEndError(self._contradiction(package))
            chosen[need.name] = package
            if asker is not None:
                self._asked.setdefault(need.name, set()).add(asker.name)
            for extra in (None, *need.extras):
                if (id(package), extra) not in seen:
                    seen.add((id(package), extra))
                    queue.extend(self._wishes(package, extra))
        return chosen

    def _wishes(self, package: LockedPackage, extra: NormalizedName | None) -> list[_Wish]:
        needs = package.needs if extra is None else package.extras.get(extra, ())
        return [
            (need, package) for need in needs if self._environment.holds(need.marker, place=package.place)
        ]

    def _candidates(self, need: Need, asker: LockedPackage | None) -> list[LockedPackage]:
        """Return the locked packages that satisfy `need`, best first; none where it may be left out.

        Raises _DeadEndError where there has to be one and is none.
        """
        if self._within is not None:
            package = self._within.get(need.name)
            return [] if package is None else [package]
        every = self._by_name.get(need.name)
        if every is None:
            if need.name in self._lock.unlocked or need.name == self._root.name:
                return []
            raise _DeadEndError(self._missing(need, asker))
        here = [package for package in every if self._belongs(package)]
        if len(every) == 1 or not here:
            return here
        fitting = [package for package in here if self._satisfies(package, need)]
        if not fitting:
            raise _DeadEndError(self._missing(need, asker))
        if len(fitting) > 1 and need.version is None:
            fitting = [package for package in fitting if self._in_fork(package)]
        # Two stable sorts: the newest version first, the default index before others.
        fitting.sort(key=lambda package: package.source or "")
        fitting.sort(key=lambda package: Version(package.version or "0"), reverse=True)
        return fitting

    def _belongs(self, package: LockedPackage) -> bool:
        """Tell whether what the package itself says of its environment holds (Poetry 1.0, PDM)."""
        return not package.memberships or any(
            self._environment.holds(member.marker, place=package.place) for member in package.memberships
        )

    def _in_fork(self, package: LockedPackage) -> bool:
        return not package.forks or any(
            self._environment.holds(text, place=package.place) for text in package.forks
        )

    def _satisfies(self, package: LockedPackage, need: Need) -> bool:
        if (
            need.version is not None
            and package.version is not None
            and Version(need.version) != Version(package.version)
        ):
            return False
        if need.source is not None and need.source != package.source:
            return False
        if not admits(package.python, self._environment.python):
            return False
        return package.version is None or admits(need.constraint, package.version)

    def _missing(self, need: Need, asker: LockedPackage | None) -> LockError:
        who = f"{asker.name} {asker.version}" if asker is not None else "the project"
        what = f"{need.name} {need.version or need.constraint}".strip()
        return LockError(
            "incomplete-lock",
            f"{who} needs {what}, which the lock does not have",
            place=asker.place if asker is not None else self._root.place or str(self._lock.info.path),
            hint="lock again",
        )

    def _contradiction(self, package: LockedPackage) -> LockError:
        what = " and ".join(str(other.version) for other in self._by_name[package.name])
        return LockError(
            "ambiguous-lock",
            f"{package.name} is locked more than once ({what}), and this target asks for more than one",
            place=package.place,
            hint="groups or extras that exclude each other were asked for together, or the lock contradicts itself",
        )
