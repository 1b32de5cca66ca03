"""What runs the image under check, and how our workers in it are asked. Judges nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from shipwheel.errors import HostError
from shipwheel.verify.evidence import Evidence
from shipwheel.verify.installed import find_program

_WORKER: Final = Path(__file__).with_name("live_worker.py")
# One argument may have 128 KiB (Linux, MAX_ARG_STRLEN).
_MAX_ARGUMENT: Final = 120_000


class Completed(Protocol):
    """How a command ended."""

    @property
    def returncode(self) -> int:
        """Exit code; 128+n for signal n."""
        ...

    @property
    def stdout(self) -> bytes:
        """What it wrote to standard output."""
        ...

    @property
    def stderr(self) -> bytes:
        """What it wrote to standard error."""
        ...


class Machine(Protocol):
    """Runs commands in the image, without network and capabilities."""

    def probe(
        self, argv: Sequence[str], *, uid: int | None, timeout: float, writable: bool = False
    ) -> Completed:
        """Run `argv` on a read-only root (a copy of its own if `writable`), as `uid` (None: the image's user).

        Raises TimeoutError, HostError, ImageError.
        """
        ...

    def watch(self, argv: Sequence[str], *, timeout: float, is_last: Callable[[bytes], bool]) -> Completed:
        """Run `argv` as process 1 on a read-only root, as the image's user.

        It is killed after a line of its output that `is_last`. Raises as `probe`.
        """
        ...


def find_python(evidence: Evidence) -> str | None:
    """Return the name of the Python on the image's PATH.

    By its own name: a virtual environment is found by the link, not by what it leads to.
    """
    return next((name for name in ("python", "python3") if find_program(evidence, name)), None)


def ask(
    machine: Machine,
    python: str,
    task: Mapping[str, Any],
    *,
    timeout: float,
    uid: int | None = None,
    writable: bool = False,
    worker: Path = _WORKER,
) -> dict[str, Any]:
    """Run a worker and return its answer; raises HostError `no-answer` when none can be read, and as `Machine`."""
    argv = [python, "-c", worker.read_text(encoding="utf-8"), packed(task)]
    done = machine.probe(argv, uid=uid, timeout=timeout, writable=writable)
    line = done.stdout.decode("utf-8", "replace").strip().rpartition("\n")[2]
    try:
        found = json.loads(line)
    except ValueError as error:
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:300]
        raise HostError("no-answer", f"Python in the image ended with {done.returncode}: {said}") from error
    if not isinstance(found, dict):
        raise HostError("no-answer", "Python in the image gave no answer that can be read")
    return found


def packed(task: Mapping[str, Any]) -> str:
    """Return a task as one argument; raises HostError `no-answer` when it does not fit into one."""
    text = json.dumps(task)
    if len(text) > _MAX_ARGUMENT:
        raise HostError("no-answer", "the image has more modules than fit into one question")
    return text


def reason_of(error: Exception) -> str:
    """Return why something could not be run, in one line."""
    return str(error).splitlines()[0] if str(error) else "timeout"
