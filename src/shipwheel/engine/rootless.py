"""Run an image without an engine: unpack it, decide what runs, and let a launcher isolate it.

What is the same for bubblewrap, runc and plain system calls is here; a launcher turns a `Container`
into a child process.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from shipwheel.cache import Cache
from shipwheel.engine.platform import require_platform
from shipwheel.engine.process import Process, find_command, plan_process, writable_folders
from shipwheel.engine.root import inside, unpacked_root
from shipwheel.engine.spec import INHERIT, Mount, Publish, RunSpec, Streams
from shipwheel.engine.supervise import Child, Deliver, Start, supervise
from shipwheel.engine.terminal import on_terminal
from shipwheel.errors import HostError, UsageError
from shipwheel.oci.model import Image

# Of the host, so that names resolve as they do there. Only with the host's network.
_NETWORK_FILES: Final = ("/etc/resolv.conf", "/etc/hosts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """All that a launcher needs: an unpacked `root`, the `process` with its program's `path`, mounts.

    Mount targets and `tmpfs` exist in `root` and go through no link. Anything not `read_only` is
    this run's own copy. Without `init` the program is process 1.
    """

    root: Path
    process: Process
    path: str
    mounts: Sequence[Mount] = ()
    tmpfs: Sequence[str] = ()
    isolate_network: bool = False
    read_only: bool = True
    terminal: bool = False
    init: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How to start a container's child process and to deliver a signal to the program in it."""

    start: Start
    deliver: Deliver

    def check(self, code: int) -> int:
        """Return the program's exit code; raises HostError `runner-failed` when it was never started."""
        return code


class Launcher(Protocol):
    """One way to isolate a process."""

    @property
    def name(self) -> str:
        """What `--runner` calls it."""
        ...

    def launch(self, container: Container, streams: Streams) -> contextlib.AbstractContextManager[Launch]:
        """Prepare `container`; everything prepared is gone when the context ends."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RootlessRunner:
    """A `Runner` around a launcher. Needs neither an engine nor root; works for root as well.

    With a terminal, `terminal_launcher` is used: it must make the terminal the program's own, or
    Ctrl-C would end the launcher's processes with it.
    """

    launcher: Launcher
    terminal_launcher: Launcher
    cache: Cache

    @property
    def name(self) -> str:
        """The launcher's name."""
        return self.launcher.name

    def run(
        self,
        image: Image,
        spec: RunSpec,
        *,
        streams: Streams = INHERIT,
        timeout: float | None = None,
        stop: int | None = None,
    ) -> int:
        """Run `image`; see `Runner.run`."""
        require_platform(image.platform, machine=os.uname().machine)
        _check_ports(spec)
        tmpfs = writable_folders(image.config, spec)
        mounts = list(spec.mounts)
        if spec.network != "none":
            mounts += [
                Mount(source=Path(file), target=file)
                for file in _NETWORK_FILES
                if Path(file).exists() and file not in {mount.target for mount in spec.mounts}
            ]
        for mount in mounts:
            if not mount.source.exists():
                raise UsageError("bad-mount", "there is nothing to mount", place=str(mount.source))
        workdir = posixpath.normpath(spec.workdir or image.config.working_dir or "/")
        with (
            unpacked_root(
                image,
                self.cache,
                tmpfs=tmpfs,
                folders=[workdir, *(m.target for m in mounts if m.source.is_dir())],
                files=[mount.target for mount in mounts if not mount.source.is_dir()],
                writable=not spec.read_only,
            ) as root,
            contextlib.ExitStack() as stack,
        ):
            process = plan_process(image.config, spec, root)
            container = Container(
                root=root,
                process=process,
                path=find_command(process, root, mounted=[mount.target for mount in mounts]),
                mounts=[
                    Mount(source=m.source, target=inside(root, m.target), read_only=m.read_only)
                    for m in mounts
                ],
                tmpfs=[inside(root, folder) for folder in tmpfs],
                isolate_network=spec.network == "none",
                read_only=spec.read_only,
                terminal=spec.tty,
                init=spec.init,
            )
            if not spec.interactive and streams.stdin is None:
                null = os.open(os.devnull, os.O_RDONLY)
                stack.callback(os.close, null)
                streams = Streams(stdin=null, stdout=streams.stdout, stderr=streams.stderr)
            launcher, resize = self.launcher, None
            if spec.tty:
                launcher = self.terminal_launcher
                streams, resize = stack.enter_context(on_terminal(streams))
            launch = stack.enter_context(launcher.launch(container, streams))

            def deliver(child: Child, number: int) -> bool:
                if resize is not None and number == signal.SIGWINCH:
                    resize()  # the kernel tells the program
                    return True
                return launch.deliver(child, number)

            return launch.check(supervise(launch.start, deliver, timeout=timeout, stop=stop))


def popen(
    argv: Sequence[str], streams: Streams, *, environ: Mapping[str, str], pass_fds: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start `argv` with `streams`, in a session of its own.

    A terminal's Ctrl-C then reaches this process alone, which passes it on once.
    """
    return subprocess.Popen(
        argv,
        stdin=streams.stdin,
        stdout=streams.stdout,
        stderr=streams.stderr,
        env=dict(environ),
        cwd="/",
        pass_fds=pass_fds,
        start_new_session=True,
    )


def _check_ports(spec: RunSpec) -> None:
    ports: Sequence[Publish] = spec.publish or ()
    if ports and spec.network == "none":
        raise UsageError("bad-port", "without a network there is no port to publish")
    for port in ports:
        if port.host_port != port.container_port:
            raise HostError(
                "no-port-mapping",
                f"without an engine, port {port.container_port} cannot be published as {port.host_port}",
                hint=f"the program shares this machine's network: have it listen on {port.host_port}, "
                "or use --runner docker or podman",
            )
