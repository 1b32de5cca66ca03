"""Measure the rendered Dockerfiles against a hand-written one for Poetry and a hand-tuned one for uv.

Same engine, same base, same locked versions, one run, in turns. Prints a table: seconds of `docker build` for a cold
build (also in processor seconds, which other work on the machine changes less), no change, an edited line, a new
version, one upgraded dependency; the image's size, and what a registry is sent of it first and after the upgrade.

    make bench-dockerfile          (python benchmarks/dockerfile.py [--repeat 3] [--write docs/...])

The two baselines are read from ../shared/baseline beside the repository (SHIPWHEEL_BASELINES names another folder).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests")]

from packaging.markers import Marker  # noqa: E402
from pypi_simple import PYPI_SIMPLE_ENDPOINT  # noqa: E402

from helpers.docker import DockerEngine, docker_engine  # noqa: E402
from helpers.registry import docker_registry  # noqa: E402
from helpers.stand_in import python_slim  # noqa: E402

BASELINES = Path(os.environ.get("SHIPWHEEL_BASELINES", ROOT.parent / "shared/baseline"))
BIN = Path(sys.executable).parent
BUNDLE = Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))
# A small package that another one brings along: nothing but the lock names it.
UPGRADED, OLDER = "tzdata", "2025.2"
KINDS = ("cold", "cold, processor", "no change", "edit a line", "new version", "one dependency")
SIZES = ("on disk", "above the base", "sent for it")
# Where Docker counts what its containers use, by the kernel's cgroup version: nanoseconds, or a file of them.
CGROUPS = (Path("/sys/fs/cgroup/cpuacct/docker/cpuacct.usage"), Path("/sys/fs/cgroup/docker/cpu.stat"))


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A Dockerfile and the project that it builds."""

    name: str
    project: Path
    arguments: tuple[str, ...]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    if not (BASELINES / "Dockerfile.blog").is_file():
        print(
            f"there are no baselines in {BASELINES}; SHIPWHEEL_BASELINES names their folder", file=sys.stderr
        )
        return 2
    with tempfile.TemporaryDirectory() as text, docker_engine() as engine:
        folder = Path(text)
        registry = folder / "registry"
        registry.mkdir()
        with docker_registry(registry) as address:
            base = make_base(engine, address, folder)
            variants = make_variants(folder, base)
            cold = measure_cold(engine, variants, options.repeat)
            table = render(
                [
                    (variant, {**cold[variant.name], **measure(engine, variant, options.repeat, address)})
                    for variant in variants
                ]
            )
    print(table)
    if options.write is not None:
        options.write.write_text(table, "utf-8")
    return 0


def make_base(engine: DockerEngine, address: str, folder: Path) -> str:
    """Push the stand-in with this machine's certificates and index in it: all variants have the same."""
    loaded = engine.docker("load", "--quiet", "--input", str(python_slim("3.13")))
    shutil.copy(BUNDLE, folder / "ca.pem")
    (folder / "Base").write_text(
        f"FROM {loaded.rpartition('image: ')[2].strip()}\nCOPY ca.pem /etc/ssl/ca.pem\n"
        "ENV PIP_CERT=/etc/ssl/ca.pem SSL_CERT_FILE=/etc/ssl/ca.pem REQUESTS_CA_BUNDLE=/etc/ssl/ca.pem "
        f"POETRY_PYPI_MIRROR_URL={PYPI_SIMPLE_ENDPOINT}\n"
        # What an earlier run left in the engine's cache must not make this one look quick.
        f"ENV BENCHMARK_RUN={time.time_ns()}\n"
        # As the original: with useradd, and a pip that pip may replace.
        "RUN apt-get update -qq && apt-get install -qq passwd && rm -rf /var/lib/apt/lists/* "
        "&& python3 -m pip install --quiet --ignore-installed pip packaging\n"
    )
    image = f"{address}/python:3.13-slim"
    engine.docker(
        "build", "--quiet", "--network=host", "--tag", image, "--file", str(folder / "Base"), str(folder)
    )
    engine.docker("push", "--quiet", image)
    return image


def make_variants(folder: Path, base: str) -> list[Variant]:
    data = ROOT / "benchmarks/data"
    variants = []
    for name, installer in (
        ("hand-written, Poetry", "poetry"),
        ("ours, Poetry", "poetry"),
        ("hand-tuned, uv", "uv"),
        ("ours, uv", "uv"),
    ):
        project = folder / name.replace(", ", "-")
        shutil.copytree(data, project, ignore=shutil.ignore_patterns("shipwheel.lock", ".*"))
        if installer == "uv":
            use_uv(project)
        if name.startswith("ours"):
            settings = f'\n[tool.shipwheel.base]\nimage = "{base}"\n'
            if installer == "poetry":
                settings += '[tool.shipwheel.dockerfile]\nplugins = ["poetry-plugin-pypi-mirror"]\n'
            with (project / "pyproject.toml").open("a") as file:
                file.write(settings)
            environ = {**os.environ, "SHIPWHEEL_CACHE_DIR": str(folder / "cache")}
            subprocess.run(
                [BIN / "shipwheel", "init", "--quiet", project], env=environ, stdout=sys.stderr, check=True
            )
            variants.append(Variant(name=name, project=project, arguments=("--target", "app")))
        else:
            (project / "Dockerfile").write_text(baseline(installer, base))
            stage = ("--target", "app") if installer == "poetry" else ()
            variants.append(Variant(name=name, project=project, arguments=stage))
    return variants


def baseline(installer: str, base: str) -> str:
    """Return the baseline's Dockerfile for `installer` (poetry or uv) on the image `base`."""
    file_name = "Dockerfile.blog" if installer == "poetry" else "Dockerfile.uv"
    text = (BASELINES / file_name).read_text("utf-8")
    text = re.sub(r"(?m)^FROM python:\S+", f"FROM {base}", text)
    # Its pins of 2023 do not run on this Python; and this machine's index needs the plugin.
    text = text.replace("POETRY_VERSION=1.5.1", "POETRY_VERSION=2.5.1").replace(
        "PIPX_VERSION=1.2.0", "PIPX_VERSION=1.18.4"
    )
    return text.replace(
        "poetry==${POETRY_VERSION}\n",
        "poetry==${POETRY_VERSION} && pipx inject poetry poetry-plugin-pypi-mirror\n",
    )


def use_uv(project: Path) -> None:
    """Lock with uv what poetry.lock has for the base's Python: the same versions of everything."""
    locked = tomllib.loads((project / "poetry.lock").read_text("utf-8"))["package"]
    on_base = {"python_version": "3.13", "python_full_version": "3.13.5"}
    pins = [
        f"{package['name']}=={package['version']}"
        for package in locked
        if "markers" not in package or Marker(package["markers"]).evaluate(on_base)
    ]
    pyproject = project / "pyproject.toml"
    uv = f"constraint-dependencies = {json.dumps(pins)}\nenvironments = [\"python_version == '3.13'\"]\n"
    pyproject.write_text(f"{pyproject.read_text()}\n[tool.uv]\n{uv}")
    (project / "poetry.lock").unlink()
    subprocess.run([BIN / "uv", "lock", "--quiet"], cwd=project, check=True)


def downgrade(project: Path) -> None:
    """Lock an older version of one dependency."""
    if (project / "uv.lock").exists():
        pyproject = project / "pyproject.toml"
        pyproject.write_text(re.sub(rf"{UPGRADED}==[0-9.]+", f"{UPGRADED}=={OLDER}", pyproject.read_text()))
        subprocess.run([BIN / "uv", "lock", "--quiet"], cwd=project, check=True)
        return
    compiled = subprocess.run(
        [BIN / "uv", "pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--no-annotate", "-"],
        input=f"{UPGRADED}=={OLDER}", capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    wheel, sdist = re.findall(r"sha256:[0-9a-f]{64}", compiled)
    lock = project / "poetry.lock"
    blocks = re.split(r"(?m)^(?=\[\[package\]\]$)", lock.read_text())
    for number, block in enumerate(blocks):
        if f'name = "{UPGRADED}"' in block:
            text = re.sub(r'(?m)^version = ".*"$', f'version = "{OLDER}"', block)
            # Either order may be right: both hashes for both files.
            names = (f"{UPGRADED}-{OLDER}-py2.py3-none-any.whl", f"{UPGRADED}-{OLDER}.tar.gz")
            files = "".join(
                f'    {{file = "{name}", hash = "{value}"}},\n' for name in names for value in (wheel, sdist)
            )
            blocks[number] = re.sub(r"(?ms)^files = \[.*?^\]$", f"files = [\n{files}]", text)
    lock.write_text("".join(blocks))


def measure_cold(engine: DockerEngine, variants: list[Variant], repeat: int) -> dict[str, dict[str, float]]:
    """Return median seconds and processor seconds of builds from nothing: the variants take turns."""
    found: dict[str, list[tuple[float, float]]] = {variant.name: [] for variant in variants}
    for _ in range(repeat):
        for variant in variants:
            engine.docker("builder", "prune", "--force", "--filter", "type=exec.cachemount")
            used = processor_seconds()
            seconds = build(engine, variant, "--no-cache")
            found[variant.name].append((seconds, processor_seconds() - used))
            print(f"{variant.name}: cold {found[variant.name][-1]}", file=sys.stderr, flush=True)
    return {
        name: dict(zip(KINDS[:2], map(statistics.median, zip(*pairs, strict=True)), strict=True))
        for name, pairs in found.items()
    }


def measure(engine: DockerEngine, variant: Variant, repeat: int, address: str) -> dict[str, float]:
    """Return median seconds for each kind of change, and the image's size in MB: on disk, and what is sent."""
    project = variant.project
    code, pyproject = project / "src/report/main.py", project / "pyproject.toml"
    lock = next(path for path in (project / "uv.lock", project / "poetry.lock") if path.exists())

    def edit(number: int) -> None:
        code.write_text(code.read_text() + f"# {number}\n")

    def bump(number: int) -> None:
        for path in (pyproject, lock) if lock.name == "uv.lock" else (pyproject,):
            text = path.read_text()
            own = text.index('name = "report"')
            path.write_text(
                text[:own] + re.sub(r'version = "[^"]*"', f'version = "2.0.{number}"', text[own:], count=1)
            )

    def upgrade(number: int) -> None:
        if number == 0:
            downgrade(project)

    plans: tuple[tuple[str, int, Callable[[int], None]], ...] = (
        ("no change", repeat, lambda _: None),
        ("edit a line", repeat, edit),
        ("new version", repeat, bump),
        ("one dependency", 1, upgrade),
    )
    found = {}
    build(engine, variant)  # the other variants have had their turns since
    before = push(engine, address, variant)
    for kind, times, change in plans:
        seconds = []
        for number in range(times):
            change(number)
            seconds.append(build(engine, variant))
        found[kind] = statistics.median(seconds)
        print(f"{variant.name}: {kind} {seconds}", file=sys.stderr, flush=True)
    after = push(engine, address, variant)
    base = set(layers(address, "python", "3.13-slim"))
    found["on disk"] = int(engine.docker("image", "inspect", "--format", "{{.Size}}", "bench")) / 1e6
    found["above the base"] = sum(size for digest, size in before.items() if digest not in base) / 1e6
    found["sent for it"] = sum(size for digest, size in after.items() if digest not in before) / 1e6
    return found


def push(engine: DockerEngine, address: str, variant: Variant) -> dict[str, int]:
    """Push the image that was built last; return its layers."""
    name = variant.name.lower().replace(", ", "-")
    engine.docker("tag", "bench", f"{address}/{name}")
    engine.docker("push", "--quiet", f"{address}/{name}")
    return layers(address, name, "latest")


def layers(address: str, name: str, tag: str) -> dict[str, int]:
    """Return digests and compressed sizes in bytes of the layers of an image in the registry."""
    kinds = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
    request = urllib.request.Request(f"http://{address}/v2/{name}/manifests/{tag}", headers={"Accept": kinds})
    with urllib.request.urlopen(request) as answer:
        return {layer["digest"]: layer["size"] for layer in json.load(answer)["layers"]}


def build(engine: DockerEngine, variant: Variant, *words: str) -> float:
    """Build the variant; return the seconds that it took."""
    command = [engine.client, "build", "--quiet", "--network=host", "--tag", "bench", *words]
    os.sync()  # what the build before has still to write is not this one's
    begun = time.perf_counter()
    done = subprocess.run(
        [*command, *variant.arguments, str(variant.project)],
        env=engine.environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - begun
    if done.returncode != 0:
        print(done.stderr[-3000:], file=sys.stderr)
        raise SystemExit(f"{variant.name} failed")
    return seconds


def processor_seconds() -> float:
    """Return what Docker's containers and its daemons have used until now; nan where nobody counts it."""
    counter = next((path for path in CGROUPS if path.is_file()), None)
    if counter is None:
        return math.nan
    text = counter.read_text()
    used = int(text) / 1e9 if text.strip().isdigit() else int(text.split()[1]) / 1e6
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, fields = status.read_text().partition("(")[2].rpartition(") ")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        if name in ("dockerd", "containerd"):
            used += sum(map(int, fields.split()[11:13])) / os.sysconf("SC_CLK_TCK")
    return used


def render(rows: list[tuple[Variant, dict[str, float]]]) -> str:
    lines = [
        "<!-- Written by `make bench-dockerfile`. -->",
        "# The Dockerfile road, measured",
        "",
        f"Seconds of `docker build` of a data service (numpy, pandas, pyarrow, scikit-learn) on {os.cpu_count()} processors;",
        f"load average of five minutes at the end: {os.getloadavg()[1]:.1f}. Differences under 15 % mean nothing.",
        "",
        f"| seconds | {' | '.join(KINDS)} |",
        f"|---|{'---|' * len(KINDS)}",
        *(row(variant, found, KINDS) for variant, found in rows),
        "",
        "What an image takes on disk; what of it is above the base, compressed; what a registry is sent for the one dependency.",
        "",
        f"| MB | {' | '.join(SIZES)} |",
        f"|---|{'---|' * len(SIZES)}",
        *(row(variant, found, SIZES) for variant, found in rows),
    ]
    return "\n".join(lines) + "\n"


def row(variant: Variant, found: dict[str, float], kinds: tuple[str, ...]) -> str:
    return f"| {variant.name} | {' | '.join(f'{found[kind]:.1f}' for kind in kinds)} |"


if __name__ == "__main__":
    sys.exit(main())
