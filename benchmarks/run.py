"""Measure shipwheel on this machine and print a table: seconds, CPU seconds and memory for each kind of change.

Everything happens in one run, on copies in a temporary folder with a cache of their own; the network is only
part of the first, cold builds. Ratios between rows mean more than the seconds of one machine.

    python benchmarks/run.py [--repeat 5] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SHIPWHEEL = str(Path(sys.executable).with_name("shipwheel"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was measured: medians of seconds and CPU seconds, the largest memory in MB, the goal in words."""

    name: str
    goal: str
    seconds: float
    cpu: float
    memory: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where measuring happens: a folder for copies, and the environment with a cache of its own."""

    folder: Path
    environ: dict[str, str]
    repeat: int

    def measure(
        self,
        name: str,
        command: Sequence[str],
        *,
        goal: str = "",
        before: Callable[[int], None] = lambda _: None,
        repeat: int | None = None,
        stdin: Path | None = None,
    ) -> Row:
        """Run `command` again and again, each time after `before(number)`; end at the first that fails."""
        seconds, cpu, memory = [], [], []
        for number in range(repeat or self.repeat):
            before(number)
            log = self.folder / "log"
            with log.open("wb") as output, (stdin or Path(os.devnull)).open("rb") as given:
                began = time.perf_counter()
                process = subprocess.Popen(
                    command, env=self.environ, stdin=given, stdout=output, stderr=output
                )
                # wait4 has the process's own usage, its children's included.
                _, status, usage = os.wait4(process.pid, 0)
                seconds.append(time.perf_counter() - began)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                sys.exit(f"{' '.join(command)}\n{log.read_text()}")
            cpu.append(usage.ru_utime + usage.ru_stime)
            memory.append(usage.ru_maxrss / 1024)
        row = Row(
            name=name,
            goal=goal,
            seconds=statistics.median(seconds),
            cpu=statistics.median(cpu),
            memory=max(memory),
        )
        print(f"{name}: {row.seconds:.2f} s", file=sys.stderr)
        return row

    def copy(self, source: Path) -> Path:
        """Return a fresh copy of a project, without what stands in the repository around it."""
        target = self.folder / source.name
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        return target


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--write", type=Path, help="replace the table in this page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shipwheel-bench-") as name:
        folder = Path(name)
        environ = {**os.environ, "SHIPWHEEL_CACHE_DIR": str(folder / "cache")}
        bench = Bench(folder=folder, environ=environ, repeat=options.repeat)
        table = render_table([*measure_shop(bench), *measure_data(bench)])
    print(table)
    if options.write:
        page = options.write.read_text()
        begin, end = "<!-- measured: begin -->\n", "<!-- measured: end -->"
        head, _, rest = page.partition(begin)
        options.write.write_text(f"{head}{begin}\n{table}\n{end}{rest.partition(end)[2]}")


def measure_shop(bench: Bench) -> list[Row]:
    """Everything that happens to a web service, from the first build to the daily edit."""
    shop = bench.copy(ROOT / "examples" / "shop")
    build = [SHIPWHEEL, "build", str(shop), "--output", str(bench.folder / "shop.oci"), "--quiet"]
    # The older release first, so that there is an upgrade to measure.
    lock = shop / "poetry.lock"
    write(lock, with_older_sqlalchemy(lock.read_text()))
    source, manifest = shop / "src/shop/app.py", shop / "pyproject.toml"
    code, project = source.read_text(), manifest.read_text()

    rows = [
        bench.measure("`shipwheel --version`", [SHIPWHEEL, "--version"], goal="0.1 s"),
        bench.measure("shop: first build, empty cache, with the network", build, repeat=1),
        bench.measure("shop: nothing changed", build, goal="0.3 s"),
        bench.measure(
            "shop: one line of code edited",
            build,
            goal="0.5 s",
            before=lambda number: write(source, f"{code}\n# edit {number}\n"),
        ),
        bench.measure(
            "shop: version bumped in pyproject.toml",
            build,
            goal="0.5 s",
            before=lambda number: write(manifest, project.replace('"0.3.0"', f'"0.3.{number + 1}"')),
        ),
    ]
    write(manifest, project)
    rows.append(measure_upgrade(bench, shop, build))
    rows.append(bench.measure("shop: everything made again (`--no-cache`)", [*build, "--no-cache"], repeat=1))
    return rows


def measure_upgrade(bench: Bench, shop: Path, build: Sequence[str]) -> Row:
    """One dependency at another version: each round starts where the other version had been built."""
    cache, output = bench.folder / "cache", bench.folder / "shop.oci"
    kept = bench.folder / "kept"
    link_tree(cache, kept / "cache")
    link_tree(output, kept / "output")
    write(shop / "poetry.lock", (ROOT / "examples/shop/poetry.lock").read_text())
    subprocess.run(build, env=bench.environ, check=True, capture_output=True)
    # The new wheel is there already: how quick the network is says nothing of us.
    link_tree(cache / "v1" / "files", kept / "cache" / "v1" / "files")

    def restore(_: int) -> None:
        for name, place in (("cache", cache), ("output", output)):
            shutil.rmtree(place)
            link_tree(kept / name, place)

    return bench.measure("shop: one dependency upgraded (SQLAlchemy)", build, before=restore)


def link_tree(source: Path, target: Path) -> None:
    """Copy a tree by hard links, into what is there: a cache's and a layout's files are never changed."""
    for path in source.rglob("*"):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir(parents=True, exist_ok=True)
        elif not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, copy, follow_symlinks=False)


def measure_data(bench: Bench) -> list[Row]:
    """The heavy wheels of a data service: a whole build, and their layers alone."""
    data = bench.copy(HERE / "data")
    build = [SHIPWHEEL, "build", str(data), "--output", str(bench.folder / "data.oci"), "--quiet"]
    first = bench.measure("data: first build, with the network", build, repeat=1)
    plan = subprocess.run(
        [SHIPWHEEL, "plan", str(data), "--json"], env=bench.environ, check=True, capture_output=True
    ).stdout
    wheels = bench.folder / "wheels.json"
    files = wheel_files(json.loads(plan), bench.folder / "cache")
    wheels.write_text(json.dumps(files))
    size = sum(Path(path).stat().st_size for path in files.values())
    layers = bench.measure(
        f"data: {len(files)} wheels ({size / 1e6:.0f} MB) to layers, without bytecode",
        [sys.executable, str(HERE / "layers.py")],
        goal="4 s of CPU, 300 MB",
        stdin=wheels,
    )
    return [first, layers, bench.measure("data: nothing changed", build, goal="0.3 s")]


def write(path: Path, text: str) -> None:
    path.write_text(text)


def with_older_sqlalchemy(lock: str) -> str:
    older = (HERE / "older-sqlalchemy.toml").read_text().partition("\n")[2]
    blocks = re.split(r"(?=^\[\[package\]\]\n)", lock, flags=re.MULTILINE)
    return "".join(f"{older}\n" if 'name = "sqlalchemy"\n' in block else block for block in blocks)


def wheel_files(plan: dict[str, Any], cache: Path) -> dict[str, str]:
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


def render_table(rows: Sequence[Row]) -> str:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, CPython {platform.python_version()}"
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit or 'unknown'}, {machine}. Medians; memory is the largest seen.",
        "",
        "| | seconds | CPU seconds | memory, MB | goal |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.name} | {row.seconds:.2f} | {row.cpu:.2f} | {row.memory:.0f} | {row.goal} |" for row in rows
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
