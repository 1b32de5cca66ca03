"""The build argument for Python: another one than the project was planned for, with every tool."""

import subprocess

import pytest

from helpers.road import MIRROR, PASSWORD, PLUGIN, USER, Road
from helpers.six_projects import COWSAY, TOOLS, Tool, write_project
from helpers.stand_in import python_slim
from helpers.tools import require_tool

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]


@pytest.fixture(scope="module")
def other_base(road: Road) -> str:
    """Give python:3.11-slim, beside the base in its registry."""
    image = f"{road.base.rpartition(':')[0]}:3.11-slim"
    source = f"docker-archive:{python_slim('3.11')}"
    push = [require_tool("skopeo"), "copy", "--quiet", "--dest-tls-verify=false", source, f"docker://{image}"]
    subprocess.run(push, check=True)
    return image


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.usefixtures("other_base")
def test_another_python_is_an_argument(road: Road, tool: Tool) -> None:
    root, environ = write_project(
        *(COWSAY, tool, road.folder / f"another-python-{tool}"),
        index=road.index.url,
        login=(USER, PASSWORD),
        settings=f'[tool.shipwheel.base]\nimage = "{road.base}"\n'
        + (PLUGIN if tool.startswith("poetry") else ""),
    )
    words = ("--build-arg", "PYTHON_VERSION=3.11", "--build-arg", "PYTHON_DIGEST=")
    program = "import cowsay, service, sys; print(sys.version_info[:2])"
    for target in ("app", "dev"):
        tag = f"another-python-{tool}-{target}-{road.token}"
        done = road.run(
            *("build", "--quiet", "--engine", "docker", "--target", target, root),
            *("--", "--network=host", "--tag", tag, *words),
            environ={**environ, **MIRROR},
        )
        assert done.returncode == 0, done.stderr[-4000:]
        assert road.inside(tag, "-c", program) == "(3, 11)\n"
