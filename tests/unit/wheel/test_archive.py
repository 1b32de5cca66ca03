"""Which wheels are refused before a byte is unpacked, and which are not."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from shipwheel.errors import IntegrityError, ShipwheelError, TargetError
from shipwheel.testing.wheels import Breakage, MadeWheel, make_wheel
from shipwheel.wheel.archive import Wheel, open_wheel


def opened(made: MadeWheel, folder: Path) -> Wheel:
    return open_wheel(made.write(folder), filename=made.filename, sha256=made.sha256)


def refusal(made: MadeWheel, folder: Path) -> ShipwheelError:
    with pytest.raises(ShipwheelError) as caught:
        opened(made, folder)
    return caught.value


def with_member(made: MadeWheel, name: str, *, mode: int = 0o100644) -> MadeWheel:
    """Return the wheel with one more, empty member."""
    buffer = io.BytesIO(made.data)
    with zipfile.ZipFile(buffer, "a") as archive:
        info = zipfile.ZipInfo(name, (2020, 2, 2, 0, 0, 0))
        info.create_system = 3
        info.external_attr = mode << 16
        archive.writestr(info, b"")
    return MadeWheel(name=made.name, version=made.version, filename=made.filename, data=buffer.getvalue())


def test_a_sound_wheel_says_what_it_is_and_what_is_in_it(tmp_path: Path) -> None:
    wheel = opened(make_wheel("Some.Thing", "1.0.0", {"some_thing/__init__.py": "X = 1\n"}), tmp_path)
    assert (wheel.name, str(wheel.version), wheel.purelib) == ("some-thing", "1.0.0", True)
    assert wheel.dist_info == "some_thing-1.0.0.dist-info"
    assert [member.path for member in wheel.members] == sorted(wheel.by_path)
    with wheel.open() as reader:
        member = wheel.by_path["some_thing/__init__.py"]
        assert reader.read(member) == b"".join(reader.chunks(member)) == b"X = 1\n"
        assert zlib.decompress(b"".join(reader.raw(member)), -15) == b"X = 1\n"


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        ("absolute-path", "unsafe-member"),
        ("zip-slip", "unsafe-member"),
        ("symlink", "unsafe-member"),
        ("duplicate-member", "duplicate-member"),
        ("encrypted", "encrypted-member"),
        ("not-a-zip", "bad-wheel"),
        ("truncated", "bad-wheel"),
        ("no-metadata", "bad-dist-info"),
        ("no-record", "bad-dist-info"),
        ("no-wheel-file", "bad-dist-info"),
        ("two-dist-infos", "bad-dist-info"),
        ("other-name", "wrong-dist-info"),
        ("unlisted-file", "incomplete-record"),
    ],
)
def test_a_broken_wheel_is_refused_and_the_error_names_it(
    broken: Breakage, code: str, tmp_path: Path
) -> None:
    made = make_wheel("thing", broken=broken)
    error = refusal(made, tmp_path)
    assert isinstance(error, IntegrityError)
    assert error.code == code
    assert made.filename in (error.problems[0].place or "")


@pytest.mark.parametrize("broken", ["bad-crc", "lying-size", "bomb"])
def test_a_member_that_is_not_what_its_header_says_is_noticed_when_it_is_read(
    broken: Breakage, tmp_path: Path
) -> None:
    wheel = opened(make_wheel("thing", broken=broken), tmp_path)
    member = wheel.by_path["bomb.bin" if broken == "bomb" else "thing/__init__.py"]
    with wheel.open() as reader:
        with pytest.raises(IntegrityError, match=r"(?s)bad-wheel-member.*" + member.path):
            reader.read(member)
        with pytest.raises(IntegrityError, match=r"(?s)bad-wheel-member.*" + member.path):
            list(reader.chunks(member))


@pytest.mark.parametrize("broken", ["missing-file", "wrong-record-hash"])
def test_what_pip_tolerates_in_record_is_tolerated(broken: Breakage, tmp_path: Path) -> None:
    assert opened(make_wheel("thing", broken=broken), tmp_path).name == "thing"


def test_a_newer_wheel_format_is_the_targets_problem(tmp_path: Path) -> None:
    error = refusal(make_wheel("thing", broken="unknown-wheel-version"), tmp_path)
    assert isinstance(error, TargetError)
    assert error.code == "wheel-version"
    assert "9.0" in str(error)


@pytest.mark.parametrize(
    "name",
    ["a\\b.py", "a//b.py", "./a.py", "a/./b.py", "a/../b.py", "..", "/", "x" * 256, "a/" + "ü" * 128],
)
def test_a_path_that_is_not_plainly_below_the_root_is_refused(name: str, tmp_path: Path) -> None:
    assert refusal(with_member(make_wheel("thing"), name), tmp_path).code == "unsafe-member"


def test_a_nul_in_a_name_does_not_cut_it_short(tmp_path: Path) -> None:
    made = with_member(make_wheel("thing"), "thing/evil.pyX.txt")
    data = made.data.replace(b"evil.pyX.txt", b"evil.py\0.txt")
    hurt = MadeWheel(name="thing", version="1.0", filename=made.filename, data=data)
    assert refusal(hurt, tmp_path).code == "unsafe-member"


@pytest.mark.parametrize("kind", [0o120777, 0o020666, 0o060666, 0o010644, 0o140644, 0o040755])
def test_links_devices_pipes_and_sockets_are_refused(kind: int, tmp_path: Path) -> None:
    error = refusal(with_member(make_wheel("thing"), "thing/x", mode=kind), tmp_path)
    assert error.code == "unsafe-member"


def test_a_path_that_is_a_file_and_a_folder_is_refused(tmp_path: Path) -> None:
    made = with_member(make_wheel("thing"), "thing/__init__.py/x.py")
    assert refusal(made, tmp_path).code == "duplicate-member"


def test_names_that_differ_in_case_are_two_files(tmp_path: Path) -> None:
    wheel = opened(make_wheel("thing", files={"thing/A.py": "a = 1\n", "thing/a.py": "a = 2\n"}), tmp_path)
    assert {"thing/A.py", "thing/a.py"} <= set(wheel.by_path)


def test_all_bad_members_are_told_at_once(tmp_path: Path) -> None:
    made = with_member(make_wheel("thing"), "../one")
    error = refusal(with_member(made, "/two"), tmp_path)
    assert len(error.problems) == 2


def test_a_local_header_with_another_name_is_refused(tmp_path: Path) -> None:
    made = make_wheel("thing", files={"thing/a.py": "a\n"})
    # The first occurrence is the local header's, the last the central directory's.
    data = made.data.replace(b"thing/a.py", b"thing/b.py", 1)
    error = refusal(MadeWheel(name="thing", version="1.0", filename=made.filename, data=data), tmp_path)
    assert error.code == "lying-header"
    assert "another name" in str(error)


def test_overlapping_members_are_refused(tmp_path: Path) -> None:
    made = make_wheel("thing", files={"thing/a.py": "a\n", "thing/b.py": "b\n"})
    data = bytearray(made.data)
    # The central directory's entry of b.py is given a.py's place in the file (APPNOTE 4.3.12: at +42).
    at = data.rfind(b"thing/b.py") - 46
    first = data.find(b"PK\x03\x04")
    data[at + 42 : at + 46] = struct.pack("<L", first)
    error = refusal(
        MadeWheel(name="thing", version="1.0", filename=made.filename, data=bytes(data)), tmp_path
    )
    assert error.code == "overlapping-members"


def test_an_unknown_compression_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("thing/__init__.py", "x" * 1000)
    made = MadeWheel(
        name="thing", version="1.0", filename="thing-1.0-py3-none-any.whl", data=buffer.getvalue()
    )
    assert refusal(made, tmp_path).code == "unknown-compression"


def test_an_archive_that_unpacks_to_absurdly_much_is_refused_unread(tmp_path: Path) -> None:
    made = make_wheel("thing", files={"thing/zeros.bin": b"x"})
    data = bytearray(made.data)
    for start, field in ((data.find(b"PK\x03\x04"), 22), (data.find(b"PK\x01\x02"), 24)):
        data[start + field : start + field + 4] = struct.pack("<L", 3 << 30)
    error = refusal(
        MadeWheel(name="thing", version="1.0", filename=made.filename, data=bytes(data)), tmp_path
    )
    assert error.code == "wheel-bomb"


def test_metadata_of_another_project_is_refused(tmp_path: Path) -> None:
    made = make_wheel("thing", "1.0")
    path = made.write(tmp_path)
    with pytest.raises(IntegrityError, match="wrong-dist-info"):
        open_wheel(path, filename="thing-2.0-py3-none-any.whl", sha256=made.sha256)
    with pytest.raises(IntegrityError, match="bad-wheel-filename"):
        open_wheel(path, filename="thing.whl", sha256=made.sha256)


@pytest.mark.parametrize("version", ["1.0", "1.0.0", "1"])
def test_versions_are_compared_as_versions(version: str, tmp_path: Path) -> None:
    made = make_wheel("thing", "1.0")
    wheel = open_wheel(made.write(tmp_path), filename=f"Thing-{version}-py3-none-any.whl", sha256=made.sha256)
    assert str(wheel.version) == version
