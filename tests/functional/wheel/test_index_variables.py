"""Real pip and uv, as in a container: no file of this machine, and the variables that stand for them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

from shipwheel.testing.index import FakeIndex
from shipwheel.testing.wheels import make_wheel
from shipwheel.wheel.index_variables import with_index_variables

COW = make_wheel("cow", "1.0")
LOGIN = ("me", "p@ss/w:rd")
TOOLS = ("pip", "uv")


@pytest.mark.parametrize("tool", TOOLS)
def test_an_index_and_its_login_from_files_are_enough_where_those_files_are_not(
    tmp_path: Path, tool: str
) -> None:
    # A venv of its own: the one that runs this may have no pip.
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv/bin/python")
    program = {
        "pip": [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"],
        "uv": [find_uv_bin(), "pip", "install", "--quiet", "--no-cache", "--python", python],
    }[tool]
    home, empty = tmp_path / "home", tmp_path / "container"
    (home / ".config/pip").mkdir(parents=True)
    (home / ".config/uv").mkdir()
    empty.mkdir()
    with FakeIndex(user=LOGIN[0], password=LOGIN[1]) as index:
        index.add(COW)
        (home / ".config/pip/pip.conf").write_text(f"[global]\nindex-url = {index.url}\n")
        (home / ".config/uv/uv.toml").write_text(
            f'[[index]]\nname = "corp"\nurl = "{index.url}"\ndefault = true\n'
        )
        netrc = home / ".netrc"
        netrc.write_text(f"machine 127.0.0.1 login {LOGIN[0]} password {LOGIN[1]}\n")
        netrc.chmod(0o600)
        container = {"HOME": str(empty), "PATH": os.environ["PATH"], "PIP_CONFIG_FILE": os.devnull}
        told = with_index_variables({}, home=home, root=empty, etc=tmp_path / "etc")

        def install(environ: dict[str, str]) -> int:
            words = [*program, "--target", str(empty / "installed"), "cow"]
            return subprocess.run(words, env=environ, capture_output=True, check=False).returncode

        without = {name: value for name, value in told.items() if not name.endswith(("URL", "INDEX"))}
        addresses = {name: index.url for name in told if name.endswith(("URL", "INDEX"))}

        assert install({**container, **without, **addresses}) != 0
        assert install({**container, **told}) == 0

    assert (empty / "installed" / "cow").is_dir()
