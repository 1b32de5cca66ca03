"""`shipwheel check --run --measure` on images of ours: every promise kept, also from the inside."""

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.command import copy_example, shipwheel
from shipwheel.verify import dockerfile, linters, rebuild, sameness, scanners
from shipwheel.verify.composefile import check as composefile

# What only a budget, a Dockerfile, a compose file, a health check, a second build or a scanner makes checkable.
UNCHECKED = {
    "over-budget",
    "health-check-fails",
    *(
        rule.code
        for module in (composefile, dockerfile, linters, rebuild, sameness, scanners)
        for rule in module.RULES
    ),
}
# And what a program that ends by itself does not need.
NO_SERVER = {"stop-signal-unhandled"}
OTHERS = ["c-extension", "legacy", "monorepo/services/greeter", "pdm", "pip-tools", "shop"]

pytestmark = [pytest.mark.network, pytest.mark.xdist_group("examples")]


def report_on(name: str, folder: Path, *words: str) -> dict[str, Any]:
    top = name.partition("/")[0]
    project = copy_example(top, folder) / name.removeprefix(top).lstrip("/")
    done = shipwheel("check", project, "--run", "--format", "json", "--quiet", "--fail-on", "note", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["findings"] == []
    assert {item["code"] for item in report["not_checked"]} <= UNCHECKED | NO_SERVER | {"command-fails"}
    assert {"import-fails", "does-not-start", "needs-its-user", "needs-writable-root", "writes-to-image"} <= {
        rule["code"] for rule in report["passed"]
    }
    return report


def test_the_image_of_an_example_keeps_every_promise_and_runs(tmp_path: Path) -> None:
    report = report_on("hello", tmp_path, "--measure")
    measured = {item["what"]: item for item in report["measured"]}
    assert measured["imports of the program"]["seconds"] > 0
    for what in ("a code edit", "a new version", "one dependency at another version"):
        assert measured[what]["seconds"] > 0
        # Of an image of 23 MB: one layer of code, or one wheel's.
        assert 0 < measured[what]["size"] < 100_000
    assert "ended by itself" in measured["from the stop signal to the end"]["reason"]


@pytest.mark.conformance
@pytest.mark.parametrize("name", OTHERS)
def test_no_example_has_a_finding(name: str, tmp_path: Path) -> None:
    report_on(name, tmp_path)
