"""How podman and buildah are started in tests: with flags that work in a container or small machine as root."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from helpers.tools import require_tool

# crun needs a cgroup layout that a machine may not have, and podman's default limits are more than a
# small machine may set; systemd may not be there to make cgroups.
_ENGINE: Final = ("--runtime", "runc", "--cgroup-manager", "cgroupfs")
RUN: Final = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096", "--network", "host")
BUILD: Final = ("--isolation", "chroot", "--network", "host", "--ulimit", "nofile=1024:1024")


@contextlib.contextmanager
def storage() -> Iterator[Path]:
    """Give an empty store for podman and buildah, gone after the block. Its path is short: podman wants that."""
    with tempfile.TemporaryDirectory(prefix="pod-", dir="/var/tmp") as folder:
        yield Path(folder)


def podman(storage: Path) -> list[str]:
    """Return the start of a podman command on this store; `podman run` needs `RUN` as well."""
    return [require_tool("podman"), *_store(storage), *_ENGINE]


def buildah(storage: Path) -> list[str]:
    """Return the start of a buildah command on this store; `buildah build` needs `BUILD` as well."""
    return [require_tool("buildah"), *_store(storage)]


def _store(storage: Path) -> list[str]:
    return ["--root", str(storage / "root"), "--runroot", str(storage / "run"), "--storage-driver", "vfs"]
