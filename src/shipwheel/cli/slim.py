"""Say what leaving tests, type stubs, headers, debug symbols and more out of locked packages would save.

Counted in the wheels themselves, which are downloaded for it; nothing is built or changed. What the project
leaves out already is marked.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from packaging.pylock import PackageDirectory
from packaging.utils import NormalizedName

from shipwheel.assemble.image import Materials, locked_wheel
from shipwheel.assemble.workshop import Workshop
from shipwheel.cli.console import human_size, open_console
from shipwheel.cli.options import add_project, add_selection, make_request, open_workshop, project_of
from shipwheel.locks.model import Selected
from shipwheel.pipeline import Planned, materials_of, plan
from shipwheel.plan.planner import slim_options
from shipwheel.project.settings import SLIM_OPTIONS, SlimSettings
from shipwheel.wheel.slim_savings import ALL, Saving, count_savings

# Packages named in an option's line; `--json` has them all.
_NAMED = 3
# Less is not worth a line in a configuration.
_WORTH_IT = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSaving:
    """What an option saves of a package; `dropped`: the project's settings leave it out already."""

    name: str
    version: str
    dropped: bool
    saving: Saving


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionSavings:
    """What an option saves in all; `packages` with the largest first."""

    option: str
    packages: Sequence[PackageSaving]

    @property
    def files(self) -> int:
        """Files that go or shrink."""
        return sum(item.saving.files for item in self.packages)

    @property
    def bytes(self) -> int:
        """Bytes on disk."""
        return sum(item.saving.bytes for item in self.packages)

    @property
    def compressed(self) -> int:
        """Bytes to pull."""
        return sum(item.saving.compressed for item in self.packages)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's words."""
    add_project(parser)
    parser.add_argument("--json", action="store_true", help="print it as JSON, with every package")
    add_selection(parser)


def run(options: argparse.Namespace) -> int:
    """Count and print."""
    project = project_of(options)
    request = make_request(options, project, os.environ)
    with open_console(quiet=options.quiet) as progress:
        workshop = open_workshop(options, project, progress)
        with workshop.cache.in_use():
            found = [(item, *_count(item, workshop)) for item in plan(request, workshop)]
    if options.json:
        print(json.dumps([_to_json(*each) for each in found], indent=2))
    else:
        blocks = [render(*each, project.settings.slim) for each in found]
        print("\n\n".join("\n".join(block) for block in blocks))
    return 0


def render(
    planned: Planned, savings: Sequence[OptionSavings], notes: Sequence[str], slim: SlimSettings
) -> Iterator[str]:
    """Yield lines for people: an option a line, then notes, then what to write to the configuration."""
    locked = [item for item in planned.selected if not isinstance(item.source, PackageDirectory)]
    yield f"{planned.plan.project} for {planned.plan.platform}: {len(locked)} locked packages"
    if not savings:
        yield "none of them holds anything that could be left out"
        return
    yield f"{'':<18}{'on disk':>10}{'to pull':>10}{'files':>8}  by package"
    for item in savings:
        # An asterisk, so that no meaning is lost without colours.
        mark = " *" if item.option in slim.drop else ""
        yield (
            f"{item.option + mark:<18}{human_size(item.bytes):>10}{human_size(item.compressed):>10}"
            f"{item.files:>8,}  {_packages(item.packages)}"
        )
    if slim.drop:
        kept = f", but of {', '.join(slim.keep)}" if slim.keep else ""
        yield f"* is left out already{kept}"
    yield from (f"note: {note}" for note in notes)
    worth = [
        item.option
        for item in savings
        if item.option != ALL and (item.bytes >= _WORTH_IT or item.option in slim.drop)
    ]
    if set(worth) - set(slim.drop):
        yield "to leave them out:"
        yield "  [tool.shipwheel.slim]"
        yield f"  drop = {json.dumps(worth)}"


def _count(planned: Planned, workshop: Workshop) -> tuple[list[OptionSavings], list[str]]:
    materials = materials_of(planned, workshop)
    locked = [item for item in planned.selected if not isinstance(item.source, PackageDirectory)]
    with ThreadPoolExecutor(max_workers=min(4, 1 + (os.cpu_count() or 1))) as pool:
        counted = list(
            pool.map(lambda item: _count_one(item, materials, workshop, planned.plan.python.version), locked)
        )
    slim = workshop.project.settings.slim
    by_option: dict[str, list[PackageSaving]] = {}
    notes: list[str] = []
    for item, (savings, said) in zip(locked, counted, strict=True):
        notes += said
        dropped = slim_options(NormalizedName(item.name), slim)
        for saving in savings:
            by_option.setdefault(saving.option, []).append(
                PackageSaving(
                    name=item.name,
                    version=str(item.version or ""),
                    dropped=saving.option in dropped,
                    saving=saving,
                )
            )
    found = [
        OptionSavings(
            option=option,
            packages=sorted(packages, key=lambda item: (-item.saving.bytes, item.name)),
        )
        for option, packages in by_option.items()
    ]
    # The sum last; the rest with the largest first.
    return sorted(found, key=lambda item: (item.option == ALL, -item.bytes, item.option)), sorted(notes)


def _count_one(
    item: Selected, materials: Materials, workshop: Workshop, python: str
) -> tuple[Sequence[Saving], Sequence[str]]:
    return count_savings(locked_wheel(item, materials, workshop).wheel, python=python)


def _packages(packages: Sequence[PackageSaving]) -> str:
    named = [f"{item.name} {human_size(item.saving.bytes)}" for item in packages[:_NAMED]]
    more = len(packages) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _to_json(planned: Planned, savings: Sequence[OptionSavings], notes: Sequence[str]) -> dict[str, Any]:
    def totals(item: OptionSavings) -> dict[str, Any]:
        return {
            "bytes": item.bytes,
            "compressed": item.compressed,
            "files": item.files,
            "packages": [
                {"name": each.name, "version": each.version, "dropped": each.dropped}
                | {key: value for key, value in asdict(each.saving).items() if key != "option"}
                for each in item.packages
            ],
        }

    found = {item.option: totals(item) for item in savings}
    nothing = OptionSavings(option="", packages=())
    slim = planned.plan.slim
    return {
        "project": planned.plan.project,
        "platform": planned.plan.platform,
        "options": [
            {"option": option, "drop": slim is not None and option in slim.drop}
            | found.get(option, totals(nothing))
            for option in sorted(SLIM_OPTIONS, key=lambda name: (-found.get(name, {}).get("bytes", 0), name))
        ],
        "all": found.get(ALL, totals(nothing)),
        "notes": list(notes),
    }
