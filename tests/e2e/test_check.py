"""`shipwheel check --run` on an image of ours: every promise kept, also from the inside."""

import json
from pathlib import Path

import pytest

from helpers.command import copy_example, shipwheel

# What only a budget, a Dockerfile, a second build or a scanner would make checkable.
UNCHECKED = {
    "over-budget", "base-by-tag", "copy-before-install", "no-cache-mount", "build-tools-in-last-stage",
    "secret-as-argument", "dockerfile-lint", "rebuild-differs", "known-vulnerabilities",
}  # fmt: skip


@pytest.mark.network
@pytest.mark.xdist_group("examples")
def test_the_image_of_an_example_keeps_every_promise_and_runs(tmp_path: Path) -> None:
    project = copy_example("hello", tmp_path)
    done = shipwheel("check", project, "--run", "--format", "json", "--quiet", "--fail-on", "note")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["findings"] == []
    assert {item["code"] for item in report["not_checked"]} - {"stop-signal-unhandled"} == UNCHECKED
    assert {"import-fails", "does-not-start", "needs-its-user"} <= {rule["code"] for rule in report["passed"]}
