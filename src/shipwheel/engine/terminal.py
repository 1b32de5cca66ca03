"""Give a container a terminal of its own and connect it with the one this process runs on."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import termios
import threading
import tty
from collections.abc import Callable, Iterator

from shipwheel.engine.spec import Streams
from shipwheel.errors import UsageError


@contextlib.contextmanager
def on_terminal(streams: Streams) -> Iterator[tuple[Streams, Callable[[], None]]]:
    """Yield the streams of a new terminal, and a function to call when the one here changes its size.

    What is typed here goes there, and what is written there comes here.
    While the block runs, the terminal here is raw: Ctrl-C is a byte, and the new terminal makes a
    signal of it. Raises UsageError `no-terminal` when stdin is no terminal.
    """
    stdin = 0 if streams.stdin is None else streams.stdin
    stdout = 1 if streams.stdout is None else streams.stdout
    if not os.isatty(stdin):
        raise UsageError("no-terminal", "--tty needs a terminal as input", hint="leave --tty out in scripts")
    with contextlib.ExitStack() as stack:
        ours, theirs = os.openpty()
        closing = stack.enter_context(contextlib.ExitStack())
        closing.callback(os.close, ours)
        _copy_size(stdin, ours)
        stop, stopper = os.pipe()
        stack.callback(os.close, stop)
        before = termios.tcgetattr(stdin)
        stack.callback(termios.tcsetattr, stdin, termios.TCSADRAIN, before)
        tty.setraw(stdin)
        thread = threading.Thread(target=_copy, args=(stdin, stdout, ours, stop), daemon=True)
        thread.start()

        def finish() -> None:
            os.close(theirs)
            os.close(stopper)
            thread.join()

        stack.callback(finish)
        yield Streams(stdin=theirs, stdout=theirs, stderr=theirs), lambda: _copy_size(stdin, ours)


def _copy(stdin: int, stdout: int, ours: int, stop: int) -> None:
    """Copy both ways until `stop` closes and what was written there has been read."""
    sources = [stdin, ours, stop]
    while True:
        ready = select.select(sources, [], [])[0]
        if ours in ready:
            try:
                data = os.read(ours, 65536)
            except OSError:  # EIO: nobody has the other end any more
                return
            _write_all(stdout, data)
        elif stop in ready:
            return
        elif stdin in ready:
            data = os.read(stdin, 4096)
            if data:
                _write_all(ours, data)
            else:
                sources.remove(stdin)


def _copy_size(source: int, target: int) -> None:
    size = fcntl.ioctl(source, termios.TIOCGWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
    fcntl.ioctl(target, termios.TIOCSWINSZ, size)


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
