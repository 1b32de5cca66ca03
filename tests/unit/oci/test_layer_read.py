"""Reading layers back: all of a layer is checked, and a hostile one costs little."""

import gzip
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from helpers.images import file, foreign_tar, layer_of, make_layer, member
from shipwheel.errors import ImageError, IntegrityError, ShipwheelError
from shipwheel.oci.layer_read import Limits, open_layer, read_entries
from shipwheel.oci.model import LAYER_TAR, LAYER_ZSTD, Descriptor, Digest, Layer
from shipwheel.oci.validate import validate_layer

TAR = foreign_tar([member("a", b"1" * 1000), member("b", b"2")])


def read(layer: Layer, limits: Limits | None = None) -> dict[str, bytes]:
    limits = limits or Limits()
    with open_layer(layer, limits=limits) as stream:
        return {info.name: b"".join(stream.chunks(info.size)) for info in read_entries(stream, limits=limits)}


def code_of(layer: Layer, limits: Limits | None = None) -> str:
    with pytest.raises(ShipwheelError) as raised:
        read(layer, limits)
    return raised.value.code


def zstd(data: bytes) -> bytes:
    from backports import zstd

    return zstd.compress(data)


def test_gzip_of_many_members_is_read_as_one(tmp_path: Path) -> None:
    packed = b"".join(gzip.compress(TAR[at : at + 100]) for at in range(0, len(TAR), 100))
    assert read(layer_of(tmp_path, TAR, packed=packed)) == {"a": b"1" * 1000, "b": b"2"}


def test_zstd_layers_are_read_with_several_frames_too(tmp_path: Path) -> None:
    packed = zstd(TAR[:700]) + zstd(TAR[700:])
    layer = layer_of(tmp_path, TAR, packed=packed, media_type=LAYER_ZSTD)
    assert read(layer) == {"a": b"1" * 1000, "b": b"2"}


def test_plain_tars_are_read(tmp_path: Path) -> None:
    layer = layer_of(tmp_path, TAR, packed=TAR, media_type=LAYER_TAR)
    assert read(layer) == {"a": b"1" * 1000, "b": b"2"}


def test_contents_may_be_passed_over(tmp_path: Path) -> None:
    with open_layer(layer_of(tmp_path, TAR)) as stream:
        assert [info.name for info in read_entries(stream)] == ["a", "b"]


def test_large_contents_come_whole(tmp_path: Path) -> None:
    content = bytes(range(256)) * 8192
    layer = make_layer(tmp_path, file("a", content), file("b", content[::-1]))
    assert read(layer) == {"a": content, "b": content[::-1]}


def test_a_layer_that_is_not_what_was_promised_is_refused_for_each_reason(tmp_path: Path) -> None:
    layer = layer_of(tmp_path, TAR)
    descriptor = layer.descriptor
    other = Digest.of(b"other")
    assert code_of(replace(layer, diff_id=other)) == "wrong-diff-id"
    assert code_of(replace(layer, descriptor=replace(descriptor, digest=other))) == "wrong-digest"
    for size in (descriptor.size - 1, descriptor.size + 1):
        assert code_of(replace(layer, descriptor=replace(descriptor, size=size))) == "wrong-size"
    both = replace(layer, diff_id=other, descriptor=replace(descriptor, digest=other))
    with pytest.raises(IntegrityError) as raised:
        read(both)
    assert [problem.code for problem in raised.value.problems] == ["wrong-digest", "wrong-diff-id"]


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(b"", id="empty"),
        pytest.param(gzip.compress(TAR)[:-5], id="truncated"),
        pytest.param(gzip.compress(TAR)[:-4] + b"\0\0\0\1", id="another-length"),
        pytest.param(gzip.compress(TAR) + b"rubbish", id="followed-by-rubbish"),
        pytest.param(TAR, id="no-gzip"),
    ],
)
def test_damaged_gzip_is_refused(tmp_path: Path, packed: bytes) -> None:
    assert code_of(layer_of(tmp_path, TAR, packed=packed)) == "bad-layer"


@pytest.mark.parametrize("cut", [3, 20, -1])
def test_damaged_zstd_is_refused(tmp_path: Path, cut: int) -> None:
    layer = layer_of(tmp_path, TAR, packed=zstd(TAR)[:cut], media_type=LAYER_ZSTD)
    assert code_of(layer) == "bad-layer"


def test_a_bomb_stops_at_the_limit(tmp_path: Path) -> None:
    tar = foreign_tar([member("zeros", bytes(20_000_000))])
    layer = layer_of(tmp_path, tar)
    assert layer.descriptor.size < 50_000
    assert code_of(layer, Limits(size=1_000_000)) == "layer-too-large"


def test_more_entries_than_the_limit_are_refused(tmp_path: Path) -> None:
    layer = layer_of(tmp_path, foreign_tar([member(str(number)) for number in range(11)]))
    assert code_of(layer, Limits(entries=10)) == "too-many-entries"
    assert len(read(layer, Limits(entries=11))) == 11


def pax_bomb() -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 100_000_000
    return info.tobuf() + bytes(info.size) + bytes(1024)


def pax_chain() -> bytes:
    record = b"13 comment=ab\n".ljust(512, b"\0")
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 14
    return (info.tobuf() + record) * 3000 + bytes(1024)


def sparse_without_end() -> bytes:
    record = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, len(record)
    real = tarfile.TarInfo("y")
    real.size = 512
    return header.tobuf() + record.ljust(512, b"\0") + real.tobuf() + b"99999999\n" + b"1\n" * 3_000_000


def negative_size() -> bytes:
    block = bytearray(tarfile.TarInfo("x").tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"\xff" * 12
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block) + bytes(1024)


@pytest.mark.parametrize(
    "tar",
    [
        pytest.param(pax_bomb(), id="pax-record-of-100-MB"),
        pytest.param(pax_chain(), id="3000-pax-headers"),
        pytest.param(sparse_without_end(), id="sparse-map-without-end"),
        pytest.param(negative_size(), id="negative-size"),
        pytest.param(b"x" * 1024, id="no-tar"),
        pytest.param(b"", id="nothing"),
        pytest.param(TAR[:700], id="ends-in-a-file"),
        pytest.param(TAR[:512], id="ends-before-a-file"),
        pytest.param(TAR[:1536] + b"rubbish".ljust(512) + bytes(1024), id="rubbish-for-a-header"),
        pytest.param(TAR + b"more", id="followed-by-something"),
    ],
)
def test_a_malformed_tar_is_refused_in_bounded_memory(tmp_path: Path, tar: bytes) -> None:
    layer = layer_of(tmp_path, tar)
    with pytest.raises(ImageError):
        read(layer)
    assert validate_layer(layer) != []


@pytest.mark.parametrize("tar", [pax_bomb(), sparse_without_end()])
def test_headers_are_given_up_before_they_fill_the_memory(tmp_path: Path, tar: bytes) -> None:
    with pytest.raises(ImageError) as raised:
        read(layer_of(tmp_path, tar))
    assert raised.value.code == "bad-layer"
    assert "headers are too long" in raised.value.problems[0].message


def test_an_unknown_media_type_is_no_layer(tmp_path: Path) -> None:
    layer = layer_of(tmp_path, TAR, media_type="application/x-lzma")
    assert code_of(layer) == "unknown-media-type"


def test_what_is_read_is_never_more_than_promised(tmp_path: Path) -> None:
    class Endless:
        digest, size = Digest.of(b""), 10
        taken = 0

        def open(self) -> BinaryIO:
            return cast(BinaryIO, self)

        def read(self, size: int) -> bytes:
            self.taken += size
            return bytes(size)

        def close(self) -> None:
            pass

    blob = Endless()
    descriptor = Descriptor(media_type=LAYER_TAR, digest=blob.digest, size=blob.size)
    assert code_of(Layer(descriptor=descriptor, diff_id=blob.digest, blob=blob)) == "wrong-size"
    assert blob.taken < 1_000_000
