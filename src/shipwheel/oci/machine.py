"""Which machine a program file is for, by its first bytes (ELF). Reads no file and judges nothing."""

from __future__ import annotations

import struct
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
