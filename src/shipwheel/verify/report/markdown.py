"""A report as Markdown, for a pull request's comment or a job's summary."""

from __future__ import annotations

import re
from collections.abc import Iterator

from shipwheel.verify.model import PROMISES, Finding, Report
from shipwheel.verify.subject import measured_text, size_text

_SHOWN = 5


def render_markdown(report: Report) -> str:
    """Return the report as GitHub-flavoured Markdown."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"## {_plain(report.image)}"
    yield ""
    yield (
        f"`{report.digest}` · {report.platform} · {size_text(report.size)} to pull · "
        f"{size_text(report.unpacked)} unpacked · {len(report.layers)} layers"
    )
    yield ""
    yield "| | errors | warnings | notes | kept | not checked |"
    yield "|---|---|---|---|---|---|"
    for promise in PROMISES:
        found = [finding.rule.severity for finding in report.findings if finding.rule.promise == promise]
        numbers = [found.count("error"), found.count("warning"), found.count("note")]
        numbers.append(sum(1 for rule in report.passed if rule.promise == promise))
        numbers.append(len({item.rule.code for item in report.not_checked if item.rule.promise == promise}))
        yield f"| **{promise}** | {' | '.join(map(str, numbers))} |"
    for finding in report.findings:
        yield ""
        yield from _finding(finding)
    if report.measured:
        yield ""
        yield "### Measured"
        yield ""
        for measurement in report.measured:
            yield f"- {_plain(measurement.what)}: {_plain(measured_text(measurement))}"
    if report.ignored:
        yield ""
        yield "### Ignored on purpose"
        yield ""
        for item in report.ignored:
            yield f"- `{item.finding.rule.code}`: {_plain(item.finding.message)} — {_plain(item.reason)}"
    if report.not_checked:
        yield ""
        yield "### Not checked"
        yield ""
        for unchecked in report.not_checked:
            yield f"- `{unchecked.rule.code}`: {_plain(unchecked.reason)}"


def _finding(finding: Finding) -> Iterator[str]:
    saves = f", {size_text(finding.saves)}" if finding.saves else ""
    yield f"### {finding.rule.title}"
    yield ""
    yield f"{finding.rule.severity} `{finding.rule.code}` ({finding.rule.promise}{saves}): {_plain(finding.message)}"
    yield ""
    for place in finding.places[:_SHOWN]:
        layer = f", layer {place.layer}" if place.layer is not None else ""
        detail = f": {_plain(place.detail)}" if place.detail else ""
        line = f", by {_code(place.made_by)}" if place.made_by else ""
        yield f"- {_code(place.path)}{layer}{line}{detail}"
    if len(finding.places) > _SHOWN:
        yield f"- and {len(finding.places) - _SHOWN} more"
    yield ""
    yield f"**Fix:** {_plain(finding.how_to_fix)}"


def _plain(text: str) -> str:
    """Return `text` so that Markdown and HTML take it as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#|~!@&])", r"\\\1", text)


def _code(text: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence}{text}{fence}" if "`" not in text else f"{fence} {text} {fence}"
