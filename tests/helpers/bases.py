"""Base images as small as can be: files that look to shipwheel like an interpreter and a C library."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from shipwheel.oci.layer import write_layer
from shipwheel.oci.model import Image, Layer, Platform, RunConfig
from shipwheel.oci.tar import Entry

_MACHINES = {"amd64": 62, "arm64": 183, "riscv64": 243}


def elf(
    *strings: str, architecture: str = "amd64", loader: str | None = "/lib64/ld-linux-x86-64.so.2"
) -> bytes:
    """Return a 64-bit ELF file that asks for `loader` and has `strings` in its data."""
    interpreter = loader.encode() + b"\0" if loader else b""
    offset = 64 + 56
    identification = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 3, _MACHINES[architecture], 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    program = struct.pack("<IIQQQQQQ", 3 if loader else 1, 4, offset, 0, 0, len(interpreter), 0, 1)
    data = b"".join(b"\0" + text.encode() + b"\0" for text in strings)
    return identification + header + program + interpreter + data


def glibc(version: str = "2.41", architecture: str = "amd64") -> bytes:
    """Return what libc.so.6 is recognised by."""
    banner = f"GNU C Library (Debian GLIBC {version}-12) stable release version {version}.\n"
    return elf(banner, architecture=architecture, loader=None)


def files_layer(path: Path, files: Mapping[str, bytes | str]) -> Layer:
    """Write a layer of programs (bytes) and symlinks (str), in the order given."""
    entries: list[tuple[Entry, bytes]] = []
    for name, content in files.items():
        if isinstance(content, str):
            entries.append((Entry(path=name, kind="symlink", link=content), b""))
        else:
            entries.append((Entry(path=name, mode=0o755, size=len(content)), content))
    return write_layer(path, entries, created_by=f"layer {path.name}")


def python_base(
    folder: Path,
    *,
    python: str = "3.13.5",
    architecture: str = "amd64",
    env: Sequence[tuple[str, str]] = (("PATH", "/usr/local/bin:/usr/bin"),),
    extra: Mapping[str, bytes | str] | None = None,
) -> Image:
    """Return an image with CPython and glibc 2.41 in two layers, laid out as the usual ones are."""
    folder.mkdir(parents=True, exist_ok=True)
    minor = python.rpartition(".")[0]
    system: dict[str, bytes | str] = {"usr/lib/libc.so.6": glibc(architecture=architecture), "lib": "usr/lib"}
    ours: dict[str, bytes | str] = {
        f"usr/local/bin/python{minor}": elf(python, architecture=architecture),
        "usr/local/bin/python3": f"python{minor}",
        "usr/local/bin/python": "python3",
        **(extra or {}),
    }
    return Image(
        platform=Platform(os="linux", architecture=architecture),
        layers=(files_layer(folder / "system", system), files_layer(folder / "python", ours)),
        config=RunConfig(env=tuple(env), cmd=("python3",)),
    )
