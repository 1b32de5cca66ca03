"""Measure shipwheel on this machine and print tables of what each kind of change costs.

Everything happens in one run, on copies in a temporary folder with a cache of their own; the network is only
part of the first builds. Ratios between rows mean more than the seconds of one machine.

    python benchmarks/run.py [--repeat 5] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from data import Wheels, measure_data
from locks import measure_locks
from measure import ROOT, Bench, Row, build_command
from shop import measure_shop

from shipwheel.testing.projects import poetry_project

_LOCKS = """
`shipwheel plan` with a lock of each kind, when nothing has changed: read, selected for linux/amd64 and planned, without network.
The 500 packages are made up; every fifth has twelve wheels and an sdist."""
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--write", type=Path, help="replace the tables in this page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shipwheel-bench-") as name:
        bench = Bench.in_folder(Path(name), repeat=options.repeat)
        shop, pushed = measure_shop(bench)
        base, base_size = measure_base(bench)
        data, wheels = measure_data(bench)
        locks = measure_locks(bench)
        sizes = {
            "base alone (Debian and Python)": base_size,
            "hello (cowsay)": size_of(bench, bench.copy(ROOT / "examples" / "hello")),
            "shop (web service)": size_of(bench, bench.folder / "shop"),
            "data (numpy, pandas, scikit-learn, pyarrow)": size_of(bench, bench.folder / "data"),
        }
    text = "\n".join(
        [
            render_machine(options.repeat),
            "## What a build costs",
            render_rows([*shop, base, *data]),
            "## Planning with 500 packages",
            _LOCKS,
            render_rows(locks),
            "## From wheels to layers",
            render_ways(wheels),
            "## Size",
            render_sizes(sizes, pushed),
        ]
    )
    print(text)
    if options.write:
        head, _, rest = options.write.read_text().partition(BEGIN)
        options.write.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


def measure_base(bench: Bench) -> tuple[Row, int]:
    """Assemble the base and nothing else: a project without dependencies, and without bytecode."""
    settings = '[tool.shipwheel]\nbytecode = false\nentrypoint = ["python", "-m", "bare"]\n'
    project = poetry_project(
        bench.folder / "bare", name="bare", package_mode=False, requires_python=">=3.13,<4", extra=settings
    )
    built = bench.built(project)
    row = bench.measure(
        "Debian base: assembled again from downloads",
        build_command(bench, project, "--no-cache"),
        goal="200 MB",
        repeat=3,
    )
    return row, sum(layer["size"] for layer in built["platforms"][0]["layers"][:2])


def size_of(bench: Bench, project: Path) -> int:
    return int(bench.built(project)["size"])


def render_machine(repeat: int) -> str:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    load = ", ".join(f"{number:.1f}" for number in os.getloadavg())
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    priority = f" It ran with niceness {niceness}, before other work." if niceness < 0 else ""
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit or 'unknown'}: {os.cpu_count()} CPUs ({cpu_model()}), "
        f"{memory:.0f} GB, CPython {platform.python_version()}. Medians of {repeat} runs where the table says no "
        f"other number. Load of the machine at the end (1, 5, 15 minutes): {load}.{priority}\n"
    )


def cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def render_rows(rows: Sequence[Row]) -> str:
    lines = ["", "| | seconds | CPU seconds | memory, MB | runs | goal |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row.name} | {row.seconds:.2f} | {row.cpu:.2f} | {row.memory:.0f} | {row.runs} | {row.goal} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def render_ways(wheels: Wheels) -> str:
    ours = wheels.ways[0]
    told = (
        f"{wheels.count} wheels, {wheels.size / 1e6:.1f} MB, {wheels.unpacked / 1e6:.1f} MB unpacked, one layer each, without "
        "bytecode. The other ways, in the same run: the wheel unpacked into a tar, that compressed, both hashed."
    )
    lines = [
        "",
        told,
        "",
        "| | CPU seconds | ratio | layers, MB | ratio | memory, MB | goal |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {way.row.name} | {way.row.cpu:.2f} | {way.row.cpu / ours.row.cpu:.1f} | {way.size / 1e6:.1f} "
        f"| {way.size / ours.size:.2f} | {way.row.memory:.0f} | {way.row.goal} |"
        for way in wheels.ways
    ]
    return "\n".join(lines) + "\n"


def render_sizes(sizes: Mapping[str, int], pushed: Mapping[str, int]) -> str:
    lines = ["", "| image | compressed, MB |", "|---|---|"]
    lines += [f"| {name} | {size / 1e6:.1f} |" for name, size in sizes.items()]
    lines += ["", "| shop: change | new layers, MB |", "|---|---|"]
    lines += [f"| {name} | {size / 1e6:.3f} |" for name, size in pushed.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
