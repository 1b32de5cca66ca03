"""A report as SARIF 2.1.0, which code hosts show beside the code. Places in the image are locations by path."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from shipwheel import __version__
from shipwheel.verify.model import Finding, Place, Report, Rule
from shipwheel.verify.report.data import to_json

# OASIS SARIF 2.1.0, 3.13.3.
_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
# Code hosts take no more for one result, and nobody reads more.
_MAX_LOCATIONS: Final = 100
# A line of a file beside the image: a Dockerfile's or compose file's.
_LINE: Final = re.compile(r"(?P<file>.*[^/]):(?P<line>[1-9][0-9]*)")


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
                    **({"measured": to_json(report)["measured"]} if report.measured else {}),
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
        # 3.27.22: where to mend it, in the repository.
        "relatedLocations": [
            {"physicalLocation": _in_source(line["file"], int(line["line"]))}
            for made_by in dict.fromkeys(place.made_by for place in places)
            if (line := _LINE.fullmatch(made_by)) is not None
        ],
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
    line = _LINE.fullmatch(place.path)
    if line is not None:
        location["physicalLocation"] = _in_source(line["file"], int(line["line"]))
    elif place.path.startswith("/"):
        # Code hosts show results with a file alone; the path is below the image's root.
        location["physicalLocation"] = {
            "artifactLocation": {"uri": _uri(place.path), "uriBaseId": "IMAGE"},
            "region": {"startLine": 1},
        }
    else:
        location["physicalLocation"] = {"artifactLocation": {"uri": _uri(place.path), "uriBaseId": "IMAGE"}}
    return location


def _in_source(path: str, line: int) -> dict[str, Any]:
    """Return a place in the repository: paths are as they were given, from where the command ran."""
    return {"artifactLocation": {"uri": _uri(path.removeprefix("./"))}, "region": {"startLine": line}}


def _uri(path: str) -> str:
    from urllib.parse import quote

    return quote(path.lstrip("/") or "image")
