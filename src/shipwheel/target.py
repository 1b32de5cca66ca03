"""What an image is made for: Python, platform and libc → marker environment and wheel tags.

Everything here is about the target; the machine that shipwheel runs on has no say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, Self

from packaging.markers import Environment
from packaging.tags import Tag, compatible_tags, cpython_tags

from shipwheel.errors import TargetError
from shipwheel.oci.model import Platform

# OCI architecture (Go's GOARCH) → the kernel's machine name, as `platform.machine()` gives it.
_MACHINES: Final = {
    ("amd64", None): "x86_64",
    ("arm64", None): "aarch64",
    ("arm64", "v8"): "aarch64",
    ("arm", "v7"): "armv7l",
    ("386", None): "i686",
    ("ppc64le", None): "ppc64le",
    ("s390x", None): "s390x",
    ("riscv64", None): "riscv64",
}
# PEP 600: the older names are aliases of these glibc versions.
_LEGACY_MANYLINUX: Final = {(2, 17): "manylinux2014", (2, 12): "manylinux2010", (2, 5): "manylinux1"}


@dataclass(frozen=True, slots=True)
class Libc:
    """The C library of the base: family and version, as in `glibc 2.41` or `musl 1.2`."""

    family: Literal["glibc", "musl"]
    version: tuple[int, int]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `glibc 2.41` or `musl 1.2.5`; raises TargetError `bad-libc`."""
        match = re.fullmatch(r"(glibc|musl) (\d+)\.(\d+)(?:\.\d+)*", text)
        if match is None:
            raise TargetError("bad-libc", f"not a C library and its version: {text!r}", hint="glibc 2.41")
        family: Literal["glibc", "musl"] = "glibc" if match[1] == "glibc" else "musl"
        return cls(family, (int(match[2]), int(match[3])))

    def __str__(self) -> str:
        return f"{self.family} {self.version[0]}.{self.version[1]}"


@dataclass(frozen=True, kw_only=True)
class Target:
    """The Python (full version, as `3.13.5`), platform and libc that an image is made for."""

    python: str
    platform: Platform
    libc: Libc

    @property
    def python_minor(self) -> str:
        """`3.13` of `3.13.5`."""
        return ".".join(self.python.split(".")[:2])

    @property
    def machine(self) -> str:
        """The kernel's machine name, as `x86_64`; raises TargetError `unknown-platform`."""
        key = (self.platform.architecture, self.platform.variant)
        machine = _MACHINES.get(key)
        if machine is None or self.platform.os != "linux":
            raise TargetError(
                "unknown-platform",
                f"no Python wheels are known for {self.platform}",
                hint="linux/amd64 and linux/arm64 work",
            )
        return machine

    def marker_environment(self) -> Environment:
        """Return the environment that dependency specifiers are evaluated in (PyPA, "Environment Markers")."""
        # Kernel release and version are the future host's and not known: markers on them see an empty
        # string, as they do in uv's and PDM's cross-platform resolutions.
        return {
            "implementation_name": "cpython",
            "implementation_version": self.python,
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": self.python,
            "python_version": self.python_minor,
            "sys_platform": "linux",
        }

    @cached_property
    def tags(self) -> tuple[Tag, ...]:
        """The wheel tags this target installs, best first (PyPA, "Platform compatibility tags")."""
        version = tuple(int(part) for part in self.python_minor.split("."))
        platforms = self.platform_tags()
        interpreter = f"cp{version[0]}{version[1]}"
        return (
            *cpython_tags(version, abis=[interpreter], platforms=platforms),
            *compatible_tags(version, interpreter=interpreter, platforms=platforms),
        )

    def platform_tags(self) -> list[str]:
        """Return the platform tags, best first: PEP 600 for glibc, PEP 656 for musl, then plain linux."""
        major, minor = self.libc.version
        tags: list[str] = []
        if self.libc.family == "musl":
            tags = [f"musllinux_{major}_{step}_{self.machine}" for step in range(minor, -1, -1)]
        elif major == 2:
            # The first glibc of each architecture that a manylinux profile was defined for.
            oldest = 5 if self.machine in ("x86_64", "i686") else 17
            for step in range(minor, oldest - 1, -1):
                tags.append(f"manylinux_2_{step}_{self.machine}")
                if legacy := _LEGACY_MANYLINUX.get((2, step)):
                    tags.append(f"{legacy}_{self.machine}")
        return [*tags, f"linux_{self.machine}"]
