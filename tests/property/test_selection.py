"""One version of a name for one environment, and exactly the packages that belong to it: against an oracle.

The oracles here know nothing of our readers and walks: markers come with a function that says when they
hold, a flat lock is filtered, and of a graph every choice of versions is tried.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.locks import (
    ARM,
    DEBIAN,
    INDEX,
    digest,
    pdm_lock,
    pdm_package,
    poetry_lock,
    poetry_package,
    project_at,
    read_text_as,
    selection,
    target_for,
    uv_lock,
    uv_package,
    wheel,
)
from shipwheel.errors import LockError
from shipwheel.locks.model import Lock, Selection
from shipwheel.locks.select import select_packages
from shipwheel.target import Target

Pin = tuple[str, str]
NAMES = ("a", "b", "c", "d")
VERSIONS = ("1.0", "2.0")
TARGETS = (DEBIAN, ARM, target_for("3.11.4"))
# Each marker with what it means, said without any marker.
MARKERS: Mapping[str, Callable[[Target], bool]] = {
    "": lambda _: True,
    "sys_platform == 'win32'": lambda _: False,
    "python_version >= '3.12'": lambda target: int(target.python.split(".")[1]) >= 12,
    "python_version < '3.12'": lambda target: int(target.python.split(".")[1]) < 12,
    "python_full_version < '3.13.5'": lambda target: target.python != "3.13.5",
    "platform_machine == 'x86_64' or sys_platform == 'darwin'": lambda target: target is not ARM,
    "platform_machine == 'aarch64'": lambda target: target is ARM,
}
# The group that each selection wants, production as "".
WANTED: Mapping[str, tuple[Selection, frozenset[str], frozenset[str]]] = {
    "production": (selection(), frozenset({""}), frozenset()),
    "an extra": (selection(extras=["fast"]), frozenset({""}), frozenset({"fast"})),
    "a group": (selection(groups=["dev"]), frozenset({"", "dev"}), frozenset()),
    "only a group": (selection(only=["dev"]), frozenset({"dev"}), frozenset()),
    "all": (selection(groups=["dev"], all_extras=True), frozenset({"", "dev"}), frozenset({"fast"})),
}
PYPROJECT = (
    '[project]\nname = "app"\nversion = "1"\n'
    "[project.optional-dependencies]\nfast = []\n[dependency-groups]\ndev = []\n"
)
REFUSED = "refused"


# --- flat locks: each package says when it belongs ---


@dataclass(frozen=True)
class Entry:
    """A package of a flat lock: wanted by any of `parts` ("", "dev", "fast") where `marker` holds."""

    name: str
    version: str
    parts: frozenset[str]
    marker: str

    @property
    def groups(self) -> list[str]:
        return sorted(self.parts - {"fast"})


entries = st.lists(
    st.builds(
        Entry,
        st.sampled_from(NAMES),
        st.sampled_from(VERSIONS),
        st.frozensets(st.sampled_from(("", "dev", "fast")), min_size=1),
        st.sampled_from(sorted(MARKERS)),
    ),
    max_size=6,
    unique_by=lambda entry: (entry.name, entry.version),
)


def as_pdm(some: Iterable[Entry]) -> str:
    """PDM's extras are groups."""
    words = {"": "default"}
    packages = (
        pdm_package(
            one.name,
            one.version,
            groups=[words.get(part, part) for part in sorted(one.parts)],
            marker=one.marker.replace("'", '"'),
        )
        for one in some
    )
    return pdm_lock(*packages, groups=["default", "dev", "fast"])


def as_poetry(some: Iterable[Entry]) -> str:
    """Poetry has an extra in the marker of a package of main."""
    packages = []
    for one in some:
        groups = ["main" if part == "" else part for part in one.groups]
        markers = dict.fromkeys(groups, one.marker)
        if "fast" in one.parts and "" not in one.parts:
            marker = f"({one.marker}) and extra == 'fast'" if one.marker else "extra == 'fast'"
            markers["main"] = marker
        table = ", ".join(f'{group} = "{marker}"' for group, marker in markers.items() if marker)
        packages.append(poetry_package(one.name, one.version, groups=sorted(markers), markers=f"{{{table}}}"))
    return poetry_lock(*packages, extras='fast = ["a"]')


def as_pylock(some: Iterable[Entry]) -> str:
    lines = [
        'lock-version = "1.0"\ncreated-by = "test"\nextras = ["fast"]',
        'dependency-groups = ["dev", "default"]\ndefault-groups = ["default"]\npackages = []',
    ]
    found = list(some)
    if found:
        lines[-1] = lines[-1].replace("packages = []", "")
    for one in found:
        words = [
            "'fast' in extras" if part == "fast" else f"'{part or 'default'}' in dependency_groups"
            for part in sorted(one.parts)
        ]
        marker = f"({' or '.join(words)})" + (f" and ({one.marker})" if one.marker else "")
        file = wheel(one.name, one.version)
        lines.append(
            f'[[packages]]\nname = "{one.name}"\nversion = "{one.version}"\nmarker = "{marker}"\n'
            f'wheels = [{{url = "https://files.example/{file}", hashes = {{sha256 = "{digest(file)}"}}}}]'
        )
    return "\n".join(lines)


def as_pipfile(some: Iterable[Entry]) -> str:
    """A category holds one version of a name: of several the first stays."""
    document: dict[str, dict[str, object]] = {
        "_meta": {"hash": {}, "pipfile-spec": 6, "requires": {}, "sources": []},
        "default": {},
        "develop": {},
        "fast": {},
    }
    for one in some:
        for part in one.parts:
            category = document[{"": "default", "dev": "develop"}.get(part, part)]
            entry = {"version": f"=={one.version}", "hashes": [f"sha256:{digest(one.name)}"]}
            category.setdefault(one.name, {**entry, **({"markers": one.marker} if one.marker else {})})
    return json.dumps(document)


FLAT: Mapping[str, Callable[[Iterable[Entry]], str]] = {
    "pdm.lock": as_pdm,
    "poetry.lock": as_poetry,
    "pylock.toml": as_pylock,
}


def filtered(some: Iterable[Entry], target: Target, parts: frozenset[str]) -> set[Pin] | str:
    """The oracle of a flat lock."""
    found = {(one.name, one.version) for one in some if one.parts & parts and MARKERS[one.marker](target)}
    return found if len({name for name, _ in found}) == len(found) else REFUSED


def selected(lock: Lock, target: Target, wanted: Selection) -> set[Pin] | str:
    try:
        found = select_packages(lock, target, wanted)
    except LockError as error:
        assert error.code == "ambiguous-lock"
        assert error.problems[0].place
        return REFUSED
    return {(str(one.name), str(one.version)) for one in found}


def read(name: str, text: str, pyproject: str = PYPROJECT) -> Lock:
    with tempfile.TemporaryDirectory() as folder:
        return read_text_as(name, text, project_at(Path(folder), pyproject))


@settings(deadline=None, max_examples=80)
@given(some=entries, name=st.sampled_from(sorted(FLAT)))
def test_a_flat_lock_gives_one_version_of_each_name_that_belongs(some: list[Entry], name: str) -> None:
    lock = read(name, FLAT[name](some))
    for target in TARGETS:
        for wanted, groups, extras in WANTED.values():
            # An extra of a project needs the project.
            parts = groups | extras
            assert selected(lock, target, wanted) == filtered(some, target, parts)


@settings(deadline=None, max_examples=30)
@given(some=entries)
def test_a_pipfile_gives_one_version_of_each_name_that_belongs(some: list[Entry]) -> None:
    text = as_pipfile(some)
    document = json.loads(text)
    lock = read("Pipfile.lock", text)
    for target in TARGETS:
        for parts in ({""}, {"", "dev"}, {"dev"}, {"", "fast"}):
            categories = [{"": "default", "dev": "develop"}.get(part, part) for part in parts]
            found = {
                (name, entry["version"][2:])
                for category in categories
                for name, entry in document[category].items()
                if MARKERS[entry.get("markers", "")](target)
            }
            unique = len({name for name, _ in found}) == len(found)
            wanted = selection(groups=parts - {""}) if "" in parts else selection(only=parts)
            assert selected(lock, target, wanted) == (found if unique else REFUSED)


@settings(deadline=None, max_examples=30)
@given(some=entries)
def test_hashed_requirements_give_one_version_of_each_name_that_belongs(some: list[Entry]) -> None:
    lines = [
        f"{one.name}=={one.version}{f' ; {one.marker}' if one.marker else ''} --hash=sha256:{digest(one.name)}"
        for one in some
    ]
    lock = read("requirements.txt", "\n".join(lines) + "\n")
    for target in TARGETS:
        every = [Entry(one.name, one.version, frozenset({""}), one.marker) for one in some]
        assert selected(lock, target, selection()) == filtered(every, target, frozenset({""}))


# --- graphs: each package says what it needs ---


@dataclass(frozen=True)
class Edge:
    """A wish for `name`, in `version` or in any (""), where `marker` holds, with the extra x or without."""

    name: str
    version: str
    marker: str
    extra: bool

    def admits(self, version: str) -> bool:
        return self.version in ("", version)


@dataclass(frozen=True)
class Graph:
    """Wishes of the project by part ("", "dev", "fast"), and of each package by whether x is wanted."""

    roots: Mapping[str, Sequence[Edge]]
    needs: Mapping[Pin, tuple[Sequence[Edge], Sequence[Edge]]]


def edges(versions: Sequence[str], *, extra: bool = True) -> st.SearchStrategy[list[Edge]]:
    return st.lists(
        st.builds(
            Edge,
            st.sampled_from(NAMES),
            st.sampled_from(versions),
            st.sampled_from(sorted(MARKERS)),
            st.booleans() if extra else st.just(value=False),
        ),
        max_size=3,
    )


def graphs(versions: Sequence[str], *, extra: bool = True) -> st.SearchStrategy[Graph]:
    some = edges(versions, extra=extra)
    optional = some if extra else st.just([])

    def of(name: str) -> st.SearchStrategy[tuple[list[Edge], list[Edge]]]:
        # Nothing asks for itself.
        return st.tuples(*(st.builds(others, st.just(name), part) for part in (some, optional)))

    return st.builds(
        Graph,
        st.fixed_dictionaries(dict.fromkeys(("", "dev", "fast"), some)),
        st.fixed_dictionaries({(name, version): of(name) for name in NAMES for version in VERSIONS}),
    )


def others(name: str, some: Sequence[Edge]) -> list[Edge]:
    return [edge for edge in some if edge.name != name]


def closures(graph: Graph, target: Target, parts: frozenset[str]) -> list[set[Pin]]:
    """The oracle of a graph: what each choice of versions installs, where it satisfies every wish."""
    found = []
    for choice in product(VERSIONS, repeat=len(NAMES)):
        versions = dict(zip(NAMES, choice, strict=True))
        queue = [edge for part in parts for edge in graph.roots[part]]
        seen: set[tuple[str, bool]] = set()
        satisfied = True
        while queue and satisfied:
            edge = queue.pop()
            if not MARKERS[edge.marker](target):
                continue
            version = versions[edge.name]
            satisfied = edge.admits(version)
            for extra in {False, edge.extra}:
                if (edge.name, extra) not in seen:
                    seen.add((edge.name, extra))
                    queue.extend(graph.needs[edge.name, version][extra])
        pins = {(name, versions[name]) for name, _ in seen}
        if satisfied and pins not in found:
            found.append(pins)
    return found


def graph_as_uv(graph: Graph) -> tuple[str, str]:
    def listed(some: Sequence[Edge]) -> list[str]:
        return [
            f'{{ name = "{one.name}", version = "{one.version}", source = {{ registry = "{INDEX}" }}'
            + (', extra = ["x"]' if one.extra else "")
            + (f', marker = "{one.marker}"' if one.marker else "")
            + " }"
            for one in some
        ]

    def optional(title: str, name: str, some: Sequence[Edge]) -> str:
        return f"[package.{title}]\n{name} = [{', '.join(listed(some))}]\n"

    packages = [
        uv_package(
            "app",
            source='{ virtual = "." }',
            needs=listed(graph.roots[""]),
            more=optional("optional-dependencies", "fast", graph.roots["fast"])
            + optional("dev-dependencies", "dev", graph.roots["dev"]),
        )
    ]
    for (name, version), (always, extra) in graph.needs.items():
        more = optional("optional-dependencies", "x", extra)
        packages.append(uv_package(name, version, needs=listed(always), more=more))
    return uv_lock(*packages), PYPROJECT


def graph_as_pdm(graph: Graph) -> tuple[str, str]:
    def listed(some: Sequence[Edge]) -> list[str]:
        return [
            one.name
            + ("[x]" if one.extra else "")
            + (f"=={one.version}" if one.version else "")
            + (f"; {one.marker}" if one.marker else "")
            for one in some
        ]

    packages = []
    for (name, version), (always, extra) in graph.needs.items():
        packages.append(pdm_package(name, version, groups=None, needs=listed(always)))
        packages.append(
            pdm_package(
                name, version, groups=None, extras=["x"], needs=[f"{name}=={version}", *listed(extra)]
            )
        )
    pyproject = (
        f'[project]\nname = "app"\nversion = "1"\ndependencies = {json.dumps(listed(graph.roots[""]))}\n'
        f"[project.optional-dependencies]\nfast = {json.dumps(listed(graph.roots['fast']))}\n"
        f"[dependency-groups]\ndev = {json.dumps(listed(graph.roots['dev']))}\n"
    )
    return pdm_lock(*packages, groups=["default", "dev", "fast"], strategy=[]), pyproject


def graph_as_poetry(graph: Graph) -> tuple[str, str]:
    def tables(some: Sequence[Edge], *, optional: bool = False) -> str:
        by_name: dict[str, list[str]] = {}
        for one in some:
            entry = f'{{version = "{one.version or "*"}"'
            entry += f', markers = "{one.marker}"' if one.marker else ""
            by_name.setdefault(one.name, []).append(entry + (", optional = true}" if optional else "}"))
        return "".join(f"{name} = [{', '.join(every)}]\n" for name, every in by_name.items())

    packages = [
        poetry_package(name, version, groups=None, needs=tables(always))
        for (name, version), (always, _) in graph.needs.items()
    ]
    pyproject = (
        f'[tool.poetry]\nname = "app"\nversion = "1"\n[tool.poetry.dependencies]\n{tables(graph.roots[""])}'
        f"[tool.poetry.group.dev.dependencies]\n{tables(graph.roots['dev'])}"
    )
    return poetry_lock(*packages, version="2.0"), pyproject


def check_graph(lock: Lock, graph: Graph, wishes: Iterable[str]) -> None:
    for target in TARGETS:
        for title in wishes:
            wanted, groups, extras = WANTED[title]
            found = selected(lock, target, wanted)
            allowed = closures(graph, target, groups | extras)
            assert found in allowed if allowed else found == REFUSED


@settings(deadline=None, max_examples=120)
@given(graph=graphs(VERSIONS))
def test_a_uv_lock_gives_what_its_graph_reaches_in_one_version(graph: Graph) -> None:
    check_graph(read("uv.lock", *graph_as_uv(graph)), graph, WANTED)


@settings(deadline=None, max_examples=120)
@given(graph=graphs((*VERSIONS, "", "")))
def test_a_pdm_lock_without_groups_gives_versions_that_satisfy_every_wish(graph: Graph) -> None:
    check_graph(read("pdm.lock", *graph_as_pdm(graph)), graph, WANTED)


@settings(deadline=None, max_examples=120)
@given(graph=graphs((*VERSIONS, "", ""), extra=False))
def test_an_old_poetry_lock_gives_versions_that_satisfy_every_wish(graph: Graph) -> None:
    lock = read("poetry.lock", *graph_as_poetry(graph))
    check_graph(lock, graph, ("production", "a group", "only a group"))
