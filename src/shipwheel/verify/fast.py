"""The third promise: what a change costs, and what a start costs."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from shipwheel.oci.tree import Node
from shipwheel.verify.evidence import FileFact
from shipwheel.verify.model import Cost, Finding, NotChecked, Place, Result, Rule
from shipwheel.verify.subject import WORTH_A_LINE, Subject, count, size_text, total

NO_BYTECODE: Final = Rule(
    code="bytecode-missing",
    promise="fast",
    severity="warning",
    title="Python files have no bytecode",
    why="Every container compiles them again when it starts, for seconds; a read-only root keeps nothing.",
    fix="Compile when building: python -m compileall -q --invalidation-mode unchecked-hash PATH; uv: UV_COMPILE_BYTECODE=1.",
)
DEAD_BYTECODE: Final = Rule(
    code="bytecode-dead",
    promise="fast",
    severity="warning",
    title="Bytecode does not belong to its Python file any more",
    why="It names another time or size than its source has, so Python passes it over and compiles again: "
    "usual where file times were set to a constant after compiling.",
    fix="Compile with --invalidation-mode unchecked-hash, which does not ask for times.",
)
EDIT_COST: Final = Rule(
    code="edit-pushes-dependencies",
    promise="fast",
    severity="warning",
    title="The project's code shares a layer with its dependencies",
    why="A changed line pushes and pulls them all again.",
    fix="Install dependencies first, in a layer of their own (uv sync --no-install-project), and copy the code last.",
)
ORDER: Final = Rule(
    code="dependencies-above-code",
    promise="fast",
    severity="warning",
    title="Dependencies are installed above the project's code",
    why="A build cache ends at the first change: after a changed line everything above is installed again.",
    fix="Copy the lock alone, install, and copy the code after that.",
)
RULES: Final = (NO_BYTECODE, DEAD_BYTECODE, EDIT_COST, ORDER)

# Source without bytecode that is worth a line: reading and compiling it takes some tenths of a second.
_LEAST: Final = 100_000
# Not imported by a running program: tests, and files that are Python by name alone.
_NOT_IMPORTED: Final = re.compile(
    r"(?:.*/)?(?:tests?|testing|idlelib|lib2to3|turtledemo|ensurepip|examples?|templates?|conf|config-3[^/]*|__pycache__)/.*"
)
_MINOR: Final = re.compile(r"(?:.*/)?python(3\.\d+)/.*")
_SHIPWHEEL: Final = "shipwheel"


def check(subject: Subject) -> Iterator[Result]:
    """Yield what makes starts and changes slow."""
    yield from _check_bytecode(subject)
    yield from _check_layers(subject)


def _check_bytecode(subject: Subject) -> Iterator[Result]:
    sources = list(imported_sources(subject))
    if not sources:
        for rule in (NO_BYTECODE, DEAD_BYTECODE):
            yield NotChecked(rule=rule, reason="no installed Python code was found")
        return
    missing, dead = [], []
    for path, minor in sources:
        node = subject.evidence.visible[path]
        folder, name = posixpath.split(path)
        compiled = f"{folder}/__pycache__/{name.removesuffix('.py')}.cpython-{minor.replace('.', '')}.pyc"
        fact = subject.evidence.fact(compiled)
        if fact is None:
            missing.append(subject.place(path, size=True))
        elif not is_alive(fact, node):
            dead.append(subject.place(path, detail=f"/{compiled} is of another time or size", size=True))
    for rule, places in ((NO_BYTECODE, missing), (DEAD_BYTECODE, dead)):
        if total(places) >= _LEAST:
            roots: dict[str, int] = defaultdict(int)
            for place in places:
                roots[place.package or _root(place.path)] += place.size or 0
            largest = sorted(roots.items(), key=lambda item: (-item[1], item[0]))[:4]
            told = ", ".join(name for name, _ in largest)
            of = count(len(sources), "file")
            message = f"{len(places)} of {of}, {size_text(total(places))}: {told}"
            yield Finding(rule=rule, message=message, places=places)


def imported_sources(subject: Subject) -> Iterator[tuple[str, str]]:
    """Yield the path of every Python file that a program may import, with the version that would."""
    minors = {item.minor for item in subject.installed.interpreters}
    folders = {item.library: item.minor for item in subject.installed.interpreters}
    for site in subject.installed.sites:
        match = _MINOR.fullmatch(f"{site}/")
        if match is not None and (match[1] in minors or not minors):
            folders[site] = match[1]
    seen: set[str] = set()
    for folder, minor in sorted(folders.items()):
        for path, node in subject.evidence.files_below(folder):
            if path in seen or node.kind != "file" or not path.endswith(".py") or not node.size:
                continue
            seen.add(path)
            if not _NOT_IMPORTED.fullmatch(path[len(folder) :]):
                yield path, minor


def is_alive(compiled: FileFact, source: Node) -> bool:
    """Whether Python would take the bytecode (PEP 552): by hash, or with the source's time and size."""
    header = compiled.head[:16]
    if len(header) < 16:
        return False
    flags = int.from_bytes(header[4:8], "little")
    if flags & 1:
        return True  # by hash; whether it fits is for the interpreter to say
    mtime, size = int.from_bytes(header[8:12], "little"), int.from_bytes(header[12:16], "little")
    return mtime == source.mtime & 0xFFFFFFFF and size == source.size & 0xFFFFFFFF


def _root(path: str) -> str:
    head, found, _ = path.partition("/site-packages/")
    if found:
        return f"{head}/site-packages"
    match = re.match(r".*?/python3\.\d+", path)
    return posixpath.dirname(path) if match is None else match[0]


def first_party_layers(subject: Subject) -> dict[int, list[str]]:
    """Return the layers that hold the project's own code, and which files: its packages', or its folder's."""
    found: dict[int, list[str]] = defaultdict(list)
    visible = subject.evidence.visible
    # What lies in an environment and in no package is its tool's own, as bin/activate_this.py.
    environments = (path.removesuffix("pyvenv.cfg") for path in visible if path.endswith("/pyvenv.cfg"))
    sites = (*(f"{site}/" for site in subject.installed.sites), *environments)
    workdir = (subject.evidence.image.config.working_dir or "").strip("/")
    for path, node in visible.items():
        if node.kind != "file" or node.source is None or not path.endswith(".py"):
            continue
        owner = subject.installed.owner(path)
        if owner is not None:
            if owner.name in subject.first_party:
                found[node.source[0]].append(path)
        elif workdir and path.startswith(f"{workdir}/") and not path.startswith(sites):
            found[node.source[0]].append(path)
    return found


def change_costs(subject: Subject) -> tuple[Cost, ...]:
    """Return what a code edit, a version bump and an upgraded dependency push, computed from the layers.

    Of dependencies the one in the middle and the dearest are told.
    """
    layers = subject.evidence.image.layers
    # Layers put together from wheels do not depend on each other; a Dockerfile's follow from those below.
    ours = all(layer.created_by.startswith(_SHIPWHEEL) for layer in layers)

    def cost(what: str, touched: Iterable[int]) -> Cost:
        first = min(touched)
        numbers = sorted(touched) if ours else range(first, len(layers))
        return Cost(
            what=what,
            layers=tuple(numbers),
            size=sum(layers[number].descriptor.size for number in numbers),
        )

    found = []
    if own := first_party_layers(subject):
        found.append(cost("a code edit", own))
    names: dict[int, set[int]] = defaultdict(set)
    for path, index in subject.installed.owners.items():
        node = subject.evidence.visible.get(path)
        if node is not None and node.source is not None:
            names[index].add(node.source[0])
    third = []
    for index, touched in sorted(names.items()):
        item = subject.installed.distributions[index]
        if item.name in subject.first_party:
            found.append(cost(f"a new version of {item.name}", touched | set(own)))
        else:
            third.append(cost(f"{item.name} upgraded", touched))
    if third:
        third.sort(key=lambda item: (item.size, item.what))
        middle, dearest = third[(len(third) - 1) // 2], third[-1]
        found.append(middle)
        found += [] if middle == dearest else [dearest]
    return tuple(found)


def _check_layers(subject: Subject) -> Iterator[Result]:
    own = first_party_layers(subject)
    if not own:
        for rule in (EDIT_COST, ORDER):
            yield NotChecked(rule=rule, reason="which code is the project's own is not known (--project)")
        return
    third: dict[int, int] = defaultdict(int)
    for path, index in subject.installed.owners.items():
        item = subject.installed.distributions[index]
        node = subject.evidence.visible.get(path)
        if node is not None and node.source is not None and item.name not in subject.first_party:
            third[node.source[0]] += node.size
    layers = subject.evidence.image.layers
    shared = [
        Place(
            path=f"layer {number}",
            layer=number,
            size=layers[number].descriptor.size,
            detail=f"{size_text(third[number])} of dependencies beside {count(len(paths), 'file')} of the project",
        )
        for number, paths in sorted(own.items())
        if third[number] >= WORTH_A_LINE
    ]
    if shared:
        message = f"an edit pushes {size_text(total(shared))}"
        yield Finding(rule=EDIT_COST, message=message, places=shared)
    lowest = min(own)
    above = [
        Place(path=f"layer {number}", layer=number, size=layers[number].descriptor.size)
        for number, size in sorted(third.items())
        if number > lowest
        and number not in own
        and size >= WORTH_A_LINE
        # Layers that are put together from wheels do not depend on each other.
        and not layers[number].created_by.startswith(_SHIPWHEEL)
    ]
    if above:
        message = f"an edit in layer {lowest} installs {size_text(total(above))} again"
        yield Finding(rule=ORDER, message=message, places=above)
