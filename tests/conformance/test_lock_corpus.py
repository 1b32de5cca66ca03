"""Real locks: each expected selection matched, each generation and trap read or refused with its place.

The corpus lies beside the project and is not part of it; without it these tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest
from packaging.pylock import PackageDirectory

from helpers.lock_corpus import (
    CORPUS,
    PYTHONS,
    REPOSITORY,
    Specimen,
    corpus_target,
    describe,
    find_python,
    known_hashes,
    poetry_pins,
    requirement_pins,
    run_tool,
    specimens,
    uv,
    with_expectation,
)
from helpers.tools import missing
from shipwheel.errors import LockError, ShipwheelError
from shipwheel.locks.export import to_pylock
from shipwheel.locks.fresh import check_fresh
from shipwheel.locks.model import KnownByHash, Lock
from shipwheel.locks.select import select_packages

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(not CORPUS.is_dir(), reason="the lock corpus is not beside the project"),
]
REPORT = REPOSITORY / "docs" / "reference" / "lock-conformance.md"
# What is wrong with these locks themselves.
REFUSED = {
    "_traps/poetry-bad-merge-duplicate-keys/poetry.lock": "invalid-toml at poetry.lock:3658",
    "pypi+warehouse/warehouse.req/generations/nohash@2015-11-19/main.txt": "not-a-lock at main.txt:7",
}
NOT_SELECTED = {
    "_traps/poetry11-url-deps/poetry.lock": "no-hash at poetry.lock [package.bot-core]",
    "_traps/poetry-legacy-source/poetry.lock": "no-wheel-for-target at poetry.lock [package.torch]",
}
# `pdm lock --check` says the same of the first two; no Poetry that wrote the third can be run any more.
STALE = {
    "openshift+lightspeed-service/ols.pdm/generations/4.4.1-cross_platform,inherit_metadata@2024-01-30/pdm.lock",
    "openshift+lightspeed-service/ols.pdm/generations/4.4.2-inherit_metadata@2024-11-04/pdm.lock",
    "saleor+saleor/saleor.poetry/generations/pre1.0-metadata.hashes@2019-10-08/poetry.lock",
}

EVERY = specimens() if CORPUS.is_dir() else []
EXPECTED = with_expectation() if CORPUS.is_dir() else []


def by_id(specimen: Specimen) -> str:
    return specimen.id


@pytest.mark.parametrize("specimen", EXPECTED, ids=by_id)
def test_the_expected_selection_is_matched_exactly(specimen: Specimen) -> None:
    assert differences(specimen) == []


def differences(specimen: Specimen) -> list[str]:
    """Return what is selected and not expected, expected and not selected, or of another version or file."""
    selected = select_packages(specimen.read(), specimen.target(), specimen.selection())
    hashes = known_hashes()
    # Expectations leave out what comes from a folder.
    found = {str(one.name): one for one in selected if not isinstance(one.source, PackageDirectory)}
    expected = {str(entry["name"]): entry for entry in specimen.expected()}
    wrong = sorted(found.keys() ^ expected.keys())
    for name in sorted(found.keys() & expected.keys()):
        one, file = found[name], expected[name]["file"]
        if isinstance(one.source, KnownByHash):
            # The index names the files; those that another lock names have to be among the hashes.
            same_file = file not in hashes or hashes[file] in one.source.hashes
        else:
            same_file = getattr(one.source, "name", None) == file
        if str(one.version) != expected[name]["version"] or not same_file:
            wrong.append(name)
    return wrong


@pytest.mark.parametrize("specimen", EVERY, ids=by_id)
def test_every_lock_is_read_or_refused_with_its_place(specimen: Specimen) -> None:
    try:
        lock = specimen.read()
    except LockError as error:
        assert describe(error) == REFUSED.get(specimen.id)
        return
    assert specimen.id not in REFUSED
    assert is_fresh(specimen, lock) == (specimen.id not in STALE)
    _, count = newest(lock)
    assert isinstance(count, int) or count == NOT_SELECTED.get(specimen.id)


@pytest.mark.parametrize("specimen", EVERY, ids=by_id)
def test_every_lock_that_pep_751_can_say_selects_the_same(specimen: Specimen) -> None:
    try:
        lock = specimen.read()
        pylock = to_pylock(lock)
    except LockError as error:
        assert error.code in ("not-expressible", "invalid-toml", "not-a-lock")
        return
    python, count = newest(lock)
    if python is None or not isinstance(count, int):
        return
    environment: dict[str, str | frozenset[str]] = {
        **{key: str(value) for key, value in corpus_target(python).marker_environment().items()},
        "extras": frozenset(),
        "dependency_groups": frozenset(pylock.default_groups or ()),
    }
    selected = [
        package
        for package in pylock.packages
        if package.marker is None or package.marker.evaluate(environment, context="lock_file")
    ]
    assert len(selected) == count


def is_fresh(specimen: Specimen, lock: Lock) -> bool:
    if specimen.pyproject is None or specimen.path.parent.parent.name == "_derived_exports":
        return True
    try:
        check_fresh(lock, specimen.project())
    except LockError as error:
        assert error.code == "stale-lock"
        return False
    return True


def newest(lock: Lock) -> tuple[str | None, int | str]:
    """Return the newest Python that the lock admits, with the size of production on it or its refusal."""
    refused = "no Python"
    for python in PYTHONS:
        try:
            return python, len(select_packages(lock, corpus_target(python)))
        except ShipwheelError as error:
            refused = describe(error)
            if error.code not in ("python-not-locked", "platform-not-locked"):
                return python, refused
    return None, refused


# --- the installers themselves ---


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Virtual environments by Python version, made when first asked for."""
    folder = tmp_path_factory.mktemp("environments")

    class Environments(dict[str, Path]):
        def __missing__(self, minor: str) -> Path:
            python = find_python(minor)
            if python is None:
                missing(f"no Python {minor} on this machine")
            subprocess.run([uv(), "venv", "-q", "-p", python, str(folder / minor)], check=True)
            self[minor] = folder / minor
            return self[minor]

    yield Environments()


def copy_of(specimen: Specimen, tmp_path: Path) -> Path:
    """Copy the specimen's tree; return the folder of its lock."""
    assert specimen.meta is not None
    shutil.copytree(specimen.meta.parent / "latest", tmp_path / "tree")
    return tmp_path / "tree" / Path(specimen.facts["lock"]).parent


@pytest.mark.network
@pytest.mark.parametrize("specimen", [one for one in EXPECTED if one.path.name == "poetry.lock"], ids=by_id)
def test_poetry_installs_the_same(specimen: Specimen, environments: dict[str, Path], tmp_path: Path) -> None:
    environment = environments[specimen.facts["python"]]
    groups = ",".join(specimen.facts["groups"]) or "main"
    arguments = ["install", "--dry-run", "--no-root", "--no-ansi", "--no-interaction", "--only", groups]
    theirs = poetry_pins(run_tool("poetry", arguments, copy_of(specimen, tmp_path), environment))
    assert ours(specimen) == theirs


@pytest.mark.network
@pytest.mark.parametrize("specimen", [one for one in EXPECTED if one.path.name == "pdm.lock"], ids=by_id)
def test_pdm_exports_the_same(specimen: Specimen, environments: dict[str, Path], tmp_path: Path) -> None:
    environment = environments[specimen.facts["python"]]
    output = run_tool(
        "pdm", ["export", "--prod", "--without-hashes"], copy_of(specimen, tmp_path), environment
    )
    assert ours(specimen) == requirement_pins(output, specimen.target())


@pytest.mark.parametrize("specimen", [one for one in EXPECTED if one.path.name == "uv.lock"], ids=by_id)
def test_uv_exports_the_same(specimen: Specimen, environments: dict[str, Path], tmp_path: Path) -> None:
    interpreter = environments[specimen.facts["python"]] / "bin" / "python"
    # The corpus has the lock beside a member's folder.
    named = (
        [] if specimen.project().root == specimen.path.parent else ["--package", str(specimen.project().name)]
    )
    arguments = [
        "export",
        "--frozen",
        "--no-hashes",
        "--no-header",
        "--no-annotate",
        "--no-default-groups",
        "-p",
        str(interpreter),
        *named,
    ]
    folder = copy_of(specimen, tmp_path)
    if not (folder / "pyproject.toml").is_file():
        pytest.skip("the corpus has no pyproject.toml of this workspace")
    assert ours(specimen) == requirement_pins(run_tool("uv", arguments, folder), specimen.target())


def ours(specimen: Specimen) -> set[tuple[str, str]]:
    selected = select_packages(specimen.read(), specimen.target(), specimen.selection())
    return {(str(one.name), str(one.version)) for one in selected}


# --- the table ---


def test_the_table_in_the_docs_is_up_to_date() -> None:
    text = render_report()
    if os.environ.get("WRITE_DOCS") == "1":
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text(text)
    assert REPORT.read_text() == text, "WRITE_DOCS=1 make conformance writes it"


def render_report() -> str:
    lines = [
        "# Lock conformance",
        "",
        "Real lock files of public projects, read and selected from by shipwheel. Generated by",
        "`tests/conformance/test_lock_corpus.py`; do not edit. The locks themselves are not part of shipwheel.",
        "",
        "*Selected* is the number of distributions that production installs on linux/amd64 glibc 2.36 with",
        "the newest Python that the lock admits. *Expected* compares name, version and file with a",
        "selection that was made independently, and with `uv export`, `poetry install --dry-run` and `pdm export`.",
        "*PEP 751* tells whether the lock can be written as pylock.toml.",
        "",
        "| Lock | Format | Packages | Fresh | Python | Selected | Expected | PEP 751 |",
        "| --- | --- | ---: | --- | --- | --- | --- | --- |",
    ]
    for folder, group in groupby(EVERY, key=lambda one: one.id.split("/")[0]):
        del folder
        lines += [render_row(specimen) for specimen in group]
    return "\n".join(lines) + "\n"


def render_row(specimen: Specimen) -> str:
    title = specimen.id.replace("|", "")
    try:
        lock = specimen.read()
    except LockError as error:
        return f"| {title} | | | | | refused: {describe(error)} | | |"
    python, count = newest(lock)
    try:
        expressible = "yes" if to_pylock(lock) else ""
    except LockError:
        expressible = "no"
    expected = (
        f"{len(specimen.expected())} of {len(specimen.expected())}" if specimen.meta is not None else ""
    )
    cells = [
        title,
        f"{lock.info.kind} {lock.info.lock_version}",
        str(len(lock.packages)),
        "yes" if is_fresh(specimen, lock) else "no",
        python or "",
        str(count) if isinstance(count, int) else f"refused: {count}",
        expected,
        expressible,
    ]
    return "| " + " | ".join(cells) + " |"
