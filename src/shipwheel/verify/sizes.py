"""Where the bytes of an image are: by kind of file, package, layer and folder. Judges nothing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypedDict

from shipwheel.verify.evidence import Source
from shipwheel.verify.model import Folder, LayerSummary, PackageSummary, Place
from shipwheel.verify.subject import Subject

CACHES: Final = re.compile(
    r"""
      (?:root|home/[^/]+)/\.cache/(?:pip|uv|pypoetry|pdm|pipenv|npm|yarn|conda|ruff|mypy|pre-commit)/.*
    | (?:root|home/[^/]+)/\.(?:npm|cargo/registry|rustup|gradle|m2)/.*
    | root/\.cache/.* | var/cache/(?:apt|apk|yum|dnf)/.* | var/lib/apt/lists/.+ | etc/apk/cache/.*
    | opt/conda/pkgs/.* | (?:.*/)?\.(?:mypy|ruff|pytest)_cache/.*
    """,
    re.VERBOSE,
)
TESTS: Final = re.compile(r"(?:.*/)?(?:site|dist)-packages/(?:.*/)?tests?/.*")
DOCS: Final = re.compile(r"usr/(?:local/)?share/(?:doc/(?!.*/copyright$)|man/|info/|gtk-doc/|help/).*")
_KINDS: Final = (
    ("bytecode", re.compile(r".*\.py[co]")),
    (
        "tests",
        re.compile(
            r"(?:.*/)?(?:site|dist)-packages/(?:.*/)?tests?/.*|(?:.*/)?lib/python3\.\d+/(?:.*/)?test/.*"
        ),
    ),
    ("caches", CACHES),
    ("documentation", DOCS),
    ("type stubs", re.compile(r".*\.pyi")),
    ("headers", re.compile(r".*\.(?:h|hpp|hxx|hh|cuh|inc)|(?:.*/)?usr/(?:local/)?include/.*")),
    ("static libraries", re.compile(r".*\.(?:a|la|lib|o)")),
    ("Python code", re.compile(r".*\.py")),
)
# Folders within folders that a report shows.
_DEEPEST: Final = 16


class Measured(TypedDict):
    """What is counted of a package's files."""

    size: int
    files: int
    kinds: Mapping[str, int]


def kind_of(subject: Subject, path: str) -> str:
    """Return what kind of file is at `path`: `Python code`, `native code`, `bytecode`, ..., `data`."""
    for kind, pattern in _KINDS:
        if pattern.fullmatch(path):
            return kind
    fact = subject.evidence.fact(path)
    return "native code" if fact is not None and fact.head.startswith(b"\x7fELF") else "data"


def seen_files(subject: Subject) -> Iterator[tuple[str, int]]:
    """Yield every visible file's path and bytes; of hard links the first path alone."""
    seen: set[Source] = set()
    for path, node in subject.evidence.visible.items():
        if node.kind == "file" and node.source is not None and node.source not in seen:
            seen.add(node.source)
            yield path, node.size


def bytes_by_kind(subject: Subject) -> Mapping[str, int]:
    """Return the bytes that are seen by kind of file, largest first."""
    found: dict[str, int] = defaultdict(int)
    for path, size in seen_files(subject):
        for kind, part in _kinds_of(subject, path, size):
            found[kind] += part
    return _largest_first(found)


def _kinds_of(subject: Subject, path: str, size: int) -> Iterator[tuple[str, int]]:
    """Yield the kind of a file with its bytes; debugging data is a kind of its own."""
    fact = subject.evidence.fact(path)
    debug = 0 if fact is None else min(fact.debug, size)
    yield kind_of(subject, path), size - debug
    yield "debug symbols", debug


def summarize_layers(subject: Subject) -> tuple[LayerSummary, ...]:
    """Return a line for each layer, lowest first."""
    evidence = subject.evidence
    wasted: dict[int, int] = defaultdict(int)
    for place in hidden_files(subject):
        wasted[place.layer or 0] += place.size or 0
    packages = _package_of_files(subject)
    parts: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for path, size in seen_files(subject):
        source = evidence.visible[path].source
        if source is not None and path in packages:
            parts[source[0]][packages[path]] += size
    return tuple(
        LayerSummary(
            digest=str(layer.descriptor.digest),
            created_by=layer.created_by,
            size=layer.descriptor.size,
            unpacked=evidence.unpacked[number],
            files=evidence.files[number],
            wasted=wasted[number],
            parts=_largest_first(parts[number]),
        )
        for number, layer in enumerate(evidence.image.layers)
    )


def _package_of_files(subject: Subject) -> dict[str, str]:
    """Return the package that a path belongs to, as `name version`: a distribution, else the system's."""
    found = {
        path: f"{package.name} {package.version}"
        for package in subject.installed.system
        for path in package.files
    }
    for path, index in subject.installed.owners.items():
        item = subject.installed.distributions[index]
        found[path] = f"{item.name} {item.version}"
    return found


def _largest_first(sizes: Mapping[str, int]) -> dict[str, int]:
    return {name: size for name, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])) if size}


def summarize_packages(subject: Subject) -> tuple[PackageSummary, ...]:
    """Return every distribution and system package with its bytes, largest first."""
    seen = dict(seen_files(subject))
    own: dict[int, list[str]] = defaultdict(list)
    for path in seen:
        owner = subject.installed.owners.get(path)
        if owner is not None:
            own[owner].append(path)
    found = [
        PackageSummary(
            kind="python", name=item.name, version=item.version, **_measured(subject, own[index], seen)
        )
        for index, item in enumerate(subject.installed.distributions)
    ]
    for package in subject.installed.system:
        paths = [path for path in package.files if path in seen]
        found.append(
            PackageSummary(
                kind=package.kind,
                name=package.name,
                version=package.version,
                **_measured(subject, paths, seen),
            )
        )
    return tuple(sorted(found, key=lambda item: (-item.size, item.kind, item.name, item.version)))


def _measured(subject: Subject, paths: Sequence[str], sizes: Mapping[str, int]) -> Measured:
    kinds: dict[str, int] = defaultdict(int)
    for path in paths:
        for kind, size in _kinds_of(subject, path, sizes[path]):
            kinds[kind] += size
    return Measured(size=sum(sizes[path] for path in paths), files=len(paths), kinds=_largest_first(kinds))


def summarize_folders(subject: Subject) -> Folder:
    """Return the tree of what is seen; what is under a thousandth of the whole is put together."""
    sizes: dict[str, int] = defaultdict(int)
    for path, size in seen_files(subject):
        sizes[path] += size
        folder = path
        while folder:
            folder = folder.rpartition("/")[0]
            sizes[folder] += size
    least = max(1, sizes[""] // 1000)
    children: dict[str, list[str]] = defaultdict(list)
    for path, size in sizes.items():
        if path and size >= least:
            children[path.rpartition("/")[0]].append(path)
    return _folder("", sizes, children, _DEEPEST)


def _folder(path: str, sizes: Mapping[str, int], children: Mapping[str, list[str]], depth: int) -> Folder:
    found = []
    if depth:
        found = [_folder(child, sizes, children, depth - 1) for child in children.get(path, ())]
        found.sort(key=lambda folder: (-folder.size, folder.name))
        rest = sizes[path] - sum(folder.size for folder in found)
        if found and rest:
            found.append(Folder(name="smaller files", size=rest))
    return Folder(name=path.rpartition("/")[2] or "/", size=sizes[path], children=tuple(found))


def hidden_files(subject: Subject) -> list[Place]:
    """Return the files of layers that the merged filesystem does not show, largest first."""
    visible = {node.source for node in subject.evidence.visible.values()}
    hidden = [
        Place(path=f"/{fact.path}", layer=fact.layer, size=fact.size)
        for source, fact in subject.evidence.facts.items()
        if source not in visible and fact.size and not fact.path.rpartition("/")[2].startswith(".wh.")
    ]
    return sorted(hidden, key=lambda place: (-(place.size or 0), place.path, place.layer))
