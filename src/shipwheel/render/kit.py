"""The stage `kit`: every program and every list of hashes that other stages copy, in one place to skip. Pure.

The stages that people read stay short, and each takes only what it needs: a new hash of one tool, or a new
version of one program, leaves the stages that do not copy it as they were.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from shipwheel.plan.model import DockerfilePlan
from shipwheel.render.instructions import BASE, run, title, written

_SCRIPTS: Final = Path(__file__).parent / "scripts"
# Called by name, so executable and on PATH where they are needed.
_COMMANDS: Final = {
    "with-secrets": "with_secrets.sh",
    "compile-ahead": "compile_ahead.py",
    "follow-lock": "follow_lock.sh",
}


def render_kit(road: DockerfilePlan, python: str) -> list[str]:
    """Return the lines of the stage; `python` is the version, as 3.13.5, that the pinned files are for."""
    files: dict[str, Sequence[str]] = {name: _script(script) for name, script in _COMMANDS.items()}
    files["reduce.py"] = _script("reduce.py")
    if road.build_systems:
        files["install.py"] = _script("install.py")
    if any(member.build_system is None for member in road.members):
        files["copy_source.py"] = _script("copy_source.py")
    commands = " ".join(f"/kit/{name}" for name in _COMMANDS)
    pins = _pins(road)
    return [
        *title("kit", "programs and pinned versions for the stages below, which are where to read on"),
        f"FROM {BASE} AS kit",
        "# What a program is for stands on its first lines; the hashes are of exactly the files that fit this",
        "# Python: of tools for another one, the versions alone are pinned. None of it gets into the app image.",
        run(
            "mkdir /kit",
            *(written(lines, f"/kit/{name}") for name, lines in {**files, **pins}.items()),
            *([_for_another_python(python, pins)] if pins else []),
            f"chmod 755 {commands}",
            # Buildah looks at dates when it decides whether a copied file is another one.
            "touch -d @0 /kit/*",
        ),
    ]


def _for_another_python(python: str, pins: Collection[str]) -> str:
    """Return what takes the hashes away where the base image has another Python, as build arguments may say."""
    python = ".".join(python.split(".")[:2])
    # What install.py reads pyproject.toml with.
    older = "echo 'tomli; python_version < \"3.11\"' >> /kit/wheel-tools.txt; "
    return (
        f'if [ "$(python3 -c \'import sys; print("%d.%d" % sys.version_info[:2])\')" != "{python}" ]; then \\\n'
        f'      echo "note: the hashes of the tools are for Python {python}; for this one they are left out" >&2; \\\n'
        f"      sed -i 's/ --hash=.*//' /kit/*.txt; {older if 'wheel-tools.txt' in pins else ''}fi"
    )


def _script(name: str) -> list[str]:
    return (_SCRIPTS / name).read_text("utf-8").rstrip("\n").split("\n")


def _pins(road: DockerfilePlan) -> dict[str, Sequence[str]]:
    found: dict[str, Sequence[str]] = {}
    if road.launcher is not None:
        found["pipx.txt"] = road.launcher.requirements
    if road.tool is not None:
        found["tool.txt"] = road.tool.requirements
    if road.build_systems:
        found["wheel-tools.txt"] = road.wheel_tools.requirements
    for number, system in enumerate(road.build_systems):
        if system.requirements:
            found[f"build-{number}.txt"] = system.requirements
    return found
