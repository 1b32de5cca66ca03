"""Which packages a base needs: the dependency closure of its roots (Debian Policy 7). Fetches nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from shipwheel.base.debian.packages import Stanza
from shipwheel.base.debian.relations import Alternatives, Relation, version_key
from shipwheel.errors import LockError, Problem


class PackageSource(Protocol):
    """What a closure asks of an archive."""

    def named(self, name: str) -> list[Stanza]:
        """Return the packages called `name`."""
        ...

    def providing(self, name: str) -> list[Stanza]:
        """Return the packages whose Provides names `name`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """The packages sorted by name, and those of the omissions that something asked for, by name."""

    packages: tuple[Stanza, ...]
    omitted: Mapping[str, str]


def resolve(
    roots: Sequence[str], sources: Sequence[PackageSource], omissions: Mapping[str, str], *, place: str
) -> Closure:
    """Return `roots` and all they need by Depends and Pre-Depends, each at its highest version.

    Of equal versions that of the earlier source is taken. Of alternatives, one that is wanted anyway
    comes first, then one in `omissions` (name → reason), then the first that exists; of several
    providers the first by name. Raises LockError `package-not-found`, `dependency-unsatisfied`,
    `package-conflict`: all the problems there are.
    """
    resolver = _Resolver(sources, omissions, place)
    return resolver.run(roots)


class _Resolver:
    def __init__(self, sources: Sequence[PackageSource], omissions: Mapping[str, str], place: str) -> None:
        self._sources = sources
        self._omissions = omissions
        self._place = place
        self._chosen: dict[str, Stanza] = {}
        self._omitted: dict[str, str] = {}
        self._problems: list[Problem] = []

    def run(self, roots: Sequence[str]) -> Closure:
        queue: deque[Stanza] = deque()
        for name in sorted(set(roots)):
            best = self._best(name)
            if best is None:
                self._problem("package-not-found", f"no package {name}")
                continue
            self._choose(best, queue)
        while queue:
            stanza = queue.popleft()
            for group in stanza.depends:
                self._satisfy(stanza, group, queue)
        self._check_conflicts()
        if self._problems:
            raise LockError.of(self._problems)
        packages = tuple(self._chosen[name] for name in sorted(self._chosen))
        return Closure(packages=packages, omitted=dict(sorted(self._omitted.items())))

    def _best(self, name: str) -> Stanza | None:
        found = [stanza for source in self._sources for stanza in source.named(name)]
        # max() keeps the first of equals.
        return max(found, key=lambda stanza: version_key(stanza.version), default=None)

    def _choose(self, stanza: Stanza, queue: deque[Stanza]) -> None:
        if stanza.name not in self._chosen:
            self._chosen[stanza.name] = stanza
            queue.append(stanza)

    def _satisfy(self, stanza: Stanza, group: Alternatives, queue: deque[Stanza]) -> None:
        for relation in group:
            if any(_satisfies(chosen, relation) for chosen in self._chosen.values()):
                return
        for relation in group:
            if relation.name in self._omissions:
                self._omitted[relation.name] = self._omissions[relation.name]
                return
        for relation in group:
            best = self._best(relation.name)
            if best is not None and _satisfies(best, relation):
                self._choose(best, queue)
                return
            providers = {
                other.name
                for source in self._sources
                for other in source.providing(relation.name)
                if _satisfies(other, relation)
            }
            for name in sorted(providers):
                provider = self._best(name)
                if provider is not None and _satisfies(provider, relation):
                    self._choose(provider, queue)
                    return
        wanted = " | ".join(map(str, group))
        self._problem("dependency-unsatisfied", f"{stanza.name} {stanza.version} needs {wanted}")

    def _check_conflicts(self) -> None:
        for name in sorted(self._chosen):
            stanza = self._chosen[name]
            for group in stanza.conflicts:
                for relation in group:
                    for other in self._chosen.values():
                        # Policy 7.4: a package may conflict with what it provides itself.
                        if other.name != name and _satisfies(other, relation):
                            self._problem(
                                "package-conflict",
                                f"{name} {stanza.version} does not go with {other.name} {other.version}",
                            )

    def _problem(self, code: str, message: str) -> None:
        hint = "another mirror may be complete; extra packages are those of [tool.shipwheel.base] packages"
        self._problems.append(Problem(code=code, message=message, place=self._place, hint=hint))


def _satisfies(stanza: Stanza, relation: Relation) -> bool:
    """Tell whether `stanza` satisfies `relation` by its name or by what it provides (Policy 7.5)."""
    # Multiarch: `:any` asks for a package that allows it; we choose packages of one architecture.
    if relation.qualifier not in ("", "native", stanza.architecture) and not (
        relation.qualifier == "any" and stanza.multi_arch == "allowed"
    ):
        return False
    if stanza.name == relation.name:
        return relation.allows(stanza.version)
    for group in stanza.provides:
        for provided in group:
            # An unversioned Provides satisfies only unversioned relationships.
            if provided.name == relation.name and (
                not relation.operator or (provided.version != "" and relation.allows(provided.version))
            ):
                return True
    return False
