"""The plan of a small project, whole, as people and machines get it. `UPDATE_GOLDEN=1` writes it anew."""

import os
from pathlib import Path

import pytest

from helpers.command import shipwheel
from helpers.tiny_base import SETTINGS, add_base
from shipwheel.testing.index import FakeIndex
from shipwheel.testing.projects import poetry_project
from shipwheel.testing.wheels import make_wheel

HERE = Path(__file__).parent
COW = make_wheel("cow", "1.0", {"cow.py": "def say():\n    return 'moo'\n"}, requires=["horn"])
HORN = make_wheel("horn", "2.1", {"horn.py": "LENGTH = 3\n"}, tag="cp313-cp313-manylinux_2_17_x86_64")
CONFIGURED = """
cmd = ["--loud"]
ports = ["8000"]
env = { LOG_LEVEL = "info" }
labels = { team = "dairy" }
"""


@pytest.mark.parametrize(("words", "name"), [((), "plan.txt"), (("--json",), "plan.json")])
def test_the_plan_is_as_it_was(tmp_path: Path, words: tuple[str, ...], name: str) -> None:
    with FakeIndex() as index:
        index.add(COW, HORN)
        settings = SETTINGS.replace("[tool.shipwheel]\n", f"[tool.shipwheel]{CONFIGURED}")
        project = poetry_project(tmp_path / "farm", ["cow"], wheels=[COW, HORN], name="farm", extra=settings)
        add_base(project)
        environ = {"UV_DEFAULT_INDEX": index.url, "PIP_CONFIG_FILE": os.devnull, "HOME": str(tmp_path)}
        done = shipwheel("plan", "--quiet", "--platform", "linux/amd64", project, *words, environ=environ)
    assert done.returncode == 0, done.stderr

    golden = HERE / name
    if os.environ.get("UPDATE_GOLDEN") == "1":
        golden.write_text(done.stdout)
    assert done.stdout == golden.read_text()
