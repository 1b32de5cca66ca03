"""`shipwheel check` on a project: its lock and its settings are looked at too."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from helpers.tools import missing
from shipwheel.testing.wheels import make_wheel

from .conftest import Bench

COW = make_wheel("cow", "1.0", {"cow.py": "def say():\n    return 'moo'\n"})
# The base of these tests has no interpreter; rules that look for one speak elsewhere.
OURS = (
    "not-in-lock,stale-lock,lock-without-hashes,over-budget,code-writable,package-changed,package-incomplete"
)


def report_of(bench: Bench, target: Path, *words: str) -> dict[str, Any]:
    done = bench.run("check", target, "--only", OURS, "--format", "json", "--quiet", *words)
    assert done.returncode in (0, 1), done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def codes(report: dict[str, Any]) -> list[str]:
    return [finding["code"] for finding in report["findings"]]


def test_an_image_of_its_project_keeps_the_rules_about_locks(bench: Bench) -> None:
    report = report_of(bench, bench.project(["cow"], wheels=[COW]))
    assert codes(report) == []
    assert [item["code"] for item in report["not_checked"]] == ["over-budget"]
    assert {"app", "cow"} <= {package["name"] for package in report["packages"]}


def test_an_image_with_more_than_the_lock_is_told(bench: Bench) -> None:
    bench.image(bench.project(["cow"], wheels=[COW], where="full"))
    other = bench.project(where="other")
    report = report_of(bench, bench.folder / "layout", "--project", str(other))
    assert codes(report) == ["not-in-lock"]
    (place,) = report["findings"][0]["places"]
    assert (place["package"], place["detail"]) == ("cow 1.0", "not locked")


def test_an_image_with_another_version_than_the_lock_is_told(bench: Bench) -> None:
    bench.image(bench.project(["cow"], wheels=[COW], where="old"))
    newer = bench.project(["cow"], wheels=[make_wheel("cow", "2.0")], where="new")
    report = report_of(bench, bench.folder / "layout", "--project", str(newer))
    assert report["findings"][0]["places"][0]["detail"] == "locked: 2.0"


def test_a_lock_that_does_not_fit_the_project_is_told(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW])
    bench.image(project)
    text = (project / "pyproject.toml").read_text().replace('"cow"', '"cow", "sheep"', 1)
    (project / "pyproject.toml").write_text(text)
    report = report_of(bench, bench.folder / "layout", "--project", str(project))
    assert codes(report) == ["stale-lock"]


def test_a_lock_without_hashes_is_told(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW])
    bench.image(project)
    (project / "poetry.lock").unlink()
    (project / "requirements.txt").write_text("cow==1.0\n")
    settings = 'lock = "requirements.txt"\n'
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(
        text.replace("[tool.shipwheel]\n", f"[tool.shipwheel]\n{settings}", 1)
    )
    report = report_of(bench, bench.folder / "layout", "--project", str(project))
    assert codes(report) == ["lock-without-hashes"]
    assert "it is a wish list and not a lock" in report["findings"][0]["message"]
    assert {"not-in-lock", "stale-lock"} <= {item["code"] for item in report["not_checked"]}


def test_the_projects_settings_hold(bench: Bench) -> None:
    settings = '[tool.shipwheel.check]\nmax-size = 100\nfail-on = "never"\n'
    project = bench.project(["cow"], wheels=[COW], extra=settings)
    done = bench.run("check", project, "--only", "over-budget", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "over-budget" in done.stdout
    assert (
        bench.run("check", project, "--only", "over-budget", "--quiet", "--fail-on", "error").returncode == 1
    )


def test_an_accepted_finding_needs_a_reason_and_a_rule_that_there_is(bench: Bench) -> None:
    def project(text: str, where: str) -> Path:
        return bench.project(extra=f"[[tool.shipwheel.check.ignore]]\n{text}\n", where=where)

    bench.fails("check", project('code = "shell"', "one"), code="bad-setting", exit_code=3)
    message = bench.fails(
        "check",
        "--quiet",
        project('code = "shel"\nreason = "for now"', "two"),
        code="unknown-rule",
        exit_code=2,
    )
    assert "there is no rule shel" in message


def test_the_report_goes_to_a_file_and_no_image_does(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW])
    out = bench.folder / "report.json"
    done = bench.run("check", project, "--only", OURS, "--format", "json", "--quiet", "--output", out)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert json.loads(out.read_text())["schema"] == "shipwheel.check/1"


def test_a_project_built_again_from_nothing_is_the_same(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW])
    words = ("check", project, "--only", "rebuild-differs", "--format", "json")
    done = bench.run(*words, "--rebuild")
    assert done.returncode == 0, done.stderr
    assert [rule["code"] for rule in json.loads(done.stdout)["passed"]] == ["rebuild-differs"]
    _, _, second = done.stderr.partition("building it again, from nothing")
    assert "made  app" in second
    assert "cached" not in second
    assert [item["code"] for item in json.loads(bench.run(*words).stdout)["not_checked"]] == [
        "rebuild-differs"
    ]


def test_a_project_that_builds_otherwise_each_time_is_found_out(bench: Bench) -> None:
    project = bench.project()
    back_end = project / "_back_end.py"
    marker = "def build_wheel("
    text = back_end.read_text()
    assert marker in text
    # A wheel with the time in it, and a list in no order, as a careless build script makes it.
    careless = (
        "import os, time, pathlib\nfolder = pathlib.Path(__file__).with_name('app')\n"
        "folder.joinpath('when.py').write_text(f'FIRST = 1\\nWHEN = {time.time_ns()}\\n')\n"
        "names = sorted((f'n{n}' for n in range(99)), key=lambda _: os.urandom(4))\n"
        "folder.joinpath('order.txt').write_text('\\n'.join(names))\n"
    )
    back_end.write_text(careless + text)
    done = bench.run("check", project, "--only", "rebuild-differs", "--rebuild", "--all")
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"/app/\.venv/.*/app/when\.py .*; line 2: 'WHEN = \d+', then 'WHEN = \d+'", done.stdout)
    # And nothing of what is the same: only RECORD, which follows from these two.
    listed = set(re.findall(r"/app/\.venv/lib/python3\.13/site-packages/(\S+)", done.stdout))
    assert listed == {"app/when.py", "app/order.txt", "app-1.0.0.dist-info/RECORD"}
    assert "the same 99 lines in another order" in done.stdout


def test_the_projects_compose_file_is_found_and_named_as_seen_from_here(bench: Bench) -> None:
    project = bench.project()
    (project / "compose.yaml").write_text("services:\n  app:\n    build: .\n    privileged: true\n")
    words = ("--only", "compose-privileged", "--format", "sarif", "--quiet")
    done = bench.run("check", ".", *words, folder=project)
    assert done.returncode == 1, done.stderr
    (result,) = json.loads(done.stdout)["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "compose.yaml"}, "region": {"startLine": 4}}


def test_syft_finds_what_the_lock_has_and_nothing_else(bench: Bench) -> None:
    syft = Path(sys.executable).with_name("syft")
    if not syft.exists():
        missing("syft is not in the development environment")
    sheep = make_wheel("sheep", "2.0rc1", {"sheep.py": "SOUND = 'baa'\n"})
    project = bench.project(["cow", "sheep"], wheels=[COW, sheep])
    bench.image(project)
    words = ["scan", f"oci-dir:{bench.folder / 'layout'}", "--quiet", "--output", "json"]
    environ = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"}
    done = subprocess.run([syft, *words], env=environ, capture_output=True, check=True)
    found = {(item["name"], item["version"]) for item in json.loads(done.stdout)["artifacts"]}
    lock = tomllib.loads((project / "poetry.lock").read_text())
    locked = {(package["name"], package["version"]) for package in lock["package"]}
    assert found == locked | {("app", "1.0.0")}
