"""Isolate a process with plain system calls: namespaces, mounts, pivot_root. Needs nothing installed.

The work is done by the script `_userns`, in a process of its own; this module starts it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from shipwheel.engine.rootless import Container, Launch, popen
from shipwheel.engine.spec import Streams
from shipwheel.engine.supervise import Child
from shipwheel.errors import HostError

_SCRIPT: Final = Path(__file__).with_name("_userns.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnshareLauncher:
    """Launch with unshare(2)."""

    name: str = "unshare"

    @contextlib.contextmanager
    def launch(self, container: Container, streams: Streams) -> Iterator[Launch]:
        """Prepare `container`; see `Launcher.launch`."""
        with contextlib.ExitStack() as stack:
            orders = os.memfd_create("orders")
            stack.callback(os.close, orders)
            status, status_end = os.pipe()
            stack.callback(os.close, status)
            ends = contextlib.ExitStack()
            stack.enter_context(ends)
            ends.callback(os.close, status_end)
            # By a descriptor and not by arguments: /proc shows arguments, and the environment may hold secrets.
            _write_all(orders, json.dumps(render_orders(container, parent=os.getpid())).encode())
            os.lseek(orders, 0, os.SEEK_SET)

            def start() -> Child:
                argv = [sys.executable, "-I", "-S", str(_SCRIPT), str(orders), str(status_end)]
                child = popen(argv, streams, environ={}, pass_fds=(orders, status_end))
                ends.close()
                return child

            yield _UnshareLaunch(start=start, deliver=_deliver, status=status)


@dataclass(frozen=True, slots=True, kw_only=True)
class _UnshareLaunch(Launch):
    status: int

    def check(self, code: int) -> int:
        """Return `code`, unless the container could not be made."""
        message = os.read(self.status, 65536).decode(errors="replace")
        if not message:
            return code
        raise HostError(
            "runner-failed",
            f"unshare: {message}",
            hint="another runner may do: `shipwheel run --runner docker|podman|bwrap|runc`",
        )


def render_orders(container: Container, *, parent: int) -> dict[str, Any]:
    """Return what `_userns` is to do; `parent` is the process whose end is to be the container's."""
    user = container.process.user
    return {
        "parent": parent,
        "root": str(container.root),
        "path": container.path,
        "argv": list(container.process.argv),
        "env": dict(container.process.env),
        "cwd": container.process.cwd,
        "uid": user.uid,
        "gid": user.gid,
        "groups": list(user.groups),
        "user_namespace": Path("/proc/self/ns/user").readlink().name,
        "privileged": os.geteuid() == 0,
        "binds": [
            {"source": str(mount.source), "target": mount.target, "read_only": mount.read_only}
            for mount in sorted(container.mounts, key=lambda mount: mount.target)
        ],
        "tmpfs": sorted(container.tmpfs),
        "isolate_network": container.isolate_network,
        "read_only": container.read_only,
        "terminal": container.terminal,
        "init": container.init,
    }


def _deliver(child: Child, number: int) -> bool:
    # The outer process passes it on; until it is ready to, the signal waits or ends it.
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.pid, signal.Signals(number))
    return True


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
