"""Writing layers: the same bytes for the same entries, and no stream that lies gets in."""

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import pytest

from helpers.images import file, folder, hardlink, make_layer, symlink
from shipwheel.errors import ImageError, IntegrityError
from shipwheel.oci.layer import CHUNK, LayerWriter
from shipwheel.oci.tar import DEFAULT_MTIME, Entry, render_header
from shipwheel.oci.validate import validate_layer

TEXT = b"Bytes that compress well. " * 3000


def deflate(data: bytes, level: int = 6) -> bytes:
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15)
    return compressor.compress(data) + compressor.flush()


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def copied(stream: Iterable[bytes], *, size: int = len(TEXT), crc32: int = zlib.crc32(TEXT)) -> bytes:
    buffer = io.BytesIO()
    writer = LayerWriter(buffer)
    writer.add_deflated(Entry(path="a", size=size), stream, crc32=crc32)
    writer.finish()
    return buffer.getvalue()


def test_a_layer_is_a_gzip_file_of_a_tar_with_the_entries_in_order(tmp_path: Path) -> None:
    layer = make_layer(
        tmp_path, folder("d"), file("d/f", b"x", mode=0o755), symlink("d/s", "f"), hardlink("d/h", "d/f")
    )
    assert validate_layer(layer) == []
    with tarfile.open(tmp_path / "layer-0") as tar:
        assert [(info.name, info.type, info.linkname, oct(info.mode)) for info in tar] == [
            ("d", tarfile.DIRTYPE, "", "0o755"),
            ("d/f", tarfile.REGTYPE, "", "0o755"),
            ("d/s", tarfile.SYMTYPE, "f", "0o777"),
            ("d/h", tarfile.LNKTYPE, "d/f", "0o644"),
        ]


def test_nothing_of_the_host_gets_into_a_layer(tmp_path: Path) -> None:
    layer = make_layer(tmp_path, file("a", b"1"))
    data = gzip.decompress((tmp_path / "layer-0").read_bytes())
    info = tarfile.TarFile(fileobj=io.BytesIO(data)).next()
    assert info is not None
    assert (info.uid, info.gid, info.uname, info.gname, info.mtime) == (0, 0, "", "", DEFAULT_MTIME)
    assert layer.diff_id.hex == hashlib.sha256(data).hexdigest()


def test_a_layers_bytes_are_these(tmp_path: Path) -> None:
    # When this fails, layers in every registry and cache change: RECIPE must change with them.
    layer = make_layer(tmp_path, folder("usr"), file("usr/text", TEXT), file("usr/ü", b""))
    assert layer.descriptor.digest.hex == "892ff76519623dc9351e9ee5578ddb96e636f68833664846e75e5677d3a953a5"


@pytest.mark.parametrize("size", [1000, CHUNK - 1, CHUNK, CHUNK + 1, 10 * CHUNK])
def test_the_bytes_do_not_depend_on_how_the_content_comes(size: int) -> None:
    content = bytes(range(256)) * (5 * CHUNK // 256) + b"end"
    results = []
    for chunks in (content, pieces(content, size)):
        buffer = io.BytesIO()
        writer = LayerWriter(buffer)
        writer.add(Entry(path="a", size=len(content)), chunks)
        writer.add(Entry(path="b", size=1), b"b")
        writer.finish()
        results.append(buffer.getvalue())
    assert results[0] == results[1]


def test_a_deflate_stream_is_copied_as_it_is() -> None:
    raw = deflate(TEXT, level=1)
    layer = copied(pieces(raw, 100))
    assert raw in layer
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        content = tar.extractfile("a")
        assert content is not None
        assert content.read() == TEXT


@pytest.mark.parametrize("size", [1, 7, 4096, 10**6])
def test_a_copied_stream_gives_the_same_layer_however_it_is_cut(size: int) -> None:
    raw = deflate(TEXT)
    assert copied(pieces(raw, size)) == copied([raw])


@pytest.mark.parametrize(
    ("stream", "size", "crc32"),
    [
        pytest.param(deflate(TEXT)[:-1], len(TEXT), zlib.crc32(TEXT), id="truncated"),
        pytest.param(deflate(TEXT)[:50], len(TEXT), zlib.crc32(TEXT), id="cut-short"),
        pytest.param(b"", len(TEXT), zlib.crc32(TEXT), id="empty"),
        pytest.param(deflate(TEXT) + b"x", len(TEXT), zlib.crc32(TEXT), id="followed-by-a-byte"),
        pytest.param(deflate(TEXT) * 2, len(TEXT), zlib.crc32(TEXT), id="twice"),
        pytest.param(b"\xff" * 100, len(TEXT), zlib.crc32(TEXT), id="no-deflate"),
        pytest.param(deflate(TEXT), len(TEXT) - 1, zlib.crc32(TEXT), id="longer-than-told"),
        pytest.param(deflate(TEXT), len(TEXT), zlib.crc32(TEXT) ^ 1, id="another-crc"),
        pytest.param(deflate(bytes(10**8)), 1000, zlib.crc32(b""), id="bomb"),
    ],
)
def test_a_deflate_stream_that_lies_is_refused(stream: bytes, size: int, crc32: int) -> None:
    for cut in (len(stream) or 1, 64):
        with pytest.raises(IntegrityError) as raised:
            copied(pieces(stream, cut), size=size, crc32=crc32)
        assert raised.value.code == "bad-deflate"


def test_a_deflate_stream_shorter_than_told_is_refused() -> None:
    with pytest.raises(ImageError) as raised:
        copied([deflate(TEXT)], size=len(TEXT) + 1)
    assert raised.value.code == "wrong-size"


def test_bytes_after_a_stream_in_a_chunk_of_their_own_are_refused() -> None:
    with pytest.raises(IntegrityError):
        copied([deflate(TEXT), b"x"])


@pytest.mark.parametrize("content", [b"", b"x", b"xxx"])
def test_a_file_must_have_the_length_its_entry_says(content: bytes) -> None:
    with pytest.raises(ImageError) as raised:
        LayerWriter(io.BytesIO()).add(Entry(path="a", size=2), content)
    assert raised.value.code == "wrong-size"


def test_a_path_comes_once_in_a_layer() -> None:
    writer = LayerWriter(io.BytesIO())
    writer.add(Entry(path="a"))
    with pytest.raises(ImageError) as raised:
        writer.add(Entry(path="a", kind="directory"))
    assert raised.value.code == "duplicate-path"


@pytest.mark.parametrize("path", ["", "/a", "a/", "../a", "a/../b", ".", "./a", "a//b", "a\0b", "\udcff"])
def test_a_path_that_is_not_plain_is_refused(path: str) -> None:
    with pytest.raises(ImageError) as raised:
        render_header(Entry(path=path))
    assert raised.value.code == "unsafe-path"


@pytest.mark.parametrize("link", ["", "a\0b", "\udcff"])
def test_a_link_needs_a_target_that_a_tar_can_hold(link: str) -> None:
    with pytest.raises(ImageError) as raised:
        render_header(Entry(path="a", kind="symlink", link=link))
    assert raised.value.code == "unsafe-path"


def test_what_ustar_cannot_hold_goes_into_pax_records() -> None:
    entry = Entry(path="d/" * 150 + "ü", size=9 * 1024**3, uid=10**7, mtime=2**40)
    info = tarfile.TarFile(fileobj=io.BytesIO(render_header(entry) + bytes(1024))).next()
    assert info is not None
    assert (info.name, info.size, info.uid, info.mtime) == (entry.path, entry.size, entry.uid, entry.mtime)
