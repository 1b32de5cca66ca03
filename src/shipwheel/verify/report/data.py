"""A report as JSON. `SCHEMA` names the form; members are added to it, and never change their meaning."""

from __future__ import annotations

import json
import shlex
from typing import Any, Final

from shipwheel.verify.model import Finding, Place, Report, Rule

SCHEMA: Final = "shipwheel.check/1"


def to_json(report: Report) -> dict[str, Any]:
    """Return the report as JSON values; sizes are bytes, layers count from 0."""
    return {
        "schema": SCHEMA,
        "image": report.image,
        "digest": report.digest,
        "platform": report.platform,
        "size": report.size,
        "unpacked": report.unpacked,
        "findings": [_finding(finding, report) for finding in report.findings],
        "ignored": [{**_finding(item.finding, report), "reason": item.reason} for item in report.ignored],
        "not_checked": [
            {"code": item.rule.code, "promise": item.rule.promise, "reason": item.reason}
            for item in report.not_checked
        ],
        "passed": [{"code": rule.code, "promise": rule.promise} for rule in report.passed],
        "layers": [
            {
                "digest": layer.digest,
                "created_by": layer.created_by,
                "size": layer.size,
                "unpacked": layer.unpacked,
                "files": layer.files,
                "wasted": layer.wasted,
                **({"made_by": layer.made_by} if layer.made_by else {}),
                "parts": dict(layer.parts),
            }
            for layer in report.layers
        ],
        "packages": [
            {
                "kind": package.kind,
                "name": package.name,
                "version": package.version,
                "size": package.size,
                "files": package.files,
                "kinds": dict(package.kinds),
            }
            for package in report.packages
        ],
        "kinds": dict(report.kinds),
        "costs": [
            {"what": cost.what, "layers": list(cost.layers), "size": cost.size} for cost in report.costs
        ],
        "measured": [
            {
                "what": item.what,
                "seconds": item.seconds,
                "size": item.size,
                "detail": item.detail or None,
                "reason": item.reason or None,
            }
            for item in report.measured
        ],
    }


def render_json(report: Report) -> str:
    """Return the report as a JSON document."""
    return json.dumps(to_json(report), indent=2, ensure_ascii=False) + "\n"


def command(finding: Finding, report: Report) -> str:
    """Return the command that shows the finding with all its places."""
    return f"shipwheel check {shlex.quote(report.image)} --only {finding.rule.code} --all"


def _finding(finding: Finding, report: Report) -> dict[str, Any]:
    return {
        **_rule(finding.rule),
        "message": finding.message,
        "fix": finding.how_to_fix,
        "saves": finding.saves,
        "command": command(finding, report),
        "places": [_place(place) for place in finding.places],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "code": rule.code,
        "promise": rule.promise,
        "severity": rule.severity,
        "title": rule.title,
        "why": rule.why,
    }


def _place(place: Place) -> dict[str, Any]:
    data = {
        "path": place.path,
        "layer": place.layer,
        "size": place.size,
        "package": place.package,
        "detail": place.detail or None,
        "made_by": place.made_by or None,
    }
    return {key: value for key, value in data.items() if value is not None}
