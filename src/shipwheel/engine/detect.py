"""Find a way to run images on this machine by trying each one, quickly and for real."""

from __future__ import annotations

import functools
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from shipwheel.cache import Cache
from shipwheel.engine.bwrap import BwrapLauncher
from shipwheel.engine.docker import docker_client
from shipwheel.engine.engine import EngineRunner
from shipwheel.engine.podman import podman_client
from shipwheel.engine.process import Process, User
from shipwheel.engine.rootless import Container, Launcher, RootlessRunner
from shipwheel.engine.runc import RuncLauncher, find_init, find_subordinate
from shipwheel.engine.spec import Mount, Runner, Streams
from shipwheel.engine.supervise import supervise
from shipwheel.engine.userns import UnshareLauncher
from shipwheel.errors import HostError, UsageError

# In the order of preference: what a team runs anyway, then what isolates best.
RUNNERS: Final = ("docker", "podman", "bwrap", "runc", "unshare")
_TRIAL_SECONDS: Final = 10.0
# Where programs and their libraries are, on one Linux or another.
_PROGRAM_FOLDERS: Final = ("bin", "lib", "lib32", "lib64", "usr", "nix", "gnu")


def find_runner(
    environ: Mapping[str, str], prefer: str | None = None, *, cache: Cache | None = None
) -> Runner:
    """Return the first runner of `RUNNERS` that works here, or the one that `prefer` names.

    `cache` keeps unpacked images for rootless runs (the default one of `environ` otherwise). What was
    found once is remembered by this process. Raises UsageError `unknown-runner` and HostError
    `no-runner`, which says why each one does not work.
    """
    if prefer is not None and prefer not in RUNNERS:
        raise UsageError("unknown-runner", f"no runner {prefer!r}", hint=f"there are: {', '.join(RUNNERS)}")
    key = tuple(sorted(environ.items()))
    reasons = []
    for name in RUNNERS if prefer is None else (prefer,):
        tried = _try(name, key)
        if isinstance(tried, str):
            reasons.append(f"{name}: {tried}")
        elif isinstance(tried, EngineRunner):
            return tried
        else:
            return RootlessRunner(
                launcher=tried, terminal_launcher=UnshareLauncher(), cache=cache or Cache.default(environ)
            )
    raise HostError(
        "no-runner",
        "nothing here can run an image: " + "; ".join(reasons),
        hint="write an archive (`shipwheel build --output docker-archive:image.tar`) and load it on another "
        "machine, or install bubblewrap, Podman or Docker",
    )


@functools.cache
def _try(name: str, environ: tuple[tuple[str, str], ...]) -> EngineRunner | Launcher | str:
    """Return what works, or why it does not."""
    variables = dict(environ)
    if unfit := _unfit(name):
        return unfit
    program = sys.executable if name == "unshare" else shutil.which(name, path=variables.get("PATH"))
    if program is None:
        return "not installed"
    try:
        if name == "docker":
            return EngineRunner(client=docker_client(program, variables, timeout=_TRIAL_SECONDS))
        if name == "podman":
            return EngineRunner(client=podman_client(program, variables, timeout=_TRIAL_SECONDS))
    except HostError as error:
        return error.problems[0].message
    return _first_working(_launchers(name, program, variables))


def _unfit(name: str) -> str:
    """Return why this machine or user has no use for a runner, or nothing."""
    if name not in ("docker", "podman") and sys.platform != "linux":
        return "needs Linux"
    if name == "bwrap" and os.geteuid() == 0:
        # In a user namespace this user stays who it is for the kernel: files in /proc/sys and sockets of
        # other services would take the program for root.
        return "for root, it would leave the program root outside of its container"
    if name == "runc" and os.geteuid() != 0:
        if shutil.which("newuidmap") is None:
            return "for an ordinary user, it needs newuidmap (Debian: uidmap)"
        if find_subordinate(os.geteuid()) is None:
            return "for an ordinary user, it needs a range of this user's own in /etc/subuid and /etc/subgid"
    return ""


def _launchers(name: str, program: str, environ: Mapping[str, str]) -> Sequence[Launcher]:
    if name == "bwrap":
        # The first keeps the program from making namespaces of its own; bubblewrap 0.8 and later.
        return (
            BwrapLauncher(program=program, options=("--disable-userns",)),
            BwrapLauncher(program=program),
        )
    if name == "runc":
        subordinate = None if os.geteuid() == 0 else find_subordinate(os.geteuid())
        return (RuncLauncher(program=program, environ=environ, init=find_init(), subordinate=subordinate),)
    return (UnshareLauncher(),)


def _first_working(launchers: Sequence[Launcher]) -> Launcher | str:
    reason = ""
    for launcher in launchers:
        reason = _trial(launcher)
        if not reason:
            return launcher
    return reason


def _trial(launcher: Launcher) -> str:
    """Run this machine's `true` in a container of its own programs; return why that fails, or nothing."""
    true = shutil.which("true", path="/usr/bin:/bin")
    if true is None:
        return "this machine has no `true` to try it with"
    with (
        tempfile.TemporaryDirectory(prefix="shipwheel-trial-") as folder,
        tempfile.TemporaryFile() as output,
    ):
        root = Path(folder) / "root"
        container = _trial_container(root, true)
        streams = Streams(stdin=output.fileno(), stdout=output.fileno(), stderr=output.fileno())
        try:
            with launcher.launch(container, streams) as launch:
                code = launch.check(supervise(launch.start, launch.deliver, timeout=_TRIAL_SECONDS))
        except TimeoutError:
            return "it does not answer"
        except HostError as error:
            return error.problems[0].message
        output.seek(0)
        lines = output.read().decode(errors="replace").strip().splitlines()
    return "" if code == 0 else lines[-1] if lines else f"it ended with {code}"


def _trial_container(root: Path, true: str) -> Container:
    mounts = []
    for name in ("dev", "proc", "sys", "tmp"):
        (root / name).mkdir(parents=True)
    for name in _PROGRAM_FOLDERS:
        source = Path("/") / name
        if source.is_symlink():
            (root / name).symlink_to(source.readlink())
        elif source.is_dir():
            (root / name).mkdir()
            mounts.append(Mount(source=source, target=f"/{name}"))
    root.chmod(0o755)
    process = Process(argv=(true,), env={"PATH": "/usr/bin"}, cwd="/", user=User(uid=65532, gid=65532))
    return Container(root=root, process=process, path=true, mounts=mounts, tmpfs=["/tmp"])  # noqa: S108
