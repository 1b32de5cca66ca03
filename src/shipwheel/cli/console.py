"""Shows progress on standard error: a live display on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

from shipwheel.progress import Progress, Silent

if TYPE_CHECKING:
    from rich.progress import TaskID


class Console(Progress, Protocol):
    """Progress that can be opened and closed."""

    def close(self) -> None:
        """End the display."""
        ...


@contextmanager
def open_console(*, quiet: bool, stream: TextIO | None = None) -> Iterator[Progress]:
    """Yield what shows progress; what was shown stays."""
    stream = sys.stderr if stream is None else stream
    if quiet:
        yield Silent()
        return
    console: Console = _Live(stream) if stream.isatty() else _Plain(stream)
    try:
        yield console
    finally:
        console.close()


def human_size(size: int) -> str:
    """Return bytes for people, in units of 1000: `19.3 MB`."""
    if size < 1000:
        return f"{size} B"
    for unit, scale in (("kB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        if size < scale * 999.95 or unit == "GB":
            return f"{size / scale:.1f} {unit}"
    raise AssertionError("unreachable")


class _Plain:
    """One line a finished step, for logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._begun: dict[str, float] = {}

    def started(self, key: str, title: str) -> None:  # noqa: ARG002 - a log wants the ends alone
        self._begun[key] = time.perf_counter()

    def finished(self, key: str, title: str, *, note: str, size: int | None = None) -> None:
        begun = self._begun.pop(key, None)
        took = "" if begun is None else f" {time.perf_counter() - begun:.1f}s"
        amount = "" if size is None else f" {human_size(size)}"
        self._print(f"{note:>8}  {title}{amount}{took}")

    def said(self, text: str) -> None:
        self._print(text)

    def close(self) -> None:
        self._stream.flush()

    def _print(self, text: str) -> None:
        with self._lock:
            print(text, file=self._stream, flush=True)


class _Live:
    """A spinner for each step under way, above them what is done. rich is imported once a step begins."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console as RichConsole
        from rich.progress import Progress as RichProgress
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

        self._console = RichConsole(file=stream, highlight=False, soft_wrap=True)
        self._display = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()
        self._display.start()

    def started(self, key: str, title: str) -> None:
        with self._lock:
            self._tasks[key] = self._display.add_task(title, total=None)

    def finished(self, key: str, title: str, *, note: str, size: int | None = None) -> None:
        from rich.text import Text

        with self._lock:
            task = self._tasks.pop(key, None)
            if task is not None:
                self._display.remove_task(task)
        amount = "" if size is None else f" {human_size(size)}"
        style = "green" if note in ("cached", "reused") else "cyan"
        self._console.print(Text.assemble((f"{note:>8}", style), f"  {title}", (amount, "dim")))

    def said(self, text: str) -> None:
        self._console.print(text, markup=False)

    def close(self) -> None:
        self._display.stop()
