"""What the listing of an image that was built twice says of a file's two contents."""

from __future__ import annotations

import pytest

from shipwheel.verify.contents import tell_difference

HEAD = b"\xf3\x0d\x0d\x0a\0\0\0\0"


@pytest.mark.parametrize(
    ("one", "two", "told"),
    [
        (b"a\nb\nc\n", b"a\nB\nc\n", "line 2: 'b', then 'B'"),
        (b"a\n", b"a\nb\n", "line 2: no line, then 'b'"),
        (b"a\nb\nc\n", b"x\ny\nz\n", "line 1: 'a', then 'x'; line 2: 'b', then 'y'; 3 lines differ"),
        (b"b\na\nc\n", b"a\nb\nc\n", "the same 3 lines in another order: 2 moved, the first is line 1"),
        (b"\xff\x01\x02\x03", b"\xff\x01\x09\x03", "byte 2: 02 03, then 09 03; 1 of 4 bytes differ"),
        (b"\xff\x01", b"\xff\x01\x02", "byte 2: the end, then 02; 2 bytes, then 3"),
        (b"a\r\nb", b"a\nb", "byte 1: 0d 0a 62, then 0a 62; 4 bytes, then 3"),
    ],
)
def test_lines_of_texts_and_bytes_of_the_rest_are_named(one: bytes, two: bytes, told: str) -> None:
    assert tell_difference("file", one, two) == told


def test_bytecode_that_differs_in_its_header_alone_is_told() -> None:
    one, two = (HEAD + time.to_bytes(8, "little") + b"\xe3code" for time in (1, 2))
    assert tell_difference("m.pyc", one, two).endswith("in the header: the source's time, size or hash")
    assert "header" not in tell_difference("m.pyc", one, one[:-1] + b"!")


def test_long_lines_are_cut() -> None:
    assert len(tell_difference("file", b"a" * 5000, b"b" * 5000)) < 250
