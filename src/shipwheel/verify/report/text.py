"""A report for a terminal: one chapter a promise, each finding with its evidence and its fix."""

from __future__ import annotations

from collections.abc import Iterator

from shipwheel.verify.model import PROMISES, SEVERITIES, Finding, Place, Promise, Report
from shipwheel.verify.report.data import command
from shipwheel.verify.subject import measured_text, size_text

# Places of a finding and lines of a list that are shown unless everything is asked for.
_SHOWN = 4
_LARGEST = 8


def render_text(report: Report, *, everything: bool = False) -> str:
    """Return the report as lines of text; with `everything`, no list is cut short."""
    return "".join(f"{line}\n" for line in _lines(report, everything=everything))


def _lines(report: Report, *, everything: bool) -> Iterator[str]:
    yield f"{report.image}  {report.platform}"
    yield (
        f"{report.digest}  {size_text(report.size)} to pull, {size_text(report.unpacked)} unpacked, "
        f"{_count(len(report.layers), 'layer')}, {_count(len(report.packages), 'package')}"
    )
    for promise in PROMISES:
        yield ""
        yield f"{promise.capitalize():<10} {_summary(report, promise)}"
        for finding in report.findings:
            if finding.rule.promise == promise:
                yield from _finding(finding, report, everything=everything)
        reasons: dict[str, dict[str, None]] = {}
        for unchecked in report.not_checked:
            if unchecked.rule.promise == promise:
                reasons.setdefault(unchecked.reason, {})[unchecked.rule.code] = None
        for reason, codes in reasons.items():
            yield f"  not checked  {_codes(list(codes), everything=everything)}: {reason}"
        if promise == "small":
            yield from _sizes(report, everything=everything)
        if promise == "fast":
            for cost in report.costs:
                yield f"  {cost.what} pushes {size_text(cost.size)} in {_count(len(cost.layers), 'layer')}"
            for measurement in report.measured:
                yield f"  measured     {measurement.what}: {measured_text(measurement)}"
    if report.ignored:
        yield ""
        yield "Ignored on purpose"
        for item in report.ignored:
            yield f"  {item.finding.rule.code}: {item.finding.message}"
            yield f"      because: {item.reason}"
    yield ""
    yield _total(report)


def _codes(codes: list[str], *, everything: bool) -> str:
    shown = codes if everything or len(codes) <= _LARGEST else codes[:_SHOWN]
    more = f" and {len(codes) - len(shown)} more" if len(codes) > len(shown) else ""
    return ", ".join(shown) + more


def _finding(finding: Finding, report: Report, *, everything: bool) -> Iterator[str]:
    saves = f"  [{size_text(finding.saves)}]" if finding.saves else ""
    yield f"  {finding.rule.severity:<7}  {finding.rule.code}: {finding.rule.title}{saves}"
    yield f"           {finding.message}"
    shown = finding.places if everything else finding.places[:_SHOWN]
    for place in shown:
        yield f"             {_place(place)}"
    if len(finding.places) > len(shown):
        more = len(finding.places) - len(shown)
        yield f"             and {more} more: {command(finding, report)}"
    yield f"           fix: {finding.how_to_fix}"


def _place(place: Place) -> str:
    parts = [place.path]
    if place.size is not None:
        parts.append(size_text(place.size))
    if place.layer is not None and not place.path.startswith("layer "):
        parts.append(f"layer {place.layer}")
    if place.package is not None:
        parts.append(place.package)
    if place.detail:
        parts.append(place.detail)
    if place.made_by:
        parts.append(f"by {place.made_by}")
    return "  ".join(parts)


def _sizes(report: Report, *, everything: bool) -> Iterator[str]:
    if report.kinds:
        kinds = ", ".join(f"{kind} {size_text(size)}" for kind, size in report.kinds.items() if size)
        yield f"  by kind      {kinds}"
    packages = [item for item in report.packages if item.size]
    shown = packages if everything else packages[:_LARGEST]
    if shown:
        told = ", ".join(f"{item.name} {item.version} {size_text(item.size)}" for item in shown)
        more = f", and {len(packages) - len(shown)} smaller" if len(packages) > len(shown) else ""
        yield f"  by package   {told}{more}"
    layers = sorted(enumerate(report.layers), key=lambda item: (-item[1].size, item[0]))
    cut = layers if everything else layers[:_LARGEST]
    if cut:
        told = ", ".join(f"{number}: {size_text(layer.size)}" for number, layer in cut)
        more = f", and {len(layers) - len(cut)} smaller" if len(layers) > len(cut) else ""
        yield f"  by layer     {told}{more}"


def _summary(report: Report, promise: Promise) -> str:
    found = [finding for finding in report.findings if finding.rule.promise == promise]
    parts = [
        _count(number, severity)
        for severity in SEVERITIES
        if (number := sum(1 for finding in found if finding.rule.severity == severity))
    ]
    passed = sum(1 for rule in report.passed if rule.promise == promise)
    unchecked = {item.rule.code for item in report.not_checked if item.rule.promise == promise}
    parts.append(f"{_count(passed, 'rule')} kept")
    if unchecked:
        parts.append(f"{len(unchecked)} not checked")
    return ", ".join(parts)


def _total(report: Report) -> str:
    if not report.findings:
        unchecked = len({item.rule.code for item in report.not_checked})
        rest = f"; {_count(unchecked, 'rule')} not checked" if unchecked else ""
        return f"no finding; {_count(len(report.passed), 'rule')} kept{rest}"
    parts = [
        _count(number, severity)
        for severity in SEVERITIES
        if (number := sum(1 for finding in report.findings if finding.rule.severity == severity))
    ]
    return ", ".join(parts)


def _count(number: int, one: str) -> str:
    return f"{number} {one}" if number == 1 else f"{number} {one}s"
