"""A report as one self-contained page: works from a file, without network, in light and dark, and printed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from shipwheel.verify.model import (
    PROMISES,
    SEVERITIES,
    Finding,
    Folder,
    LayerSummary,
    Place,
    Promise,
    Report,
)
from shipwheel.verify.report.compare import Comparison
from shipwheel.verify.report.data import command
from shipwheel.verify.subject import count, size_text

_PAGE: Final = Path(__file__).with_name("page.html")
_SHOWN: Final = 200
_PLURAL: Final = {"error": "errors", "warning": "warnings", "note": "notes"}


def render_html(report: Report, comparison: Comparison | None = None) -> str:
    """Return the page. Everything that an image said is escaped; the page loads nothing."""
    body = "\n".join(_body(report, comparison))
    # `</script>` and `<!--` end a script whatever it holds (HTML, 4.12.1.3).
    data = json.dumps({"maps": _maps(report)}, ensure_ascii=False, separators=(",", ":"))
    data = data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    page = _PAGE.read_text(encoding="utf-8")
    head, rest = page.split("{{title}}")
    middle, rest = rest.split("{{body}}")
    before_data, end = rest.split("{{data}}")
    return f"{head}{escape(f'Check of {report.image}')}{middle}{body}{before_data}{data}{end}"


def _body(report: Report, comparison: Comparison | None) -> Iterator[str]:
    yield f"<h1>{escape(report.image)}</h1>"
    yield f'<p class="soft"><code>{escape(report.digest)}</code></p>'
    yield (
        f'<p class="soft">{escape(report.platform)} · {size_text(report.size)} to pull · '
        f"{size_text(report.unpacked)} unpacked · {count(len(report.layers), 'layer')} · {count(len(report.packages), 'package')}</p>"
    )
    yield '<ul class="cards">'
    for promise in PROMISES:
        yield from _card(report, promise)
    yield "</ul>"
    if comparison is not None:
        yield from _comparison(report, comparison)
    for promise in PROMISES:
        yield from _chapter(report, promise)
    yield from _costs(report)
    yield from _measured(report)
    yield from _explorer()
    yield from _tables(report)
    yield from _rest(report)


def _card(report: Report, promise: Promise) -> Iterator[str]:
    found = [finding.rule.severity for finding in report.findings if finding.rule.promise == promise]
    numbers = {severity: found.count(severity) for severity in SEVERITIES}
    good = sum(1 for rule in report.passed if rule.promise == promise)
    unknown = len({item.rule.code for item in report.not_checked if item.rule.promise == promise})
    parts = [(severity, numbers[severity]) for severity in SEVERITIES] + [
        ("good", good),
        ("unknown", unknown),
    ]
    total = max(1, sum(number for _, number in parts))
    checked = good + len(set(_codes(report, promise)))
    yield f'<li class="card"><a href="#{promise}">{promise.capitalize()}</a>'
    yield f'<p class="score"><strong>{good}</strong> of {count(checked, "rule")} kept</p>'
    bars = "".join(
        f'<span class="{name}-fill" style="width:{100 * number / total:.2f}%"></span>'
        for name, number in parts
        if number
    )
    yield f'<div class="bar" aria-hidden="true">{bars}</div>'
    told = [
        f'<span class="tag {severity}">{numbers[severity]} '
        f"{severity if numbers[severity] == 1 else _PLURAL[severity]}</span>"
        for severity in SEVERITIES
        if numbers[severity]
    ]
    if checked and good == checked:
        told.append('<span class="tag good">no finding</span>')
    if unknown:
        told.append(f'<span class="tag unknown">{unknown} not checked</span>')
    yield " ".join(told)
    yield "</li>"


def _chapter(report: Report, promise: Promise) -> Iterator[str]:
    found = [finding for finding in report.findings if finding.rule.promise == promise]
    yield f'<h2 id="{promise}">{promise.capitalize()}</h2>'
    if not found:
        yield "<p>No finding.</p>"
    for finding in found:
        yield from _finding(finding, report)
    reasons: dict[str, dict[str, None]] = {}
    for item in report.not_checked:
        if item.rule.promise == promise:
            reasons.setdefault(item.reason, {})[item.rule.code] = None
    if reasons:
        number = len({code for codes in reasons.values() for code in codes})
        yield f"<details><summary>{count(number, 'rule')} not checked</summary><ul>"
        for reason, codes in reasons.items():
            names = ", ".join(f"<code>{code}</code>" for code in codes)
            yield f"<li>{escape(reason)}: {names}</li>"
        yield "</ul></details>"


def _codes(report: Report, promise: Promise) -> list[str]:
    return [finding.rule.code for finding in report.findings if finding.rule.promise == promise]


def _finding(finding: Finding, report: Report) -> Iterator[str]:
    rule = finding.rule
    is_open = " open" if rule.severity == "error" else ""
    saves = f' <span class="soft">saves {size_text(finding.saves)}</span>' if finding.saves else ""
    yield f"<details{is_open}><summary>"
    yield (
        f'<span class="tag {rule.severity}">{rule.severity}</span> <h3>{escape(rule.title)}</h3> '
        f'<span class="soft"><code>{rule.code}</code></span>{saves}'
    )
    yield "</summary>"
    yield f"<p>{escape(finding.message)}</p>"
    if finding.places:
        yield '<ul class="places">'
        for place in finding.places[:_SHOWN]:
            yield f"<li>{_place(place)}</li>"
        if len(finding.places) > _SHOWN:
            yield f"<li>and {len(finding.places) - _SHOWN} more</li>"
        yield "</ul>"
    yield f'<p class="soft">Why: {escape(rule.why)}</p>'
    yield f"<p><strong>Fix:</strong> {escape(finding.how_to_fix)}</p>"
    yield f'<p class="soft">Show it: <code>{escape(command(finding, report))}</code></p>'
    yield "</details>"


def _place(place: Place) -> str:
    parts = [f"<code>{escape(place.path)}</code>"]
    if place.size is not None:
        parts.append(size_text(place.size))
    if place.layer is not None:
        parts.append(f"layer {place.layer}")
    if place.package is not None:
        parts.append(escape(place.package))
    if place.made_by:
        parts.append(f"by <code>{escape(place.made_by)}</code>")
    if place.detail:
        parts.append(f'<span class="soft">{escape(place.detail)}</span>')
    return " · ".join(parts)


def _costs(report: Report) -> Iterator[str]:
    if report.costs:
        yield "<h2>What a change pushes</h2>"
        rows = [[size_text(cost.size), str(len(cost.layers)), escape(cost.what)] for cost in report.costs]
        yield from _table(["Bytes", "Layers", "Change"], rows, numbers=2)


def _measured(report: Report) -> Iterator[str]:
    if report.measured:
        yield "<h2>What was measured</h2>"
        rows = [
            [
                "" if item.seconds is None else f"{item.seconds:.2f}",
                "" if item.size is None else size_text(item.size),
                escape(item.what),
                escape(f"Not measured, because {item.reason}" if item.reason else item.detail),
            ]
            for item in report.measured
        ]
        yield from _table(["Seconds", "Pushed", "What", "How"], rows, numbers=2)


def _explorer() -> Iterator[str]:
    yield '<section id="explore" hidden><h2>Where the bytes are</h2>'
    yield '<div class="controls"><label for="view">By</label><select id="view">'
    for value, title in (
        ("packages", "package"),
        ("folders", "folder"),
        ("layers", "layer"),
        ("kinds", "kind of file"),
    ):
        yield f'<option value="{value}">{title}</option>'
    yield '</select><button type="button" id="up" disabled>Up</button>'
    yield '<strong id="here" role="status" aria-live="polite"></strong><span id="said" class="soft"></span></div>'
    yield '<div id="map" role="group" aria-label="Tiles as large as what they stand for; the tables below say the same"></div>'
    yield "</section>"


def _tables(report: Report) -> Iterator[str]:
    yield "<h2>Layers</h2>"
    rows = [
        [
            str(number),
            size_text(layer.size),
            size_text(layer.unpacked),
            size_text(layer.wasted) if layer.wasted else "",
            (f"<code>{escape(layer.made_by)}</code> " if layer.made_by else "")
            + escape(layer.created_by[:200]),
        ]
        for number, layer in enumerate(report.layers)
    ]
    yield from _table(["Layer", "To pull", "Unpacked", "Wasted", "Made by"], rows, numbers=4)
    yield "<h2>Packages</h2>"
    rows = [
        [size_text(item.size), str(item.files), escape(item.name), escape(item.version), item.kind]
        for item in report.packages
    ]
    yield f"<details><summary>{len(rows)} packages, largest first</summary>"
    yield from _table(["Unpacked", "Files", "Name", "Version", "Kind"], rows, numbers=2)
    yield "</details>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int) -> Iterator[str]:
    """Yield a table whose first `numbers` columns are numbers."""

    def kind(column: int) -> str:
        return ' class="number"' if column < numbers else ""

    yield '<div class="scroll"><table><thead><tr>'
    yield "".join(f'<th scope="col"{kind(column)}>{head}</th>' for column, head in enumerate(heads))
    yield "</tr></thead><tbody>"
    for row in rows:
        yield "<tr>" + "".join(f"<td{kind(column)}>{cell}</td>" for column, cell in enumerate(row)) + "</tr>"
    yield "</tbody></table></div>"


def _rest(report: Report) -> Iterator[str]:
    if report.ignored:
        yield "<h2>Ignored on purpose</h2><ul>"
        for item in report.ignored:
            yield (
                f"<li><code>{item.finding.rule.code}</code>: {escape(item.finding.message)} "
                f'<span class="soft">because: {escape(item.reason)}</span></li>'
            )
        yield "</ul>"
    yield f"<h2>Kept</h2><details><summary>{len(report.passed)} rules</summary><ul>"
    for rule in report.passed:
        yield f'<li><code>{rule.code}</code> <span class="soft">{rule.promise}</span></li>'
    yield "</ul></details>"


def _comparison(report: Report, comparison: Comparison) -> Iterator[str]:
    severities = {finding.rule.code: finding.rule.severity for finding in report.findings}
    yield "<h2>Since the earlier report</h2>"
    yield (
        f"<p>{_signed(comparison.grown)} to pull, against "
        f'<code>{escape(comparison.image)}</code> <span class="soft">{escape(comparison.digest)}</span></p>'
    )
    for title, codes in (("New findings", comparison.appeared), ("Gone", comparison.gone)):
        if codes:
            told = " ".join(
                f'<span class="tag {severities.get(code, "good")}">{escape(code)}</span> {severities.get(code, "")}'
                for code in codes
            )
            yield f"<p>{title}: {told}</p>"
    if comparison.packages:
        rows = [
            [
                _signed(change.grown),
                escape(change.name),
                escape(change.before or "—"),
                escape(change.after or "—"),
            ]
            for change in comparison.packages
        ]
        yield f"<details><summary>{len(rows)} packages changed</summary>"
        yield from _table(["Bytes", "Package", "Before", "Now"], rows, numbers=1)
        yield "</details>"


def _signed(size: int) -> str:
    sign = "+" if size > 0 else "\N{MINUS SIGN}" if size < 0 else "±"
    return sign + size_text(abs(size))


def _maps(report: Report) -> dict[str, Any]:
    """Return the treemaps: name, size in bytes, and children."""
    return {
        "packages": _packages(report),
        "folders": _folder(report.folders),
        "layers": _node(
            "all layers, unpacked",
            [_layer(number, layer) for number, layer in enumerate(report.layers)],
        ),
        "kinds": _node("all files", [{"name": kind, "size": size} for kind, size in report.kinds.items()]),
    }


def _packages(report: Report) -> dict[str, Any]:
    children = [
        _sized(f"{item.name} {item.version}", item.size, item.kinds, rest="") for item in report.packages
    ]
    rest = report.unpacked - sum(item.size for item in report.packages)
    if rest > 0:
        children.append({"name": "in no package", "size": rest})
    return _node("all packages", children)


def _layer(number: int, layer: LayerSummary) -> dict[str, Any]:
    """Return a layer with its packages, what is in none, and what nobody sees."""
    parts = {**layer.parts, "seen by nobody": layer.wasted}
    name = f"{number}: {layer.created_by[:80] or layer.digest[:19]}"
    return _sized(name, layer.unpacked, parts, rest="in no package")


def _sized(name: str, size: int, parts: Mapping[str, int], *, rest: str) -> dict[str, Any]:
    children = [{"name": part, "size": number} for part, number in parts.items() if number]
    left = size - sum(parts.values())
    if children and left > 0:
        children.append({"name": rest, "size": left})
    return {"name": name, "size": size, **({"children": children} if len(children) > 1 else {})}


def _node(name: str, children: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "size": sum(int(child["size"]) for child in children), "children": list(children)}


def _folder(folder: Folder) -> dict[str, Any]:
    data: dict[str, Any] = {"name": folder.name, "size": folder.size}
    if folder.children:
        data["children"] = [_folder(child) for child in folder.children]
    return data
