"""What changed since an earlier report, which is read from the JSON that `--format json` wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shipwheel.errors import HostError, UsageError
from shipwheel.verify.model import Report
from shipwheel.verify.report.data import SCHEMA


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageChange:
    """A package that came, went or changed; `before` and `after` are versions, None where it is not there."""

    name: str
    before: str | None
    after: str | None
    grown: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`grown` are bytes to pull; `appeared` and `gone` are codes of rules with findings."""

    image: str
    digest: str
    grown: int
    appeared: Sequence[str]
    gone: Sequence[str]
    packages: Sequence[PackageChange]


def compare_reports(path: Path, report: Report) -> Comparison:
    """Compare `report` with the one in the file; raises UsageError `bad-report`, HostError `cannot-read`."""
    try:
        data = json.loads(path.read_bytes())
        if data["schema"] != SCHEMA:
            raise ValueError(f"its schema is {data['schema']!r}")
        return _compare(data, report)
    except OSError as error:
        raise HostError("cannot-read", f"cannot read: {error.strerror}", place=str(path)) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            "bad-report",
            f"not a report of `shipwheel check`: {error}",
            place=str(path),
            hint="write one with --format json",
        ) from error


def _compare(data: Mapping[str, Any], report: Report) -> Comparison:
    codes = {str(finding["code"]) for finding in data["findings"]}
    now = {finding.rule.code for finding in report.findings}
    before = {
        (str(item["kind"]), str(item["name"])): (str(item["version"]), int(item["size"]))
        for item in data["packages"]
    }
    after = {(str(item.kind), item.name): (item.version, item.size) for item in report.packages}
    changes = []
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if old != new:
            changes.append(
                PackageChange(
                    name=key[1],
                    before=None if old is None else old[0],
                    after=None if new is None else new[0],
                    grown=(0 if new is None else new[1]) - (0 if old is None else old[1]),
                )
            )
    changes.sort(key=lambda change: (-abs(change.grown), change.name))
    return Comparison(
        image=str(data["image"]),
        digest=str(data["digest"]),
        grown=report.size - int(data["size"]),
        appeared=sorted(now - codes),
        gone=sorted(codes - now),
        packages=tuple(changes),
    )
