"""Find Podman and the flags it needs to run anything here. What is done with it is in `engine`."""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from shipwheel.engine.engine import EngineClient
from shipwheel.engine.runc import find_init
from shipwheel.errors import HostError

# A shell's code for a program that does not exist: the container was started and had nothing to run.
_NOT_FOUND: Final = 127
# Enough for a program with many threads, and half of what Podman may have halved before.
_PROCESSES: Final = 16384
# User numbers of two bytes: "nobody" and its like are the last of them.
_USERS: Final = 65535


def podman_client(program: str, environ: Mapping[str, str], *, timeout: float) -> EngineClient:
    """Return a client that starts containers; raises HostError `engine-failed` with Podman's reason.

    `SHIPWHEEL_PODMAN_FLAGS` are the flags for `podman create`; where it is not set, a few sets are
    tried, each within `timeout` seconds.
    """
    if os.geteuid() != 0 and (unfit := _unfit_users(program, environ, timeout)):
        raise HostError("engine-failed", unfit)
    named = environ.get("SHIPWHEEL_PODMAN_FLAGS")
    # The init that Podman names is often not installed; any static one will do.
    init = find_init()
    reason = ""
    for flags in _candidates(environ) if named is None else [shlex.split(named)]:
        client = EngineClient(
            name="podman",
            program=program,
            environ=environ,
            # What is writable is said by --tmpfs, for all runners alike.
            flags=["--read-only-tmpfs=false", *(["--init-path", init] if init else []), *flags],
            gives_folders=True,
        )
        reason = _trial(client, flags, timeout)
        if not reason:
            return client
    raise HostError("engine-failed", reason)


def _unfit_users(program: str, environ: Mapping[str, str], timeout: float) -> str:
    """Return why images with users of their own cannot be unpacked for this user, or an empty string.

    Without a range in /etc/subuid, Podman starts containers but refuses every file that is not root's.
    """
    format_ = "{{range .Host.IDMappings.UIDMap}}{{.Size}} {{end}}"
    try:
        told = subprocess.run(
            [program, "info", "--format", format_],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "it does not answer" if isinstance(error, subprocess.TimeoutExpired) else str(error)
    sizes = [int(word) for word in told.stdout.split() if word.isdecimal()]
    # Without an answer the trial decides.
    if told.returncode == 0 and sizes and sum(sizes) < _USERS:
        return "for an ordinary user, it needs a range of this user's own in /etc/subuid and /etc/subgid"
    return ""


def _candidates(environ: Mapping[str, str]) -> list[Sequence[str]]:
    # Podman asks for higher limits than a small or nested machine gives, which then refuses every container.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = ["--ulimit", f"nofile={soft}:{hard}", "--ulimit", f"nproc={_PROCESSES}:{_PROCESSES}"]
    candidates: list[Sequence[str]] = [(), limits]
    if shutil.which("runc", path=environ.get("PATH")) is not None:
        # crun refuses machines with both versions of control groups; runc does not.
        candidates.append(("--runtime", "runc", *limits))
    return candidates


def _trial(client: EngineClient, flags: Sequence[str], timeout: float) -> str:
    """Return why no container can be started, or an empty string. Needs no image: the root is empty."""
    with tempfile.TemporaryDirectory(prefix="shipwheel-trial-") as folder:
        root = Path(folder) / "root"
        root.mkdir()
        try:
            ended = client.run(
                "run", "--rm", "--network", "none", *flags, "--rootfs", str(root), "/none", timeout=timeout
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return "it does not answer" if isinstance(error, subprocess.TimeoutExpired) else str(error)
    if ended.returncode == _NOT_FOUND:
        return ""
    lines = ended.stderr.strip().splitlines()
    return lines[-1] if lines else f"it ended with {ended.returncode}"
