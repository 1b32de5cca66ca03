"""A report as SARIF 2.1.0, which code hosts show beside the code. Places in the image are locations by path."""

from __future__ import annotations

import json
from typing import Any, Final

from shipwheel import __version__
from shipwheel.verify.model import Finding, Place, Report, Rule

# OASIS SARIF 2.1.0, 3.13.3.
_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
# Code hosts take no more for one result, and nobody reads more.
_MAX_LOCATIONS: Final = 100


def render_sarif(report: Report) -> str:
    """Return the report as a SARIF log with one run."""
    rules = sorted(
        {
            *(finding.rule.code for finding in report.findings),
            *(item.finding.rule.code for item in report.ignored),
            *(item.rule.code for item in report.not_checked),
            *(rule.code for rule in report.passed),
        }
    )
    known = {rule.code: rule for rule in _all_rules(report)}
    index = {code: number for number, code in enumerate(rules)}
    results = [_result(finding, index) for finding in report.findings]
    for item in report.ignored:
        ignored = _result(item.finding, index)
        # 3.27.23: a suppressed result is known and accepted.
        ignored["suppressions"] = [{"kind": "external", "status": "accepted", "justification": item.reason}]
        results.append(ignored)
    notifications = [
        {
            "level": "note",
            "message": {"text": f"not checked: {item.reason}"},
            "associatedRule": {"id": item.rule.code, "index": index[item.rule.code]},
        }
        for item in report.not_checked
    ]
    log = {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "shipwheel",
                        "version": __version__,
                        "rules": [_rule(known[code]) for code in rules],
                    }
                },
                "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": notifications}],
                "results": results,
                "columnKind": "unicodeCodePoints",
                "properties": {
                    "image": report.image,
                    "digest": report.digest,
                    "platform": report.platform,
                    "size": report.size,
                },
            }
        ],
    }
    return json.dumps(log, indent=2, ensure_ascii=False) + "\n"


def _all_rules(report: Report) -> list[Rule]:
    return [
        *(finding.rule for finding in report.findings),
        *(item.finding.rule for item in report.ignored),
        *(item.rule for item in report.not_checked),
        *report.passed,
    ]


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.code,
        "name": "".join(part.capitalize() for part in rule.code.split("-")),
        "shortDescription": {"text": f"{rule.title}."},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.fix},
        "defaultConfiguration": {"level": rule.severity},
        "properties": {"tags": [rule.promise]},
    }


def _result(finding: Finding, index: dict[str, int]) -> dict[str, Any]:
    code = finding.rule.code
    places = list(finding.places[:_MAX_LOCATIONS]) or [Place(path="image")]
    more = len(finding.places) - _MAX_LOCATIONS
    rest = f" ({more} more places are left out.)" if more > 0 else ""
    return {
        "ruleId": code,
        "ruleIndex": index[code],
        "level": finding.rule.severity,
        "message": {
            "text": f"{finding.rule.title}: {finding.message}. {finding.how_to_fix}{rest}",
        },
        "locations": [_location(place) for place in places],
        # The same finding in the next report is the same alert.
        "partialFingerprints": {"rule/v1": code},
        "properties": {"saves": finding.saves} if finding.saves else {},
    }


def _location(place: Place) -> dict[str, Any]:
    name = place.path + (f" (layer {place.layer})" if place.layer is not None else "")
    said = f"{name} {place.detail}".strip()
    location: dict[str, Any] = {
        "logicalLocations": [{"fullyQualifiedName": name, "kind": "resource"}],
        "message": {"text": said},
    }
    if place.path.startswith("/"):
        # Code hosts show results with a file alone; the path is below the image's root.
        location["physicalLocation"] = {
            "artifactLocation": {"uri": _uri(place.path), "uriBaseId": "IMAGE"},
            "region": {"startLine": 1},
        }
    else:
        location["physicalLocation"] = {"artifactLocation": {"uri": _uri(place.path), "uriBaseId": "IMAGE"}}
    return location


def _uri(path: str) -> str:
    from urllib.parse import quote

    return quote(path.lstrip("/") or "image")
