"""Libraries of the system: what compiles stays in the builder, what runs is in the app. And a data service."""

import json
import shutil
from pathlib import Path

import pytest

from helpers.command import uv
from helpers.road import MIRROR, PLUGIN, Road

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]

DATA = Path(__file__).parents[3] / "benchmarks/data"


def build(road: Road, project: Path, target: str = "app") -> str:
    done = road.run(
        *("build", "--quiet", "--engine", "docker", "--target", target),
        *("--tag", f"{project.name}-{road.token}:1", project, "--", "--network=host"),
        environ=MIRROR,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.strip()


def test_headers_and_compiler_are_in_the_builder_and_the_library_in_the_app(road: Road) -> None:
    root = road.folder / "compiled"
    (root / "src/compiled").mkdir(parents=True)
    (root / "src/compiled/__init__.py").write_text(
        "import psycopg2\n\n\ndef main() -> None:\n    print(psycopg2.__libpq_version__)\n"
    )
    # It has no wheels for Linux.
    (root / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "compiled"\nversion = "1.0"\nrequires-python = ">=3.11"\n'
        'dependencies = ["psycopg2>=2.9"]\n[project.scripts]\ncompiled = "compiled:main"\n'
        f'[tool.shipwheel.base]\nimage = "{road.base}"\npackages = ["libpq5"]\n'
        'build-packages = ["gcc", "libc6-dev", "libpq-dev", "python3-dev"]\n'
    )
    uv("lock", "--quiet", "--project", root)
    image = build(road, root)
    assert int(road.engine.docker("run", "--rm", image)) >= 170000
    program = (
        "import json, pathlib, shutil; print(json.dumps(["
        "bool(shutil.which('gcc')), pathlib.Path('/usr/include/postgresql/libpq-fe.h').exists(), "
        "[p.name for p in pathlib.Path('/usr/lib').rglob('libpq.so*') if not p.is_symlink()] != []]))"
    )
    assert json.loads(road.inside(image, "-c", program)) == [False, False, True]
    builder = build(road, root, target="builder")
    assert json.loads(road.inside(builder, "-c", program, entrypoint="python3")) == [True, True, True]


def test_a_data_services_stages_run(road: Road) -> None:
    root = road.folder / "data"
    shutil.copytree(DATA, root, ignore=shutil.ignore_patterns("shipwheel.lock", ".*"))
    with (root / "pyproject.toml").open("a") as file:
        file.write(f'\n[tool.shipwheel.base]\nimage = "{road.base}"\n{PLUGIN}')
    (root / "tests").mkdir()
    (root / "tests/__init__.py").touch()
    (root / "tests/test_sums.py").write_text(
        "import unittest\nimport pandas\nimport pyarrow\nimport sklearn\nimport report.main\n\n\n"
        "class TestSums(unittest.TestCase):\n    def test_sum(self):\n"
        "        self.assertEqual(pandas.Series([1, 2]).sum(), 3)\n"
    )
    app = build(road, root)
    road.engine.docker("run", "--rm", app)
    dev = build(road, root, target="dev")
    # Development stands on production's layers: nothing of it is installed twice.
    venv = "import pandas, sys; print(pandas.__file__.startswith(sys.prefix))"
    assert road.inside(dev, "-c", venv) == "True\n"
    build(road, root, target="test")
