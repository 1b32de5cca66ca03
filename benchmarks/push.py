"""Measure pushes: seconds and bytes for a code edit, a version bump and one upgraded dependency.

The shop example, to one Debian docker-registry on loopback, in one run: with shipwheel on a machine that has built
before and on one that has nothing; and with `docker build` and `docker push` of the two baselines, a hand-written
Dockerfile for Poetry and a hand-tuned one for uv, from ../shared/baseline beside the repository
(SHIPWHEEL_BASELINES names another folder). Where they are not there, benchmarks/push.Dockerfile stands in, and it
is said. Bytes are what the registry's blobs grew by. Docker's base image is the tests' stand-in for
python:3.13-slim; its layers are pushed before anything is measured.

    PYTHONPATH=tests python benchmarks/push.py [--repeat 3] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile import BASELINES, baseline, make_base, use_uv
from measure import HERE, ROOT, SHIPWHEEL
from shop import with_older_sqlalchemy

from helpers.docker import DockerEngine, docker_engine
from helpers.registry import docker_registry

BEGIN, END = "<!-- push: begin -->\n", "<!-- push: end -->"
UPGRADED = "sqlalchemy"


@dataclass(kw_only=True)
class Shop:
    """A copy of the project: its code, its manifest and its lock as they are, and the older lock."""

    root: Path

    def __post_init__(self) -> None:
        self.lock = next(path for name in ("uv.lock", "poetry.lock") if (path := self.root / name).exists())
        self._code, self._manifest, self._new = (
            path.read_text() for path in (self.code, self.manifest, self.lock)
        )
        self._old = with_older_sqlalchemy(self._new) if self.lock.name == "poetry.lock" else self._relocked()

    @property
    def code(self) -> Path:
        return self.root / "src/shop/app.py"

    @property
    def manifest(self) -> Path:
        return self.root / "pyproject.toml"

    def write(self, *, edit: str = "", version: str = "0.3.0", upgraded: bool = False) -> None:
        """Bring the project into a state."""
        self.code.write_text(f"{self._code}\n# {edit}\n")
        self.manifest.write_text(self._manifest.replace('version = "0.3.0"', f'version = "{version}"'))
        lock = self._new if upgraded else self._old
        own = lock.find('name = "shop"') if self.lock.name == "uv.lock" else -1
        if own >= 0:
            lock = lock[:own] + lock[own:].replace('version = "0.3.0"', f'version = "{version}"', 1)
        self.lock.write_text(lock)

    def _relocked(self) -> str:
        """Return uv.lock with the older release that poetry.lock's older text has."""
        older = (HERE / "older-sqlalchemy.toml").read_text()
        [version] = re.findall(r'(?m)^version = "([^"]+)"', older)
        [now] = re.findall(rf'(?m)^name = "{UPGRADED}"\nversion = "([^"]+)"', self._new)
        manifest = self.manifest.read_text()
        self.manifest.write_text(manifest.replace(f"{UPGRADED}=={now}", f"{UPGRADED}=={version}"))
        run([str(Path(sys.executable).parent / "uv"), "lock", "--quiet"], dict(os.environ), self.root)
        text = self.lock.read_text()
        self.manifest.write_text(manifest)
        # What the lock says of its constraints has to fit the manifest, which stays.
        return text.replace(f'specifier = "=={version}"', f'specifier = "=={now}"')


@dataclass(kw_only=True)
class Yard:
    """The registry, whose blobs are below `data`, and what pushes to it."""

    registry: str
    data: Path
    folder: Path
    environ: dict[str, str]
    engine: DockerEngine
    shops: dict[str, Shop] = field(default_factory=dict)
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
        print(f"{change}, {way}: {took:.1f} s", file=sys.stderr, flush=True)

    def ship(self, way: str, *, fresh: bool = False) -> None:
        """Build and push with shipwheel; `fresh`: on a machine that has built nothing before."""
        environ = self.environ
        if fresh:
            folder = tempfile.mkdtemp(dir=self.folder)
            environ = {**environ, "SHIPWHEEL_CACHE_DIR": f"{folder}/cache", "UV_CACHE_DIR": f"{folder}/uv"}
        # Each way has a project of its own, whose code differs: none finds what another one pushed.
        name = f"{self.registry}/{'fresh' if fresh else 'warm'}/shop:latest"
        run([SHIPWHEEL, "push", "--quiet", str(self.shops[way].root), "--tag", name], environ)

    def docker_name(self, way: str) -> str:
        return f"{self.registry}/docker/{slug(way)}:latest"

    def docker(self, way: str, arguments: Sequence[str]) -> None:
        """Build and push with Docker."""
        name = self.docker_name(way)
        words = ["buildx", "build", "--quiet", "--load", "--network=host", "--provenance=false"]
        words += ["--tag", name, *arguments, str(self.shops[way].root)]
        run([self.engine.client, *words], dict(self.engine.environ))
        run([self.engine.client, "push", "--quiet", name], dict(self.engine.environ))


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
        options.write.write_text(replace_table(options.write.read_text(), table))
        print(f"what {options.write} says above the table is yours: date and machine", file=sys.stderr)


def replace_table(page: str, table: str) -> str:
    """Return the page with another table between the marks; what people wrote above the old one stays."""
    head, _, rest = page.partition(BEGIN)
    old, _, tail = rest.partition(END)
    written = old[: old.index("\n|") + 1] if "\n|" in old else "\n"
    return f"{head}{BEGIN}{written}{table}\n{END}{tail}"


def measure_all(folder: Path, registry: str, engine: DockerEngine, repeat: int) -> Yard:
    yard = Yard(
        registry=registry,
        data=folder / "registry" / "data",
        folder=folder,
        environ={**os.environ, "SHIPWHEEL_CACHE_DIR": str(folder / "cache")},
        engine=engine,
    )
    ways: dict[str, Callable[[], None]] = {
        "shipwheel": lambda: yard.ship("shipwheel"),
        "shipwheel, empty cache": lambda: yard.ship("shipwheel, empty cache", fresh=True),
    }
    for way in ways:
        yard.shops[way] = Shop(root=copy_shop(folder, way))
    ways |= docker_ways(yard, make_base(engine, registry, folder))
    prefetch(yard)
    try:
        for round_ in range(repeat):
            # The first push of a round: the older release, in a state that no round before has had.
            push_all(yard, ways, "first push" if round_ == 0 else None, edit=f"round {round_}")
            push_all(yard, ways, "a line of code", edit=f"round {round_}, edited")
            version = f"0.3.{round_ + 1}"
            push_all(yard, ways, "a version bump", edit=f"round {round_}, edited", version=version)
            if round_ == 0:  # afterwards all have it
                push_all(
                    yard,
                    ways,
                    "one dependency (SQLAlchemy)",
                    edit="round 0, edited",
                    version=version,
                    upgraded=True,
                )
            print(f"round {round_ + 1} of {repeat}", file=sys.stderr)
    finally:
        # Each push left one, of which only the last has a name.
        made = engine.docker("image", "ls", "--quiet", f"--filter=reference={registry}/docker/*").split()
        engine.docker("rmi", "--force", f"{registry}/python:3.13-slim", *dict.fromkeys(made), check=False)
    return yard


def docker_ways(yard: Yard, base: str) -> dict[str, Callable[[], None]]:
    """Return the pushes with Docker: the baselines, or what stands in for them."""
    if not (BASELINES / "Dockerfile.blog").is_file():
        print(f"no baselines in {BASELINES}: benchmarks/push.Dockerfile stands in", file=sys.stderr)
        way = "docker build and push"
        yard.shops[way] = Shop(root=copy_shop(yard.folder, way))
        return {way: lambda: push_plain(yard, way, base)}
    found: dict[str, Callable[[], None]] = {}
    for installer, way, arguments in (
        ("poetry", "Dockerfile, Poetry", ("--target", "app")),
        ("uv", "Dockerfile, uv", ()),
    ):
        root = copy_shop(yard.folder, way)
        if installer == "uv":
            use_uv(root)
        (root / "Dockerfile").write_text(baseline(installer, base))
        yard.shops[way] = Shop(root=root)
        found[way] = lambda way=way, arguments=arguments: yard.docker(way, arguments)  # type: ignore[misc]
    return found


def push_plain(yard: Yard, way: str, base: str) -> None:
    """Push benchmarks/push.Dockerfile, which is given the wheels that the lock names, by name and version."""
    project, wheels = yard.shops[way].root, yard.folder / "wheels"
    wheels.mkdir(exist_ok=True)
    plan = json.loads(run([SHIPWHEEL, "plan", "--quiet", "--json", str(project)], yard.environ))
    lines = []
    for wheel in (wheel for layer in plan[0]["layers"] for wheel in layer["wheels"]):
        digest = (wheel["hash"] or "").removeprefix("sha256:")
        if not digest:
            continue
        cached = Path(yard.environ["SHIPWHEEL_CACHE_DIR"], "v1", "files", "sha256", digest[:2], digest)
        if not (wheels / wheel["file"]).exists():
            shutil.copyfile(cached, wheels / wheel["file"])
        lines.append(f"{wheel['name']}=={wheel['version']}")
    write_if_new(project / "requirements.txt", "\n".join(sorted(lines)) + "\n")
    words = ["--build-arg", f"BASE={base}", "--build-context", f"wheels={wheels}"]
    yard.docker(way, [*words, "--file", str(HERE / "push.Dockerfile")])


def copy_shop(folder: Path, way: str) -> Path:
    root = folder / slug(way) / "shop"
    shutil.copytree(ROOT / "examples" / "shop", root, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    return root


def slug(way: str) -> str:
    return re.sub(r"[^a-z]+", "-", way.lower())


def prefetch(yard: Yard) -> None:
    """Download what the laptop needs, and forget what was made of it."""
    shop = yard.shops["shipwheel"]
    for upgraded in (True, False):
        shop.write(edit="download", upgraded=upgraded)
        run([SHIPWHEEL, "build", "--quiet", str(shop.root)], yard.environ)
    for part in ("records", "folders"):
        shutil.rmtree(Path(yard.environ["SHIPWHEEL_CACHE_DIR"], "v1", part))


def push_all(
    yard: Yard,
    ways: dict[str, Callable[[], None]],
    change: str | None,
    *,
    edit: str,
    version: str = "0.3.0",
    upgraded: bool = False,
) -> None:
    for way, push in ways.items():
        yard.shops[way].write(edit=f"{way}: {edit}", version=version, upgraded=upgraded)
        if change is None:
            push()
        else:
            yard.measure(change, way, push)


def run(command: Sequence[str], environ: dict[str, str], folder: Path | None = None) -> str:
    done = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


def write_if_new(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def render_table(yard: Yard) -> str:
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
