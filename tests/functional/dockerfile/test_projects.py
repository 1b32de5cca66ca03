"""Every stage of six kinds of project builds and does its job, whichever of five tools made the lock."""

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers.road import MIRROR, PASSWORD, PLUGIN, PROBE, USER, Road
from helpers.six_projects import COWSAY, SERVICE, SHAPES, TOOLS, Shape, Tool, write_project
from shipwheel.testing.wheels import make_wheel

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]

# As an orchestrator that trusts nobody runs it.
CONFINED = (
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--user=12345:12345",
    "--tmpfs=/tmp",
)
VERSION = {
    "poetry-1.8": ("poetry", "Poetry (version 1.8.5)"),
    "poetry-2": ("poetry", "Poetry (version 2."),
    "uv": ("uv", "uv 0."),
    "pdm": ("pdm", "PDM, version 2."),
    "pip": ("base-python", "Python 3.13"),
}


@dataclass(frozen=True)
class Case:
    """A locked project, and the words that give its tool's login to a build."""

    shape: Shape
    tool: Tool
    root: Path
    environ: dict[str, str]


@pytest.fixture(
    params=[(shape, tool) for shape in SHAPES for tool in TOOLS], ids=lambda it: f"{it[0].name}-{it[1]}"
)
def case(request: pytest.FixtureRequest, road: Road) -> Case:
    shape, tool = request.param
    road.index.add(make_wheel("quorble-parts", "1.0", {"quorble_parts/__init__.py": "COUNT = 41\n"}))
    road.index.add(make_wheel("quorble-checks", "1.0", {"quorble_checks/__init__.py": ""}))
    settings = f'[tool.shipwheel.base]\nimage = "{road.base}"\n'
    root, environ = write_project(
        *(shape, tool, road.folder / f"{shape.name}-{tool}"),
        index=road.index.url,
        login=(USER, PASSWORD),
        settings=settings + (PLUGIN if tool.startswith("poetry") else ""),
    )
    return Case(shape, tool, root, {**environ, **MIRROR})


def build(road: Road, case: Case, target: str) -> str:
    name = f"{case.shape.name}-{case.tool}-{road.token}:1".lower()
    done = road.run(
        *("build", "--quiet", "--engine", "docker", "--target", target, "--tag", name, case.root),
        *("--", "--network=host"),
        environ=case.environ,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.strip()


def test_every_stage_builds_and_does_its_job(road: Road, case: Case, postgres: str) -> None:
    shape = case.shape
    modules = ", ".join(shape.imports)

    program, version = VERSION[case.tool]
    builder = build(road, case, "builder")
    assert road.inside(builder, "--version", entrypoint=program).startswith(version)

    dependencies = build(road, case, "app-pre")
    python = "/app/.venv/bin/python"
    # Projects beside the service are built like itself, later.
    locked = ", ".join(name for name in shape.imports if name not in shape.beside)
    assert road.inside(dependencies, "-c", f"import {locked}; print('there')", entrypoint=python) == "there\n"
    # Production dependencies alone: neither the project nor what only its development needs.
    finding = f"import importlib.util as u; print([n for n in ('service', '{shape.dev}') if u.find_spec(n)])"
    assert road.inside(dependencies, "-c", finding, entrypoint=python, options=["--workdir=/"]) == "[]\n"

    app = build(road, case, "app")
    if shape is SERVICE:
        assert answer_of_service(road, app, postgres, case.tool) == shape.says
    else:
        words = ("run", "--rm", "--network=none", *CONFINED, app)
        assert shape.says in road.engine.docker(*words)
    seen = json.loads(road.inside(app, "-c", PROBE))
    # pandas has a pyproject.toml in its wheel.
    found = [path for path in seen["found"] if "/site-packages/pandas/" not in path]
    assert (seen["pip"], seen["programs"], found, seen["writable"]) == (False, [], [], [])
    assert seen["bytecode"] == ["01000000"]

    before = road.layers(app)
    edit_metadata(case.root)
    assert road.layers(build(road, case, "app"))[:-1] == before[:-1]

    dev = build(road, case, "dev")
    where = f"import {modules}, {shape.dev}, service; print(service.__file__)"
    home = "/src/service" if shape.beside else "/app"
    code = f"{home}/{'src/' if shape.package else ''}service/__init__.py"
    assert road.inside(dev, "-c", where) == f"{code}\n"

    build(road, case, "test")


def edit_metadata(root: Path) -> None:
    """Make a release: another version, in uv's lock too, a description and another tool's setting."""
    pyproject = root / "pyproject.toml"
    text = pyproject.read_text()
    released = text.replace('version = "1.0"\n', 'version = "1.0.1"\ndescription = "Released."\n', 1)
    # Poetry 1 wants a description, so there is one.
    pyproject.write_text(released.replace('description = ""\n', "") + "[tool.ruff]\nline-length = 100\n")
    lock = root / "uv.lock"
    if lock.exists():
        before, own, after = lock.read_text().partition('name = "service"\nversion = "1.0')
        lock.write_text(f"{before}{own}.1{after}" if own else before)


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool != "pip"])
def test_a_stale_lock_is_refused_by_its_own_tool(road: Road, tool: Tool) -> None:
    more = PLUGIN if tool.startswith("poetry") else ""
    root, environ = write_project(
        *(COWSAY, tool, road.folder / f"stale-{tool}"),
        index=road.index.url,
        login=(USER, PASSWORD),
        settings=f'[tool.shipwheel.base]\nimage = "{road.base}"\n{more}',
    )
    pyproject = root / "pyproject.toml"
    text = pyproject.read_text()
    assert ">=6" in text
    pyproject.write_text(text.replace(">=6", ">=5"))
    # Ours would refuse it before the engine does.
    words = ("build", "--frozen", "--quiet", "--engine", "docker", root, "--", "--network=host")
    done = road.run(*words, environ={**environ, **MIRROR})
    assert (done.returncode, done.stdout) == (9, ""), done.stderr[-3000:]
    assert "in the step app-pre" in done.stderr
    assert "hint: lock the project again" in done.stderr


def answer_of_service(road: Road, image: str, postgres: str, tool: str) -> str:
    """Start the service beside its database, and return its first answer."""
    port, name = free_port(), f"web-{tool}-{road.token}"
    database = f"postgresql+psycopg://app@127.0.0.1:{postgres}/{tool}"
    make = ("exec", f"postgres-{road.token}", "createdb", "-h", "127.0.0.1", "-p", postgres, "-U", "app")
    road.engine.docker(*make, tool)
    road.engine.docker(
        *("run", "--detach", "--name", name, "--network=host", *CONFINED),
        *("--env", f"PORT={port}", "--env", f"DATABASE={database}", image),
    )
    try:
        return first_answer(f"http://127.0.0.1:{port}/")
    except TimeoutError:
        raise AssertionError(road.engine.docker("logs", name)) from None
    finally:
        road.engine.docker("rm", "--force", name)


def first_answer(url: str, seconds: float = 60) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError:
            raise
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(url)


@pytest.fixture(scope="module")
def postgres(road: Road, databases: None) -> Iterator[str]:
    """Give the port of a PostgreSQL, in a container of the machine's network."""
    port, name = str(free_port()), f"postgres-{road.token}"
    start = "initdb -D /tmp/data --username=app > /dev/null && exec postgres -D /tmp/data -c listen_addresses=127.0.0.1"
    road.engine.docker(
        *("run", "--detach", "--name", name, "--network=host", "--entrypoint", "sh", "postgres:17-alpine"),
        *("-c", f"{start} -c unix_socket_directories=/tmp -p {port}"),
    )
    ready = ("exec", name, "pg_isready", "-h", "127.0.0.1", "-p", port)
    try:
        deadline = time.monotonic() + 60
        while "accepting" not in road.engine.docker(*ready, check=False):
            assert time.monotonic() < deadline, road.engine.docker("logs", name)
            time.sleep(0.2)
        yield port
    finally:
        road.engine.docker("rm", "--force", name)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
