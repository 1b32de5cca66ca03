"""`check --measure` really changes a copy, builds and pushes it, and leaves the project as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from functional.pipeline.conftest import Bench
from helpers.tools import require_tool
from shipwheel.testing.wheels import make_wheel

EDIT, BUMP, UPGRADE = "a code edit", "a new version", "one dependency at another version"
FILLED = bytes(range(256)) * 400  # what a layer of a wheel weighs is seen in what is pushed


def measured(
    bench: Bench, project: Path, *words: str, environ: dict[str, str] | None = None
) -> dict[str, Any]:
    done = bench.run(
        "check", project, "--measure", "--format", "json", "--quiet", "--fail-on", "never",
        "--runner", "unshare", *words, environ=environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {item["what"]: item for item in json.loads(done.stdout)["measured"]}


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_each_change_is_built_and_pushed_and_the_project_is_left_alone(bench: Bench) -> None:
    require_tool("docker-registry")
    wheels = [
        make_wheel("friendly", version, files={"friendly/data.bin": FILLED}) for version in ("1.0", "1.1")
    ]
    bench.index.add(wheels[0])
    project = bench.project(["friendly"], wheels=wheels[1:])
    bench.build(project)
    before = snapshot(project)
    found = measured(bench, project)
    assert snapshot(project) == before
    for what in (EDIT, BUMP, UPGRADE):
        assert found[what]["reason"] is None, found[what]
        assert found[what]["seconds"] > 0
        assert "pushed to an empty registry here" in found[what]["detail"]
        assert "1 layer is new" in found[what]["detail"]
    assert "friendly 1.0 instead of 1.1" in found[UPGRADE]["detail"]
    # The code's layer and a configuration; the wheel's layer has its data besides.
    assert 0 < found[EDIT]["size"] < 10_000
    assert 0 < found[BUMP]["size"] < 10_000
    assert found[UPGRADE]["size"] > 0


def test_without_a_registry_program_bytes_are_those_of_new_layers(bench: Bench, tmp_path: Path) -> None:
    project = bench.project()
    found = measured(bench, project, environ={"PATH": str(tmp_path)})
    assert "not of a push" in found[EDIT]["detail"]
    assert 0 < found[EDIT]["size"] < 10_000
    assert found[UPGRADE]["reason"].startswith("the lock has no release for every platform")
