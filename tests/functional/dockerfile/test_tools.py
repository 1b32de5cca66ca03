"""The same stages for every tool and shape of project: each builds and runs."""

import shutil
import tomllib
from pathlib import Path

import pytest

from helpers.command import copy_example, uv
from helpers.lock_corpus import run_tool
from helpers.road import MIRROR, PLUGIN, Road
from shipwheel.testing.projects import content_hash

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]


def example(name: str, road: Road) -> Path:
    """Copy an example to where no project of the road's own lies."""
    return copy_example(name, road.folder / "examples")


def on_base(project: Path, road: Road, more: str = "") -> Path:
    with (project / "pyproject.toml").open("a") as file:
        file.write(f'\n[tool.shipwheel.base]\nimage = "{road.base}"\n{more}')
    return project


def build(road: Road, project: Path, target: str = "app") -> str:
    words = (
        *("build", "--quiet", "--engine", "docker", "--target", target),
        *("--tag", f"{project.name}-{road.token}:1", project, "--", "--network=host"),
    )
    done = road.run(*words, environ=MIRROR)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.strip()


def test_a_package_of_the_projects_own_is_a_wheel_beside_the_service(road: Road) -> None:
    root = example("monorepo", road) / "services/greeter"
    image = build(road, on_base(root, road, PLUGIN))
    assert road.engine.docker("run", "--rm", image, "Ada") == "Hello Ada, you have 3 letters.\n"
    # In memory: nothing was written beside the lock.
    assert not (root / "Dockerfile").exists()


def test_an_application_that_is_no_package_is_copied(road: Road) -> None:
    root = on_base(example("legacy", road), road, PLUGIN)
    image = build(road, root)
    assert "3         9" in road.engine.docker("run", "--rm", image, "--rows", "3")
    listed = road.inside(image, "-lR", "/app", entrypoint="ls")
    assert "poetry.lock" not in listed
    assert "pyproject.toml" not in listed


def test_poetry_1_installs_its_own_locks(road: Road) -> None:
    root = road.project("poetry1", style="poetry")
    lock, data = root / "poetry.lock", tomllib.loads((root / "pyproject.toml").read_text())
    text = lock.read_text().replace("Poetry 2.5.1", "Poetry 1.8.5").replace('"2.1"', '"2.0"')
    # Poetry 1 hashes less of the file.
    lock.write_text(text)
    assert content_hash(data) in text
    image = build(road, root)
    assert road.engine.docker("run", "--rm", image) == "42 1\n"
    assert "1.8.5" in road.inside(build(road, root, target="builder"), "--version", entrypoint="poetry")


def test_pdm_installs_from_its_lock(road: Road) -> None:
    image = build(road, on_base(example("pdm", road), road))
    assert road.engine.docker("run", "--rm", image, "--days", "2").count("weekday") == 2


def test_pip_installs_hashed_requirements(road: Road) -> None:
    image = build(road, on_base(example("pip-tools", road), road))
    assert road.inside(image, "-c", "import quotes.app; print(quotes.app.__name__)") == "quotes.app\n"


def test_a_member_of_a_uv_workspace_brings_its_sister_and_a_bump_touches_no_dependency(road: Road) -> None:
    root = example("uv-workspace", road)
    uv("lock", "--quiet", "--project", root)
    member = on_base(root / "packages/api", road)
    image = build(road, member)
    before = road.layers(image)
    assert '"Ada"' in road.engine.docker("run", "--rm", image, "Ada")
    for path in (member / "pyproject.toml", root / "uv.lock"):
        text = path.read_text()
        own = text.index('name = "api"')
        path.write_text(text[:own] + text[own:].replace('version = "', 'version = "9', 1))
    assert road.layers(build(road, member))[:-1] == before[:-1]


def test_a_service_with_a_database_answers_and_its_suite_runs(road: Road) -> None:
    root = on_base(example("shop", road), road, PLUGIN)
    image = build(road, root)
    program = (
        "from fastapi.testclient import TestClient; from shop.main import app\n"
        "with TestClient(app) as client: print(client.get('/healthz').status_code)"
    )
    assert road.inside(image, "-c", program) == "200\n"
    build(road, root, target="test")
    shutil.rmtree(root)


def test_a_pylock_is_installed_by_uv(road: Road) -> None:
    root = road.folder / "pylocked"
    (root / "src/pylocked").mkdir(parents=True)
    (root / "src/pylocked/__init__.py").write_text(
        "import click\n\n\ndef main() -> None:\n    click.echo(f'click {click.__name__}')\n"
    )
    (root / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "pylocked"\nversion = "1.0"\nrequires-python = ">=3.11"\ndependencies = ["click>=8"]\n'
        '[project.scripts]\npylocked = "pylocked:main"\n'
        f'[tool.shipwheel.base]\nimage = "{road.base}"\n'
    )
    exported = uv("export", "--quiet", "--project", root, "--format", "pylock.toml", "--no-emit-project")
    (root / "uv.lock").unlink()
    (root / "pylock.toml").write_text(exported)
    assert road.engine.docker("run", "--rm", build(road, root)) == "click click\n"
    where = "import pylocked; print(pylocked.__file__)"
    assert road.inside(build(road, root, target="dev"), "-c", where) == "/app/src/pylocked/__init__.py\n"


def test_a_member_of_a_pdm_workspace_brings_its_sister(road: Road) -> None:
    root = road.folder / "pdm-workspace"
    head = '[project]\nname = "{}"\nversion = "1.0"\nrequires-python = ">=3.11"\ndependencies = {}\n'
    back_end = '[build-system]\nrequires = ["pdm-backend"]\nbuild-backend = "pdm.backend"\n'
    for path, name, text, needs in (
        ("packages/letters", "letters", "COUNT = 3\n", '["click>=8"]'),
        (
            ".",
            "service",
            "import click\nimport letters\n\n\ndef main() -> None:\n    click.echo(str(letters.COUNT))\n",
            '["letters"]',
        ),
    ):
        (root / path / "src" / name).mkdir(parents=True)
        (root / path / "src" / name / "__init__.py").write_text(text)
        (root / path / "pyproject.toml").write_text(head.format(name, needs) + back_end)
    with (root / "pyproject.toml").open("a") as file:
        file.write(
            '[project.scripts]\nservice = "service:main"\n[tool.pdm.workspace]\nmembers = ["packages/*"]\n'
        )
    run_tool("pdm", ["lock"], root)
    image = build(road, on_base(root, road))
    assert road.engine.docker("run", "--rm", image) == "3\n"
    where = "import letters; print(letters.__file__)"
    dev = build(road, root, target="dev")
    assert road.inside(dev, "-c", where) == "/app/packages/letters/src/letters/__init__.py\n"
