"""A second BuildKit, as a builder on another machine is: reached over TCP alone, by buildx's `remote` driver.

It is the BuildKit of a Docker daemon of its own that keeps images in containerd, so it exports caches, OCI
archives and several platforms, which the first one cannot. The daemon offers its BuildKit as an upgrade of an
HTTP connection; `_Door` makes of that the plain socket that a `buildkitd` listens on.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from helpers.docker import DockerEngine
from helpers.tools import missing

_START_SECONDS: Final = 60.0
_UPGRADE: Final = b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """A builder that buildx knows by `name` where `environ` is set; no Docker daemon answers there."""

    name: str
    environ: dict[str, str]
    client: str

    def prune(self) -> None:
        """Forget everything: downloads of cache mounts as well as steps."""
        command = [self.client, "buildx", "prune", "--builder", self.name, "--all", "--force"]
        subprocess.run(command, env={**os.environ, **self.environ}, check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def remote_builder(engine: DockerEngine, name: str = "cluster") -> Iterator[Builder]:
    """Give a builder while the block runs; what it stored goes with it. Needs root and a dockerd."""
    dockerd = shutil.which("dockerd", path=engine.environ["PATH"])
    if dockerd is None or os.geteuid() != 0:
        missing("a second Docker daemon needs root and dockerd")
    # Short: a socket's path has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="builder-", dir="/var/tmp"))
    try:
        with _daemon(dockerd, folder, engine), _Door(folder / "docker.sock") as port:
            environ = {
                **{key: value for key, value in engine.environ.items() if key != "DOCKER_HOST"},
                "BUILDX_CONFIG": str(folder / "buildx"),
                # Whoever asks a daemon of this machine is refused: the builder has to be enough.
                "DOCKER_HOST": f"unix://{folder / 'none.sock'}",
            }
            create = [engine.client, "buildx", "create", "--name", name, "--driver", "remote"]
            address = f"tcp://127.0.0.1:{port}"
            subprocess.run([*create, address], env=environ, check=True, stdout=subprocess.DEVNULL)
            yield Builder(name=name, environ=environ, client=engine.client)
    finally:
        _unmount(folder)
        shutil.rmtree(folder)


@contextlib.contextmanager
def containerd_engine(engine: DockerEngine) -> Iterator[DockerEngine]:
    """Give a Docker daemon of its own that keeps images in containerd; needs root and a dockerd."""
    dockerd = shutil.which("dockerd", path=engine.environ["PATH"])
    if dockerd is None or os.geteuid() != 0:
        missing("a second Docker daemon needs root and dockerd")
    folder = Path(tempfile.mkdtemp(prefix="engine-", dir="/var/tmp"))
    try:
        with _daemon(dockerd, folder, engine):
            host = f"unix://{folder / 'docker.sock'}"
            yield DockerEngine(client=engine.client, environ={**engine.environ, "DOCKER_HOST": host})
    finally:
        _unmount(folder)
        shutil.rmtree(folder)


@contextlib.contextmanager
def _daemon(dockerd: str, folder: Path, engine: DockerEngine) -> Iterator[None]:
    socket_path, log_path = folder / "docker.sock", folder / "log"
    command = [
        *(dockerd, "--host", f"unix://{socket_path}", "--pidfile", str(folder / "pid")),
        *("--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")),
        *("--bridge=none", "--iptables=false", "--ip6tables=false", "--feature=containerd-snapshotter=true"),
    ]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, env=engine.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
        )
    try:
        environ = {**engine.environ, "DOCKER_HOST": f"unix://{socket_path}"}
        deadline = time.monotonic() + _START_SECONDS
        while subprocess.run([engine.client, "version"], env=environ, capture_output=True).returncode != 0:  # noqa: PLW1510
            if process.poll() is not None or time.monotonic() > deadline:
                missing(f"a second dockerd does not start:\n{log_path.read_text()[-2000:]}")
            time.sleep(0.1)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_START_SECONDS)


class _Door:
    """Listen on a loopback port, and pass each connection on to the BuildKit behind the daemon's socket."""

    def __init__(self, daemon: Path) -> None:
        self._daemon = daemon
        self._server = socket.create_server(("127.0.0.1", 0))

    def __enter__(self) -> int:
        threading.Thread(target=self._serve, daemon=True).start()
        port: int = self._server.getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        # accept() notices a shutdown, and not a close.
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as daemon:
            daemon.connect(str(self._daemon))
            daemon.sendall(_UPGRADE)
            answer = b""
            # A byte at a time: what follows the empty line is BuildKit's.
            while not answer.endswith(b"\r\n\r\n"):
                byte = daemon.recv(1)
                if not byte:
                    return
                answer += byte
            back = threading.Thread(target=_pump, args=(daemon, client), daemon=True)
            back.start()
            _pump(client, daemon)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Send what `source` says to `target` until one of them goes."""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _unmount(folder: Path) -> None:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted(points, reverse=True):
        if Path(point).is_relative_to(folder):
            subprocess.run(["umount", "--lazy", point], check=True)
