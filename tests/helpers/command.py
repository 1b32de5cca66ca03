"""Run the `shipwheel` program as people do, beside the Python that runs the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SHIPWHEEL: Final = str(Path(sys.executable).with_name("shipwheel"))
EXAMPLES: Final = Path(__file__).parent.parent.parent / "examples"
# Made by tools beside a project's own files; a copy starts without them.
_MADE: Final = shutil.ignore_patterns("shipwheel.lock", ".venv", "__pycache__", ".*_cache")


def shipwheel(
    *arguments: str | Path, environ: Mapping[str, str] | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `shipwheel ARGUMENTS` in `folder` with `environ` on top of this process's; judge nothing."""
    return subprocess.run(
        [SHIPWHEEL, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def copy_example(name: str, into: Path) -> Path:
    """Copy examples/NAME below `into` and return the copy."""
    target = into / name
    shutil.copytree(EXAMPLES / name, target, ignore=_MADE)
    return target


def uv(*words: str | Path, text: str | None = None) -> str:
    """Run our own uv, `text` as its stdin, and return its stdout. It trusts whom this machine trusts."""
    environ = {**os.environ, "UV_SYSTEM_CERTS": "true", "UV_NATIVE_TLS": "true"}
    program = str(Path(sys.executable).with_name("uv"))
    done = subprocess.run(
        [program, *words], env=environ, input=text, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout
