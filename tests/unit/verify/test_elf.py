"""Debugging data is told by the section table, and no table leads the reader astray."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.elf import native
from helpers.tools import require_tool
from shipwheel.verify.elf import TAIL, debug_bytes


def told(data: bytes) -> int:
    return debug_bytes(data[:64], data[-TAIL:], len(data))


def test_what_a_strip_removes_is_counted() -> None:
    sizes = {".text": 1000, ".debug_info": 70, ".debug_str": 5, ".symtab": 20, ".strtab": 3, ".dynsym": 9}
    assert told(native(sizes)) == 98
    assert told(native({".text": 1000, ".dynsym": 9})) == 0


def test_a_file_larger_than_its_tail_is_read_at_its_end() -> None:
    assert told(native({".debug_line": TAIL * 3})) == TAIL * 3


def test_a_real_program_is_told_as_readelf_tells_it() -> None:
    readelf = require_tool("readelf")
    program = Path(sys.executable).resolve()
    lines = subprocess.run([readelf, "-SW", program], capture_output=True, text=True, check=True).stdout
    rows = re.findall(r"\] (\S+) +(?!NOBITS)\S+ +[0-9a-f]+ [0-9a-f]+ ([0-9a-f]+)", lines)
    theirs = sum(
        int(size, 16) for name, size in rows if name.startswith(".debug_") or name in (".symtab", ".strtab")
    )
    assert told(program.read_bytes()) == theirs


@given(st.binary(max_size=300))
def test_any_bytes_end_in_a_number(data: bytes) -> None:
    assert 0 <= told(data) <= len(data)


@pytest.mark.parametrize("at", range(40, 64))
def test_a_damaged_header_ends_in_a_number(at: int) -> None:
    data = bytearray(native({".debug_info": 100}))
    data[at] ^= 0xFF
    assert 0 <= told(bytes(data)) <= len(data)
