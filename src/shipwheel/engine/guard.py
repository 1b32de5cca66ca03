"""Clean up after a runner that is killed: a second process waits for the end of this one.

For what the kernel does not take away by itself: an engine's container, a runtime's state, a folder.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

_SCRIPT: Final = Path(__file__).with_name("_guard.py")


@contextlib.contextmanager
def guarded(
    commands: Sequence[Sequence[str]], *, environ: Mapping[str, str], folders: Sequence[Path] = ()
) -> Iterator[None]:
    """While the block runs, be ready to run `commands` and remove `folders` should this process be killed.

    A block that ends, with an error or without, has cleaned up itself.
    """
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", str(_SCRIPT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=dict(environ),
        # Its own session: a terminal's Ctrl-C, or a kill of the runner's group, is not for it.
        start_new_session=True,
    )
    orders = {"commands": [list(command) for command in commands], "folders": [str(f) for f in folders]}
    with guard:
        if guard.stdin is None:
            raise AssertionError("stdin=PIPE gives a pipe")
        guard.stdin.write(json.dumps(orders).encode() + b"\n")
        guard.stdin.flush()
        try:
            yield
        finally:
            guard.stdin.write(b"done\n")
            guard.stdin.flush()
