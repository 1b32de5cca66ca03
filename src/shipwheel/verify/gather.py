"""Put results together: one finding a rule, and for what a layer holds, the Dockerfile's line that made it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from shipwheel.verify.model import Finding, NotChecked, Place, Result


def merge(results: Iterable[Result]) -> list[Result]:
    """Return the results with one finding a rule: an image, its Dockerfile and compose file may all break it.

    What broke a rule was checked, whatever else could not be.
    """
    findings: dict[str, Finding] = {}
    for result in results:
        if not isinstance(result, Finding):
            continue
        before = findings.get(result.rule.code)
        findings[result.rule.code] = result if before is None else _joined(before, result)
    missing = dict.fromkeys(
        result for result in results if isinstance(result, NotChecked) and result.rule.code not in findings
    )
    return [*findings.values(), *missing]


def _joined(one: Finding, two: Finding) -> Finding:
    known = {place.made_by for place in one.places if place.made_by}
    places = [*one.places, *(place for place in two.places if place.path not in known)]
    return replace(
        one,
        message=one.message if len(places) == len(one.places) else f"{one.message}; {two.message}",
        places=tuple(places),
        saves=None if one.saves is None and two.saves is None else (one.saves or 0) + (two.saves or 0),
        fix=one.fix or two.fix,
    )


def with_lines(results: Sequence[Result], name: str, lines: Mapping[int, int]) -> list[Result]:
    """Return the results with `made_by` as `name:line` in the places whose layer has a line in `lines`."""

    def told(place: Place) -> Place:
        line = None if place.layer is None else lines.get(place.layer)
        return place if line is None else replace(place, made_by=f"{name}:{line}")

    return [
        replace(result, places=tuple(map(told, result.places))) if isinstance(result, Finding) else result
        for result in results
    ]
