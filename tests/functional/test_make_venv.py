"""scripts/make-venv.sh on machines that lack something. The whole way is what `make test` itself went."""

import os
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "make-venv.sh"


def make_venv(tmp_path: Path, python: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "requirements.txt").touch()
    environ = {"PATH": os.environ["PATH"], "PYTHON": python}
    command = [SCRIPT, tmp_path / "venv", tmp_path / "requirements.txt"]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def fake_python(tmp_path: Path, script: str) -> str:
    path = tmp_path / "python3"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_a_missing_python_is_named_with_the_way_to_give_another(tmp_path: Path) -> None:
    done = make_venv(tmp_path, "no-such-python")
    assert done.returncode == 1
    assert "there is no no-such-python" in done.stderr
    assert "make PYTHON=" in done.stderr


def test_an_old_python_is_refused_with_its_version(tmp_path: Path) -> None:
    old = fake_python(tmp_path, 'case "$1" in --version) echo Python 3.10.1;; *) exit 1;; esac')
    done = make_venv(tmp_path, old)
    assert done.returncode == 1
    assert "Python 3.10.1 is not CPython 3.11 or newer" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_a_python_without_venv_is_refused_with_the_package_to_install(tmp_path: Path) -> None:
    bare = fake_python(tmp_path, 'case "$1" in -c) exit 0;; *) exit 1;; esac')
    done = make_venv(tmp_path, bare)
    assert done.returncode == 1
    assert "apt install python3-venv" in done.stderr


def test_a_python_with_venv_and_without_any_pip_is_refused_with_the_package_to_install(
    tmp_path: Path,
) -> None:
    venv = tmp_path / "venv" / "bin"
    made = f"mkdir -p {venv} && touch {venv}/python && chmod +x {venv}/python"
    no_pip = fake_python(
        tmp_path, f'case "$*" in *"-m pip"*) exit 1;; *--without-pip*) {made};; "-m venv"*) exit 1;; esac'
    )
    done = make_venv(tmp_path, no_pip)
    assert done.returncode == 1
    assert "apt install python3-pip" in done.stderr
