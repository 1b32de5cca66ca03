"""Measure the ways into an engine: what is sent and how long it takes, for a first load and after a code edit.

    python benchmarks/load.py PROJECT NAME=ENGINE[:ADDRESS] ...

ENGINE is docker or podman, ADDRESS a daemon's DOCKER_HOST. Each engine should begin without the image.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from shipwheel.engine import load
from shipwheel.oci.layout import read_layout
from shipwheel.oci.read import LoadedImage

NAME = "localhost/shipwheel-load-bench"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("project", type=Path, help="a copy: its code is edited")
    parser.add_argument("engines", nargs="+")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shipwheel-bench-") as folder:
        first, second = build(options.project, Path(folder, "1")), None
        source = next(options.project.rglob("src/*/__init__.py"))
        text = source.read_text()
        source.write_text(f"{text}\n# {time.time_ns()}\n")
        try:
            second = build(options.project, Path(folder, "2"))
        finally:
            source.write_text(text)
        print(
            "| engine | way | first | MB | again | MB | code edit | MB |\n|---|---|---|---|---|---|---|---|"
        )
        for word in options.engines:
            name, _, rest = word.partition("=")
            measure(name, rest, first, second)


def build(project: Path, into: Path) -> LoadedImage:
    subprocess.run(
        [str(Path(sys.executable).with_name("shipwheel")), "build", "-q", project, "--output", into],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    found = read_layout(into)
    assert isinstance(found, LoadedImage)
    return found


def measure(name: str, engine: str, first: LoadedImage, second: LoadedImage) -> None:
    import os

    program, _, address = engine.partition(":")
    environ = {**os.environ, **({"DOCKER_HOST": address} if address else {})}
    client = load.EngineStore(name=program, program=program, environ=environ)
    tag = f"{NAME}:1"
    ways: dict[str, Callable[[LoadedImage], int | None]] = {
        "archive": lambda image: client.send_archive(image, [tag]),
        "loopback registry": lambda image: client.pull(image, [tag]),
    }
    for way, send in ways.items():
        client.run("rmi", "--force", tag)
        client.run("image", "prune", "--force")
        cells = []
        for image in (first, first, second):
            began = time.perf_counter()
            sent = send(image)
            took = time.perf_counter() - began
            cells.append(f"{took:.2f} s | {'-' if sent is None else f'{sent / 1e6:.1f}'}")
        print(f"| {name} | {way} | {' | '.join(cells)} |", flush=True)
        client.run("rmi", "--force", tag)


if __name__ == "__main__":
    main()
