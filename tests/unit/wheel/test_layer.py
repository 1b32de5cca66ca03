"""What a wheel layer holds, and that its bytes depend on its wheels alone."""

import gzip
import hashlib
import io
import random
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from shipwheel.cache import Cache
from shipwheel.errors import IntegrityError
from shipwheel.oci.tar import DEFAULT_MTIME
from shipwheel.testing.wheels import Breakage, MadeWheel, make_wheel
from shipwheel.wheel.archive import Wheel, open_wheel
from shipwheel.wheel.bytecode import compile_wheel
from shipwheel.wheel.interpreter import Interpreter, find_interpreter
from shipwheel.wheel.layer import LayerWheel, WheelLayer, find_collisions, write_wheel_layer

SITE = "app/.venv/lib/python3.13/site-packages"
# Repetitive enough to be deflated, large enough for its stream to be copied.
TEXT = random.Random(1).randbytes(6000).hex().encode() * 3


def opened(made: MadeWheel, folder: Path) -> Wheel:
    return open_wheel(made.write(folder), filename=made.filename, sha256=made.sha256)


def written(wheels: Sequence[LayerWheel], python: str = "3.13.5") -> tuple[WheelLayer, bytes]:
    file = io.BytesIO()
    layer = write_wheel_layer(wheels, prefix="/app/.venv", python=python, file=file)
    data = file.getvalue()
    assert layer.descriptor.digest.hex == hashlib.sha256(data).hexdigest()
    assert layer.descriptor.size == len(data)
    assert layer.diff_id.hex == hashlib.sha256(gzip.decompress(data)).hexdigest()
    return layer, data


def unpacked(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}  # type: ignore[union-attr]


def test_entries_are_sorted_and_come_with_their_folders_once(tmp_path: Path) -> None:
    made = make_wheel(
        "thing", files={"thing/z.py": "z", "thing/a/b.py": "b", "thing-a.py": ""}, scripts={"t": "thing:t"}
    )
    _, data = written([LayerWheel(wheel=opened(made, tmp_path))])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = archive.getmembers()
    names = [member.name for member in members]
    assert names == sorted(set(names))
    folders = {member.name for member in members if member.isdir()}
    assert folders == {parent.as_posix() for name in names for parent in Path(name).parents} - {"."}
    assert {(member.uid, member.gid, member.mtime, member.uname) for member in members} == {
        (0, 0, DEFAULT_MTIME, "")
    }
    assert {oct(member.mode) for member in members} == {"0o755", "0o644"}


def test_large_deflated_members_are_copied_as_they_are(tmp_path: Path) -> None:
    made = make_wheel("thing", files={"thing/big.txt": TEXT, "thing/small.txt": b"small\n"})
    wheel = opened(made, tmp_path)
    with wheel.open() as reader:
        stream = b"".join(reader.raw(wheel.by_path["thing/big.txt"]))
    _, data = written([LayerWheel(wheel=wheel)])
    assert stream in data
    assert unpacked(data)[f"{SITE}/thing/big.txt"] == TEXT


def test_a_layer_of_what_was_built_here_does_not_depend_on_the_zips_compressor(tmp_path: Path) -> None:
    made = make_wheel("thing", files={"thing/big.txt": TEXT, "thing/x.py": "x = 1\n"})
    layers = []
    for method, level in ((zipfile.ZIP_DEFLATED, 1), (zipfile.ZIP_DEFLATED, 9), (zipfile.ZIP_STORED, None)):
        buffer = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(made.data)) as source,
            zipfile.ZipFile(buffer, "w", method, compresslevel=level) as target,
        ):
            for name in source.namelist():
                target.writestr(name, source.read(name))
        again = MadeWheel(name="thing", version="1.0", filename=made.filename, data=buffer.getvalue())
        wheel = opened(again, tmp_path / str(level))
        layers.append(written([LayerWheel(wheel=wheel, recompress=True)])[1])
    assert layers[0] == layers[1] == layers[2]


def test_stored_members_are_compressed(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    made = make_wheel("thing", files={"thing/zeros.bin": bytes(3_000_000)})
    with (
        zipfile.ZipFile(io.BytesIO(made.data)) as source,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    wheel = opened(
        MadeWheel(name="thing", version="1.0", filename=made.filename, data=buffer.getvalue()), tmp_path
    )
    _, data = written([LayerWheel(wheel=wheel)])
    assert len(data) < 30_000
    assert unpacked(data)[f"{SITE}/thing/zeros.bin"] == bytes(3_000_000)


def test_the_order_of_wheels_and_the_files_name_do_not_matter(tmp_path: Path) -> None:
    one, two = make_wheel("one"), make_wheel("two", files={"two/x.txt": TEXT})
    path = tmp_path / "0123"
    path.write_bytes(one.data)
    cached = open_wheel(path, filename=one.filename, sha256=one.sha256)
    first = LayerWheel(wheel=opened(one, tmp_path)), LayerWheel(wheel=opened(two, tmp_path))
    assert written(first)[1] == written((first[1], LayerWheel(wheel=cached)))[1]


def test_the_bytes_of_a_layer_are_pinned(tmp_path: Path) -> None:
    # Changes only together with a recipe: every cache and every registry holds the old bytes.
    wheel = opened(make_wheel("thing", files={"thing/__init__.py": "X = 1\n" * 400}), tmp_path)
    _, data = written([LayerWheel(wheel=wheel, recompress=True)])
    assert (
        hashlib.sha256(data).hexdigest() == "e574e9a86a2f79259388c4008367c6723eec3f66fcea3d05854df49216ad5fdc"
    )


def test_the_last_by_name_has_a_path_that_two_wheels_install(tmp_path: Path) -> None:
    a = make_wheel("Alpha", files={"tests/__init__.py": "a = 1\n", "same.py": "s\n"})
    b = make_wheel("beta", files={"tests/__init__.py": "b = 22\n", "same.py": "s\n"})
    wheels = [LayerWheel(wheel=opened(made, tmp_path)) for made in (b, a)]
    layer, data = written(wheels)
    assert unpacked(data)[f"{SITE}/tests/__init__.py"] == b"b = 22\n"
    told = {each.path.rpartition("site-packages/")[2]: each for each in layer.collisions}
    assert told["tests/__init__.py"].owners == ("alpha", "beta")
    assert told["tests/__init__.py"].winner == "beta"
    assert (told["tests/__init__.py"].identical, told["same.py"].identical) == (False, True)
    assert set(told) == {"tests/__init__.py", "same.py"}


def test_collisions_across_layers_are_found_in_the_order_of_the_layers(tmp_path: Path) -> None:
    a = opened(make_wheel("alpha", scripts={"tool": "alpha:main"}), tmp_path)
    b = opened(make_wheel("beta", scripts={"tool": "beta:main"}), tmp_path)
    (collision,) = find_collisions([b, a], python="3.13.5")
    assert (collision.path, collision.winner, collision.identical) == ("bin/tool", "alpha", False)


def test_a_file_where_another_wheel_has_a_folder_is_refused(tmp_path: Path) -> None:
    a = make_wheel("alpha", files={"thing": "a file\n"})
    b = make_wheel("beta", files={"thing/__init__.py": ""})
    with pytest.raises(IntegrityError, match="wheel-conflict"):
        written([LayerWheel(wheel=opened(made, tmp_path)) for made in (a, b)])


@pytest.mark.parametrize("broken", ["bad-crc", "lying-size", "bomb"])
@pytest.mark.parametrize("size", [10, 50_000], ids=["read", "copied"])
def test_a_damaged_member_stops_the_layer_and_is_named(broken: Breakage, size: int, tmp_path: Path) -> None:
    content = random.Random(2).randbytes(size).hex()
    made = make_wheel("thing", files={"thing/first.txt": content}, broken=broken)
    with pytest.raises(IntegrityError, match=r"(?s)bad-wheel-member.*thing-1.0-py3-none-any.whl: "):
        written([LayerWheel(wheel=opened(made, tmp_path))])


def test_a_member_that_says_it_is_longer_than_it_is_stops_the_layer(tmp_path: Path) -> None:
    made = make_wheel("thing", files={"thing/first.txt": random.Random(2).randbytes(50_000).hex()})
    data = bytearray(made.data)
    for start, field in ((data.find(b"PK\x03\x04"), 22), (data.find(b"PK\x01\x02"), 24)):
        data[start + field : start + field + 4] = (100_007).to_bytes(4, "little")
    hurt = MadeWheel(name="thing", version="1.0", filename=made.filename, data=bytes(data))
    with pytest.raises(IntegrityError, match="bad-wheel-member"):
        written([LayerWheel(wheel=opened(hurt, tmp_path))])


def test_more_wheels_than_may_be_open_at_a_time_fit_in_a_layer(tmp_path: Path) -> None:
    wheels = [LayerWheel(wheel=opened(make_wheel(f"w{number}"), tmp_path)) for number in range(150)]
    _, data = written(wheels)
    assert sum(name.endswith("/__init__.py") for name in unpacked(data)) == 150


@pytest.fixture(scope="module")
def interpreter() -> Interpreter:
    import platform

    found = find_interpreter(platform.python_version())
    assert isinstance(found, Interpreter)
    return found


def test_a_losers_bytecode_does_not_stand_in_for_the_winners_source(
    tmp_path: Path, interpreter: Interpreter
) -> None:
    # Python takes unchecked bytecode without a look at the source: it would run alpha's code.
    a = make_wheel("alpha", files={"shared.py": "OWNER = 'alpha'\n"})
    b = make_wheel("beta", files={"shared.py": "this is no Python\n"})
    cache = Cache(tmp_path / "cache")
    wheels = []
    for made in (a, b):
        wheel = opened(made, tmp_path)
        bytecode = compile_wheel(wheel, interpreter=interpreter, prefix="/app/.venv", cache=cache)
        wheels.append(LayerWheel(wheel=wheel, bytecode=bytecode))
    _, data = written(wheels, python=interpreter.version)
    assert [name for name in unpacked(data) if name.endswith(".pyc")] == []
    assert (
        len(
            [
                name
                for name in unpacked(written(wheels[:1], python=interpreter.version)[1])
                if name.endswith(".pyc")
            ]
        )
        == 1
    )
