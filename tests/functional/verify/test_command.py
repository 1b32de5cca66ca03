"""`shipwheel check` as people call it: exit codes, formats, choice of rules, images in layouts and archives."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from helpers.command import shipwheel
from helpers.registry import docker_registry
from helpers.tools import require_tool
from helpers.zoo import clean_image, distribution, program, with_config, with_files
from shipwheel.oci.archive import write_docker_archive
from shipwheel.oci.layout import write_layout
from shipwheel.oci.model import ImageIndex, Platform
from shipwheel.oci.reference import Reference


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    write_layout(tmp_path / "clean", clean_image())
    return tmp_path / "clean"


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    image = with_files({"bin/sh": program(), "usr/bin/sudo": program()})
    write_layout(tmp_path / "bad", image)
    return tmp_path / "bad"


def test_a_clean_image_ends_well_and_says_what_was_not_checked(clean: Path) -> None:
    done = shipwheel("check", clean)
    assert done.returncode == 0, done.stderr
    assert "no finding;" in done.stdout
    assert "not checked  not-in-lock: no project with a lock was given (--project)" in done.stdout


@pytest.mark.parametrize(("fail_on", "code"), [("error", 0), ("warning", 1), ("note", 1), ("never", 0)])
def test_the_exit_code_tells_of_findings_as_grave_as_asked(bad: Path, fail_on: str, code: int) -> None:
    assert shipwheel("check", bad, "--fail-on", fail_on).returncode == code


def test_an_error_fails_without_being_asked(tmp_path: Path) -> None:
    write_layout(tmp_path / "root", with_config(user="0"))
    done = shipwheel("check", tmp_path / "root")
    assert done.returncode == 1
    assert "error    runs-as-root" in done.stdout
    assert "fix: Set a numeric user" in done.stdout


def test_the_same_image_in_an_archive_gives_the_same_findings(tmp_path: Path, bad: Path) -> None:
    image = with_files({"bin/sh": program(), "usr/bin/sudo": program()})
    with (tmp_path / "bad.tar").open("wb") as file:
        write_docker_archive(file, image, tags=[Reference.parse("localhost/bad:1")])
    one, two = (
        json.loads(shipwheel("check", where, "--format", "json").stdout)
        for where in (bad, tmp_path / "bad.tar")
    )
    for finding in (*one["findings"], *two["findings"]):
        assert finding.pop("command").endswith(f" --only {finding['code']} --all")
    assert one["findings"] == two["findings"]
    assert [finding["code"] for finding in one["findings"]] == ["privilege-tool", "shell"]


def test_only_named_rules_are_reported(bad: Path) -> None:
    report = json.loads(shipwheel("check", bad, "--only", "shell,set-id", "--format", "json").stdout)
    assert [finding["code"] for finding in report["findings"]] == ["shell"]
    assert [rule["code"] for rule in report["passed"]] == ["set-id"]
    assert report["not_checked"] == []


def test_a_rule_that_is_none_is_a_mistake_of_the_caller(bad: Path) -> None:
    done = shipwheel("check", bad, "--only", "shel")
    assert done.returncode == 2
    assert "error[unknown-rule]: there is no rule shel" in done.stderr


def test_all_rules_can_be_listed() -> None:
    done = shipwheel("check", "--rules")
    assert done.returncode == 0
    assert any(line.startswith("secure    error    runs-as-root") for line in done.stdout.splitlines())


def test_a_report_can_be_written_to_a_file(bad: Path, tmp_path: Path) -> None:
    done = shipwheel("check", bad, "--format", "markdown", "--output", tmp_path / "report.md")
    assert done.stdout == ""
    assert "### A shell is in the image" in (tmp_path / "report.md").read_text()


def test_of_several_platforms_the_one_asked_for_is_checked(tmp_path: Path) -> None:
    amd64 = clean_image()
    index = ImageIndex(images=(amd64, replace(amd64, platform=Platform(os="linux", architecture="riscv64"))))
    write_layout(tmp_path / "index", index)
    done = shipwheel("check", tmp_path / "index", "--platform", "linux/riscv64", "--format", "json")
    report = json.loads(done.stdout)
    assert report["platform"] == "linux/riscv64"
    assert [finding["code"] for finding in report["findings"]] == ["wrong-platform"]
    done = shipwheel("check", tmp_path / "index", "--platform", "linux/s390x")
    assert "error[no-such-platform]" in done.stderr


def test_what_is_no_image_is_told(tmp_path: Path) -> None:
    for target in (tmp_path, tmp_path / "none"):
        done = shipwheel("check", target)
        assert "error[bad-image]" in done.stderr
        assert done.returncode == 2


def test_sarif_is_what_the_standard_says(bad: Path) -> None:
    log = json.loads(shipwheel("check", bad, "--format", "sarif").stdout)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert log["version"] == "2.1.0"
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert {result["ruleId"] for result in run["results"]} == {"shell", "privilege-tool"}
    assert run["invocations"][0]["toolExecutionNotifications"]


def test_junit_fails_warnings_and_skips_what_was_not_checked(bad: Path) -> None:
    root = ET.fromstring(shipwheel("check", bad, "--format", "junit").stdout)
    failed = [case.get("name") for case in root.iter("testcase") if case.find("failure") is not None]
    skipped = [case.get("name") for case in root.iter("testcase") if case.find("skipped") is not None]
    assert failed == ["privilege-tool"]
    assert "not-in-lock" in skipped
    for suite in root.iter("testsuite"):
        assert int(suite.get("tests", "")) == len(list(suite.iter("testcase")))


def test_the_same_image_in_a_registry_gives_the_same_findings(tmp_path: Path, bad: Path) -> None:
    skopeo = require_tool("skopeo")
    with docker_registry(tmp_path / "registry") as address:
        target = f"{address}/team/bad:1"
        words = ["copy", "--quiet", "--dest-tls-verify=false", f"oci:{bad}", f"docker://{target}"]
        subprocess.run([skopeo, "--insecure-policy", *words], check=True, capture_output=True)
        environ = {"SHIPWHEEL_CACHE_DIR": str(tmp_path / "cache")}
        done = shipwheel("check", target, "--format", "json", environ=environ)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [finding["code"] for finding in report["findings"]] == ["privilege-tool", "shell"]
    assert report["image"] == target


def test_a_dockerfile_beside_the_image_is_looked_at_too(bad: Path, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python:3.13-slim\nCOPY . /app\nRUN pip install -r r.txt\n")
    words = ("check", bad, "--format", "json", "--dockerfile", tmp_path / "Dockerfile")
    report = json.loads(shipwheel(*words, environ={"PATH": os.defpath}).stdout)
    told = {
        finding["code"]: finding["places"][0]["path"].rpartition("/")[2] for finding in report["findings"]
    }
    assert told == {
        "base-by-tag": "Dockerfile:1", "copy-before-install": "Dockerfile:2", "no-cache-mount": "Dockerfile:3",
        "cache-left": "Dockerfile:3", "no-dockerignore": "Dockerfile:2", "no-health-check": "Dockerfile:1",
        "runs-as-root": "Dockerfile:1", "privilege-tool": "sudo", "shell": "sh",
    }  # fmt: skip
    done = shipwheel("check", bad, "--dockerfile", tmp_path / "none")
    assert "error[no-dockerfile]" in done.stderr


def test_a_compose_file_beside_the_image_is_looked_at_too(clean: Path, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        "services:\n  app:\n    build: .\n    volumes: ['.:/app']\n    privileged: true\n"
    )
    words = ("check", clean, "--format", "json", "--compose", tmp_path / "compose.yaml")
    done = shipwheel(*words)
    assert done.returncode == 1
    assert {
        finding["code"]: finding["places"][0]["path"].rpartition("/")[2]
        for finding in json.loads(done.stdout)["findings"]
    } == {"compose-privileged": "compose.yaml:5", "compose-venv-hidden": "compose.yaml:4"}
    (tmp_path / "compose.yaml").write_text("services: [\n")
    report = json.loads(shipwheel(*words).stdout)
    assert any("compose.yaml:2: " in item["reason"] for item in report["not_checked"])
    assert "error[no-such-compose-file]" in shipwheel("check", clean, "--compose", tmp_path / "none").stderr


def test_a_compose_file_and_what_overrides_it_are_looked_at_together(clean: Path, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services:\n  app:\n    build: .\n    ports: ['8000:8000']\n")
    (tmp_path / "compose.override.yaml").write_text(
        "services:\n  app:\n    read_only: true\n    tmpfs: /tmp\n    user: root\n"
    )
    words = ("check", clean, "--format", "json", "--compose", tmp_path / "compose.yaml")
    told = json.loads(shipwheel(*words).stdout)["findings"]
    # What one of them does not say may be in the other.
    assert [(finding["code"], finding["places"][0]["path"].rpartition("/")[2]) for finding in told] == [
        ("compose-root", "compose.override.yaml:5")
    ]


def test_an_image_for_development_is_compared(clean: Path, tmp_path: Path) -> None:
    write_layout(tmp_path / "dev", with_files(distribution("tool", "1.0", {"tool.py": b""})))
    report = json.loads(shipwheel("check", clean, "--dev", tmp_path / "dev", "--format", "json").stdout)
    assert {"dev-differs", "dev-without-production"} <= {rule["code"] for rule in report["passed"]}
