"""The tools' hashes are those of wheels for both processors, so that one Dockerfile builds on either."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename
from pypi_simple import PYPI_SIMPLE_ENDPOINT, PyPISimple

from helpers.command import copy_example, shipwheel, uv
from shipwheel.locks.fresh import pipfile_hash

pytestmark = pytest.mark.network

# What runs on Debian's Python 3.13.
TAGS = {
    platform: {
        *cpython_tags((3, 13), platforms=platforms),
        *compatible_tags((3, 13), "cp313", platforms=platforms),
    }
    for platform, machine in (("linux/amd64", "x86_64"), ("linux/arm64", "aarch64"))
    for platforms in [
        [f"manylinux_2_{minor}_{machine}" for minor in range(41, 4, -1)] + [f"manylinux2014_{machine}"]
    ]
}
EXAMPLES = {
    "poetry": "monorepo/services/greeter",
    "uv": "uv-workspace/packages/api",
    "pdm": "pdm",
    "pip": "pip-tools",
}


def project_of(tool: str, folder: Path) -> Path:
    """Return a project that `tool` has locked."""
    if tool != "pipenv":
        name, _, below = EXAMPLES[tool].partition("/")
        root = copy_example(name, folder)
        if tool == "uv":
            uv("lock", "--quiet", "--project", root)
        return root / below
    root = copy_example("pip-tools", folder)
    (root / "requirements.txt").unlink()
    pipfile = f'[[source]]\nname = "pypi"\nurl = "{PYPI_SIMPLE_ENDPOINT}"\nverify_ssl = true\n'
    (root / "Pipfile").write_text(pipfile)
    sources = tomllib.loads(pipfile)["source"]
    digest = {"sha256": pipfile_hash(tomllib.loads(pipfile), sources)}
    meta = {"hash": digest, "pipfile-spec": 6, "requires": {}, "sources": sources}
    (root / "Pipfile.lock").write_text(json.dumps({"_meta": meta, "default": {}, "develop": {}}))
    return root


def pins_in(dockerfile: str) -> dict[str, list[str]]:
    """Return the lines of each list of pins that the Dockerfile writes."""
    written = re.findall(r"printf '%s\\n' \\\n((?: {6}'.*' \\\n)+) {6}> (/kit/[\w-]+\.txt)", dockerfile)
    return {
        name: [shlex.split(line.rstrip("\\"))[0] for line in lines.splitlines()] for lines, name in written
    }


def missing_wheels(pins: list[str]) -> list[str]:
    """Return pins and processors for which the index has no wheel of one of the pin's hashes."""
    missing = []
    with PyPISimple() as index:
        for pin in pins:
            name, version = pin.split(" ")[0].split("==")
            hashes = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", pin))
            files = index.get_project_page(name).packages
            names = [file.filename for file in files if (file.digests or {}).get("sha256") in hashes]
            assert len(names) == len(hashes), pin
            wheels = [parse_wheel_filename(file)[3] for file in names if file.endswith(".whl")]
            missing += [
                f"{name} {version} on {platform}"
                for platform, tags in TAGS.items()
                if not any(map(tags.intersection, wheels))
            ]
    return missing


@pytest.mark.parametrize("tool", ["poetry", "uv", "pdm", "pipenv", "pip"])
def test_every_pinned_tool_has_a_hashed_wheel_for_each_processor(tool: str, tmp_path: Path) -> None:
    root = project_of(tool, tmp_path)
    done = shipwheel("init", "--quiet", "--unpinned", root)
    assert done.returncode == 0, done.stderr
    lists = pins_in((root / "Dockerfile").read_text())
    expected = {
        "poetry": {"/kit/pipx.txt", "/kit/tool.txt"},
        "pdm": {"/kit/pipx.txt", "/kit/tool.txt"},
        "pipenv": {"/kit/pipx.txt", "/kit/tool.txt"},
        "uv": {"/kit/tool.txt"},
        "pip": set(),
    }[tool]
    assert expected | {"/kit/wheel-tools.txt", "/kit/build-0.txt"} <= set(lists)
    assert {name: missing_wheels(pins) for name, pins in lists.items()} == {name: [] for name in lists}


def test_a_hash_of_one_processor_alone_would_be_noticed(tmp_path: Path) -> None:
    root = project_of("uv", tmp_path)
    done = shipwheel("init", "--quiet", "--unpinned", root)
    assert done.returncode == 0, done.stderr
    (pin,) = (
        pin for pin in pins_in((root / "Dockerfile").read_text())["/kit/tool.txt"] if pin.startswith("uv==")
    )
    version, *hashes = pin.split(" ")
    assert len(hashes) == 2
    missing = sorted(line for one in hashes for line in missing_wheels([f"{version} {one}"]))
    assert [line.rpartition(" ")[2] for line in missing] == ["linux/amd64", "linux/arm64"]
