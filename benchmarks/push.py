"""Measure pushes: seconds and bytes for a code edit, a version bump and one upgraded dependency.

The shop example, with shipwheel and with `docker build` and `docker push` of benchmarks/push.Dockerfile, to one
Debian docker-registry on loopback, in one run. Bytes are what the registry's blobs grew by. Docker's
base image is the tests' stand-in for python:3.13-slim; its layers are pushed before anything is measured.

    PYTHONPATH=tests python benchmarks/push.py [--repeat 3] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measure import HERE, ROOT, SHIPWHEEL
from shop import with_older_sqlalchemy

from helpers.docker import DockerEngine, docker_engine
from helpers.registry import docker_registry
from helpers.stand_in import python_slim

VERSION = 'version = "0.3.0"'


@dataclass(kw_only=True)
class Yard:
    """The registry, whose blobs are below `data`, and a copy of the project."""

    registry: str
    data: Path
    project: Path
    environ: dict[str, str]
    engine: DockerEngine
    base: str
    wheels: Path
    rounds: int = 0
    measured: dict[tuple[str, str], list[tuple[float, int]]] = field(default_factory=dict)

    def blobs(self) -> int:
        """Return the bytes of all blobs in the registry."""
        return sum(path.stat().st_size for path in self.data.rglob("blobs/sha256/*/*/data"))

    def measure(self, change: str, way: str, push: Callable[[], None]) -> None:
        """Push, and note seconds and bytes."""
        before, began = self.blobs(), time.perf_counter()
        push()
        took = time.perf_counter() - began
        self.measured.setdefault((change, way), []).append((took, self.blobs() - before))

    def ship(self, *, fresh: bool = False) -> None:
        """Build and push with shipwheel; `fresh`: on a machine that has built nothing before."""
        environ = self.environ
        if fresh:
            # Of its own: the registry has what the warm machine pushed.
            code = self.project / "src" / "shop" / "app.py"
            code.write_text(f"{code.read_text()}# and once more\n")
            folder = tempfile.mkdtemp(dir=self.project.parent)
            environ = {**environ, "SHIPWHEEL_CACHE_DIR": f"{folder}/cache", "UV_CACHE_DIR": f"{folder}/uv"}
        name = f"{self.registry}/shipwheel/{'fresh' if fresh else 'warm'}:latest"
        run([SHIPWHEEL, "push", "--quiet", str(self.project), "--tag", name], environ)

    def docker(self) -> None:
        """Build and push with Docker."""
        name = f"{self.registry}/docker/shop:latest"
        self.prepare_context()
        words = [
            "buildx",
            "build",
            "--quiet",
            "--load",
            "--network=host",
            "--provenance=false",
            "--tag",
            name,
        ]
        words += ["--build-arg", f"BASE={self.base}", "--build-context", f"wheels={self.wheels}"]
        words += ["--file", str(HERE / "push.Dockerfile"), str(self.project)]
        run([self.engine.client, *words], dict(self.engine.environ))
        run([self.engine.client, "push", "--quiet", name], dict(self.engine.environ))

    def prepare_context(self) -> None:
        """Give Docker the wheels that the lock names, by name and version."""
        plan = json.loads(run([SHIPWHEEL, "plan", "--quiet", "--json", str(self.project)], self.environ))
        lines = []
        for wheel in (wheel for layer in plan[0]["layers"] for wheel in layer["wheels"]):
            digest = (wheel["hash"] or "").removeprefix("sha256:")
            cached = Path(self.environ["SHIPWHEEL_CACHE_DIR"], "v1", "files", "sha256", digest[:2], digest)
            target = self.wheels / wheel["file"]
            if not digest:
                continue
            if not target.exists():
                shutil.copyfile(cached, target)
            lines.append(f"{wheel['name']}=={wheel['version']}")
        write_if_new(self.project / "requirements.txt", "\n".join(sorted(lines)) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--write", type=Path, help="replace the table in this page")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="shipwheel-bench-") as name,
        docker_registry(Path(name) / "registry") as registry,
        docker_engine() as engine,
    ):
        table = render_table(measure_all(Path(name), registry, engine, options.repeat))
    print(table)
    if options.write:
        page = options.write.read_text()
        begin, end = "<!-- push: begin -->\n", "<!-- push: end -->"
        head, _, rest = page.partition(begin)
        options.write.write_text(f"{head}{begin}\n{table}\n{end}{rest.partition(end)[2]}")


def measure_all(folder: Path, registry: str, engine: DockerEngine, repeat: int) -> Yard:
    project = folder / "shop"
    shutil.copytree(ROOT / "examples" / "shop", project, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    wheels = folder / "wheels"
    wheels.mkdir()
    base = f"{registry}/base/python:3.13-slim"
    source = f"docker-archive:{python_slim('3.13')}"
    run(
        ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", source, f"docker://{base}"], dict(os.environ)
    )
    yard = Yard(
        registry=registry,
        data=folder / "registry" / "data",
        project=project,
        environ={**os.environ, "SHIPWHEEL_CACHE_DIR": str(folder / "cache")},
        engine=engine,
        base=base,
        wheels=wheels,
    )
    lock, manifest = project / "poetry.lock", project / "pyproject.toml"
    code = project / "src" / "shop" / "app.py"
    new_lock, text, program = lock.read_text(), manifest.read_text(), code.read_text()
    prefetch(yard)
    for round_ in range(repeat):
        # The first push of a round: the older release, in a state that no round before has had.
        lock.write_text(with_older_sqlalchemy(new_lock))
        manifest.write_text(text)
        code.write_text(f"{program}\n# round {round_}\n")
        push_all(yard, "first push" if round_ == 0 else None)
        code.write_text(f"{program}\n# round {round_}, edited\n")
        push_all(yard, "a line of code")
        manifest.write_text(text.replace(VERSION, f'version = "0.3.{round_ + 1}"'))
        push_all(yard, "a version bump")
        if round_ == 0:  # afterwards both have it
            lock.write_text(new_lock)
            push_all(yard, "one dependency (SQLAlchemy)")
        print(f"round {round_ + 1} of {repeat}", file=sys.stderr)
    return yard


def prefetch(yard: Yard) -> None:
    """Download what the laptop needs, and forget what was made of it: Docker has the wheels in a folder too."""
    run([SHIPWHEEL, "build", "--quiet", str(yard.project)], yard.environ)
    for part in ("records", "folders"):
        shutil.rmtree(Path(yard.environ["SHIPWHEEL_CACHE_DIR"], "v1", part))


def push_all(yard: Yard, change: str | None) -> None:
    ways: dict[str, Callable[[], None]] = {
        "shipwheel": yard.ship,
        "shipwheel, empty cache": lambda: yard.ship(fresh=True),
        "docker build and push": yard.docker,
    }
    for way, push in ways.items():
        if change is None:
            push()
        else:
            yard.measure(change, way, push)


def run(command: Sequence[str], environ: dict[str, str]) -> str:
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


def write_if_new(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def render_table(yard: Any) -> str:
    ways = list(dict.fromkeys(way for _, way in yard.measured))
    lines = [
        f"| | {' | '.join(f'{way}: seconds | MB' for way in ways)} |",
        f"|---|{'---|---|' * len(ways)}",
    ]
    for change in dict.fromkeys(change for change, _ in yard.measured):
        cells = []
        for way in ways:
            runs = yard.measured[change, way]
            seconds = statistics.median(took for took, _ in runs)
            size = statistics.median(count for _, count in runs)
            cells.append(f"{seconds:.1f} | {size / 1e6:.3f}")
        lines.append(f"| {change} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
