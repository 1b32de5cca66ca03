"""Tell whether this machine can run an image's platform: by itself, or through a registered emulator."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from shipwheel.errors import HostError
from shipwheel.oci.model import Platform

BINFMT: Final = Path("/proc/sys/fs/binfmt_misc")
# The kernel's machine name → the OCI architectures it runs.
_RUNS: Final[dict[str, tuple[str, ...]]] = {
    "x86_64": ("amd64", "386"),
    "i686": ("386",),
    "aarch64": ("arm64",),
    "arm64": ("arm64",),  # macOS
    "armv7l": ("arm",),
    "ppc64le": ("ppc64le",),
    "s390x": ("s390x",),
    "riscv64": ("riscv64",),
}
# OCI architecture → the name that qemu-user-static registers its interpreter under.
_QEMU: Final = {
    "amd64": "qemu-x86_64",
    "386": "qemu-i386",
    "arm64": "qemu-aarch64",
    "arm": "qemu-arm",
    "ppc64le": "qemu-ppc64le",
    "s390x": "qemu-s390x",
    "riscv64": "qemu-riscv64",
}


def require_platform(image: Platform, *, machine: str, binfmt: Path = BINFMT) -> None:
    """Raise HostError `foreign-platform` unless a machine named `machine` runs programs of `image`."""
    if image.os == "linux" and (
        image.architecture in _RUNS.get(machine, ()) or is_emulated(image.architecture, binfmt)
    ):
        return
    raise HostError(
        "foreign-platform",
        f"an image for {image} does not run on this machine ({machine})",
        hint=f"build it with --platform for this machine, or register an emulator for {image.architecture} "
        "with binfmt_misc (Debian: qemu-user-static)",
    )


def is_emulated(architecture: str, binfmt: Path = BINFMT) -> bool:
    """Tell whether binfmt_misc has an enabled emulator for the OCI `architecture` that works in a container."""
    try:
        lines = (binfmt / _QEMU.get(architecture, "")).read_text().splitlines()
    except OSError:
        return False
    # F: the interpreter was opened when it was registered; without it, the container would have to have it.
    flags = next((line.removeprefix("flags:").strip() for line in lines if line.startswith("flags:")), "")
    return lines[:1] == ["enabled"] and "F" in flags
