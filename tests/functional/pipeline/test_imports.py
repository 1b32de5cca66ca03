"""What is imported when: a rebuild without changes is quick because it imports little. No time is measured."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from shipwheel.testing.wheels import make_wheel

from .conftest import Bench

COW = make_wheel("cow", "1.0", {"cow.py": "def say():\n    return 'moo'\n"})
# Networks, terminals, signatures, other tools: nothing that is there already needs any of it.
HEAVY = {
    "asyncio",
    "email",
    "http",
    "importlib.metadata",
    "importlib.resources",
    "installer",
    "poetry",
    "pypi_simple",
    "pyproject_hooks",
    "pysequoia",
    "rich",
    "ssl",
    "tomli_w",
    "urllib3",
    "uv",
    "shipwheel.engine.load",
    "shipwheel.engine.rootless",
    "shipwheel.net.http",
    "shipwheel.oci.registry",
    "shipwheel.wheel.archive",
    "shipwheel.wheel.bytecode",
    "shipwheel.wheel.fetch",
    "shipwheel.wheel.indexes",
    "shipwheel.wheel.install",
    "shipwheel.wheel.layer",
}
# The last line, however the program ends.
_RUN = """
import atexit, sys
atexit.register(lambda: print("modules", *sorted(sys.modules)))
from shipwheel.cli.main import main
sys.argv[0] = "shipwheel"
sys.exit(main())
"""


def imported(*words: str | Path, environ: Mapping[str, str]) -> set[str]:
    """Run the program and return the names of all modules that are there when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *map(str, words)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, *names = done.stdout.splitlines()[-1].split()
    assert first == "modules"
    return set(names)


@pytest.mark.parametrize("package_mode", [True, False], ids=["package", "source"])
def test_a_rebuild_without_changes_imports_nothing_heavy(bench: Bench, package_mode: bool) -> None:
    settings = "" if package_mode else 'entrypoint = ["python", "-m", "app"]\n'
    project = bench.project(["cow"], wheels=[COW], package_mode=package_mode, settings=settings)
    words = ("build", project, "--quiet", "--output", bench.folder / "image")
    first = imported(*words, environ=bench.environ)
    assert {"urllib3", "shipwheel.wheel.layer"} <= first

    again = imported(*words, environ=bench.environ)

    assert again & HEAVY == set()


def test_the_version_is_told_without_importing_what_commands_need(bench: Bench) -> None:
    found = imported("--version", environ=bench.environ)

    assert found & {"packaging", "msgspec", "tomllib", "hashlib", "shipwheel.pipeline", *HEAVY} == set()
