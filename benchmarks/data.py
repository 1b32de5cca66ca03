"""Measure the heavy wheels of a data service: whole builds, and their layers alone in several ways."""

from __future__ import annotations

import json
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import HERE, SHIPWHEEL, Bench, Row, build_command


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way from wheel to layer: what it took, and the bytes of all layers."""

    row: Row
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheels:
    """How many wheels there are, their bytes, also unpacked, and the ways that were measured; ours first."""

    count: int
    size: int
    unpacked: int
    ways: list[Way]


def measure_data(bench: Bench) -> tuple[list[Row], Wheels]:
    """Return the rows of whole builds, and the ways."""
    data = bench.copy(HERE / "data")
    build = build_command(bench, data)
    again = [*build, "--no-cache"]
    rows = [
        bench.measure("data: first build, base and Python cached, with the network", build, repeat=1),
        bench.measure("data: nothing changed", build, goal="0.3 s"),
        bench.measure(
            "data: everything made again from downloads (`--no-cache`)", again, goal="300 MB", repeat=2
        ),
    ]
    wheels = measure_ways(bench, data)
    manifest = data / "pyproject.toml"
    text = manifest.read_text()
    manifest.write_text(f"{text}\n[tool.shipwheel]\nbytecode = false\n")
    rows.append(bench.measure("data: the same without bytecode", again, goal="300 MB", repeat=2))
    manifest.write_text(text)
    return rows, wheels


def measure_ways(bench: Bench, data: Path) -> Wheels:
    """Write the locked wheels as layers: by copying what is compressed, and by compressing it again."""
    plan = json.loads(bench.output([SHIPWHEEL, "plan", str(data), "--json"]))
    files = wheel_files(plan, bench.cache)
    listing = bench.folder / "wheels.json"
    listing.write_text(json.dumps(files))
    ways = []
    for way, name, goal in (
        ("copy", "streams copied, as shipwheel does", "4 s of CPU, 300 MB"),
        ("zlib-ng", "compressed again, zlib-ng level 6", ""),
        ("zlib", "compressed again, zlib level 6", ""),
    ):
        command = [sys.executable, str(HERE / "layers.py"), way]
        row = bench.measure(name, command, goal=goal, stdin=listing, repeat=3 if way == "copy" else 1)
        size = int((bench.folder / "log").read_text().splitlines()[-1])
        ways.append(Way(row=row, size=size))
    return Wheels(
        count=len(files),
        size=sum(Path(path).stat().st_size for path in files.values()),
        unpacked=sum(map(_unpacked, files.values())),
        ways=ways,
    )


def _unpacked(path: str) -> int:
    with zipfile.ZipFile(path) as wheel:
        return sum(member.file_size for member in wheel.infolist())


def wheel_files(plan: Any, cache: Path) -> dict[str, str]:
    """Return the cached file of each wheel that the plan names."""
    plans = plan if isinstance(plan, list) else [plan]
    found = {}
    for layer in plans[0]["layers"]:
        for wheel in layer["wheels"]:
            digest = (wheel["hash"] or "").removeprefix("sha256:")
            path = cache / "v1" / "files" / "sha256" / digest[:2] / digest
            if digest and path.is_file():
                found[wheel["file"]] = str(path)
    return found
