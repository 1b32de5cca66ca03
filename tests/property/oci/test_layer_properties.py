"""For any entries: what is written is what is read, by this program and by others."""

import gzip
import hashlib
import io
import subprocess
import tarfile
import tempfile
import zlib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.images import layer_of, make_image
from helpers.tools import require_tool
from shipwheel.errors import ImageError, IntegrityError, ShipwheelError
from shipwheel.oci.layer import LayerWriter, inflate
from shipwheel.oci.layer_read import Limits
from shipwheel.oci.model import Descriptor, Digest, Layer
from shipwheel.oci.reference import Reference
from shipwheel.oci.tar import Entry
from shipwheel.oci.tree import find_files, read_tree
from shipwheel.oci.unpack import unpack_image
from shipwheel.oci.validate import validate_image, validate_layer

names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=120).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 250 and not name.startswith(".wh.")
)
contents = st.one_of(
    st.binary(max_size=2000),
    st.builds(lambda data, times: data * times, st.binary(min_size=1, max_size=50), st.integers(1, 20_000)),
)


@st.composite
def trees(draw: st.DrawFn) -> dict[str, tuple[Entry, bytes]]:
    """Draw a filesystem, parents before children."""
    entries: dict[str, tuple[Entry, bytes]] = {}
    folders, files = [""], list[str]()
    for name in draw(st.lists(names, max_size=12)):
        parent = draw(st.sampled_from(folders))
        path = f"{parent}{name}"
        if path in entries or len(path.encode()) > 3000:
            continue
        mode = draw(st.sampled_from([0o644, 0o755, 0o600, 0o4755]))
        mtime, uid = draw(st.integers(0, 2**34)), draw(st.integers(0, 2**31 - 1))
        kind = draw(st.sampled_from(["file", "file", "directory", "symlink", "hardlink"]))
        if kind == "directory":
            entries[path] = Entry(path=path, kind="directory", mode=mode, mtime=mtime, uid=uid), b""
            folders.append(f"{path}/")
        elif kind == "symlink":
            entries[path] = Entry(path=path, kind="symlink", link=draw(names), mode=0o777, mtime=mtime), b""
        elif kind == "hardlink" and files:
            entries[path] = Entry(path=path, kind="hardlink", link=draw(st.sampled_from(files))), b""
        else:
            content = draw(contents)
            entries[path] = Entry(path=path, size=len(content), mode=mode, mtime=mtime, uid=uid), content
            files.append(path)
    return entries


class Bytes:
    """A blob in memory."""

    def __init__(self, data: bytes) -> None:
        self.data, self.digest, self.size = data, Digest.of(data), len(data)

    def open(self) -> io.BytesIO:
        return io.BytesIO(self.data)


def written(entries: dict[str, tuple[Entry, bytes]], *, copy: bool, cut: int) -> tuple[bytes, Layer]:
    buffer = io.BytesIO()
    writer = LayerWriter(buffer)
    for entry, content in entries.values():
        if copy and entry.kind == "file":
            compressor = zlib.compressobj(wbits=-15)
            raw = compressor.compress(content) + compressor.flush()
            pieces = [raw[at : at + cut] for at in range(0, len(raw), cut)]
            writer.add_deflated(entry, pieces, crc32=zlib.crc32(content))
        else:
            writer.add(entry, [content[at : at + cut] for at in range(0, len(content), cut)])
    descriptor, diff_id = writer.finish()
    data = buffer.getvalue()
    assert descriptor == Descriptor(media_type=descriptor.media_type, digest=Digest.of(data), size=len(data))
    return data, Layer(descriptor=descriptor, diff_id=diff_id, blob=Bytes(data))


@given(entries=trees(), copy=st.booleans(), cut=st.integers(1, 500_000))
def test_any_entries_are_read_back_by_python_and_pass_the_oracle(
    entries: dict[str, tuple[Entry, bytes]], copy: bool, cut: int
) -> None:
    data, layer = written(entries, copy=copy, cut=max(cut, 50))
    assert validate_layer(layer) == []
    tar = gzip.decompress(data)
    assert layer.diff_id.hex == hashlib.sha256(tar).hexdigest()
    assert len(tar) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:", encoding="utf-8") as archive:
        found = archive.getmembers()
        assert [info.name for info in found] == list(entries)
        for info, (entry, content) in zip(found, entries.values(), strict=True):
            assert (info.mode, info.mtime, info.uid) == (entry.mode, entry.mtime, entry.uid)
            assert info.linkname == entry.link
            if entry.kind == "file":
                file = archive.extractfile(info)
                assert file is not None
                assert file.read() == content


@given(entries=trees(), copy=st.booleans(), cuts=st.tuples(st.integers(50, 10**6), st.integers(50, 10**6)))
def test_the_bytes_do_not_depend_on_how_contents_are_cut(
    entries: dict[str, tuple[Entry, bytes]], copy: bool, cuts: tuple[int, int]
) -> None:
    first, second = (written(entries, copy=copy, cut=cut)[0] for cut in cuts)
    assert first == second


@settings(max_examples=25, deadline=None)
@given(entries=trees())
def test_gnu_tar_and_gzip_read_any_layer_without_a_warning(entries: dict[str, tuple[Entry, bytes]]) -> None:
    require_tool("tar")
    data, _layer = written(entries, copy=True, cut=4096)
    subprocess.run(["gzip", "-t"], input=data, check=True, capture_output=True)
    listed = subprocess.run(
        ["tar", "-tzf", "-", "--quoting-style=escape"],
        input=data,
        check=True,
        capture_output=True,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    )
    assert listed.stderr == b""
    assert listed.stdout.count(b"\n") == len(entries)


@settings(max_examples=40, deadline=None)
@given(layers=st.lists(trees(), min_size=1, max_size=3))
def test_unpacking_gives_the_tree_that_the_layers_make(layers: list[dict[str, tuple[Entry, bytes]]]) -> None:
    made = [written(entries, copy=False, cut=100_000)[1] for entries in layers]
    try:
        tree = read_tree(made)
    except ImageError as error:
        # A symlink may stand in the way of a later layer, or link in a circle.
        assert error.code in ("symlink-loop", "broken-hard-link")
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        unpack_image(make_image(made), root)
        found = {str(path.relative_to(root)) for path in root.rglob("*")}
        assert found == {path for path, _ in tree.walk()}
        for path, node in tree.walk():
            if node.kind == "file":
                assert (root / path).stat().st_size == node.size


@given(tar=st.binary(max_size=3000), more=st.binary(max_size=600))
def test_no_bytes_make_the_reader_raise_anything_but_its_own_errors(tar: bytes, more: bytes) -> None:
    header = bytearray(tarfile.TarInfo("a").tobuf(tarfile.GNU_FORMAT))
    header[: len(more)] = more[:512]
    header = header[:512]
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    with tempfile.TemporaryDirectory() as folder:
        layer = layer_of(Path(folder), bytes(header) + tar)
        validate_layer(layer, limits=Limits(size=10**7, entries=1000))
        try:
            find_files([layer], ["a", "b/c"])
        except ShipwheelError as error:
            assert error.problems


@given(data=st.binary(max_size=3000), limit=st.integers(0, 5000), cut=st.integers(1, 300))
def test_any_bytes_inflate_as_zlib_says_or_are_refused(data: bytes, limit: int, cut: int) -> None:
    expected: bytes | None = None
    inflater = zlib.decompressobj(-15)
    try:
        plain = inflater.decompress(data)
        if inflater.eof and not inflater.unused_data and len(plain) <= limit:
            expected = plain
    except zlib.error:
        pass
    pieces = [data[at : at + cut] for at in range(0, len(data), cut)]
    try:
        pairs = list(inflate(pieces, limit=limit))
    except IntegrityError as error:
        assert (error.code, expected) == ("bad-deflate", None)
    else:
        assert b"".join(plain for _, plain in pairs) == expected
        assert b"".join(raw for raw, _ in pairs) == data


words = st.text("abcz019", min_size=1, max_size=6)


@st.composite
def references(draw: st.DrawFn) -> str:
    """Draw the text of a reference."""
    first = draw(words) + draw(st.sampled_from(["", "-x", "--x", "_x", "__x"]))
    registry = draw(st.sampled_from(["", "index.example/", "localhost/", "localhost:5000/", "[::1]/"]))
    path = "/".join([first, *draw(st.lists(words, max_size=2))])
    tag = draw(st.sampled_from(["", ":v1", ":_.-", ":" + "T" * 128]))
    return registry + path + tag + draw(st.sampled_from(["", "@sha256:" + "0a" * 32]))


@given(text=references())
def test_a_reference_survives_being_written_and_read(text: str) -> None:
    reference = Reference.parse(text)
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(reference.familiar) == reference
    assert len(reference.familiar) <= len(str(reference))


@given(text=st.text(max_size=80))
def test_any_text_is_a_reference_or_a_problem(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except ShipwheelError as error:
        assert error.problems[0].hint
    else:
        assert Reference.parse(str(reference)) == reference


def test_an_image_of_nothing_is_an_image() -> None:
    assert validate_image(make_image([written({}, copy=False, cut=1)[1]])) == []
