"""Over the lock histories of real services: bytes to push with one layer for the environment, and with ours.

Each history lists the states of a lock file, what changed in each, and how many bytes of wheels that is. With one
layer every change sends the whole environment; with ours, the wheels that changed and, above 70 wheels, what shares a
layer with them (docs/decisions/0004), with the sizes of the latest state.

    python benchmarks/history.py [--corpus ../shared/lock-corpus] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import NormalizedName, canonicalize_name

from shipwheel.plan.layering import spread_wheels

ROOT = Path(__file__).resolve().parent.parent
# What [tool.shipwheel.layers] says by default.
ALONE, BUCKETS = 70, 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One service: locks that changed the environment, and megabytes over all of them."""

    name: str
    packages: int
    changes: int
    one_layer: float
    wheels: float
    ours: float
    median: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, default=ROOT.parent / "shared" / "lock-corpus")
    parser.add_argument("--write", type=Path, help="replace the table in this page")
    options = parser.parse_args()
    found = sorted(options.corpus.glob("*/*/history.json"))
    if not found:
        sys.exit(f"no history below {options.corpus}")
    table = render_table([row for row in map(simulate, found) if row is not None])
    print(table)
    if options.write:
        page = options.write.read_text()
        begin, end = "<!-- history: begin -->\n", "<!-- history: end -->"
        head, _, rest = page.partition(begin)
        options.write.write_text(f"{head}{begin}\n{table}\n{end}{rest.partition(end)[2]}")


def simulate(path: Path) -> Row | None:
    """Return what one history comes to; None where nothing changed."""
    states: list[dict[str, Any]] = json.loads(path.read_text())
    changes = [state for state in states[1:] if state["changed"] and state["changed_bytes"]]
    if not changes:
        return None
    sizes = read_sizes(path.parent)
    groups = spread_wheels(sorted(sizes), sizes, alone=ALONE, buckets=BUCKETS)
    shared = {name: group for group in groups for name in group}
    ours = [state["changed_bytes"] + mates(state, shared, sizes) for state in changes]
    whole = [state["bytes"] for state in changes]
    return Row(
        name=path.parent.name,
        packages=states[-1]["n"],
        changes=len(changes),
        one_layer=sum(whole) / 1e6,
        wheels=sum(state["changed_bytes"] for state in changes) / 1e6,
        ours=sum(ours) / 1e6,
        median=statistics.median(all_ / some for all_, some in zip(whole, ours, strict=True)),
    )


def mates(
    state: Mapping[str, Any],
    shared: Mapping[NormalizedName, Sequence[NormalizedName]],
    sizes: Mapping[NormalizedName, int],
) -> int:
    """Return the bytes of what did not change and shares a layer with what did."""
    touched = {name_of(text) for text in [*state["changed"], *state["removed"]]}
    layers = {tuple(shared[name]) for name in touched if name in shared}
    return sum(sizes[name] for layer in layers for name in layer if name not in touched)


def read_sizes(folder: Path) -> dict[NormalizedName, int]:
    """Return the size of each package of the latest selection."""
    selection = json.loads((folder / "expected-selection.json").read_text())
    return {canonicalize_name(package["name"]): package.get("size") or 0 for package in selection}


def name_of(text: str) -> NormalizedName:
    return canonicalize_name(re.split(r"[=@<> ]", text)[0])


def render_table(rows: Sequence[Row]) -> str:
    lines = [
        "| service | packages | changes | one layer, MB | wheel by wheel, MB | shipwheel, MB | in all | median |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.name} | {row.packages} | {row.changes} | {row.one_layer:,.0f} | {row.wheels:,.0f} "
        f"| {row.ours:,.0f} | {row.one_layer / row.ours:.0f} times fewer | {row.median:.0f} times fewer |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
