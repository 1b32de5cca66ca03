"""Any wheel's files come out of its layer unchanged; any damage is an error of ours and nothing worse."""

import contextlib
import gzip
import hashlib
import io
import tarfile
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from shipwheel.errors import ShipwheelError
from shipwheel.testing.wheels import make_wheel
from shipwheel.wheel.archive import open_wheel
from shipwheel.wheel.layer import LayerWheel, write_wheel_layer

SITE = "app/lib/python3.13/site-packages"
NAMES = st.text("abcXYZ_-+.é漢 ", min_size=1, max_size=8).filter(
    lambda name: name.strip(".") and "," not in name
)
CONTENTS = st.one_of(
    st.binary(max_size=300),
    st.integers(0, 20_000).map(lambda size: b"line of text\n" * size),
    st.integers(0, 2**32).map(lambda seed: hashlib.shake_128(str(seed).encode()).hexdigest(30_000).encode()),
)
# Files alone below their folder: no path is another one's folder.
FILES = st.dictionaries(
    st.tuples(NAMES, NAMES).map(lambda pair: f"d{pair[0]}/f{pair[1]}"), CONTENTS, max_size=8
)
SOUND = make_wheel(
    "thing",
    files={"thing/a.py": "a = 1\n" * 50, "thing/b.txt": "0123456789" * 3000},
    scripts={"t": "thing:t"},
)


def layer_of(data: bytes, *, recompress: bool = False) -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".whl") as file:
        file.write(data)
        file.flush()
        wheel = open_wheel(Path(file.name), filename="thing-1.0-py3-none-any.whl", sha256="0" * 64)
        out = io.BytesIO()
        item = LayerWheel(wheel=wheel, recompress=recompress)
        layer = write_wheel_layer([item], prefix="/app", python="3.13.5", file=out)
    assert layer.diff_id.hex == hashlib.sha256(gzip.decompress(out.getvalue())).hexdigest()
    return out.getvalue()


def files_in(layer: bytes) -> dict[str, bytes]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None:
                found[member.name] = content.read()
    return found


@settings(max_examples=60, deadline=None)
@given(files=FILES)
def test_every_file_comes_out_as_it_went_in_however_it_is_compressed(files: dict[str, bytes]) -> None:
    data = make_wheel("thing", files=dict(files)).data
    copied, compressed = layer_of(data), layer_of(data, recompress=True)
    assert gzip.decompress(copied) == gzip.decompress(compressed)
    found = files_in(copied)
    assert {path: found[f"{SITE}/{path}"] for path in files} == files


@settings(max_examples=400, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4
    )
)
def test_a_wheel_with_changed_bytes_is_refused_or_installs_the_same_paths(
    changes: list[tuple[float, int]],
) -> None:
    data = bytearray(SOUND.data)
    for where, value in changes:
        data[int(where * len(data))] = value
    with contextlib.suppress(ShipwheelError):
        for path in files_in(layer_of(bytes(data))):
            assert path.startswith("app/")
            assert ".." not in path.split("/")


@settings(max_examples=100, deadline=None)
@given(cut=st.floats(0, 1, exclude_max=True), more=st.binary(max_size=30))
def test_a_wheel_that_ends_early_is_refused(cut: float, more: bytes) -> None:
    data = SOUND.data[: int(cut * len(SOUND.data))] + more
    with contextlib.suppress(ShipwheelError):
        assert files_in(layer_of(data)) == files_in(layer_of(SOUND.data))
