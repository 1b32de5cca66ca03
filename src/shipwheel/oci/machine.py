"""Which machine a program file is for, by its first bytes (ELF). Reads no file and judges nothing."""

from __future__ import annotations

import posixpath
import re
import struct
from collections.abc import Callable, Mapping
from typing import Final

# How much of a file tells its machine.
HEAD: Final = 20
# ELF e_machine, with class and byte order where they tell apart → OCI architecture (Go's GOARCH).
_MACHINES: Final = {
    (62, 64, "<"): "amd64",
    (183, 64, "<"): "arm64",
    (40, 32, "<"): "arm",
    (3, 32, "<"): "386",
    (21, 64, "<"): "ppc64le",
    (22, 64, ">"): "s390x",
    (243, 64, "<"): "riscv64",
    (258, 64, "<"): "loong64",
}
ARCHITECTURES: Final = frozenset(_MACHINES.values())
# Code for a graphics card (CUDA, AMD) or for the kernel's own machine (BPF) fits any processor.
_DEVICES: Final = frozenset({190, 224, 247})
# What names of files and folders call processors; longer words first.
_WORDS: Final = re.compile(
    r"(?i)[._-]?(?:x86[._-]?64|x64|amd64|i?[3-6]86|x86|aarch64|arm64|armhf|arm(?:v\d\w*)?"
    r"|ppc64le|s390x|riscv64|loong(?:arch)?64)(?![a-z])"
)


def machine_of(head: bytes) -> str | None:
    """Return what processor the file that begins with `head` (20 bytes) is for, as `amd64`.

    None for what is no ELF file or is for no processor; `machine 8` for one without a name here.
    """
    if head[:4] != b"\x7fELF" or len(head) < HEAD:
        return None
    bits = {1: 32, 2: 64}.get(head[4])
    order = {1: "<", 2: ">"}.get(head[5])
    if bits is None or order is None:
        return None
    (machine,) = struct.unpack_from(f"{order}H", head, 18)
    if machine in _DEVICES:
        return None
    return _MACHINES.get((machine, bits, order), f"machine {machine}")


def foreign_programs(
    machines: Mapping[str, str], architecture: str, owner: Callable[[str], str]
) -> dict[str, str]:
    """Return those of `machines` (a file's path → what it is for) that `architecture` cannot run.

    Without those that have a twin for it, of the same `owner` and, but for words for processors, the same
    file name: a package that brings a program for several machines picks one of them when it runs.
    """
    here = {(owner(path), _plain(path)) for path, machine in machines.items() if machine == architecture}
    return {
        path: machine
        for path, machine in machines.items()
        if machine != architecture and (owner(path), _plain(path)) not in here
    }


def _plain(path: str) -> str:
    return _WORDS.sub("", posixpath.basename(path))
