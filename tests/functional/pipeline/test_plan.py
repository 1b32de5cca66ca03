"""`shipwheel plan` and `shipwheel lock`: what is told, that it fits the schema, and that it is pure."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from shipwheel.plan.model import plan_schema
from shipwheel.project.settings import settings_schema
from shipwheel.testing.wheels import make_wheel

from .conftest import Bench

COW = make_wheel("cow", "1.0", requires=["horn>=1"])
HORN = make_wheel("horn", "1.2", padding=5000)
OFFLINE = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple/", "SHIPWHEEL_DEBIAN_MIRROR": "none"}


def plans(bench: Bench, project: Path, *words: str, **environ: str) -> list[dict[str, Any]]:
    done = bench.run("plan", "--json", project, *words, environ=environ)
    assert done.returncode == 0, done.stderr
    answer: list[dict[str, Any]] = json.loads(done.stdout)
    return answer


def test_a_plan_fits_its_published_schema(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW, HORN])

    for plan in plans(bench, project, "--platform", "linux/amd64,linux/arm64"):
        jsonschema.validate(plan, plan_schema())
        assert plan["schema"] == "shipwheel.plan/1"


def test_a_plan_needs_no_network_and_no_cache_once_everything_is_locked(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW, HORN])
    before = plans(bench, project)
    bench.index.requests.clear()

    again = plans(bench, project, SHIPWHEEL_CACHE_DIR=str(bench.folder / "empty"), **OFFLINE)

    assert again == before
    assert bench.index.requests == []
    assert not (bench.folder / "empty" / "v1" / "files" / "sha256").exists()


def test_a_plan_says_what_the_build_then_does(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW, HORN])
    [plan] = plans(bench, project)

    built = bench.build(project)

    assert len(plan["layers"]) == len(built["platforms"][0]["layers"])
    wheels = [layer["wheels"][0]["name"] for layer in plan["layers"] if layer["kind"] == "wheel"]
    assert wheels == ["horn", "cow"]
    sizes = {layer["name"]: layer["size"] for layer in plan["layers"]}
    assert sizes["horn"] == HORN.size


def test_a_plan_does_not_depend_on_where_the_project_lies(bench: Bench) -> None:
    one = bench.project(["cow"], wheels=[COW, HORN], where="one")
    two = bench.project(["cow"], wheels=[COW, HORN], where="somewhere/else")

    assert plans(bench, one) == plans(bench, two)


def test_every_value_says_where_it_came_from(bench: Bench) -> None:
    project = bench.project(settings='cmd = ["serve"]\nenv = { LOG = "info" }\n')

    [plan] = plans(bench, project)

    assert plan["entrypoint"] == {"value": ["/app/.venv/bin/app"], "source": "the only script, app"}
    assert plan["cmd"] == {"value": ["serve"], "source": "[tool.shipwheel] cmd"}
    assert plan["user"]["source"] == "default"
    assert plan["base"]["source"] == "[tool.shipwheel.base] layout"
    sources = {variable["name"]: variable["source"] for variable in plan["env"]}
    assert (sources["LOG"], sources["PATH"]) == ("[tool.shipwheel.env]", "default")


def test_people_read_the_same_as_lines(bench: Bench) -> None:
    done = bench.run("plan", bench.project(["cow"], wheels=[COW, HORN]))

    assert done.returncode == 0
    for expected in (
        "project     app 1.0.0",
        "python      3.13.5, glibc 2.41",
        "horn 1.2",
        "cow 1.0",
        "(default)",
    ):
        assert expected in done.stdout


def test_why_shows_who_needs_a_package_and_why_this_file(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW, HORN])

    done = bench.run("plan", project, "--why", "horn")

    assert "needed by cow ← the project" in done.stdout
    bench.fails("plan", project, "--why", "unicorn", code="not-in-image", exit_code=2)


def test_a_web_application_is_suggested_and_not_guessed(bench: Bench) -> None:
    uvicorn = make_wheel("uvicorn", "0.32")
    project = bench.project(
        ["uvicorn"],
        wheels=[uvicorn],
        scripts={},
        files={"app/web.py": "from fastapi import FastAPI\napp = FastAPI()\n"},
    )

    [plan] = plans(bench, project)

    assert plan["entrypoint"]["value"] == ["/app/.venv/bin/python"]
    [hint] = [hint for hint in plan["hints"] if "uvicorn" in hint]
    assert '["uvicorn", "app.web:app"' in hint


def test_the_settings_schema_is_printed_and_accepts_a_used_configuration(bench: Bench) -> None:
    done = bench.run("schema", "settings")
    project = bench.project(settings='ports = ["8000"]\n')

    assert json.loads(done.stdout) == settings_schema()
    table = tomllib.loads((project / "pyproject.toml").read_text())["tool"]["shipwheel"]
    jsonschema.validate(table, json.loads(done.stdout))
    assert json.loads(bench.run("schema", "plan").stdout) == plan_schema()


def test_the_lock_remembers_sizes_and_no_index(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW, HORN])

    bench.build(project)

    text = (project / "shipwheel.lock").read_text()
    assert tomllib.loads(text)["sizes"] == {f"sha256:{wheel.sha256}": wheel.size for wheel in (COW, HORN)}
    assert "127.0.0.1" not in text
    assert "http" not in text


def test_locked_leaves_shipwheel_lock_as_it_is(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW, HORN])
    before = (project / "shipwheel.lock").read_text()

    bench.build(project, "--locked")

    assert (project / "shipwheel.lock").read_text() == before


@pytest.mark.parametrize("command", ["build", "plan"])
def test_another_base_in_the_settings_is_noticed(bench: Bench, command: str) -> None:
    project = bench.project()
    text = (project / "pyproject.toml").read_text().replace('layout = "base"', 'layout = "other"')
    (project / "pyproject.toml").write_text(text)

    bench.fails(command, "--locked", project, code="stale-shipwheel-lock", exit_code=4)


def test_a_lock_that_fails_leaves_the_old_one_as_it_was(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW, HORN])
    bench.build(project)
    before = (project / "shipwheel.lock").read_bytes()
    (project / "poetry.lock").write_text("broken")

    assert bench.run("lock", project).returncode != 0
    assert (project / "shipwheel.lock").read_bytes() == before


def test_a_project_that_cannot_be_written_to_is_built_all_the_same(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW, HORN])
    # Root may write everywhere, so the refusal is put in.
    script = "import sys; import shipwheel.locking as l; from shipwheel.errors import HostError\n"
    script += "def refuse(*_): raise HostError('cannot-write', 'Read-only file system')\n"
    script += "l.write_lockfile = refuse\n"
    script += "from shipwheel.cli.main import main; sys.exit(main(sys.argv[1:]))"

    done = subprocess.run(
        [sys.executable, "-c", script, "build", str(project)],
        env={**os.environ, **bench.environ},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "sizes will be asked for again" in done.stderr
