"""Isolate a process with bubblewrap. For ordinary users: see `unfit_for`.

bubblewrap's own process 1 reaps orphans but passes no signal on; signals go straight to the program,
which is its first child.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shipwheel.engine.rootless import Container, Launch, popen
from shipwheel.engine.spec import Streams
from shipwheel.engine.supervise import Child


@dataclass(frozen=True, slots=True, kw_only=True)
class BwrapLauncher:
    """Launch with the `bwrap` at `program`; `options` are those its version has beyond the old ones."""

    program: str
    options: Sequence[str] = ()
    name: str = "bwrap"

    @contextlib.contextmanager
    def launch(self, container: Container, streams: Streams) -> Iterator[Launch]:
        """Prepare `container`; see `Launcher.launch`."""
        with contextlib.ExitStack() as stack:
            # Arguments by a descriptor: /proc shows a command line, and the environment may hold secrets.
            arguments = os.memfd_create("arguments")
            stack.callback(os.close, arguments)
            info, info_end = os.pipe()
            stack.callback(os.close, info)
            ends = contextlib.ExitStack()
            stack.enter_context(ends)
            ends.callback(os.close, info_end)
            options = [*render_options(container), *self.options, "--info-fd", str(info_end)]
            with os.fdopen(os.dup(arguments), "wb") as file:
                file.write(b"".join(os.fsencode(option) + b"\0" for option in options))
            os.lseek(arguments, 0, os.SEEK_SET)

            def start() -> Child:
                argv = [self.program, "--args", str(arguments), "--", *container.process.argv]
                child = popen(argv, streams, environ={}, pass_fds=(arguments, info_end))
                ends.close()
                return child

            target = _Target(info=info, is_first=not container.init)
            yield Launch(start=start, deliver=target.deliver)


@dataclass(slots=True)
class _Target:
    """The program in a container, as this namespace's process ids name it; found when first needed."""

    info: int
    is_first: bool = False
    told: bytes = b""
    init: int | None = None
    found: list[int] = field(default_factory=list)

    def deliver(self, _child: Child, number: int) -> bool:
        """Send the program a signal; False while bubblewrap has not started it."""
        if not self.found:
            self._find()
        for pid in self.found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.Signals(number))
        return bool(self.found)

    def _find(self) -> None:
        while self.init is None and select.select([self.info], [], [], 0)[0]:
            data = os.read(self.info, 4096)
            if not data:
                break
            self.told += data
        with contextlib.suppress(ValueError):  # not all of it yet
            self.init = json.loads(self.told)["child-pid"]
        if self.init is not None:
            inside = [pid for pid in children(self.init) if pid_inside(pid) == 2]
            self.found = [self.init] if self.is_first else inside


def render_options(container: Container) -> list[str]:
    """Return bwrap's options for `container`, in the order that they take effect."""
    user = container.process.user
    options = ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    if not container.init:
        options.append("--as-pid-1")
    if container.isolate_network:
        options.append("--unshare-net")
    options += ["--uid", str(user.uid), "--gid", str(user.gid), "--cap-drop", "ALL"]
    # Without a session of its own, the program could type into the terminal that this one runs on.
    options += ["--die-with-parent", "--new-session"]
    options += ["--ro-bind" if container.read_only else "--bind", str(container.root), "/"]
    options += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]  # noqa: S108
    for folder in sorted(container.tmpfs):
        options += ["--tmpfs", folder]
    for mount in sorted(container.mounts, key=lambda mount: mount.target):
        options += ["--ro-bind" if mount.read_only else "--bind", str(mount.source), mount.target]
    options += ["--chdir", container.process.cwd, "--clearenv"]
    for name, value in container.process.env.items():
        options += ["--setenv", name, value]
    return options


def children(pid: int) -> list[int]:
    """Return the processes whose parent is `pid`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            # A process may end, or not be ours to look at, while we look.
            with contextlib.suppress(OSError):
                # proc(5): the name is in parentheses and may hold anything; state and ppid follow.
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
                if int(fields[1]) == pid:
                    found.append(int(entry.name))
    return found


def pid_inside(pid: int) -> int | None:
    """Return the id that `pid` has in its own pid namespace, or None when it has ended."""
    with contextlib.suppress(OSError):
        for line in (Path("/proc") / str(pid) / "status").read_text(errors="replace").splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return None
