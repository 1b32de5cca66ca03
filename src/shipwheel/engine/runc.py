"""Isolate a process with runc, by a configuration as the OCI runtime specification has it.

runc has no init of its own: a static one of this machine is lent to the container where there is
one. Without, the program is process 1, as it is in Kubernetes, and has to reap its own orphans.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from shipwheel.engine.guard import guarded
from shipwheel.engine.rootless import Container, Launch, popen
from shipwheel.engine.signals import minds
from shipwheel.engine.spec import Streams
from shipwheel.engine.supervise import Child
from shipwheel.errors import HostError

# Statically linked, so that they run in any image.
_INITS: Final = ("tini-static", "catatonit")
_INIT_FOLDERS: Final = ("/usr/bin", "/usr/libexec/podman", "/usr/lib/podman", "/usr/libexec/catatonit")
_INIT_INSIDE: Final = "/dev/init"
_MASKED: Final = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
)
_READ_ONLY: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuncLauncher:
    """Launch with the runc at `program`, and `init` as the container's process 1 if there is one.

    `subordinate` is needed by anyone but root, see `render_config`.
    """

    program: str
    environ: Mapping[str, str]
    init: str | None = None
    subordinate: int | None = None
    name: str = "runc"

    @contextlib.contextmanager
    def launch(self, container: Container, streams: Streams) -> Iterator[Launch]:
        """Prepare `container`; see `Launcher.launch`."""
        with contextlib.ExitStack() as stack:
            work = Path(tempfile.mkdtemp(prefix="shipwheel-run-"))
            stack.callback(shutil.rmtree, work, ignore_errors=True)
            init = self.init if container.init else None
            config = render_config(
                container, uid=os.geteuid(), gid=os.getegid(), init=init, subordinate=self.subordinate
            )
            # Its folder is for this user alone: the environment may hold secrets.
            (work / "config.json").write_text(json.dumps(config), encoding="utf-8")
            name = f"shipwheel-{secrets.token_hex(8)}"
            runc = [self.program, "--root", str(work / "state"), "--log", str(work / "log")]
            delete = [*runc, "delete", "--force", name]
            environ = {key: self.environ[key] for key in ("PATH", "XDG_RUNTIME_DIR") if key in self.environ}
            stack.enter_context(guarded([delete], environ=environ, folders=[work]))
            stack.callback(_delete, delete, environ, work / "state" / name)
            pid_file = work / "pid"

            def start() -> Child:
                argv = [*runc, "run", "--bundle", str(work), "--pid-file", str(pid_file), name]
                return popen(argv, streams, environ=environ)

            target = _Target(pid_file=pid_file, has_init=init is not None)
            yield _RuncLaunch(start=start, deliver=target.deliver, target=target, log=work / "log")


@dataclass(slots=True)
class _Target:
    """The container's process 1."""

    pid_file: Path
    has_init: bool
    killed_for: list[int] = field(default_factory=list)

    def deliver(self, _child: Child, number: int) -> bool:
        """Send process 1 a signal; False while runc has not made it."""
        try:
            pid = int(self.pid_file.read_text())
        except (OSError, ValueError):
            return False
        with contextlib.suppress(ProcessLookupError):
            if not self.has_init and not minds(pid, number):
                self.killed_for.append(number)
                number = signal.SIGKILL
            os.kill(pid, signal.Signals(number))
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class _RuncLaunch(Launch):
    target: _Target
    log: Path

    def check(self, code: int) -> int:
        """Return `code`, unless runc never made the container."""
        if code == 128 + signal.SIGKILL and self.target.killed_for:
            return 128 + self.target.killed_for[0]
        if not self.target.pid_file.exists():
            lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
            raise HostError(
                "runner-failed",
                f"runc: {message_of(lines[-1]) if lines else f'ended with {code}'}",
                hint="another runner may do: `shipwheel run --runner docker|podman|bwrap|unshare`",
            )
        return code


def find_init() -> str | None:
    """Return the path of a static init of this machine, or None."""
    paths = (Path(folder) / name for name in _INITS for folder in _INIT_FOLDERS)
    return next((str(path) for path in paths if path.is_file()), None)


def find_subordinate(
    uid: int, files: Sequence[Path] = (Path("/etc/subuid"), Path("/etc/subgid"))
) -> int | None:
    """Return a number that user `uid` may map as user and as group (subuid(5)), or None."""
    try:
        names = {pwd.getpwuid(uid).pw_name, str(uid)}
    except KeyError:
        names = {str(uid)}
    numbers: list[range] = []
    for file in files:
        try:
            records = [line.split(":") for line in file.read_text(encoding="utf-8").splitlines()]
        except OSError:
            return None
        mine = [record for record in records if len(record) == 3 and record[0] in names]
        if not mine:
            return None
        first = int(mine[0][1])
        numbers.append(range(first, first + int(mine[0][2])))
    return next((number for number in numbers[0] if all(number in other for other in numbers)), None)


def render_config(
    container: Container, *, uid: int, gid: int, init: str | None, subordinate: int | None = None
) -> dict[str, Any]:
    """Return the runtime configuration (runtime-spec config.md, config-linux.md).

    For root (`uid` 0) users are real. For anyone else there are two in a user namespace: root, which
    runc needs, is this user, and the image's user is `subordinate` (see `find_subordinate`).
    """
    process, user = container.process, container.process.user
    namespaces = ["pid", "ipc", "uts", "mount"]
    linux: dict[str, Any] = {"maskedPaths": list(_MASKED), "readonlyPaths": list(_READ_ONLY)}
    inside: dict[str, Any] = {"uid": user.uid, "gid": user.gid}
    if container.isolate_network:
        namespaces.append("network")
    if uid != 0:
        namespaces.append("user")
        linux["uidMappings"] = _mappings(user.uid, uid, subordinate)
        linux["gidMappings"] = _mappings(user.gid, gid, subordinate)
    else:
        inside["additionalGids"] = list(user.groups)
        # No device but those of config-linux.md, "Default Devices", which runc allows by itself.
        linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    linux["namespaces"] = [{"type": kind} for kind in namespaces]
    mounts = _mounts(container)
    argv = list(process.argv)
    if init is not None:
        mounts.append(_bind(init, _INIT_INSIDE, read_only=True))
        argv = [_INIT_INSIDE, "--", *argv]
    return {
        "ociVersion": "1.0.2",
        "root": {"path": str(container.root), "readonly": container.read_only},
        "process": {
            "terminal": False,
            "user": inside,
            "args": argv,
            "env": [f"{name}={value}" for name, value in process.env.items()],
            "cwd": process.cwd,
            "capabilities": {
                kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")
            },
            "noNewPrivileges": True,
        },
        "hostname": "shipwheel",
        "mounts": mounts,
        "linux": linux,
    }


def message_of(line: str) -> str:
    """Return the message of a line of runc's log (logfmt: `msg="…"`), or the line."""
    _, found, rest = line.partition("msg=")
    if not found or not rest.startswith('"'):
        return line
    try:
        message, _ = json.JSONDecoder().raw_decode(rest)
    except ValueError:
        return line
    return str(message)


def _mappings(inside: int, own: int, subordinate: int | None) -> list[dict[str, int]]:
    mappings = [{"containerID": 0, "hostID": own, "size": 1}]
    if inside != 0 and subordinate is not None:
        mappings.append({"containerID": inside, "hostID": subordinate, "size": 1})
    return mappings


def _mounts(container: Container) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        _tmpfs("/dev", "nosuid", "strictatime", "mode=755", "size=65536k"),
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        },
        _tmpfs("/dev/shm", "nosuid", "noexec", "nodev", "mode=1777"),  # noqa: S108 - inside the container
    ]
    mounts += [_tmpfs(folder, "nosuid", "nodev", "mode=1777") for folder in sorted(container.tmpfs)]
    mounts += [
        _bind(str(mount.source), mount.target, read_only=mount.read_only)
        for mount in sorted(container.mounts, key=lambda mount: mount.target)
    ]
    return mounts


def _tmpfs(target: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": "tmpfs", "source": "tmpfs", "options": list(options)}


def _bind(source: str, target: str, *, read_only: bool) -> dict[str, Any]:
    options = ["rbind", "nosuid", "nodev", "ro" if read_only else "rw"]
    return {"destination": target, "type": "bind", "source": source, "options": options}


def _delete(command: list[str], environ: Mapping[str, str], state: Path) -> None:
    # runc removes the state of a container whose end it has seen; what is left is of one that it has not.
    if state.exists():
        subprocess.run(command, check=False, env=dict(environ), capture_output=True)
