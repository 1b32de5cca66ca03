"""Reports are what their formats' specifications say: SARIF 2.1.0, JUnit's XML, our own JSON schema; the page has contrast."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from helpers.zoo import check, clean_image, layer, program, with_config, with_files
from shipwheel.project.settings import CheckSettings, IgnoreSettings
from shipwheel.verify.model import Report
from shipwheel.verify.report import html
from shipwheel.verify.report.data import render_json
from shipwheel.verify.report.junit import render_junit
from shipwheel.verify.report.markdown import render_markdown
from shipwheel.verify.report.sarif import render_sarif
from shipwheel.verify.report.schema import report_schema
from shipwheel.verify.report.text import render_text


def closed(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """Return the schema of an object with these members and no other."""
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": sorted(required),
        "additionalProperties": False,
    }


def many(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


TEXT = {"type": "string", "minLength": 1}
INDEX = {"type": "integer", "minimum": 0}
MESSAGE = closed({"text": TEXT})  # 3.11
LEVEL = {"enum": ["none", "note", "warning", "error"]}  # 3.27.10
PHYSICAL = closed(  # 3.29, 3.4, 3.30
    {"artifactLocation": closed({"uri": TEXT}, uriBaseId=TEXT)},
    region=closed({"startLine": {"type": "integer", "minimum": 1}}),
)
LOCATION = closed(  # 3.28, 3.33
    {"physicalLocation": PHYSICAL},
    logicalLocations=many(closed({"fullyQualifiedName": TEXT, "kind": TEXT})),
    message=MESSAGE,
)
# The members that we write, as the standard names and types them; the numbers are its sections.
SARIF = closed(  # 3.13
    {
        "version": {"const": "2.1.0"},
        "$schema": TEXT,
        "runs": many(
            closed(  # 3.14
                {
                    "tool": closed(  # 3.18, 3.19
                        {
                            "driver": closed(
                                {"name": TEXT, "version": TEXT},
                                rules=many(
                                    closed(  # 3.49
                                        {"id": TEXT},
                                        name=TEXT,
                                        shortDescription=MESSAGE,
                                        fullDescription=MESSAGE,
                                        help=MESSAGE,
                                        defaultConfiguration=closed({"level": LEVEL}),
                                        properties=closed({"tags": many(TEXT)}),
                                    )
                                ),
                            )
                        }
                    ),
                    "results": many(
                        closed(  # 3.27
                            {"message": MESSAGE, "ruleId": TEXT, "ruleIndex": INDEX, "level": LEVEL},
                            locations=many(LOCATION),
                            relatedLocations=many(LOCATION),
                            partialFingerprints={"type": "object", "additionalProperties": TEXT},
                            suppressions=many(  # 3.35
                                closed(
                                    {"kind": {"enum": ["inSource", "external"]}},
                                    status={"enum": ["accepted", "underReview", "rejected"]},
                                    justification=TEXT,
                                )
                            ),
                            properties={"type": "object"},
                        )
                    ),
                },
                invocations=many(
                    closed(  # 3.20, 3.58
                        {"executionSuccessful": {"type": "boolean"}},
                        toolExecutionNotifications=many(
                            closed(
                                {"message": MESSAGE},
                                level=LEVEL,
                                associatedRule=closed({"id": TEXT, "index": INDEX}),
                            )
                        ),
                    )
                ),
                columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                properties={"type": "object"},
            )
        ),
    }
)
# Jenkins' and Ant's schema of the format: elements, their attributes, and what may be in them.
JUNIT = {
    "testsuites": ({"name"}, {"testsuite"}),
    "testsuite": ({"name", "tests", "failures", "skipped", "errors"}, {"testcase"}),
    "testcase": ({"name", "classname"}, {"failure", "skipped", "system-out"}),
    "failure": ({"type", "message"}, set()),
    "skipped": ({"message"}, set()),
    "system-out": (set(), set()),
}


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """Return a report with everything that one can have: places of every kind, lines, ignored, not checked."""
    (tmp_path / "my Dockerfile").write_text("FROM python:3.8-slim\nCOPY . /app\nRUN pip install x\n")
    image = clean_image(
        layer(
            {"bin/sh": program(), "srv/a b:c#?é": b"x" * 2_000_000},
            created_by="RUN /bin/sh -c pip install x # buildkit",
        ),
        layer({"srv/.wh.a b:c#?é": b""}),
        config=with_config(user="ann").config,
    )
    settings = CheckSettings(ignore=(IgnoreSettings(code="shell", reason="cron"),))
    return check(image, dockerfile=tmp_path / "my Dockerfile", settings=settings)


def test_sarif_has_the_members_that_the_standard_names(report: Report) -> None:
    log = json.loads(render_sarif(report))
    jsonschema.validate(log, SARIF)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        for location in (*result["locations"], *result["relatedLocations"]):
            # RFC 3986: a relative reference, whose path has no character that is not allowed.
            uri = location["physicalLocation"]["artifactLocation"]["uri"]
            assert re.fullmatch(r"(?:[A-Za-z0-9._~!$&'()*+,;=@/-]|%[0-9A-F]{2})+", uri)
            assert not urlsplit(uri).scheme


def test_sarif_leads_to_the_line_of_the_dockerfile(report: Report, tmp_path: Path) -> None:
    (run,) = json.loads(render_sarif(report))["runs"]
    results = {result["ruleId"]: result for result in run["results"]}
    name = str(tmp_path / "my Dockerfile").lstrip("/")
    place = results["copy-before-install"]["locations"][0]["physicalLocation"]
    assert (unquote(place["artifactLocation"]["uri"]), place["region"]["startLine"]) == (name, 2)
    (related,) = results["hidden-bytes"]["relatedLocations"]
    assert related["physicalLocation"]["region"]["startLine"] == 3
    assert results["shell"]["suppressions"][0]["justification"] == "cron"


def test_junit_has_the_elements_and_attributes_that_servers_read(report: Report) -> None:
    root = ET.fromstring(render_junit(report))
    assert root.tag == "testsuites"
    for element in root.iter():
        attributes, children = JUNIT[element.tag]
        assert set(element.attrib) == attributes
        assert {child.tag for child in element} <= children
    for suite in root:
        cases = list(suite)
        assert int(suite.get("tests", "")) == len(cases)
        for name, tag in (("failures", "failure"), ("skipped", "skipped")):
            assert int(suite.get(name, "")) == sum(1 for case in cases if case.find(tag) is not None)
        names = [case.get("name") for case in cases]
        assert len(set(names)) == len(names)


def test_the_json_report_fits_its_published_schema(report: Report) -> None:
    schema = report_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for told in (report, check(clean_image())):
        data = json.loads(render_json(told))
        jsonschema.validate(data, schema)
        # Nothing is written that the schema does not name.
        assert set(data) == set(schema["properties"])
    for finding in json.loads(render_json(report))["findings"]:
        assert set(finding) == set(schema["$defs"]["finding"]["properties"])


def test_all_formats_for_people_name_the_line_that_made_a_layer(report: Report) -> None:
    for text in (render_text(report, everything=True), render_markdown(report), html.render_html(report)):
        assert "my Dockerfile:3" in text
    assert "by " in render_junit(report)


def test_what_is_not_checked_is_told_shortly_and_with_everything_wholly() -> None:
    report = check(with_files({"bin/sh": program()}))
    assert "and 5 more: there is no compose file" in render_text(report)
    assert "compose-development-server: there is no" in render_text(report, everything=True)


def luminance(colour: str) -> float:
    """Return the relative luminance (WCAG 2.2) of `#rrggbb`."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_the_page_has_enough_contrast_in_both_themes(theme: int) -> None:
    page = Path(html.__file__).with_name("page.html").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", page, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[theme]))
    pairs = [(ink, back) for ink in ("ink", "soft") for back in ("back", "card")]
    pairs += [(name, f"{name}-back") for name in ("error", "warning", "note", "good", "unknown")]
    for ink, back in pairs:
        one, two = sorted((luminance(colours[ink]), luminance(colours[back])))
        assert (two + 0.05) / (one + 0.05) >= 4.5, f"{ink} on {back}"
