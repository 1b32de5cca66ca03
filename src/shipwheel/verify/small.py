"""The second promise: where the bytes are, and which of them nobody needs."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from shipwheel.verify.model import (
    Finding,
    NotChecked,
    Place,
    Result,
    Rule,
)
from shipwheel.verify.sizes import (
    CACHES,
    hidden_files,
    kind_of,
    seen_files,
    summarize_packages,
)
from shipwheel.verify.sizes import DOCS as DOC_FILES
from shipwheel.verify.sizes import TESTS as TEST_FILES
from shipwheel.verify.subject import WORTH_A_LINE, Chapter, Subject, count, size_text, total

HIDDEN: Final = Rule(
    code="hidden-bytes",
    promise="small",
    severity="warning",
    title="Layers hold files that nobody sees",
    why="A file that a later layer deletes, replaces or only chmods stays in the layer below; it is pulled every time.",
    fix="Remove files in the RUN that makes them; use COPY --chown and --chmod instead of RUN chown.",
)
DUPLICATE: Final = Rule(
    code="duplicate-files",
    promise="small",
    severity="note",
    title="The same files are there several times",
    why="Each copy is pulled and stored.",
    fix="Copy once; a second environment or a copied virtual environment is the usual reason.",
)
CACHE: Final = Rule(
    code="package-cache",
    promise="small",
    severity="warning",
    title="Caches of package managers are in the image",
    why="They make the next installation quicker, and there is none.",
    fix="RUN --mount=type=cache,target=… keeps them outside; or pip install --no-cache-dir, rm -rf /var/lib/apt/lists/*.",
)
BUILD_ONLY: Final = Rule(
    code="build-only-packages",
    promise="small",
    severity="warning",
    title="Packages that only building needs are in the image",
    why="Compilers and headers have done their work when the wheels are built.",
    fix="Build in another stage and copy the environment; the run needs the libraries without -dev.",
)
TESTS: Final = Rule(
    code="tests-in-packages",
    promise="small",
    severity="note",
    title="Packages bring their tests",
    why="Nobody runs the tests of dependencies in production.",
    fix='[tool.shipwheel.slim] drop = ["tests"]; elsewhere, ask their authors to leave tests out of the wheel.',
)
DOCS: Final = Rule(
    code="documentation",
    promise="small",
    severity="note",
    title="Manuals and documentation are in the image",
    why="Nobody reads manuals in a container.",
    fix="Remove /usr/share/doc (but the copyright files), man and info in the RUN that installs; or take a slim base.",
)
DEVELOPMENT: Final = Rule(
    code="development-files",
    promise="small",
    severity="note",
    title="Headers, static libraries or type stubs are in the image",
    why="They serve compilers and type checkers; a running program never opens them.",
    fix='[tool.shipwheel.slim] drop = ["stubs", "headers", "static-libraries"]; elsewhere, ask the authors to.',
)
DEBUG: Final = Rule(
    code="debug-symbols",
    promise="small",
    severity="note",
    title="Native libraries bring debugging data",
    why="Only a debugger opens it.",
    fix='[tool.shipwheel.slim] drop = ["debug-symbols"]; in a Dockerfile, strip --strip-unneeded where it builds.',
)
BUDGET: Final = Rule(
    code="over-budget",
    promise="small",
    severity="error",
    title="The image is larger than its budget",
    why="The project set a limit, so that growth is a decision.",
    fix="See which packages and layers are the largest, or raise max-size in [tool.shipwheel.check].",
)
BUILD_FILES: Final = Rule(
    code="project-files",
    promise="small",
    severity="note",
    title="Files that only building and developing need are beside the code",
    why="Locks, Dockerfiles and tests tell an intruder what is there, and each edit of one pushes the layer again.",
    fix="Copy the package alone, or name them in .dockerignore; a wheel holds none of them.",
)
RULES: Final = (HIDDEN, DUPLICATE, CACHE, BUILD_ONLY, TESTS, DOCS, DEVELOPMENT, DEBUG, BUILD_FILES, BUDGET)

# Below this copies are licences and empty modules.
_DUPLICATE_SIZE: Final = 4096
_BUILD_ONLY: Final = re.compile(
    r"""
      build-essential | (?:gcc|g\+\+|cpp|gfortran|clang|llvm|lld)(?:-[0-9.]+.*)? | (?:gcc|g\+\+|cpp)-[a-z0-9-]*linux-gnu.*
    | binutils(?:-.*)? | make | cmake(?:-data)? | ninja-build | autoconf | automake | libtool | pkg-?conf(?:ig)? | m4
    | dpkg-dev | patch | rustc | cargo | golang(?:-.*)? | .*-dev | .*-devel | swig | gdb | linux-headers.* | musl-dev
    """,
    re.VERBOSE,
)
_BUILD_FILES: Final = re.compile(
    r"""
      pyproject\.toml | setup\.(?:py|cfg) | (?:poetry|uv|pdm|Pipfile)\.lock | pylock(?:\.[^/]+)?\.toml | Pipfile | [^/]*requirements[^/]*\.(?:txt|in)
    | (?:.*\.)?Dockerfile(?:\..*)? | (?:docker-)?compose[^/]*\.ya?ml | \.dockerignore | \.gitignore | \.pre-commit-config\.yaml | Makefile
    | tox\.ini | noxfile\.py | \.coveragerc | \.editorconfig | \.gitlab-ci\.yml | \.(?:github|devcontainer|vscode|idea)/.*
    """,
    re.VERBOSE,
)
_DEVELOPMENT: Final = frozenset({"type stubs", "headers", "static libraries"})


def _check_hidden(subject: Subject) -> Iterator[Result]:
    places = hidden_files(subject)
    size = total(places)
    if size >= WORTH_A_LINE or size * 50 > sum(subject.evidence.unpacked) > WORTH_A_LINE:
        by_layer = sorted({place.layer for place in places if place.layer is not None})
        where = ", ".join(str(number) for number in by_layer[:6])
        message = f"{size_text(size)} in {count(len(places), 'file')} of layers {where}"
        yield Finding(rule=HIDDEN, message=message, places=places, saves=size)


def _check_duplicates(subject: Subject) -> Iterator[Result]:
    groups: dict[tuple[bytes, int], list[str]] = defaultdict(list)
    for path, size in seen_files(subject):
        fact = subject.evidence.fact(path)
        if fact is not None and size >= _DUPLICATE_SIZE:
            groups[fact.sha256, size].append(path)
    places = [
        subject.place(path, detail=f"as /{paths[0]}", size=True)
        for paths in groups.values()
        for path in paths[1:]
    ]
    saves = total(places)
    if saves >= WORTH_A_LINE:
        places.sort(key=lambda place: (-(place.size or 0), place.path))
        message = f"{size_text(saves)} in {count(len(places), 'file')}"
        yield Finding(rule=DUPLICATE, message=message, places=places, saves=saves)


def _check_kinds(subject: Subject) -> Iterator[Result]:
    found: dict[str, list[Place]] = defaultdict(list)
    for path, size in seen_files(subject):
        rule = _rule_for(subject, path)
        if rule is not None and size:
            found[rule.code].append(subject.place(path, size=True))
    for rule, least in (
        (CACHE, 100_000),
        (TESTS, WORTH_A_LINE),
        (DOCS, WORTH_A_LINE),
        (DEVELOPMENT, WORTH_A_LINE),
    ):
        places = sorted(found[rule.code], key=lambda place: (-(place.size or 0), place.path))
        saves = total(places)
        if saves >= least:
            owners: dict[str, int] = defaultdict(int)
            for place in places:
                owners[place.package or place.path.rpartition("/")[0]] += place.size or 0
            largest = sorted(owners.items(), key=lambda item: (-item[1], item[0]))[:4]
            told = ", ".join(f"{name} {size_text(size)}" for name, size in largest)
            message = f"{size_text(saves)} in {count(len(places), 'file')}: {told}"
            yield Finding(rule=rule, message=message, places=places, saves=saves)


def _check_debug(subject: Subject) -> Iterator[Result]:
    places = []
    for path, _ in seen_files(subject):
        fact = subject.evidence.fact(path)
        if fact is not None and fact.debug:
            places.append(replace(subject.place(path), size=fact.debug))
    saves = total(places)
    if saves >= WORTH_A_LINE:
        places.sort(key=lambda place: (-(place.size or 0), place.path))
        message = f"{size_text(saves)} in {count(len(places), 'file')}"
        yield Finding(rule=DEBUG, message=message, places=places, saves=saves)


def _rule_for(subject: Subject, path: str) -> Rule | None:
    if CACHES.fullmatch(path):
        return CACHE
    if TEST_FILES.fullmatch(path) and not _is_first_party(subject, path):
        return TESTS
    if DOC_FILES.fullmatch(path):
        return DOCS
    return DEVELOPMENT if kind_of(subject, path) in _DEVELOPMENT else None


def _is_first_party(subject: Subject, path: str) -> bool:
    owner = subject.installed.owner(path)
    return owner is not None and owner.name in subject.first_party


def _check_build_only(subject: Subject) -> Iterator[Result]:
    if not subject.installed.system:
        yield NotChecked(rule=BUILD_ONLY, reason="the image has no database of system packages")
        return
    places = [
        Place(path=f"{item.kind}:{item.name}", size=item.size, package=f"{item.name} {item.version}")
        for item in summarize_packages(subject)
        if item.kind != "python" and item.size and _BUILD_ONLY.fullmatch(item.name)
    ]
    saves = total(places)
    if saves >= WORTH_A_LINE:
        names = ", ".join(place.path.partition(":")[2] for place in places[:6])
        message = f"{size_text(saves)} in {count(len(places), 'package')}: {names}"
        yield Finding(rule=BUILD_ONLY, message=message, places=places, saves=saves)


def _check_build_files(subject: Subject) -> Iterator[Result]:
    workdir = (subject.evidence.image.config.working_dir or "").strip("/")
    if not workdir:
        return
    places = [
        subject.place(path, size=True)
        for path, node in subject.evidence.files_below(workdir)
        if node.kind == "file"
        and _BUILD_FILES.fullmatch(path[len(workdir) + 1 :])
        and subject.installed.owner(path) is None
    ]
    if places:
        names = ", ".join(place.path.rpartition("/")[2] for place in places[:6])
        yield Finding(rule=BUILD_FILES, message=names, places=places, saves=total(places))


def _check_budget(subject: Subject) -> Iterator[Result]:
    if subject.max_size is None:
        yield NotChecked(rule=BUDGET, reason="no max-size is set in [tool.shipwheel.check]")
    elif subject.evidence.image.size > subject.max_size:
        size = subject.evidence.image.size
        yield Finding(
            rule=BUDGET,
            message=f"{size_text(size)}, and the budget is {size_text(subject.max_size)}",
            places=[Place(path="manifest.layers", size=size)],
            saves=size - subject.max_size,
        )


# In the order of the report.
CHAPTERS: Final = (
    Chapter(rules=(HIDDEN,), check=_check_hidden),
    Chapter(rules=(DUPLICATE,), check=_check_duplicates),
    Chapter(rules=(CACHE, TESTS, DOCS, DEVELOPMENT), check=_check_kinds),
    Chapter(rules=(DEBUG,), check=_check_debug),
    Chapter(rules=(BUILD_FILES,), check=_check_build_files),
    Chapter(rules=(BUILD_ONLY,), check=_check_build_only),
    Chapter(rules=(BUDGET,), check=_check_budget),
)
