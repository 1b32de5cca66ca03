"""Debugging data goes out of native files; what is loaded stays as it is."""

import io
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.elf_programs import Part, loaded_memory, program
from helpers.tools import require_tool
from shipwheel.verify.elf import HEADER, debug_bytes
from shipwheel.wheel.slim_elf import plan_strip

CODE = random.Random(1).randbytes(9000)
DATA = random.Random(2).randbytes(5000)
DEBUG = random.Random(3).randbytes(70_000)
NAMES = b"\0" + b"a_name\0" * 3000
SYMBOLS = [
    Part(name=".symtab", data=bytes(24 * 1000), kind=2, link=".strtab", align=8),
    Part(name=".strtab", data=NAMES, kind=3),
]
LAYOUTS = {
    "debugging data last, as linkers do": [
        Part(name=".text", data=CODE, address=0x1000),
        Part(name=".data", data=DATA, address=0x5400),
        Part(name=".comment", data=b"GCC"),
        Part(name=".debug_info", data=DEBUG),
        *SYMBOLS,
    ],
    "a segment behind it, as patchelf does": [
        Part(name=".text", data=CODE, address=0x1000),
        Part(name=".debug_info", data=DEBUG),
        *SYMBOLS,
        Part(name=".data", data=DATA, address=0x5400),
    ],
}


def stripped(data: bytes) -> bytes | None:
    plan = plan_strip(io.BytesIO(data))
    if plan is None:
        return None
    target = io.BytesIO()
    plan.write(io.BytesIO(data), target)
    assert len(target.getvalue()) == plan.size
    return target.getvalue()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("bits", "order", "machine"),
    [(64, "<", 62), (64, "<", 183), (64, ">", 22), (32, "<", 40), (32, ">", 20)],
    ids=["amd64", "arm64", "s390x", "arm", "ppc"],
)
def test_what_is_loaded_keeps_its_bytes_and_addresses_on_every_processor(
    layout: str, bits: int, order: str, machine: int
) -> None:
    data = program(LAYOUTS[layout], bits=bits, order=order, machine=machine)

    slim = stripped(data)

    assert slim is not None
    assert loaded_memory(slim) == loaded_memory(data)
    assert DEBUG[:100] not in slim
    assert NAMES[:100] not in slim
    # All of it but what the alignment of the segment behind it costs.
    removed = len(DEBUG) + sum(len(part.data) for part in SYMBOLS)
    assert removed - 2 * 4096 < len(data) - len(slim) <= removed + 8


def test_what_the_check_counts_as_debugging_data_is_gone() -> None:
    data = program(LAYOUTS["debugging data last, as linkers do"])
    slim = stripped(data)

    assert slim is not None
    assert debug_bytes(data[:HEADER], data, len(data)) == len(DEBUG) + sum(len(p.data) for p in SYMBOLS)
    assert debug_bytes(slim[:HEADER], slim, len(slim)) == 0


def test_sections_that_stay_are_found_by_their_numbers_and_their_names() -> None:
    data = program(LAYOUTS["a segment behind it, as patchelf does"])
    slim = stripped(data)

    assert slim is not None
    (table,) = struct.unpack_from("<Q", slim, 40)
    rows = [struct.unpack_from("<IIQQQQIIQQ", slim, table + 64 * number) for number in range(7)]
    assert [row[1] for row in rows] == [0, 1, 0, 0, 0, 1, 3]
    assert slim[rows[5][4] : rows[5][4] + rows[5][5]] == DATA
    names = slim[rows[6][4] : rows[6][4] + rows[6][5]]
    assert names[rows[5][0] :].startswith(b".data\0")


def test_a_large_page_leaves_zeros_where_the_data_was() -> None:
    data = program(LAYOUTS["a segment behind it, as patchelf does"], page=65536)
    slim = stripped(data)

    assert slim is not None
    assert loaded_memory(slim) == loaded_memory(data)
    assert DEBUG[:100] not in slim


def test_stripping_again_finds_nothing() -> None:
    slim = stripped(program(LAYOUTS["debugging data last, as linkers do"]))

    assert slim is not None
    assert stripped(slim) is None


PLAIN = LAYOUTS["debugging data last, as linkers do"]


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("nothing to take out", program(PLAIN[:3])),
        ("hardly anything", program([*PLAIN[:3], Part(name=".debug_info", data=bytes(4000))])),
        ("an object file for a linker", program(PLAIN, file_type=1)),
        ("data of its own behind the end", program(PLAIN, appended=b"PK\5\6 a zip of modules")),
        ("no ELF file", b"#!/bin/sh\n" * 9000),
        ("cut off", program(PLAIN)[:-100]),
        ("a lying table", program(PLAIN)[:40] + b"\xff" * 8 + program(PLAIN)[48:]),
        ("a header alone", program(PLAIN)[:64]),
    ],
)
def test_a_file_is_left_as_it_is_with(what: str, data: bytes) -> None:
    assert stripped(data) is None


def test_the_zero_byte_that_patchelf_leaves_behind_is_no_data() -> None:
    assert stripped(program(PLAIN, appended=b"\0")) is not None


def test_names_that_something_else_needs_stay() -> None:
    shared = [
        Part(name=".text", data=CODE, address=0x1000),
        Part(name=".symtab", data=bytes(24 * 1000), kind=2, link=".strtab", align=8),
        Part(name=".strtab", data=NAMES, kind=3),
        Part(name=".of_somebody", data=b"x", link=".strtab"),
    ]
    slim = stripped(program(shared))

    assert slim is not None
    assert NAMES in slim


def test_a_table_of_names_that_serves_symbols_and_sections_stays() -> None:
    both = [
        Part(name=".text", data=CODE, address=0x1000),
        Part(name=".symtab", data=bytes(24 * 1000), kind=2, link=".shstrtab", align=8),
    ]
    slim = stripped(program(both))

    assert slim is not None
    assert b"\0.text\0.symtab\0.shstrtab\0" in slim


SOURCE = """
#include <stdlib.h>
#include <string.h>
__thread int count = 41;
static int hidden(int number) { return number + count; }
int answer(void) { count += 1; return hidden(0); }
const char *text(void) { static char copy[6]; return strcpy(copy, "hello"); }
"""
USE = "import ctypes, sys; l = ctypes.CDLL(sys.argv[1]); l.text.restype = ctypes.c_char_p; print(l.answer(), l.text())"


def test_a_real_library_works_as_before_and_is_as_small_as_gnu_strip_makes_it(tmp_path: Path) -> None:
    cc, strip = require_tool("cc"), require_tool("strip")
    (tmp_path / "a.c").write_text(
        SOURCE + "".join(f"int f{n}(int a) {{ return a * {n}; }}\n" for n in range(900))
    )
    library, other = tmp_path / "a.so", tmp_path / "gnu.so"
    subprocess.run([cc, "-shared", "-fPIC", "-g3", "-o", library, tmp_path / "a.c"], check=True)
    subprocess.run([strip, "--strip-unneeded", "-o", other, library], check=True)
    slim = stripped(library.read_bytes())

    assert slim is not None
    (tmp_path / "slim.so").write_bytes(slim)
    said = [
        subprocess.run([sys.executable, "-c", USE, file], check=True, capture_output=True, text=True).stdout
        for file in (library, tmp_path / "slim.so")
    ]
    assert said == ["42 b'hello'\n"] * 2
    assert len(slim) < other.stat().st_size * 1.03
    assert len(slim) < library.stat().st_size / 2
