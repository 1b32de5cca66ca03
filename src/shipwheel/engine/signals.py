"""Tell what a signal would do to a process that is process 1 of its namespace.

pid_namespaces(7): process 1 gets no signal that it has no handler for. Any other process would have
ended; where no init stands between, a runner ends such a program with SIGKILL instead.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Final

# signal(7): what these do by default is not to end the process.
_HARMLESS: Final = frozenset({"SIGWINCH", "SIGCHLD", "SIGCONT", "SIGURG"})


def minds(pid: int, number: int, *, proc: Path = Path("/proc")) -> bool:
    """Tell whether process `pid` handles, ignores or blocks the signal, or would live on by default.

    True as well for what cannot be known: the process has ended, or is on another machine.
    """
    if signal.Signals(number).name in _HARMLESS:
        return True
    try:
        lines = (proc / str(pid) / "status").read_text(errors="replace").splitlines()
    except OSError:
        return True
    # proc(5), "status": masks in hexadecimal, the lowest bit is signal 1.
    masks = [int(line.split()[1], 16) for line in lines if line.startswith(("SigBlk", "SigIgn", "SigCgt"))]
    return not masks or any(mask >> (number - 1) & 1 for mask in masks)
