"""Rules over what this repository locks: some 120 released distributions, most of them among the most used.

Every finding is either listed in `alarms.toml` with its reason, or it is new: a false alarm, or a true one that
nobody looked at yet. Wheels are those that committed locks name, by their hashes; SHIPWHEEL_ALARM_LOCKS may name
further folders with a pyproject.toml and a lock, separated by colons.

And over some 350 distributions in one image: those that are installed most, and what they need, as released today.
"""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from helpers.command import shipwheel, uv

pytestmark = [pytest.mark.conformance, pytest.mark.network]
ROOT = Path(__file__).parents[2]
LISTED = Path(__file__).with_name("alarms.toml")
# The tools that this project is developed with, as one image.
TOOLS = """\
[project]
name = "tools"
version = "1"
requires-python = ">=3.11"

[tool.shipwheel]
entrypoint = ["python", "-m", "pytest"]
"""

POPULAR = """\
[project]
name = "popular"
version = "1"
requires-python = ">=3.13"

[tool.shipwheel]
entrypoint = ["python", "-m", "pytest"]
"""
# What these say is counted from RECORD, sections and bytes: true of any release, and never more than a note.
SIZES = {"debug-symbols", "development-files", "duplicate-files", "tests-in-packages"}
# The documentation of AWS's own program shows a key that it has made up.
KNOWN = {("secret-in-package", "awscli")}


def projects(folder: Path) -> list[Path]:
    tools = folder / "tools"
    tools.mkdir()
    (tools / "pyproject.toml").write_text(TOOLS)
    shutil.copy(ROOT / "requirements/dev.txt", tools / "requirements.txt")
    own = [
        ROOT / "examples/shop",
        ROOT / "benchmarks/data",
        ROOT / "examples/pip-tools",
        ROOT / "examples/pdm",
    ]
    more = [Path(word) for word in os.environ.get("SHIPWHEEL_ALARM_LOCKS", "").split(":") if word]
    copies: list[Path] = []
    for source in (*own, *more):
        copy = folder / f"{len(copies)}-{source.name}"
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("shipwheel.lock", ".venv", "__pycache__"))
        copies.append(copy)
    return [tools, *copies]


def alarms(report: dict[str, Any]) -> set[tuple[str, str]]:
    """Return each finding as its code and the package (else the path) that it is about."""
    found = set()
    for finding in report["findings"]:
        for place in finding["places"]:
            package = place.get("package", "").partition(" ")[0]
            found.add((finding["code"], package or place["path"]))
    return found


def test_there_is_no_alarm_that_nobody_looked_at(tmp_path: Path) -> None:
    known = tomllib.loads(LISTED.read_text("utf-8"))
    assert all(entry["reason"] for entry in known.values())
    listed = {(code, about) for code, entry in known.items() for about in entry["about"]}
    new: dict[str, set[tuple[str, str]]] = {}
    packages: set[str] = set()
    for project in projects(tmp_path):
        done = shipwheel("check", project, "--format", "json", "--quiet", "--fail-on", "never")
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        packages |= {item["name"] for item in report["packages"] if item["kind"] == "python"}
        if unknown := alarms(report) - listed:
            new[project.name] = unknown
    assert len(packages) > 100
    assert new == {}


def test_the_most_used_packages_raise_a_handful_of_alarms_and_each_is_known(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(POPULAR)
    names = Path(__file__).with_name("popular.in")
    released = (
        "--python-version",
        "3.13",
        "--python-platform",
        "x86_64-manylinux_2_28",
        "--only-binary",
        ":all:",
    )
    silent = ("--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--no-header", "--quiet")
    lock = tmp_path / "requirements.txt"
    uv("pip", "compile", *released, *silent, "--generate-hashes", names, "-o", lock)
    done = shipwheel(
        *("check", tmp_path, "--format", "json", "--quiet", "--fail-on", "never", "--platform", "linux/amd64")
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)

    assert len([item for item in report["packages"] if item["kind"] == "python"]) > 200
    assert {finding["severity"] for finding in report["findings"] if finding["code"] in SIZES} == {"note"}
    assert {alarm for alarm in alarms(report) if alarm[0] not in SIZES} <= KNOWN
