"""Vulnerability scanners: what they find is brought in, and what they cannot find is not called good."""

import json
import os
from pathlib import Path

import pytest

from helpers.zoo import clean_image
from shipwheel.oci.layout import write_layout
from shipwheel.verify import scanners
from shipwheel.verify.model import Finding, NotChecked, Result

TRIVY = {
    "Results": [
        {
            "Vulnerabilities": [
                {
                    "PkgName": "jinja2", "InstalledVersion": "3.1.0", "VulnerabilityID": "CVE-2024-56201",
                    "Severity": "HIGH", "FixedVersion": "3.1.5",
                },
                {
                    "PkgName": "zlib1g", "InstalledVersion": "1.3", "VulnerabilityID": "CVE-1", "Severity": "LOW",
                },
            ]
        },
        {"Target": "nothing"},
    ]
}  # fmt: skip
GRYPE = {
    "matches": [
        {
            "artifact": {"name": "jinja2", "version": "3.1.0"},
            "vulnerability": {"id": "GHSA-x", "severity": "Critical", "fix": {"versions": ["3.1.5"]}},
        }
    ]
}


# https://google.github.io/osv-scanner/output/#json
OSV = {
    "results": [
        {
            "source": {"path": "site-packages/jinja2-3.1.0.dist-info/METADATA", "type": "unknown"},
            "packages": [
                {
                    "package": {"name": "jinja2", "version": "3.1.0", "ecosystem": "PyPI"},
                    "vulnerabilities": [
                        {
                            "id": "GHSA-x",
                            "affected": [
                                {
                                    "package": {"name": "jinja2", "ecosystem": "PyPI"},
                                    "ranges": [
                                        {"type": "GIT", "events": [{"fixed": "0" * 40}]},
                                        {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.1.5"}]},
                                    ],
                                }
                            ],
                        },
                        {"id": "GHSA-y"},
                        {"id": "GHSA-z"},
                    ],
                    "groups": [
                        {"ids": ["GHSA-x"], "max_severity": "7.5"},
                        {"ids": ["GHSA-y"], "max_severity": "5.4"},
                        {"ids": ["GHSA-z"], "max_severity": ""},
                    ],
                }
            ],
        }
    ]
}  # fmt: skip


def fake(folder: Path, name: str, answer: object, *, error: str = "", code: int = 0) -> dict[str, str]:
    """Install a scanner that says `answer`; return an environment with those of `folder` on its PATH."""
    (folder / f"{name}.out").write_text(answer if isinstance(answer, str) else json.dumps(answer))
    (folder / f"{name}.err").write_text(error)
    script = f"#!/bin/sh\ncase \"$1\" in *version) echo '{name} 1.2.3'; exit;; esac\necho \"$@\" > '{folder}/{name}.words'\ncat '{folder}/{name}.out'\ncat '{folder}/{name}.err' >&2\nexit {code}\n"
    (folder / name).write_text(script)
    (folder / name).chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.defpath}"}


def only(layout: Path | None, environ: dict[str, str]) -> Result:
    (result,) = scanners.check(layout, environ)
    return result


@pytest.mark.parametrize(
    ("name", "answer", "expected"),
    [
        ("trivy", TRIVY, ("jinja2 3.1.0", "CVE-2024-56201 high, fixed in 3.1.5")),
        ("grype", GRYPE, ("jinja2 3.1.0", "GHSA-x critical, fixed in 3.1.5")),
        ("osv-scanner", OSV, ("jinja2 3.1.0", "GHSA-x high, fixed in 3.1.5")),
    ],
)
def test_grave_vulnerabilities_are_told_with_the_version_that_mends_them(
    tmp_path: Path, name: str, answer: object, expected: tuple[str, str]
) -> None:
    write_layout(tmp_path / "layout", clean_image())
    finding = only(tmp_path / "layout", fake(tmp_path, name, answer))
    assert isinstance(finding, Finding)
    assert [(place.path, place.detail) for place in finding.places] == [expected]
    assert finding.message.startswith(f"{name} 1.2.3: 1 vulnerability in jinja2 3.1.0")
    assert str(tmp_path / "layout") in (tmp_path / f"{name}.words").read_text()


def test_a_scanner_that_finds_nothing_lets_the_rule_pass(tmp_path: Path) -> None:
    assert list(scanners.check(tmp_path, fake(tmp_path, "trivy", {"Results": None}))) == []


def test_a_scanner_without_its_database_did_not_check(tmp_path: Path) -> None:
    environ = fake(
        tmp_path, "trivy", "", error="FATAL\nfailed to download vulnerability DB: no network\n", code=1
    )
    result = only(tmp_path, environ)
    assert isinstance(result, NotChecked)
    assert result.reason == "trivy: failed to download vulnerability DB: no network"


def test_the_next_scanner_is_asked_when_one_fails(tmp_path: Path) -> None:
    fake(tmp_path, "trivy", "", error="no database\n", code=1)
    assert isinstance(only(tmp_path, fake(tmp_path, "grype", GRYPE)), Finding)


def test_without_a_scanner_or_a_question_nothing_passed(tmp_path: Path) -> None:
    for result in (only(None, {}), only(tmp_path, {"PATH": str(tmp_path)})):
        assert isinstance(result, NotChecked)


@pytest.mark.parametrize(("name", "words"), [("trivy", "--skip-db-update"), ("osv-scanner", "--offline")])
def test_without_network_scanners_are_told_so_and_it_is_said(tmp_path: Path, name: str, words: str) -> None:
    write_layout(tmp_path / "layout", clean_image())
    environ = fake(
        tmp_path, name, "", error="no offline version of the OSV database is available\n", code=127
    )
    (result,) = scanners.check(tmp_path / "layout", environ, offline=True)
    assert isinstance(result, NotChecked)
    assert result.reason == f"{name} without network: no offline version of the OSV database is available"
    assert words in (tmp_path / f"{name}.words").read_text()


def test_what_an_old_database_knows_is_told_as_such(tmp_path: Path) -> None:
    (result,) = scanners.check(tmp_path, fake(tmp_path, "grype", GRYPE), offline=True)
    assert isinstance(result, Finding)
    assert result.message == "grype 1.2.3: 1 vulnerability in jinja2 3.1.0, by the database that it had"
