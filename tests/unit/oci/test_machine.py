"""Which processor a program is for, and that layers tell."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipwheel.oci.layer import MACHINES, LayerWriter
from shipwheel.oci.machine import ARCHITECTURES, HEAD, foreign_programs, machine_of
from shipwheel.oci.tar import Entry


def elf(machine: int, *, bits: int = 64, order: str = "<") -> bytes:
    ident = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]) + bytes(9)
    return ident + struct.pack(f"{order}HH", 3, machine)


@pytest.mark.parametrize(
    ("head", "machine"),
    [
        (elf(62), "amd64"),
        (elf(183), "arm64"),
        (elf(3, bits=32), "386"),
        (elf(40, bits=32), "arm"),
        (elf(22, order=">"), "s390x"),
        (elf(21), "ppc64le"),
        (elf(21, order=">"), "machine 21"),  # big-endian, which no OCI architecture in the table is
        (elf(62, bits=32), "machine 62"),  # x32
        (elf(8, bits=32, order=">"), "machine 8"),
        (elf(247), None),  # BPF
        (elf(190), None),  # CUDA
        (elf(224), None),  # AMD GPU
        (elf(62)[: HEAD - 1], None),
        (b"#!/bin/sh\nexec python3 -m app\n", None),
        (b"MZ\x90\x00" + bytes(40), None),
        (b"\x7fELF" + bytes(40), None),
        (b"", None),
    ],
)
def test_the_first_bytes_tell(head: bytes, machine: str | None) -> None:
    assert machine_of(head) == machine


@given(st.binary(max_size=40))
def test_any_bytes_have_an_answer(rest: bytes) -> None:
    found = machine_of(b"\x7fELF" + rest)
    assert found is None or found in ARCHITECTURES or found.startswith("machine ")


def test_this_machines_python_is_for_an_architecture_with_a_name() -> None:
    with Path("/proc/self/exe").open("rb") as file:
        assert machine_of(file.read(HEAD)) in ARCHITECTURES


@pytest.mark.parametrize("how", ["bytes", "pieces", "tiny pieces", "deflated"])
def test_a_layer_tells_the_machines_of_what_was_written(how: str) -> None:
    content = elf(62) + b"code" * 5000
    buffer = io.BytesIO()
    writer = LayerWriter(buffer)
    entry = Entry(path="lib.so", size=len(content))
    if how == "bytes":
        writer.add(entry, content)
    elif how == "pieces":
        writer.add(entry, [content[:1000], content[1000:]])
    elif how == "tiny pieces":
        writer.add(entry, [content[at : at + 7] for at in range(0, len(content), 7)])
    else:
        compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
        raw = compressor.compress(content) + compressor.flush()
        writer.add_deflated(entry, [raw[:3], raw[3:]], crc32=zlib.crc32(content))
    writer.add(Entry(path="text", size=4), b"\x7fELf")

    descriptor, _ = writer.finish()

    assert descriptor.annotations == {MACHINES: "amd64"}


def test_a_layer_with_several_names_each_once_in_order() -> None:
    writer = LayerWriter(io.BytesIO())
    for number, head in enumerate((elf(62), elf(183), elf(62), elf(247))):
        writer.add(Entry(path=f"lib{number}.so", size=len(head)), head)

    assert writer.finish()[0].annotations == {MACHINES: "amd64,arm64"}


def test_a_layer_without_programs_tells_nothing() -> None:
    writer = LayerWriter(io.BytesIO())
    writer.add(Entry(path="text", size=5), b"hello")
    writer.add(Entry(path="empty"), b"")

    assert writer.finish()[0].annotations == {}


def test_a_program_with_a_twin_for_this_machine_is_not_foreign() -> None:
    machines = {
        "a/linux/manager": "amd64",
        "a/linux-arm64/manager": "arm64",
        "a/attach_x86_64.so": "amd64",
        "a/attach_x86.so": "386",
        "a/alone.so": "arm64",
        "b/manager": "arm64",
    }

    def owner(path: str) -> str:
        return path[0]

    assert foreign_programs(machines, "amd64", owner) == {"a/alone.so": "arm64", "b/manager": "arm64"}
    assert set(foreign_programs(machines, "arm64", owner)) == {"a/attach_x86_64.so", "a/attach_x86.so"}
