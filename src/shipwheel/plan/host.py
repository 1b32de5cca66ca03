"""The platform of the machine that shipwheel runs on: what is built by default, and what can be run here."""

from __future__ import annotations

import platform as machine
import sys

from shipwheel.oci.model import Platform

_ARCHITECTURES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def host_platform() -> Platform | None:
    """Return this machine's platform, or None where Linux programs do not run."""
    architecture = _ARCHITECTURES.get(machine.machine())
    if not sys.platform.startswith("linux") or architecture is None:
        return None
    return Platform(os="linux", architecture=architecture)


def default_platform() -> Platform:
    """Return the platform to build for when none is asked for: Linux on this machine's architecture."""
    return Platform(os="linux", architecture=_ARCHITECTURES.get(machine.machine(), "amd64"))
