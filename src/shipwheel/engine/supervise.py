"""Hold one child process: forward signals to it, wait for its end, leave nothing of it behind.

What delivering a signal means is the caller's: a kill, or a command to an engine.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

# What a runner passes on. By name: a platform without one of them has nothing to pass on.
FORWARDED: Final = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH")
    if hasattr(signal, name)
)
# How long until a signal that could not be delivered yet (the container is starting) is tried again,
# and how often the child is looked at where the platform has no pidfd to wait for.
_RETRY_SECONDS: Final = 0.05

Child = subprocess.Popen[bytes]
Start = Callable[[], Child]
Deliver = Callable[[Child, int], bool]


def supervise(
    start: Start, deliver: Deliver, *, timeout: float | None = None, stop: int | None = None
) -> int:
    """Start a child, pass signals on with `deliver` until it ends, and return its exit code.

    `deliver` returns False while there is nobody to deliver to; it is asked again. 128+n is returned
    when signal n killed the child. Raises TimeoutError after `timeout` seconds; when the descriptor `stop`
    becomes readable, the child is killed. However this ends,
    the child has ended as well. Signals are handled in the main thread only, as Python allows.
    """
    pending: deque[int] = deque()
    with contextlib.ExitStack() as stack:
        reader, writer = os.pipe()
        stack.callback(os.close, reader)
        stack.callback(os.close, writer)
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)

        def note(number: int, _frame: FrameType | None) -> None:
            pending.append(number)
            # A full pipe wakes the loop as well as one more byte would.
            with contextlib.suppress(BlockingIOError):
                os.write(writer, b"s")

        stack.enter_context(_handlers(note))
        child = start()
        try:
            deadline = None if timeout is None else time.monotonic() + timeout
            _pass_on(child, deliver, pending, reader, deadline=deadline, stop=stop)
        finally:
            if child.poll() is None:
                child.kill()
            code = child.wait()
    return exit_code(code)


def exit_code(returncode: int) -> int:
    """Return a shell's view of `Popen.returncode`: 128+n for a child that signal n killed."""
    return 128 - returncode if returncode < 0 else returncode


def _pass_on(
    child: Child,
    deliver: Deliver,
    pending: deque[int],
    reader: int,
    *,
    deadline: float | None,
    stop: int | None,
) -> None:
    with _end_of(child) as end:
        while child.poll() is None:
            while pending and deliver(child, pending[0]):
                pending.popleft()
            waits = [_RETRY_SECONDS] if pending or end is None else []
            if deadline is not None:
                waits.append(deadline - time.monotonic())
                if waits[-1] <= 0:
                    raise TimeoutError
            watched = [number for number in (reader, end, stop) if number is not None]
            ready = select.select(watched, [], [], min(waits) if waits else None)[0]
            if stop in ready:
                return
            if reader in ready:
                os.read(reader, 4096)


@contextlib.contextmanager
def _end_of(child: Child) -> Iterator[int | None]:
    """Yield a descriptor that becomes readable when `child` ends, or None where there is no such thing."""
    try:
        descriptor = os.pidfd_open(child.pid)
    except (AttributeError, OSError):  # not Linux, or a kernel before 5.3
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _handlers(note: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for number in FORWARDED:
        # Started with nohup, SIGHUP is ignored; it is to stay so.
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
