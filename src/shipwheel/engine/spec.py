"""How an image is to be run: the values that every runner takes. Decides nothing, starts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Protocol

from shipwheel.errors import UsageError
from shipwheel.oci.model import Image

Network = Literal["default", "host", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A folder or file of the host (`source`, absolute) seen at `target` (absolute) inside."""

    source: Path
    target: str
    read_only: bool = True

    def __post_init__(self) -> None:
        if not self.source.is_absolute() or not is_plain_absolute(self.target):
            raise UsageError(
                "bad-mount",
                f"a mount needs two absolute paths: {self.source}:{self.target}",
                hint="write it as /folder/here:/folder/inside",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """A port of the container reachable on this machine, on the loopback address unless told."""

    container_port: int
    host_port: int
    host_ip: str = "127.0.0.1"
    protocol: Literal["tcp", "udp"] = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """What a run changes of what the image says. None: as the image says.

    `args` replace Cmd; `entrypoint` replaces Entrypoint and drops Cmd, as in Docker. `user` is what
    the image's User may be: `uid`, `uid:gid` or names. `publish` None publishes the image's exposed
    ports under their own numbers on loopback. `tmpfs` are writable empty folders in memory; None
    stands for /tmp, /run and the user's HOME (see `process.writable_folders`). `network`: "default"
    is the engine's own (rootless: the host's), "none" has a loopback interface alone. Without `init` the
    program itself is process 1, as in Kubernetes; with it, where the runner has one.
    """

    args: Sequence[str] | None = None
    entrypoint: Sequence[str] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    publish: Sequence[Publish] | None = None
    mounts: Sequence[Mount] = ()
    tmpfs: Sequence[str] | None = None
    read_only: bool = True
    user: str | None = None
    network: Network = "default"
    workdir: str | None = None
    tty: bool = False
    interactive: bool = True
    init: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """File descriptors for the container's stdin, stdout and stderr; None: those of this process."""

    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None


INHERIT: Final = Streams()


class Runner(Protocol):
    """One way to run an image."""

    @property
    def name(self) -> str:
        """What `--runner` calls it."""
        ...

    def run(
        self,
        image: Image,
        spec: RunSpec,
        *,
        streams: Streams = INHERIT,
        timeout: float | None = None,
        stop: int | None = None,
    ) -> int:
        """Run `image` to its end and return its exit code; 128+n when signal n killed it.

        SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 and SIGWINCH of this process go to the
        container's. Nothing is left behind. After `timeout` seconds the container is killed and
        TimeoutError raised; once the descriptor `stop` is readable it is killed as well, without an error. Raises HostError `foreign-platform`, `runner-failed`, `engine-failed` or
        `no-port-mapping`, ImageError `no-command`, `command-not-found` or `unknown-user`. An engine
        may tell the last two itself and give 125 to 127 instead.
        """
        ...


def is_plain_absolute(path: str) -> bool:
    """Tell whether `path` is absolute, not the root, and has no `.`, `..` or empty parts."""
    parts = path.split("/")
    return len(parts) > 1 and not parts[0] and all(part not in ("", ".", "..") for part in parts[1:])
