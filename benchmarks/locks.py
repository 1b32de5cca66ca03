"""Measure planning with a large lock of each kind: reading, selecting and planning 500 packages, nothing else.

The packages are made up, and so are their files: each has a wheel, every fifth one twelve of them for one platform
each and an sdist. They come from an index on this machine, which is asked once and not in what is measured.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from measure import SHIPWHEEL, Bench, Row
from uv import find_uv_bin

from shipwheel.locks.fresh import pipfile_hash
from shipwheel.locks.pdm_fresh import pdm_hashes
from shipwheel.project.reader import read_project
from shipwheel.testing.index import FakeIndex
from shipwheel.testing.projects import poetry_project
from shipwheel.testing.wheels import MadeWheel, make_sdist, make_wheel

COUNT: Final = 500
_PLATFORMS: Final = (
    "manylinux_2_17_x86_64",
    "manylinux_2_17_aarch64",
    "musllinux_1_2_x86_64",
    "musllinux_1_2_aarch64",
    "macosx_11_0_arm64",
    "win_amd64",
)
_DEPENDENCIES: Final = ("package-000", "package-001", "package-002")


def measure_locks(bench: Bench) -> list[Row]:
    """Return a row for each kind of lock; all hold the same packages."""
    files = make_packages()
    with FakeIndex() as index:
        for file in files:
            index.add(file)
        bench.environ["UV_DEFAULT_INDEX"] = index.url
        try:
            projects = write_projects(bench, files)
            first = projects["poetry.lock"]
            bench.output([SHIPWHEEL, "plan", str(first)])
            for project in projects.values():
                if project != first:
                    shutil.copyfile(first / "shipwheel.lock", project / "shipwheel.lock")
                planned = bench.output([SHIPWHEEL, "plan", "--json", str(project)])
                held = [wheel for layer in json.loads(planned)[0]["layers"] for wheel in layer["wheels"]]
                if len(held) != COUNT:
                    raise AssertionError(f"{project.name}: {len(held)} packages planned")
        finally:
            del bench.environ["UV_DEFAULT_INDEX"]
    # The index is gone: a plan that needed it would fail here.
    return [
        bench.measure(
            f"{name}, {(project / name).stat().st_size / 1e3:.0f} kB",
            [SHIPWHEEL, "plan", str(project)],
            goal="0.5 s",
        )
        for name, project in projects.items()
    ]


def make_packages() -> list[MadeWheel]:
    """Return the files of all packages; each but the last few needs two others."""
    made: list[MadeWheel] = []
    for number in range(COUNT):
        name = f"package-{number:03}"
        requires = [f"package-{other:03}" for other in (number + 3, number + 7) if other < COUNT]
        if number % 5:
            made.append(make_wheel(name, "1.0", requires=requires))
            continue
        tags = [f"cp{python}-cp{python}-{platform}" for python in (311, 313) for platform in _PLATFORMS]
        made += [make_wheel(name, "1.0", requires=requires, tag=tag) for tag in tags]
        made.append(make_sdist(name, "1.0"))
    return made


def write_projects(bench: Bench, files: Sequence[MadeWheel]) -> dict[str, Path]:
    """Return a project for each kind of lock, by the lock's name."""
    folder = bench.folder / "locks"

    def project(name: str, *, lock: bool = False) -> Path:
        return poetry_project(
            folder / name,
            _DEPENDENCIES,
            wheels=files,
            name="large",
            package_mode=False,
            requires_python=">=3.11,<3.14",
            extra='[tool.shipwheel]\nentrypoint = ["python", "-m", "large"]\n',
            lock=lock,
        )

    poetry, uv = project("poetry", lock=True), project("uv")
    run_uv(bench, uv, "lock")
    pylock, requirements = project("pylock"), project("requirements")
    for target, kind, name in (
        (pylock, "pylock.toml", "pylock.toml"),
        (requirements, "requirements.txt", "requirements.txt"),
    ):
        run_uv(
            bench, uv, "export", "--no-emit-project", "--format", kind, "--output-file", str(target / name)
        )
    pdm, pipenv = project("pdm"), project("pipenv")
    locked = tomllib.loads((uv / "uv.lock").read_text())["package"]
    write_pdm(pdm, locked)
    write_pipenv(pipenv, locked)
    return {
        "poetry.lock": poetry,
        "uv.lock": uv,
        "pylock.toml": pylock,
        "pdm.lock": pdm,
        "requirements.txt": requirements,
        "Pipfile.lock": pipenv,
    }


def run_uv(bench: Bench, project: Path, *words: str) -> None:
    environ = {**bench.environ, "UV_CACHE_DIR": str(bench.folder / "uv")}
    subprocess.run(
        [os.fsdecode(find_uv_bin()), "--quiet", "--project", str(project), *words], env=environ, check=True
    )


def write_pdm(project: Path, locked: Sequence[dict[str, Any]]) -> None:
    """Write the packages of a uv.lock as PDM 2.2x does (lock_version 4.5.0)."""
    digest = next(pdm_hashes(read_project(project), "sha256"))
    lines = [
        "[metadata]",
        'groups = ["default"]',
        'strategy = ["inherit_metadata"]',
        'lock_version = "4.5.0"',
        f'content_hash = "sha256:{digest}"',
        "",
        "[[metadata.targets]]",
        'requires_python = ">=3.11,<3.14"',
        "",
    ]
    for package in locked:
        if "registry" not in package["source"]:
            continue
        needs = [item["name"] for item in package.get("dependencies", ())]
        lines += [
            "[[package]]",
            f'name = "{package["name"]}"',
            f'version = "{package["version"]}"',
            'summary = ""',
            'groups = ["default"]',
            f"dependencies = {json.dumps(needs)}",
            "files = [",
            *(f'    {{file = "{name}", hash = "{digest}"}},' for name, digest in files_of(package)),
            "]",
            "",
        ]
    (project / "pdm.lock").write_text("\n".join(lines))


def write_pipenv(project: Path, locked: Sequence[dict[str, Any]]) -> None:
    """Write the packages of a uv.lock as Pipenv does, and the Pipfile beside it."""
    pipfile = "[packages]\n" + "".join(f'{name} = "*"\n' for name in _DEPENDENCIES)
    (project / "Pipfile").write_text(pipfile)
    sources = [{"name": "index", "url": "https://index.example/simple", "verify_ssl": True}]
    entries = {
        package["name"]: {
            "hashes": sorted(digest for _, digest in files_of(package)),
            "version": f"=={package['version']}",
        }
        for package in locked
        if "registry" in package["source"]
    }
    meta = {
        "hash": {"sha256": pipfile_hash(tomllib.loads(pipfile), sources)},
        "pipfile-spec": 6,
        "requires": {},
        "sources": sources,
    }
    text = json.dumps({"_meta": meta, "default": entries, "develop": {}}, indent=4)
    (project / "Pipfile.lock").write_text(text)


def files_of(package: dict[str, Any]) -> list[tuple[str, str]]:
    """Return name and hash of each file that a uv.lock lists for a package."""
    files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else [])]
    return [(file["url"].rpartition("/")[2], file["hash"]) for file in files]
