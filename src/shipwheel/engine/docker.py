"""Find Docker's client and a daemon that answers. What is done with them is in `engine`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Final

from shipwheel.engine.engine import EngineClient
from shipwheel.errors import HostError

# Go's name of an architecture → the kernel's.
_MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64", "386": "i686", "arm": "armv7l"}


def docker_client(program: str, environ: Mapping[str, str], *, timeout: float) -> EngineClient:
    """Return a client whose daemon answered within `timeout` seconds; raises HostError `engine-failed`."""
    client = EngineClient(name="docker", program=program, environ=environ)
    try:
        told = client.run("version", "--format", "{{.Server.Arch}}", timeout=timeout)
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = (
            "its daemon does not answer" if isinstance(error, subprocess.TimeoutExpired) else error.strerror
        )
        raise HostError("engine-failed", f"{reason}") from error
    arch = told.stdout.strip()
    if told.returncode != 0 or not arch:
        lines = told.stderr.strip().splitlines()
        raise HostError("engine-failed", lines[-1] if lines else "its daemon does not answer")
    # Which emulators are registered can be seen for a daemon on this Linux alone; others know for themselves.
    host = environ.get("DOCKER_HOST", "")
    is_here = host.startswith("unix:") or not (host or environ.get("DOCKER_CONTEXT"))
    is_here = is_here and sys.platform == "linux"
    machine = _MACHINES.get(arch, arch) if is_here else None
    return EngineClient(name="docker", program=program, environ=environ, machine=machine)
