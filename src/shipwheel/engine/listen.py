"""Run an engine's command, show all that it says, and keep the end of it: errors are named from there.

On a terminal the engine gets one of its own, so that it draws its progress as if nobody listened.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, TextIO

# Of what is said this much is kept; an engine sums a failure up at its end.
_KEPT_LINES: Final = 4000
_KEPT_BYTES: Final = 1 << 19
# ECMA-48: control sequences (colours, cursor) and commands for the window's title.
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_LOOK_SECONDS: Final = 0.2


def run_and_listen(
    command: Sequence[str], environ: Mapping[str, str], stream: TextIO
) -> tuple[int, list[str]]:
    """Return the exit code and the last lines that were said, without colours. Shows all on `stream`."""
    return (_on_terminal if stream.isatty() else _through_pipe)(command, environ, stream)


def _through_pipe(
    command: Sequence[str], environ: Mapping[str, str], stream: TextIO
) -> tuple[int, list[str]]:
    said: deque[str] = deque(maxlen=_KEPT_LINES)
    with subprocess.Popen(
        command,
        env=dict(environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe, as asked for above
        try:
            for line in process.stdout:
                stream.write(line)
                stream.flush()
                said.append(_ESCAPES.sub("", line.rstrip("\n")))
        except BaseException:
            # Whoever interrupts us has not reached the engine, which would build on.
            process.terminate()
            raise
    return process.returncode, list(said)


def _on_terminal(command: Sequence[str], environ: Mapping[str, str], stream: TextIO) -> tuple[int, list[str]]:
    stream.flush()
    ours, theirs = os.openpty()
    try:
        _let_through(theirs)
        _copy_size(stream.fileno(), ours)
        with subprocess.Popen(command, env=dict(environ), stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            theirs = -1
            try:
                said = _copy(ours, stream.fileno(), process)
            except BaseException:
                process.terminate()
                raise
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)
    text = _ESCAPES.sub("", said.decode("utf-8", "replace"))
    return process.returncode, text.replace("\r", "").split("\n")[-_KEPT_LINES:]


def _copy(source: int, target: int, process: subprocess.Popen[bytes]) -> bytes:
    """Copy until the engine has ended and all it wrote was read; return the end of it."""
    said = b""
    while True:
        _copy_size(target, source)
        if not select.select([source], [], [], _LOOK_SECONDS)[0]:
            if process.poll() is None:
                continue
            return said  # something that it left running still has the terminal
        try:
            data = os.read(source, 1 << 16)
        except OSError:  # EIO: nobody has the other end any more
            return said
        left = memoryview(data)
        while left:
            left = left[os.write(target, left) :]
        said = (said + data)[-_KEPT_BYTES:]


def _let_through(terminal: int) -> None:
    """Let a line's end pass as it is; the terminal that shows it makes of it what it wants."""
    modes = termios.tcgetattr(terminal)
    modes[1] &= ~termios.OPOST
    termios.tcsetattr(terminal, termios.TCSANOW, modes)


def _copy_size(source: int, target: int) -> None:
    """Give `target` the size of the window that `source` is; a window may change while a build runs."""
    size = fcntl.ioctl(source, termios.TIOCGWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
    fcntl.ioctl(target, termios.TIOCSWINSZ, size)
