"""Known vulnerabilities, by the scanner that is installed: trivy or grype. Knows none itself.

A scanner whose database cannot be had (no network) did not check, and its own words say so.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

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


def check(layout: Path | None, environ: Mapping[str, str]) -> Iterator[Result]:
    """Yield what the first scanner on PATH that works finds in the OCI layout; None: it was not asked for."""
    if layout is None:
        yield NotChecked(rule=VULNERABLE, reason="no scanner was asked (--scan)")
        return
    reasons = []
    for name, (words, read) in _SCANNERS.items():
        program = shutil.which(name, path=environ.get("PATH"))
        if program is None:
            continue
        try:
            done = subprocess.run(
                [program, *(word.replace("{}", str(layout)) for word in words)],
                capture_output=True,
                check=False,
                timeout=_SECONDS,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
            )
            places = read(json.loads(done.stdout))
        except (ValueError, TypeError, KeyError, AttributeError):
            reasons.append(f"{name}: {_last_line(done.stderr)}")
            continue
        except (OSError, subprocess.TimeoutExpired) as error:
            reasons.append(f"{name}: {type(error).__name__}")
            continue
        if places:
            places.sort(key=lambda place: (place.path, place.detail))
            packages = dict.fromkeys(place.path for place in places)
            message = f"{name}: {count(len(places), 'vulnerability', 'vulnerabilities')} in {', '.join(list(packages)[:6])}"
            yield Finding(rule=VULNERABLE, message=message, places=places)
        return
    reason = "; ".join(reasons) or f"neither {' nor '.join(_SCANNERS)} is installed"
    yield NotChecked(rule=VULNERABLE, reason=reason)


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


_SCANNERS: Final[Mapping[str, tuple[tuple[str, ...], Callable[[Any], list[Place]]]]] = {
    "trivy": (("image", "--input", "{}", "--scanners", "vuln", "--format", "json", "--quiet"), _trivy),
    "grype": (("oci-dir:{}", "--output", "json", "--quiet"), _grype),
}
