"""A report as JUnit XML, which CI servers show as tests: a suite a promise, a case a rule."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from shipwheel.verify.model import PROMISES, Finding, Report
from shipwheel.verify.subject import measured_text

_SHOWN = 50


def render_junit(report: Report) -> str:
    """Return the report as XML: errors and warnings fail, notes are told in passed cases, unchecked is skipped."""
    root = ET.Element("testsuites", name=f"shipwheel check {report.image}")
    for promise in PROMISES:
        suite = ET.SubElement(root, "testsuite", name=promise)
        if promise == "fast" and report.measured:
            properties = ET.SubElement(suite, "properties")
            for item in report.measured:
                ET.SubElement(properties, "property", name=item.what, value=measured_text(item))
        failures = skipped = tests = 0
        found: set[str] = set()
        for finding in report.findings:
            if finding.rule.promise != promise:
                continue
            found.add(finding.rule.code)
            case = _case(suite, promise, finding.rule.code)
            tests += 1
            if finding.rule.severity == "note":
                ET.SubElement(case, "system-out").text = _text(finding)
            else:
                failures += 1
                failure = ET.SubElement(
                    case,
                    "failure",
                    type=finding.rule.severity,
                    message=f"{finding.rule.title}: {finding.message}",
                )
                failure.text = _text(finding)
        reasons = {item.rule.code: item.reason for item in report.not_checked if item.rule.promise == promise}
        reasons |= {
            item.finding.rule.code: f"ignored: {item.reason}"
            for item in report.ignored
            if item.finding.rule.promise == promise
        }
        for code, reason in reasons.items():
            if code not in found:
                ET.SubElement(_case(suite, promise, code), "skipped", message=reason)
                tests, skipped = tests + 1, skipped + 1
        for rule in report.passed:
            if rule.promise == promise:
                _case(suite, promise, rule.code)
                tests += 1
        suite.set("tests", str(tests))
        suite.set("failures", str(failures))
        suite.set("skipped", str(skipped))
        suite.set("errors", "0")
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _case(suite: ET.Element, promise: str, code: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=f"shipwheel.{promise}", name=code)


def _text(finding: Finding) -> str:
    lines = [finding.message]
    lines += [
        " ".join(filter(None, (place.path, place.detail, place.made_by and f"by {place.made_by}")))
        for place in finding.places[:_SHOWN]
    ]
    if len(finding.places) > _SHOWN:
        lines.append(f"and {len(finding.places) - _SHOWN} more")
    return "\n".join([*lines, f"fix: {finding.how_to_fix}"])
