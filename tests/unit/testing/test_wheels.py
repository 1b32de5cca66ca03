"""The wheel factory gives wheels that installers take, the same bytes every time, and known breakages."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from pathlib import Path

import pytest
from installer.sources import WheelFile

from shipwheel.testing.wheels import BREAKAGES, Breakage, MadeWheel, make_sdist, make_wheel


def opened(wheel: MadeWheel) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(wheel.data))


def test_the_installer_library_finds_every_file_in_record(tmp_path: Path) -> None:
    wheel = make_wheel(
        "My.Project",
        "1.2+local.1",
        {"my_project/__init__.py": "x = 1\n", "my_project/a,b.txt": b"comma"},
        scripts={"tool": "my_project:main"},
        data={"scripts/run": "#!python\n", "data/share/x": b"x"},
    )
    assert wheel.filename == "my_project-1.2+local.1-py3-none-any.whl"
    with WheelFile.open(wheel.write(tmp_path)) as source:
        source.validate_record()
        assert source.dist_info_dir == "my_project-1.2+local.1.dist-info"


def test_equal_arguments_give_equal_bytes() -> None:
    first, second = (make_wheel("a", "1", padding=5000, executable=["a/__init__.py"]) for _ in range(2))
    assert first.sha256 == second.sha256 == hashlib.sha256(first.data).hexdigest()
    assert make_wheel("b", "1", padding=5000).sha256 != first.sha256
    assert make_sdist("a").sha256 == make_sdist("a").sha256


def test_padding_does_not_compress() -> None:
    assert make_wheel("a", padding=100_000).size > 100_000


def test_executable_files_have_the_bit_in_the_archive() -> None:
    wheel = make_wheel("a", files={"a.py": "", "tool.sh": ""}, executable=["tool.sh"])
    modes = {info.filename: (info.external_attr >> 16) & 0o777 for info in opened(wheel).infolist()}
    assert (modes["a.py"], modes["tool.sh"]) == (0o644, 0o755)


@pytest.mark.parametrize("broken", BREAKAGES)
def test_a_broken_wheel_differs_from_the_sound_one(broken: Breakage) -> None:
    assert make_wheel("a", broken=broken).data != make_wheel("a").data


def test_duplicate_member_has_one_name_twice() -> None:
    names = opened(make_wheel("a", broken="duplicate-member")).namelist()
    assert len(names) == len(set(names)) + 1


def test_lying_size_says_one_byte_less_than_there_is() -> None:
    sound, lying = make_wheel("a"), make_wheel("a", broken="lying-size")
    assert opened(lying).infolist()[0].file_size == opened(sound).infolist()[0].file_size - 1


def test_a_bomb_says_it_is_small() -> None:
    wheel = make_wheel("a", broken="bomb")
    assert wheel.size < 200_000
    assert opened(wheel).getinfo("bomb.bin").file_size == 1000


def test_wrong_record_hash_is_in_record_alone() -> None:
    rows = {
        broken: list(
            csv.reader(
                io.StringIO(opened(make_wheel("a", broken=broken)).read("a-1.0.dist-info/RECORD").decode())
            )
        )
        for broken in (None, "wrong-record-hash")
    }
    different = [
        left for left, right in zip(rows[None], rows["wrong-record-hash"], strict=True) if left != right
    ]
    assert [row[0] for row in different] == ["a/__init__.py"]
