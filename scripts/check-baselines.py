"""Check images of two other Dockerfiles beside ours, and write what was found as a table.

    make check-baselines          (python scripts/check-baselines.py [--only A] [--write docs/check-baselines.md])

The Dockerfiles are read from ../shared/baseline beside the repository (SHIPWHEEL_BASELINES names another folder);
without them there is nothing to do. Needs a Docker engine, an index and a Debian mirror.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]

from dockerfile import BASELINES, BUNDLE, use_uv  # noqa: E402
from pypi_simple import PYPI_SIMPLE_ENDPOINT  # noqa: E402

from helpers.docker import DockerEngine, docker_engine  # noqa: E402
from helpers.registry import docker_registry  # noqa: E402
from helpers.stand_in import python_slim  # noqa: E402
from shipwheel.cache import Cache  # noqa: E402
from shipwheel.cli.checking import ImageMachine  # noqa: E402
from shipwheel.engine.detect import find_runner  # noqa: E402
from shipwheel.images import Opener, open_image  # noqa: E402
from shipwheel.net import Http  # noqa: E402
from shipwheel.oci.registry.client import RegistryClient  # noqa: E402
from shipwheel.plan.host import default_platform  # noqa: E402
from shipwheel.verify.check import Question, make_subject  # noqa: E402
from shipwheel.verify.measure import Entry, measure_imports  # noqa: E402
from shipwheel.verify.model import PROMISES, SEVERITIES  # noqa: E402

PROJECTS = {
    "A": ("a command (cowsay)", ROOT / "examples/hello", "hello.cli"),
    "B": ("a web service", ROOT / "examples/shop", "shop.main"),
    "C": ("a data service", ROOT / "benchmarks/data", "report.main"),
}
RUNNER = "unshare"
# The stand-in as the original is: one pip, the tools that Dockerfiles call, no lists and caches; one layer.
BASE = """\
FROM {image} AS made
COPY ca.pem /etc/ssl/ca.pem
ENV PIP_CERT=/etc/ssl/ca.pem
RUN apt-get update -qq && apt-get install -qq passwd \\
 && python3 -m pip install --quiet --ignore-installed --no-compile pip \\
 && rm -rf /usr/lib/python3/dist-packages/pip* /usr/lib/python3/dist-packages/packaging* \\
      /var/lib/apt/lists/* /var/cache/apt/* /var/lib/dpkg/*-old /root/.cache \\
 && find / -xdev -name __pycache__ -type d -prune -exec rm -rf {{}} +
FROM scratch
COPY --from=made / /
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 PIP_CERT=/etc/ssl/ca.pem \\
    SSL_CERT_FILE=/etc/ssl/ca.pem REQUESTS_CA_BUNDLE=/etc/ssl/ca.pem POETRY_PYPI_MIRROR_URL={index}
CMD ["python3"]
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One image: what it is of, who made it, its report, and the seconds of its program's imports."""

    project: str
    maker: str
    report: dict[str, Any]
    seconds: float | None
    how: str


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=PROJECTS)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    if not (BASELINES / "Dockerfile.blog").is_file():
        print(f"skipped: there are no baselines in {BASELINES}", file=sys.stderr)
        return 0
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as text, docker_engine() as engine:
        folder = Path(text)
        (folder / "registry").mkdir()
        with docker_registry(folder / "registry") as address:
            base = make_base(engine, address, folder)
            for project in options.only or PROJECTS:
                for maker in ("blog", "uv"):
                    rows.append(
                        check_baseline(
                            project, maker, base=base, address=address, folder=folder, engine=engine
                        )
                    )
                    print_row(rows[-1])
                rows.append(check_ours(project, address, folder))
                print_row(rows[-1])
            engine.docker("image", "rm", "--force", base)
    page = render(rows)
    if options.write is None:
        print(page)
    else:
        options.write.write_text(page, "utf-8")
    return 0


def make_base(engine: DockerEngine, address: str, folder: Path) -> str:
    """Push the base that both Dockerfiles stand on, with this machine's certificates and index."""
    loaded = engine.docker("load", "--quiet", "--input", str(python_slim("3.13")))
    shutil.copy(BUNDLE, folder / "ca.pem")
    name = loaded.rpartition("image: ")[2].strip()
    (folder / "Base").write_text(BASE.format(image=name, index=PYPI_SIMPLE_ENDPOINT))
    image = f"{address}/python:3.13-slim"
    words = ["--quiet", "--network=host", "--tag", image, "--file", str(folder / "Base"), str(folder)]
    engine.docker("build", *words)
    engine.docker("push", "--quiet", image)
    return image


def check_baseline(
    project: str, maker: str, *, base: str, address: str, folder: Path, engine: DockerEngine
) -> Row:
    _, source, module = PROJECTS[project]
    copy = folder / f"{project}-{maker}"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("shipwheel.lock", ".*", "__pycache__"))
    if maker == "uv":
        use_uv(copy)
    text = (BASELINES / f"Dockerfile.{maker}").read_text("utf-8")
    original = re.sub(r"(?m)^FROM python:\S+", f"FROM {base}", text)
    # Its pins of 2023 do not run on this Python; and this machine's index needs the plugin.
    runs = original.replace("POETRY_VERSION=1.5.1", "POETRY_VERSION=2.5.1")
    runs = runs.replace("PIPX_VERSION=1.2.0", "PIPX_VERSION=1.18.4")
    runs = runs.replace(
        "poetry==${POETRY_VERSION}\n",
        "poetry==${POETRY_VERSION} && pipx inject poetry poetry-plugin-pypi-mirror\n",
    )
    (copy / "Dockerfile").write_text(runs)
    # What is checked is the Dockerfile as its author wrote it.
    (folder / f"Dockerfile.{maker}").write_text(text)
    image = f"{address}/{maker}-{project.lower()}:latest"
    stage = ["--target", "app"] if maker == "blog" else []
    engine.docker("build", "--quiet", "--network=host", "--tag", image, *stage, str(copy))
    engine.docker("push", "--quiet", image)
    engine.docker("image", "rm", "--force", image)
    words = [image, "--project", str(copy), "--dockerfile", str(folder / f"Dockerfile.{maker}")]
    if maker == "blog":
        words += ["--compose", str(BASELINES / "compose.blog.yml")]
    report = check(words)
    entry = Entry(modules=(module,), paths=("/app/src",))
    seconds, how = imports(image, entry)
    keep(report, f"{project}-{maker}")
    return Row(project=project, maker=maker, report=report, seconds=seconds, how=how)


def keep(report: dict[str, Any], name: str) -> None:
    """Keep the whole report where SHIPWHEEL_REPORTS says, for whoever doubts a finding."""
    if "SHIPWHEEL_REPORTS" in os.environ:
        path = Path(os.environ["SHIPWHEEL_REPORTS"], f"{name}.json")
        path.write_text(json.dumps(report, indent=1), "utf-8")


def check_ours(project: str, address: str, folder: Path) -> Row:
    _, source, module = PROJECTS[project]
    copy = folder / f"{project}-ours"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("shipwheel.lock", ".*", "__pycache__"))
    image = f"{address}/ours-{project.lower()}:latest"
    program = [sys.executable, "-m", "shipwheel", "build", str(copy), "--tag", image, "--push", "--quiet"]
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
    report = check([image, "--project", str(copy)])
    seconds, how = imports(image, Entry(modules=(module,)))
    keep(report, f"{project}-ours")
    return Row(project=project, maker="shipwheel", report=report, seconds=seconds, how=how)


def check(words: list[str]) -> dict[str, Any]:
    program = [sys.executable, "-m", "shipwheel", "check", *words, "--run", "--runner", RUNNER]
    done = subprocess.run(
        [*program, "--format", "json", "--fail-on", "never", "--quiet"],
        check=True,
        capture_output=True,
        text=True,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def imports(name: str, entry: Entry) -> tuple[float | None, str]:
    environ = dict(os.environ)
    opener = Opener(
        registry=lambda: RegistryClient.from_environ(
            environ, Http.from_environ(environ), Cache.default(environ)
        ),
        environ=environ,
    )
    with open_image(name, opener) as opened:
        image = opened.image_for(None, default=default_platform())
        runner = find_runner(environ, RUNNER, cache=Cache.default(environ))
        subject = make_subject(Question(image=image, name=name))
        found = measure_imports(subject, ImageMachine(image=image.image, runner=runner), entry)
    # Processor time: how busy this machine is does not matter much then.
    cpu = re.search(r"processor time (\d+\.\d+) s", found.detail)
    return None if cpu is None else float(cpu[1]), found.reason or found.detail


def print_row(row: Row) -> None:
    print("\t".join(cells(row)), file=sys.stderr, flush=True)
    for finding in row.report["findings"]:
        print(
            f"    {finding['severity']} {finding['code']}: {finding['message']}", file=sys.stderr, flush=True
        )


def cells(row: Row) -> list[str]:
    kept, broken = 0, set()
    numbers = []
    for promise in PROMISES:
        found = [item for item in row.report["findings"] if item["promise"] == promise]
        counts = [sum(item["severity"] == severity for item in found) for severity in SEVERITIES]
        numbers.append("/".join(map(str, counts)) if any(counts) else "-")
        kept += sum(rule["promise"] == promise for rule in row.report["passed"])
        broken |= {item["code"] for item in found}
    return [
        f"{row.project}, {row.maker}",
        *numbers,
        f"{kept} of {kept + len(broken)}",
        f"{row.report['size'] / 1e6:.1f}",
        "-" if row.seconds is None else f"{row.seconds:.2f}",
    ]


def render(rows: list[Row]) -> str:
    lines = [
        "<!-- Written by `make check-baselines`. -->",
        "# `shipwheel check` over other people's images, and ours",
        "",
        "The same three projects with the same locked versions, each as an image of a Dockerfile from a tutorial on Poetry",
        "(*blog*), of one tuned by hand with uv (*uv*), and of `shipwheel build`. The first two stand on one base: Debian's",
        "Python with pip and apt, made here in the place of `python:3.13-slim`; the tutorial's pins of 2023 are lifted as far",
        "as that Python needs it. Its Dockerfile and compose file are judged as they were written. All three run without an",
        "engine (`--run --runner unshare`).",
        "",
        *(f"- {key}: {what}" for key, (what, _, _) in PROJECTS.items()),
        "",
        "Findings are errors/warnings/notes. *Kept* counts the rules that could be checked and hold. MB are those to pull,",
        "base included. *Imports* are seconds of processor time until the program's modules are imported, the mean of five. Project B accepts `debug-symbols` of its wheels, in all three images. In the lines below they are wall time, on a machine that did other things too.",
        "",
        "| | secure | small | fast | flexible | stable | kept | MB | imports |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(cells(row))} |" for row in rows]
    for row in rows:
        lines += ["", f"## {row.project}, {row.maker}", ""]
        lines += [
            f"- {item['severity']} `{item['code']}`: {plain(item['message'])}"
            for item in row.report["findings"]
        ] or ["No finding."]
        lines += ["", f"Imports: {plain(row.how)}."]
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    return re.sub(r"([*_<>|`])", r"\\\1", text)


if __name__ == "__main__":
    sys.exit(main())
