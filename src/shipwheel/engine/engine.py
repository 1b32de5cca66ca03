"""Run an image with an engine's command-line client: load it when it is not there, create, start, remove.

Docker and Podman take the same commands; where they differ, `EngineClient` says so.
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, Final, cast

from shipwheel.engine.guard import guarded
from shipwheel.engine.platform import require_platform
from shipwheel.engine.process import command, writable_folders
from shipwheel.engine.signals import minds
from shipwheel.engine.spec import INHERIT, Mount, Publish, RunSpec, Streams
from shipwheel.engine.supervise import Child, supervise
from shipwheel.errors import HostError, ImageError, UsageError
from shipwheel.oci.archive import write_docker_archive
from shipwheel.oci.model import Image
from shipwheel.oci.reference import Reference

# A name that no registry answers to, tagged with the config's digest: same name, same image.
_REPOSITORY: Final = "localhost/shipwheel-run"
_SIGNAL_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineClient:
    """An engine's client: its `program`, and the `flags` of `create` that this machine needs."""

    name: str
    program: str
    environ: Mapping[str, str]
    flags: Sequence[str] = ()
    machine: str | None = None
    has_init: bool = True
    # Podman gives a folder in memory to the container's user when asked to; Docker has to be told who.
    gives_folders: bool = False

    def run(self, *arguments: str, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
        """Run the client with `arguments` and return how it ended."""
        return subprocess.run(
            [self.program, *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=dict(self.environ),
            timeout=timeout,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRunner:
    """A `Runner` around an engine's client."""

    client: EngineClient

    @property
    def name(self) -> str:
        """The engine's name."""
        return self.client.name

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
        if self.client.machine is not None:
            require_platform(image.platform, machine=self.client.machine)
        spec = self._with_network(image, spec)
        reference = self.load(image)
        code = self._run_once(reference, image, spec, streams, timeout=timeout, stop=stop)
        if code is None:  # no init that works in this container
            self_without = replace(self, client=replace(self.client, has_init=False))
            code = self_without._run_once(reference, image, spec, streams, timeout=timeout, stop=stop)
        return 125 if code is None else code

    def load(self, image: Image) -> str:
        """Give the engine `image` unless it has it; return the name it has there.

        Raises HostError `engine-failed`.
        """
        digest = image.config_blob().digest
        reference = Reference.parse(f"{_REPOSITORY}:{digest.hex}")
        name = str(reference)
        if self.client.run("image", "inspect", "--format", "{{.Id}}", name).returncode == 0:
            return name
        with tempfile.TemporaryFile() as output:
            loading = subprocess.Popen(
                [self.client.program, "load"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=dict(self.client.environ),
            )
            with loading:
                if loading.stdin is None:
                    raise AssertionError("stdin=PIPE gives a pipe")
                try:
                    # A client that gives up early closes its end; its message says why.
                    with contextlib.suppress(BrokenPipeError):
                        write_docker_archive(cast(BinaryIO, loading.stdin), image, tags=[reference])
                        loading.stdin.flush()
                except BaseException:
                    loading.kill()
                    raise
                with contextlib.suppress(BrokenPipeError):
                    loading.stdin.close()
                loading.stdin = None
            if loading.returncode != 0:
                output.seek(0)
                raise self._failed("cannot load the image", output.read().decode(errors="replace"))
        return name

    def _with_network(self, image: Image, spec: RunSpec) -> RunSpec:
        publish = spec.publish
        if publish is None:
            publish = exposed_ports(image) if spec.network == "default" else ()
        elif publish and spec.network == "none":
            raise UsageError("bad-port", "without a network there is no port to publish")
        if publish and spec.network == "default" and not self._has_bridge():
            # An engine without a network of its own can still share this machine's.
            moved = next((port for port in publish if port.host_port != port.container_port), None)
            if moved is not None:
                raise HostError(
                    "no-port-mapping",
                    f"this {self.client.name} has no network to publish port {moved.container_port} from",
                    hint=f"have the program listen on {moved.host_port} and use --network host",
                )
            return replace(spec, publish=(), network="host")
        return replace(spec, publish=publish if spec.network == "default" else ())

    def _has_bridge(self) -> bool:
        if self.client.name != "docker":
            return True
        return self.client.run("network", "inspect", "bridge").returncode == 0

    def _run_once(
        self,
        reference: str,
        image: Image,
        spec: RunSpec,
        streams: Streams,
        *,
        timeout: float | None,
        stop: int | None,
    ) -> int | None:
        name = f"shipwheel-{secrets.token_hex(8)}"
        remove = [self.client.program, "rm", "--force", "--volumes", name]
        with contextlib.ExitStack() as stack:
            stack.enter_context(guarded([remove], environ=self.client.environ))
            options = render_options(image, spec, self.client)
            init = ["--init"] if self.client.has_init and spec.init else []
            created = self.client.run(
                "create", "--name", name, *self.client.flags, *init, *options, reference, *arguments(spec)
            )
            if created.returncode != 0:
                if init and "init" in created.stderr:
                    return None
                raise self._failed("cannot create the container", created.stderr)
            stack.callback(self.client.run, *remove[1:])
            attach = ["start", "--attach", *(["--interactive"] if spec.interactive else []), name]

            def start() -> Child:
                return subprocess.Popen(
                    [self.client.program, *attach],
                    stdin=subprocess.DEVNULL if not spec.interactive else streams.stdin,
                    stdout=streams.stdout,
                    stderr=streams.stderr,
                    env=dict(self.client.environ),
                    # With a terminal the client handles it, and must be in its foreground to do so.
                    start_new_session=not spec.tty,
                )

            def deliver(child: Child, number: int) -> bool:
                if spec.tty and number == signal.SIGWINCH:
                    child.send_signal(number)
                    return True
                return self._deliver(name, number)

            supervise(start, deliver, timeout=timeout, stop=stop)
            return self._result(name, image)

    def _deliver(self, name: str, number: int) -> bool:
        if not self.client.has_init and not self._minds(name, number):
            number = signal.SIGKILL
        sent = self.client.run("kill", "--signal", str(int(number)), name, timeout=_SIGNAL_SECONDS)
        return sent.returncode == 0

    def _minds(self, name: str, number: int) -> bool:
        # Process 1 gets no signal that it has no handler for; see `signals`.
        told = self.client.run("inspect", "--format", "{{.State.Pid}}", name).stdout.strip()
        return not told.isdecimal() or minds(int(told), number)

    def _result(self, name: str, image: Image) -> int | None:
        """Return the exit code; None when the engine's init was what could not be started."""
        told = self.client.run(
            "inspect", "--format", "{{.State.ExitCode}} {{.State.Status}} {{.State.Error}}", name
        )
        if told.returncode != 0:
            raise self._failed("the container was removed by somebody else", told.stderr)
        code, status, *message = told.stdout.strip().split(" ", 2)
        if status not in ("created", "configured", "initialized"):
            return int(code)
        reason = message[0] if message else ""
        if (
            self.client.has_init
            and "init" in reason
            and "init" not in " ".join(command(image.config, RunSpec()))
        ):
            return None
        if int(code) in (126, 127) or "executable file not found" in reason:
            raise ImageError("command-not-found", f"the image has not what it is to run: {reason.strip()}")
        raise self._failed("cannot start the container", reason or "it gives no reason")

    def _failed(self, what: str, message: str) -> HostError:
        return HostError(
            "engine-failed",
            f"{self.client.name}: {what}: {reason_in(message)}",
            hint="--runner bwrap, runc or unshare run without an engine",
        )


def reason_in(message: str) -> str:
    """Return the line of an engine's `message` that says why: the last one, as a rule."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    # Podman lists what is wrong with an archive for every format that it might have been.
    ours = [line for line in lines if line.startswith("* docker-archive:")]
    return (ours or lines or ["it gives no reason"])[-1].removeprefix("* docker-archive: ")


def exposed_ports(image: Image) -> tuple[Publish, ...]:
    """Return the image's exposed ports (config.md, "ExposedPorts") under their own numbers on loopback."""
    ports = []
    for text in sorted(image.config.exposed_ports or ()):
        match = re.fullmatch(r"(\d+)(?:/(tcp|udp))?", text)
        if match is not None:
            port = int(match[1])
            ports.append(
                Publish(container_port=port, host_port=port, protocol="udp" if match[2] == "udp" else "tcp")
            )
    return tuple(ports)


def render_options(image: Image, spec: RunSpec, client: EngineClient) -> list[str]:
    """Return the options of `create` for `spec`, without those that this machine needs."""
    options = ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pull", "never"]
    if spec.read_only:
        options.append("--read-only")
    options += _tmpfs_options(image, spec, client)
    for mount in spec.mounts:
        options += ["--mount", _mount_option(mount)]
    for port in spec.publish or ():
        host = f"[{port.host_ip}]" if ":" in port.host_ip else port.host_ip
        options += ["--publish", f"{host}:{port.host_port}:{port.container_port}/{port.protocol}"]
    for name, value in spec.env.items():
        options += ["--env", f"{name}={value}"]
    if spec.network != "default":
        options += ["--network", spec.network]
    if spec.user is not None:
        options += ["--user", spec.user]
    if spec.workdir is not None:
        options += ["--workdir", spec.workdir]
    if spec.entrypoint is not None:
        options += ["--entrypoint", spec.entrypoint[0] if spec.entrypoint else ""]
    if spec.interactive:
        options.append("--interactive")
    if spec.tty:
        options.append("--tty")
    return options


def arguments(spec: RunSpec) -> list[str]:
    """Return what follows the image's name: an entry point is one word there, the rest is arguments."""
    return [*(spec.entrypoint or ())[1:], *(spec.args or ())]


def _tmpfs_options(image: Image, spec: RunSpec, client: EngineClient) -> list[str]:
    options: list[str] = []
    user = re.fullmatch(r"(\d+)(?::(\d+))?", spec.user or image.config.user or "")
    # Both give such a folder the mode of the one it hides; so its owner has to be the user.
    owner = "" if user is None else f",uid={user[1]},gid={user[2] or 0}"
    for folder in writable_folders(image.config, spec):
        # exec, as in a rootless run: packages that compile when they run put libraries there.
        if client.gives_folders:
            options += ["--mount", f"type=tmpfs,destination={folder},tmpfs-mode=1777,exec,U=true,notmpcopyup"]
        else:
            options += ["--tmpfs", f"{folder}:rw,exec,nosuid,nodev,mode=1777{owner}"]
    return options


def _mount_option(mount: Mount) -> str:
    fields = ["type=bind", f"source={mount.source}", f"target={mount.target}"]
    if mount.read_only:
        fields.append("readonly")
    # The engines read a line of CSV: a path may hold a comma.
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(fields)
    return text.getvalue()
