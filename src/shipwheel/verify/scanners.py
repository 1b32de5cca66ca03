"""Known vulnerabilities, by the scanner that is installed: trivy, grype or osv-scanner. Knows none itself.

A scanner whose database cannot be had (no network) did not check, and its own words say so.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from shipwheel.oci.archive import write_docker_archive
from shipwheel.oci.layout import read_layout
from shipwheel.oci.reference import Reference
from shipwheel.verify.model import Finding, NotChecked, Place, Result, Rule
from shipwheel.verify.subject import count

VULNERABLE: Final = Rule(
    code="known-vulnerabilities",
    promise="secure",
    severity="error",
    title="Packages have known vulnerabilities that are high or critical",
    why="They are published, and so are ways to use them.",
    fix="Upgrade the packages to the versions named; for the base, lock it again: shipwheel lock.",
)
RULES: Final = (VULNERABLE,)

_SECONDS: Final = 600
_GRAVE: Final = frozenset({"high", "critical"})
# CVSS 3.1, "Qualitative severity rating scale": high begins at 7.0, critical at 9.0.
_HIGH: Final = 7.0
_CRITICAL: Final = 9.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """How a scanner is asked: its words, those for its version, and what keeps it from the network.

    `{}` in a word is the image: an OCI layout, or with `archive` what `docker save` writes.
    """

    words: tuple[str, ...]
    read: Callable[[Any], list[Place]]
    offline: tuple[str, ...] = ()
    offline_environ: Mapping[str, str] = field(default_factory=dict)
    version: tuple[str, ...] = ("--version",)
    archive: bool = False


def check(layout: Path | None, environ: Mapping[str, str], *, offline: bool = False) -> Iterator[Result]:
    """Yield what the first scanner on PATH that works finds in the OCI layout; None: it was not asked for.

    With `offline` the scanners are told to use the databases that they have. An archive, where one is
    needed, is written beside the layout.
    """
    if layout is None:
        yield NotChecked(rule=VULNERABLE, reason="no scanner was asked (--scan)")
        return
    reasons = []
    for name, scanner in SCANNERS.items():
        program = shutil.which(name, path=environ.get("PATH"))
        if program is None:
            continue
        known = dict(environ) | (dict(scanner.offline_environ) if offline else {})
        try:
            image = _archive(layout) if scanner.archive else layout
            words = [word.replace("{}", str(image)) for word in scanner.words]
            done = _run([program, *words, *(scanner.offline if offline else ())], known, _SECONDS)
            places = scanner.read(json.loads(done.stdout))
            told = _named(name, program, scanner, known)
        except (ValueError, TypeError, KeyError, AttributeError):
            reasons.append(f"{name}{' without network' if offline else ''}: {_last_line(done.stderr)}")
            continue
        except (OSError, subprocess.TimeoutExpired) as error:
            reasons.append(f"{name}: {type(error).__name__}")
            continue
        if places:
            places.sort(key=lambda place: (place.path, place.detail))
            packages = list(dict.fromkeys(place.path for place in places))
            number = count(len(places), "vulnerability", "vulnerabilities")
            how = ", by the database that it had" if offline else ""
            message = f"{told}: {number} in {', '.join(packages[:6])}{how}"
            yield Finding(rule=VULNERABLE, message=message, places=places)
        return
    *names, last = SCANNERS
    reason = "; ".join(reasons) or f"neither {', '.join(names)} nor {last} is installed"
    yield NotChecked(rule=VULNERABLE, reason=reason)


def _run(
    words: Sequence[str], environ: Mapping[str, str], seconds: float
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        words,
        capture_output=True,
        check=False,
        timeout=seconds,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
    )


def _named(name: str, program: str, scanner: Scanner, environ: Mapping[str, str]) -> str:
    """Return the scanner's name with its version, as far as it tells it."""
    match = re.search(rb"\d+\.\d+(?:\.\d+)*", _run([program, *scanner.version], environ, 20).stdout)
    return name if match is None else f"{name} {match[0].decode()}"


def _archive(layout: Path) -> Path:
    """Write the image of the layout as an archive beside it, and return that."""
    path = layout.with_name(f"{layout.name}.tar")
    if not path.exists():
        write_docker_archive(path, read_layout(layout), tags=[Reference.parse("localhost/checked:latest")])
    return path


def _last_line(data: bytes) -> str:
    lines = data.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:300] if lines else "it gave no answer that can be read"


def _place(package: str, version: str, name: str, severity: str, fixed: str) -> Place:
    rest = f", fixed in {fixed}" if fixed else ""
    return Place(path=f"{package} {version}", detail=f"{name} {severity.lower()}{rest}")


def _trivy(data: Any) -> list[Place]:
    return [
        _place(
            item["PkgName"],
            item["InstalledVersion"],
            item["VulnerabilityID"],
            item["Severity"],
            item.get("FixedVersion") or "",
        )
        for result in data.get("Results") or ()
        for item in result.get("Vulnerabilities") or ()
        if item["Severity"].lower() in _GRAVE
    ]


def _grype(data: Any) -> list[Place]:
    return [
        _place(
            item["artifact"]["name"],
            item["artifact"]["version"],
            item["vulnerability"]["id"],
            item["vulnerability"]["severity"],
            ", ".join(item["vulnerability"].get("fix", {}).get("versions") or ()),
        )
        for item in data["matches"]
        if item["vulnerability"]["severity"].lower() in _GRAVE
    ]


def _osv(data: Any) -> list[Place]:
    found = []
    for result in data["results"] or ():
        for item in result.get("packages") or ():
            package = item["package"]
            fixed = {
                str(entry["id"]): _fixed_in(entry, package["name"])
                for entry in item.get("vulnerabilities") or ()
            }
            for group in item.get("groups") or ():
                score = float(group.get("max_severity") or 0)
                if score >= _HIGH:
                    names = [str(name) for name in group["ids"]]
                    versions = ", ".join(dict.fromkeys(v for name in names for v in fixed.get(name, ())))
                    severity = "critical" if score >= _CRITICAL else "high"
                    found.append(_place(package["name"], package["version"], names[0], severity, versions))
    return found


def _fixed_in(entry: Any, package: str) -> list[str]:
    return [
        str(event["fixed"])
        for affected in entry.get("affected") or ()
        if affected.get("package", {}).get("name") == package
        for versions in affected.get("ranges") or ()
        if versions.get("type") != "GIT"
        for event in versions.get("events") or ()
        if "fixed" in event
    ]


# The first that is installed and answers is believed.
SCANNERS: Final[Mapping[str, Scanner]] = {
    "trivy": Scanner(
        words=("image", "--input", "{}", "--scanners", "vuln", "--format", "json", "--quiet"),
        offline=("--offline-scan", "--skip-db-update", "--skip-java-db-update"),
        read=_trivy,
    ),
    "grype": Scanner(
        words=("oci-dir:{}", "--output", "json", "--quiet"),
        offline_environ={"GRYPE_DB_AUTO_UPDATE": "false", "GRYPE_DB_VALIDATE_AGE": "false"},
        version=("version",),
        read=_grype,
    ),
    "osv-scanner": Scanner(
        words=("scan", "image", "--archive", "{}", "--format", "json"),
        offline=("--offline",),
        read=_osv,
        archive=True,
    ),
}
