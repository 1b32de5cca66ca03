"""Whatever a native file looks like, stripping keeps what is loaded, and damage is no error."""

import io
from collections.abc import Sequence

from hypothesis import example, given, settings
from hypothesis import strategies as st

from helpers.elf_programs import Part, loaded_memory, program
from shipwheel.wheel.slim_elf import plan_strip

KINDS = st.sampled_from(["loaded", "debug", "other"])
PIECES = st.lists(
    st.tuples(KINDS, st.integers(0, 9000), st.sampled_from([1, 4, 16, 64])), min_size=1, max_size=8
)
CLASSES = st.tuples(st.sampled_from([32, 64]), st.sampled_from("<>"), st.sampled_from([1024, 4096, 65536]))


def parts_of(pieces: Sequence[tuple[str, int, int]]) -> list[Part]:
    found, address = [Part(name=".text", data=b"\x90" * 100, address=0x10000)], 0x20000
    for number, (kind, size, align) in enumerate(pieces):
        data = bytes([number + 1]) * size
        if kind == "loaded":
            found.append(Part(name=f".l{number}", data=data, address=address + number))
            address += 0x20000
        else:
            name = f".debug_{number}" if kind == "debug" else f".other{number}"
            found.append(Part(name=name, data=data, align=align))
    return found


def stripped(data: bytes) -> bytes | None:
    plan = plan_strip(io.BytesIO(data))
    if plan is None:
        return None
    target = io.BytesIO()
    plan.write(io.BytesIO(data), target)
    return target.getvalue()


@given(pieces=PIECES, kind=CLASSES)
@settings(deadline=None, max_examples=150)
def test_what_is_loaded_and_what_is_no_debugging_data_stays(
    pieces: list[tuple[str, int, int]], kind: tuple[int, str, int]
) -> None:
    bits, order, page = kind
    data = program(parts_of(pieces), bits=bits, order=order, page=page)
    slim = stripped(data)

    debug = sum(size for what, size, _ in pieces if what == "debug")
    assert (slim is not None) == (debug >= 4096 and debug * 50 >= len(data))
    if slim is None:
        return
    assert len(slim) <= len(data)
    assert loaded_memory(slim) == loaded_memory(data)
    for number, (what, size, _) in enumerate(pieces):
        if what == "other":
            assert bytes([number + 1]) * size in slim
    assert stripped(slim) is None


@given(
    pieces=PIECES,
    damage=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=6),
    back=st.booleans(),
)
# Section tables that point beyond what any file can hold.
@example(pieces=[("loaded", 0, 1)], damage=[(160, 128)], back=True)
@example(pieces=[("loaded", 0, 1)], damage=[(32, 128)], back=True)
@settings(deadline=None, max_examples=150)
def test_damage_is_no_error(
    pieces: list[tuple[str, int, int]], damage: list[tuple[int, int]], back: bool
) -> None:
    data = bytearray(program(parts_of(pieces)))
    for at, value in damage:
        data[(-at - 1 if back else at) % len(data)] = value
    slim = stripped(bytes(data))

    assert slim is None or len(slim) <= len(data)
