"""compose.yaml and docker-bake.hcl at work: services that start, source that is synced, images at once."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.builders import remote_builder
from helpers.command import copy_example
from helpers.docker import DockerEngine
from helpers.road import MIRROR, PLUGIN, Road

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture(scope="module")
def project(road: Road) -> Iterator[Path]:
    root = road.project("served", also=["psycopg", "redis"])
    road.init(root)
    compose = root / "compose.yaml"
    # Builds here reach the loopback index through the host's network.
    compose.write_text(compose.read_text().replace("\n      target:", "\n      network: host\n      target:"))
    yield root
    road.run("dev", "--project", root, "down", "--volumes")


def login(road: Road) -> dict[str, str]:
    return road.as_secrets({key: value for key, value in road.environ.items() if key.startswith("POETRY_")})


def compose(road: Road, root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [road.engine.client, "compose", *words]
    return subprocess.run(
        command, cwd=root, env=road.engine.environ, capture_output=True, text=True, check=False
    )


def running(road: Road, root: Path) -> dict[str, dict[str, Any]]:
    """Return what compose says of each container, stopped ones too."""
    listed = compose(road, root, "--profile", "services", "ps", "--all", "--format", "json").stdout
    return {item["Service"]: item for item in map(json.loads, listed.splitlines())}


@pytest.mark.usefixtures("databases")
def test_the_databases_that_the_lock_hints_at_are_offered_and_healthy(road: Road, project: Path) -> None:
    up = road.run("dev", "--project", project, "up")
    assert up.returncode == 0, up.stderr[-3000:]
    # Offered, and not forced on anybody.
    assert list(running(road, project)) == ["app-dev"]

    up = road.run("dev", "--project", project, "up", "--services")
    assert up.returncode == 0, up.stderr[-3000:]
    services = running(road, project)
    # Neither `builder` nor `app`: these are for building.
    assert sorted(services) == ["app-dev", "postgres", "redis"]
    assert {services[name]["Health"] for name in ("postgres", "redis")} == {"healthy"}
    program = (
        "import socket\n"
        "for address in (('postgres', 5432), ('redis', 6379)): socket.create_connection(address, 10)\n"
        "print('reached')"
    )
    ran = road.run("dev", "--project", project, "run", "python", "-c", program)
    assert ran.stdout == "reached\n", ran.stderr

    down = road.run("dev", "--project", project, "down")
    assert down.returncode == 0
    assert running(road, project) == {}


def test_a_plain_up_starts_no_service_that_is_for_building(road: Road, project: Path) -> None:
    up = compose(road, project, "up", "--detach", "--wait")
    assert up.returncode == 0, up.stderr[-3000:]
    assert list(running(road, project)) == ["app-dev"]
    for service in ("builder", "app"):
        built = compose(road, project, "build", service)
        assert built.returncode == 0, built.stderr[-3000:]
    assert list(running(road, project)) == ["app-dev"]
    assert compose(road, project, "down").returncode == 0


def test_an_edit_is_synced_to_an_engine_that_cannot_mount_the_source(road: Road, project: Path) -> None:
    environ = {**road.engine.environ, **login(road), "SOURCE": "source"}
    command = [road.engine.client, "compose", "up", "--watch", "--build", "app-dev"]
    module = project / "app/__init__.py"
    text = module.read_text()
    log = project.parent / "watch.log"

    def inside() -> str:
        done = compose(road, project, "exec", "--no-TTY", "app-dev", "cat", "/app/app/__init__.py")
        return done.stdout

    with log.open("wb") as file, subprocess.Popen(
        command, cwd=project, env=environ, stdin=subprocess.DEVNULL, stdout=file, stderr=file
    ) as process:  # fmt: skip
        try:
            until(lambda: "Watch enabled" in log.read_text(), 120)
            until(lambda: inside() == text)
            mounts = json.loads(
                road.engine.docker(
                    *("inspect", "--format", "{{json .Mounts}}", f"served-{road.token}-app-dev-1")
                )
            )
            assert {mount["Type"] for mount in mounts} == {"volume"}
            module.write_text(f"{text}# edited\n")
            until(lambda: inside().endswith("# edited\n"))
        finally:
            module.write_text(text)
            process.terminate()
            process.wait(60)
    assert compose(road, project, "down", "--volumes").returncode == 0


def test_what_a_registry_has_is_not_built_again(
    road: Road, project: Path, docker_engine: DockerEngine
) -> None:
    with remote_builder(docker_engine) as builder:
        environ = {
            **builder.environ,
            # compose asks it; all building is the other's.
            "DOCKER_HOST": road.engine.environ["DOCKER_HOST"],
            "BUILDX_BUILDER": builder.name,
            "IMAGES": f"{road.base.partition('/')[0]}/{road.token}",
            **login(road),
        }
        said = []
        for _ in range(2):
            built = subprocess.run(
                [road.engine.client, "compose", "build", "--push", "builder", "app"],
                cwd=project, env=environ, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert built.returncode == 0, built.stderr[-3000:]
            said.append(built.stdout + built.stderr)
            builder.prune()
            (project / "app/__init__.py").write_text("def main() -> None:\n    print('edited')\n")
    assert "Installing parts" in said[0]
    assert "Installing parts" not in said[1]


def test_one_bake_builds_a_monorepos_services(road: Road) -> None:
    root = copy_example("monorepo", road.folder / "baked")
    services = ("greeter", "shouter")
    shutil.copytree(root / "services/greeter", root / "services/shouter")
    for service in services:
        pyproject = root / "services" / service / "pyproject.toml"
        text = pyproject.read_text().replace('name = "greeter"', f'name = "{service}"')
        text = text.replace('greeter = "greeter.cli:main"', f'{service} = "greeter.cli:main"')
        pyproject.write_text(f'{text}\n[tool.shipwheel.base]\nimage = "{road.base}"\n{PLUGIN}')
        if (pinned := root / "services/greeter/shipwheel.lock").exists():
            # Looking the tools up takes long, and they are the same.
            shutil.copy(pinned, pyproject.parent)
        road.init(pyproject.parent)
    login = road.as_secrets(MIRROR)
    files = [word for name in services for word in ("--file", f"services/{name}/docker-bake.hcl")]
    environ = {
        **road.engine.environ,
        "CONTEXT": ".",
        "IMAGES": f"baked-{road.token}",
        **login,
    }
    allow = [f"--allow=fs.read={path}" for path in login.values()]
    command = [road.engine.client, "buildx", "bake", *files, *allow, "--allow=network.host"]
    command.append("--set=*.network=host")
    done = subprocess.run(
        [*command, *services], cwd=root, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for service in services:
        said = road.engine.docker("run", "--rm", f"baked-{road.token}/{service}-app:latest", "Ada")
        assert said == "Hello Ada, you have 3 letters.\n"


def test_a_bake_file_is_used_from_another_folder(road: Road) -> None:
    """Bake takes paths from where it is started: the context of a service on its own is told."""
    names = ["one", "two"]
    for name in names:
        road.init(road.project(f"alone-{name}"))
    titles = [f"alone-{name}-{road.token}" for name in names]
    words = [word for name in names for word in ("--file", f"alone-{name}/docker-bake.hcl")]
    words += [f"--set={title}*.context=alone-{name}" for title, name in zip(titles, names, strict=True)]
    command = [road.engine.client, "buildx", "bake", *words, "--print", *titles]
    done = subprocess.run(
        command, cwd=road.folder, env=road.engine.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    targets = json.loads(done.stdout)["target"]
    assert {name: target["context"] for name, target in targets.items()} == {
        title: f"alone-{name}" for title, name in zip(titles, names, strict=True)
    }
    # Nothing of this machine's is read unless it is named.
    assert all("secret" not in target for target in targets.values())
