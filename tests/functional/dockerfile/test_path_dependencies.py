"""Projects beside the service are dependencies, nested, whatever tool made the lock; the wheel of each is in the image."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from pypi_simple import PYPI_SIMPLE_ENDPOINT

from helpers.command import EXAMPLES
from helpers.road import Road
from shipwheel.locks.fresh import pipfile_hash
from shipwheel.locks.pdm_fresh import pdm_hashes
from shipwheel.project.reader import read_project

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]

# One package from the index beside them, as a real lock has it.
CLICK = next(
    block
    for block in re.split(r"(?m)^(?=\[\[package\]\]$)", (EXAMPLES / "pdm/pdm.lock").read_text())
    if 'name = "click"' in block
)
VERSION = tomllib.loads(CLICK)["package"][0]["version"]
HASHES = [file["hash"] for file in tomllib.loads(CLICK)["package"][0]["files"]]


def lock_with_pdm(app: Path) -> None:
    lock = app / "pdm.lock"
    blocks = [
        f'[[package]]\nname = "{name}"\nversion = "1.0"\npath = "../../libs/{name}"\ngroups = ["default"]\n'
        for name in ("letters", "marks")
    ]
    head = '[metadata]\ngroups = ["default"]\nstrategy = ["inherit_metadata"]\nlock_version = "4.5.0"\n'
    targets = '[[metadata.targets]]\nrequires_python = ">=3.11"\n'
    # As the newest PDM hashes.
    newest, *_ = pdm_hashes(read_project(app), "sha256")
    content_hash = f'content_hash = "sha256:{newest}"\n'
    lock.write_text("\n".join([f"{head}{content_hash}", targets, CLICK, *blocks]))


def lock_with_pip(app: Path) -> None:
    hashes = " ".join(f"--hash={value}" for value in HASHES)
    lines = [f"click=={VERSION} {hashes}", "../../libs/letters", "-e ../../libs/marks"]
    (app / "requirements.txt").write_text("\n".join(lines) + "\n")


def lock_with_pipenv(app: Path) -> None:
    source = f'[[source]]\nname = "pypi"\nurl = "{PYPI_SIMPLE_ENDPOINT}"\nverify_ssl = true\n'
    pipfile = f'{source}[packages]\nclick = "*"\nletters = {{path = "../../libs/letters"}}\n'
    (app / "Pipfile").write_text(pipfile)
    sources = tomllib.loads(pipfile)["source"]
    lock = {
        "_meta": {
            "hash": {"sha256": pipfile_hash(tomllib.loads(pipfile), sources)},
            "pipfile-spec": 6,
            "requires": {},
            "sources": sources,
        },
        "default": {
            "click": {"hashes": HASHES, "version": f"=={VERSION}"},
            "letters": {"path": "../../libs/letters"},
            "marks": {"path": "../../libs/marks", "editable": True},
        },
        "develop": {},
    }
    (app / "Pipfile.lock").write_text(json.dumps(lock))


LOCKERS = {"pdm": lock_with_pdm, "pip": lock_with_pip, "pipenv": lock_with_pipenv}


def write_project(folder: Path, name: str, source: str, needs: list[str], more: str = "") -> Path:
    """Write a package of one module that PDM's back-end builds: it knows paths from the project's own."""
    (folder / "src" / name).mkdir(parents=True)
    (folder / "src" / name / "__init__.py").write_text(source)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "1.0"\nrequires-python = ">=3.11"\ndependencies = {json.dumps(needs)}\n'
        f'{more}[build-system]\nrequires = ["pdm-backend"]\nbuild-backend = "pdm.backend"\n'
    )
    return folder


@pytest.mark.parametrize("tool", LOCKERS)
def test_nested_path_dependencies_are_in_the_image_as_wheels(tool: str, road: Road) -> None:
    top = road.folder / f"paths-{tool}"
    write_project(top / "libs/marks", "marks", "MARK = '!'\n", [])
    write_project(
        top / "libs/letters",
        "letters",
        "import marks\n\n\ndef count(word):\n    return f'{len(word)}{marks.MARK}'\n",
        ["marks @ file:///${PROJECT_ROOT}/../marks"],
    )
    app = write_project(
        top / "services/app",
        "app",
        "import click\nimport letters\n\n\ndef main():\n    click.echo(letters.count('Ada'))\n",
        ["click>=8", "letters @ file:///${PROJECT_ROOT}/../../libs/letters"],
        f'[project.scripts]\napp = "app:main"\n[tool.shipwheel.base]\nimage = "{road.base}"\n',
    )
    LOCKERS[tool](app)

    def build(target: str) -> str:
        words = ("build", "--quiet", "--engine", "docker", "--target", target, app, "--", "--network=host")
        done = road.run(*words)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout.strip()

    image = build("app")
    assert road.engine.docker("run", "--rm", image) == "3!\n"
    program = "import letters, marks; print(letters.__file__, marks.__file__)"
    site = "/app/.venv/lib/python3.13/site-packages"
    assert road.inside(image, "-c", program) == f"{site}/letters/__init__.py {site}/marks/__init__.py\n"

    # An edit of the innermost one is in the next image, on the same layer of dependencies.
    module = top / "libs/marks/src/marks/__init__.py"
    module.write_text("MARK = '?'\n")
    edited = build("app")
    assert road.engine.docker("run", "--rm", edited) == "3?\n"
    assert road.layers(edited)[:-1] == road.layers(image)[:-1]

    # In development the projects are linked to their source, and the entry point installs what the lock adds.
    dev = build("dev")
    assert road.inside(dev, "-c", program) == (
        "/src/libs/letters/src/letters/__init__.py /src/libs/marks/src/marks/__init__.py\n"
    )
    command = f'echo "# newer" >> {{lock}} && {{install}} && python -c "{program}"'
    shell = command.replace("{lock}", '"$LOCK_FILES"').replace("{install}", 'sh -c "$INSTALL_COMMAND" >&2')
    if tool != "pipenv":  # JSON has no comments
        assert road.inside(dev, "-c", shell, entrypoint="sh").startswith("/src/libs/letters/src")
