"""The normal form → PEP 751. A graph becomes markers: of each package, when any wish reaches it.

What PEP 751 cannot say is refused by name instead of being said wrongly: a package of which only hashes
are known, and a choice between versions that depends on what else is chosen (poetry.lock before 2.1).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from packaging.markers import InvalidMarker, Marker
from packaging.pylock import (
    Package,
    PackageArchive,
    PackageDirectory,
    PackageSdist,
    PackageVcs,
    PackageWheel,
    Pylock,
)
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from shipwheel.errors import LockError
from shipwheel.locks.choose import sdist_rank, to_source
from shipwheel.locks.constraint import admits, python_marker
from shipwheel.locks.markers import both, either, parse_marker, set_valued
from shipwheel.locks.model import (
    PRODUCTION,
    ConflictItem,
    Lock,
    LockedFile,
    LockedPackage,
    Need,
    Root,
    Selection,
)
from shipwheel.locks.select import select_root

# Alternatives of a condition before it is refused as too wide; real locks stay below twenty.
_MOST_TERMS = 400
_Term = frozenset[str]
_State = tuple[int, NormalizedName | None]


def to_pylock(
    lock: Lock,
    *,
    selection: Selection | None = None,
    locate: Callable[[LockedPackage], Sequence[LockedFile]] | None = None,
) -> Pylock:
    """Return `lock` as PEP 751, for the root that `selection.package` names.

    Production becomes a default group where there are other groups. `locate` tells a package's files
    with their addresses, as poetry.lock and pdm.lock have names only: without it their files have no
    `url`, and the result is no valid document to write down. Raises LockError `not-expressible`.
    """
    root = select_root(lock, selection or Selection())
    production = _production_group(root)
    words = _Words(lock, root, production)
    markers = _flat_markers(lock, words) if lock.flat else _graph_markers(lock, root, words)
    packages = [
        _package(lock, package, marker, locate)
        for package, marker in markers
        if not package.virtual and package.name != root.name
    ]
    packages.sort(
        key=lambda package: (package.name, str(package.version), str(package.index), str(package.marker))
    )
    alternatives = lock.python.split(" || ") if lock.python else []
    environments = [set_valued(text) for text in lock.environments]
    if len(alternatives) > 1:
        environments = [
            both(python_marker(alternative), environment)
            for alternative in alternatives
            for environment in environments or [""]
        ]
    groups = sorted(words.groups)
    return Pylock(
        lock_version=Version("1.0"),
        environments=[_marker(text, f"{lock.info.path.name} [environments]") for text in environments]
        or None,
        requires_python=SpecifierSet(alternatives[0]) if len(alternatives) == 1 else None,
        extras=sorted(root.extras),
        dependency_groups=[*groups, production] if production else groups,
        default_groups=[production] if production else sorted(root.defaults),
        created_by="shipwheel",
        packages=packages,
    )


def _production_group(root: Root) -> str:
    """Return the name of the default group that production becomes; empty where nothing else could be wanted."""
    others = {group for group in root.groups if group not in (PRODUCTION, *root.extras)}
    if not others or root.defaults:
        return ""
    return next(name for name in ("default", "production", "production-default") if name not in others)


class _Words:
    """Says groups and extras of one root in PEP 751's words."""

    def __init__(self, lock: Lock, root: Root, production: str) -> None:
        self._root = root
        self._lock = lock
        self.production = production
        extras = root.extras if lock.extras_are_groups else {}
        self.groups = {group for group in root.groups if group != PRODUCTION and group not in extras}

    def of_group(self, group: NormalizedName) -> str:
        if group == PRODUCTION:
            return f'"{self.production}" in dependency_groups' if self.production else ""
        if self._lock.extras_are_groups and group in self._root.extras:
            return self.of_extra(group)
        return f'"{group}" in dependency_groups'

    def of_extra(self, extra: NormalizedName) -> str:
        return f'"{extra}" in extras'

    def marker(self, text: str, place: str) -> str:
        """Return a lock's marker with set-valued extras, and uv's encoded names decoded."""
        text = set_valued(text)
        if not self._lock.conflicts or "extras" not in text:
            return text
        items = {item.as_extra(): item for conflict in self._lock.conflicts for item in conflict}

        def decode(match: re.Match[str]) -> str:
            name, negated = canonicalize_name(match[1]), match[2] is not None
            item = items.get(name)
            if item is None:
                return match[0]
            return self._item(item, negated=negated, place=place)

        return re.sub(r"""["']([^"']+)["']\s+(not\s+)?in\s+extras""", decode, text)

    def _item(self, item: ConflictItem, *, negated: bool, place: str) -> str:
        if item.package != self._root.name:
            raise _not_expressible(f"a marker depends on {item}, which is not the project's", place)
        positive = {
            "extra": self.of_extra(item.item),
            "group": self.of_group(item.item),
            "project": self.of_group(PRODUCTION) or 'os_name != ""',
        }[item.kind]
        if not negated:
            return positive
        return positive.replace(" in ", " not in ") if " in " in positive else 'os_name == ""'


def _flat_markers(lock: Lock, words: _Words) -> list[tuple[LockedPackage, str]]:
    found = []
    for package in lock.packages:
        alternatives = []
        for member in package.memberships:
            marker = words.marker(member.marker, package.place)
            wanted = [words.of_group(group) for group in sorted(member.groups)]
            alternatives.append(both(either(*wanted) if wanted else "", marker))
        if alternatives:
            found.append((package, either(*alternatives)))
    return found


def _graph_markers(lock: Lock, root: Root, words: _Words) -> list[tuple[LockedPackage, str]]:
    """Return the reachable packages with the marker under which any wish reaches them."""
    by_name: dict[NormalizedName, list[LockedPackage]] = {}
    for package in lock.packages:
        by_name.setdefault(package.name, []).append(package)
    terms: dict[_State, set[_Term]] = {}
    nodes: dict[int, LockedPackage] = {}
    queue: deque[tuple[LockedPackage, NormalizedName | None, _Term]] = deque()

    def reach(needs: Iterable[Need], given: _Term, place: str) -> None:
        for need in needs:
            term = given | _atoms(words.marker(need.marker, place))
            for package in _candidates(lock, by_name, need, root, place):
                own = either(*(words.marker(one.marker, package.place) for one in package.memberships))
                reached = term | _atoms(own)
                queue.append((package, None, reached))
                queue.extend((package, asked, reached) for asked in need.extras)

    place = root.place or lock.info.path.name
    for group in sorted(root.groups):
        reach(root.groups[group], _atoms(words.of_group(group)), place)
    for name in sorted(root.extras):
        reach(root.extras[name], _atoms(words.of_extra(name)), place)
    while queue:
        package, extra, term = queue.popleft()
        known = terms.setdefault((id(package), extra), set())
        # What holds already under fewer conditions says nothing new.
        if any(one <= term for one in known):
            continue
        known -= {one for one in known if term < one}
        known.add(term)
        if len(known) > _MOST_TERMS:
            raise _not_expressible(f"{package.name} is wanted under too many conditions", package.place)
        nodes[id(package)] = package
        reach(package.needs if extra is None else package.extras.get(extra, ()), term, package.place)
    return [(package, _disjunction(terms[id(package), None])) for package in nodes.values()]


def _atoms(marker: str) -> _Term:
    return frozenset({marker}) if marker else frozenset()


def _disjunction(terms: Iterable[_Term]) -> str:
    return either(*sorted(both(*sorted(term)) for term in terms))


def _candidates(
    lock: Lock,
    by_name: Mapping[NormalizedName, Sequence[LockedPackage]],
    need: Need,
    root: Root,
    place: str,
) -> Sequence[LockedPackage]:
    every = by_name.get(need.name, ())
    if not every and need.name != root.name and need.name not in lock.unlocked:
        raise LockError(
            "incomplete-lock", f"{need.name} is needed and not locked", place=place, hint="lock again"
        )
    if len(every) < 2:
        return every
    found = [
        package
        for package in every
        if (need.source is None or need.source == package.source)
        and (
            need.version is None
            or package.version is None
            or Version(need.version) == Version(package.version)
        )
        and (package.version is None or admits(need.constraint, package.version))
    ]
    if len(found) > 1:
        raise _not_expressible(
            f"{need.name} may be {' or '.join(str(package.version) for package in found)}, by what else is chosen",
            place,
        )
    return found


def _package(
    lock: Lock,
    package: LockedPackage,
    marker: str,
    locate: Callable[[LockedPackage], Sequence[LockedFile]] | None,
) -> Package:
    files: Sequence[LockedFile] = package.files
    if package.direct is None and locate is not None:
        files = locate(package)
    if package.direct is None and not files:
        raise _not_expressible(
            f"the files of {package.name} {package.version} are known by hash only", package.place
        )
    wheels = [file for file in files if file.name.endswith(".whl")]
    sdists = sorted(
        (file for file in files if not file.name.endswith(".whl")),
        key=lambda file: (sdist_rank(file.name), file.name),
    )
    direct = package.direct
    sources = [source for file in (*wheels, *sdists[:1]) if (source := to_source(file))]
    names = dict.fromkeys(need.name for need in package.needs)
    locked = {other.name for other in lock.packages}
    return Package(
        name=package.name,
        version=Version(package.version) if package.version is not None else None,
        marker=_marker(marker, package.place) if marker else None,
        requires_python=SpecifierSet(package.python)
        if package.python and lock.info.kind == "pylock"
        else None,
        dependencies=[{"name": name} for name in sorted(names) if name in locked] or None,
        vcs=direct if isinstance(direct, PackageVcs) else None,
        directory=direct if isinstance(direct, PackageDirectory) else None,
        archive=direct if isinstance(direct, PackageArchive) else None,
        index=package.index,
        sdist=next((source for source in sources if isinstance(source, PackageSdist)), None),
        wheels=[source for source in sources if isinstance(source, PackageWheel)] or None,
    )


def _marker(text: str, place: str) -> Marker:
    try:
        return parse_marker(text)
    except InvalidMarker as error:
        raise LockError(
            "bad-marker", f"not a marker: {text}", place=place, hint=str(error).splitlines()[0]
        ) from error


def _not_expressible(why: str, place: str) -> LockError:
    return LockError(
        "not-expressible",
        f"PEP 751 cannot say it: {why}",
        place=place,
        hint="lock with a current version of the tool, or use the tool's own lock",
    )
