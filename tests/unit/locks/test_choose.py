"""Which file of a release a target gets, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.pylock import PackageSdist, PackageWheel
from packaging.utils import canonicalize_name
from packaging.version import Version

from helpers.locks import (
    ALPINE,
    ARM,
    DEBIAN,
    MANYLINUX,
    MUSLLINUX,
    PURE,
    WINDOWS,
    chosen_file,
    digest,
    poetry_lock,
    poetry_package,
    project_at,
    read_text_as,
    sdist,
    source_text,
    target_for,
    wheel,
)
from shipwheel.errors import LockError, TargetError
from shipwheel.locks.choose import name_file
from shipwheel.locks.model import KnownByHash, Lock, LockedFile, Selected
from shipwheel.locks.select import select_packages


def lock_with(tmp_path: Path, *files: str) -> Lock:
    package = poetry_package("numpy", "2.0", files=files)
    return read_text_as("poetry.lock", poetry_lock(package, python="*"), project_at(tmp_path))


def test_the_newest_manylinux_that_the_libc_runs_wins(tmp_path: Path) -> None:
    files = [wheel("numpy", "2.0", f"cp313-cp313-manylinux_2_{minor}_x86_64") for minor in (17, 28, 34, 40)]
    lock = lock_with(tmp_path, *files)
    assert chosen_file(lock, target_for(libc="glibc 2.36")) == files[2]
    assert chosen_file(lock, target_for(libc="glibc 2.30")) == files[1]


def test_a_native_wheel_comes_before_abi3_and_abi3_before_pure(tmp_path: Path) -> None:
    pure, abi3 = wheel("numpy", "2.0", PURE), wheel("numpy", "2.0", "cp38-abi3-manylinux_2_17_x86_64")
    native = wheel("numpy", "2.0", MANYLINUX)
    assert chosen_file(lock_with(tmp_path, pure, abi3, native)) == native
    assert chosen_file(lock_with(tmp_path, pure, abi3)) == abi3
    assert chosen_file(lock_with(tmp_path, pure, wheel("numpy", "2.0", WINDOWS))) == pure


def test_of_equal_wheels_the_highest_build_number_wins(tmp_path: Path) -> None:
    files = [f"numpy-2.0{build}-{PURE}.whl" for build in ("", "-2", "-10", "-9local")]
    assert chosen_file(lock_with(tmp_path, *files)) == f"numpy-2.0-10-{PURE}.whl"


def test_a_build_number_does_not_beat_a_better_tag(tmp_path: Path) -> None:
    native = wheel("numpy", "2.0", MANYLINUX)
    assert chosen_file(lock_with(tmp_path, f"numpy-2.0-9-{PURE}.whl", native)) == native


def test_without_a_fitting_wheel_the_sdist_is_the_source(tmp_path: Path) -> None:
    lock = lock_with(tmp_path, wheel("numpy", "2.0", WINDOWS), "numpy-2.0.zip", sdist("numpy", "2.0"))
    (numpy,) = select_packages(lock, DEBIAN)
    assert isinstance(numpy.source, PackageSdist)
    assert source_text(numpy) == sdist("numpy", "2.0")
    assert (
        numpy.reason == "the source distribution: none of 1 wheels fits linux/amd64 glibc 2.41, Python 3.13"
    )
    assert numpy.alternatives == (wheel("numpy", "2.0", WINDOWS), "numpy-2.0.zip")


def test_a_missing_platform_names_the_platforms_that_exist(tmp_path: Path) -> None:
    lock = lock_with(tmp_path, wheel("numpy", "2.0", MANYLINUX), wheel("numpy", "2.0", WINDOWS))
    with pytest.raises(TargetError) as caught:
        select_packages(lock, ARM)
    assert str(caught.value) == (
        "error[no-wheel-for-target]: numpy 2.0 has no wheel for linux/arm64 glibc 2.41, Python 3.13,"
        " and no source distribution\n"
        "  --> poetry.lock [package.numpy]\n"
        "hint: choose a base that one of these fits: manylinux2014_x86_64, manylinux_2_17_x86_64, win_amd64"
    )


def test_a_missing_python_names_the_pythons_that_exist(tmp_path: Path) -> None:
    tags = [f"cp3{minor}-cp3{minor}-{MUSLLINUX.rsplit('-', maxsplit=1)[-1]}" for minor in (9, 10, 12)]
    lock = lock_with(tmp_path, *(wheel("numpy", "2.0", tag) for tag in tags))
    with pytest.raises(TargetError) as caught:
        select_packages(lock, ALPINE)
    assert caught.value.problems[0].hint == "choose a Python that one of these fits: cp39, cp310, cp312"


def test_a_free_threaded_wheel_does_not_count_as_the_same_python(tmp_path: Path) -> None:
    lock = lock_with(tmp_path, wheel("numpy", "2.0", "cp313-cp313t-manylinux_2_17_x86_64"))
    with pytest.raises(TargetError) as caught:
        select_packages(lock, DEBIAN)
    assert caught.value.problems[0].hint == "choose a Python that one of these fits: cp313 with cp313t"


def test_all_missing_wheels_are_told_at_once(tmp_path: Path) -> None:
    text = poetry_lock(*(poetry_package(name, files=[wheel(name, tag=WINDOWS)]) for name in ("b", "a")))
    lock = read_text_as("poetry.lock", text, project_at(tmp_path))
    with pytest.raises(TargetError) as caught:
        select_packages(lock, DEBIAN)
    assert [problem.place for problem in caught.value.problems] == [
        "poetry.lock [package.a]",
        "poetry.lock [package.b]",
    ]


def test_a_release_without_any_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LockError, match="without any file and hash") as caught:
        select_packages(lock_with(tmp_path), DEBIAN)
    assert caught.value.code == "no-hash"


def test_eggs_and_installers_are_no_files_to_install(tmp_path: Path) -> None:
    lock = lock_with(tmp_path, "numpy-2.0-py3.13.egg", "numpy-2.0.win32.exe", sdist("numpy", "2.0"))
    (numpy,) = select_packages(lock, DEBIAN)
    assert numpy.alternatives == ()


def known_by_hash(*names: str) -> Selected:
    return Selected(
        name=canonicalize_name("numpy"),
        version=Version("2.0"),
        source=KnownByHash(tuple(sorted(f"sha256:{digest(name)}" for name in names))),
        place="requirements.txt:1",
    )


def on_index(*names: str) -> list[LockedFile]:
    return [
        LockedFile(name, {"md5": "0", "sha256": digest(name)}, url=f"https://files.example/{name}")
        for name in names
    ]


def test_the_index_names_the_files_of_locked_hashes_only() -> None:
    pure, native = wheel("numpy", "2.0", PURE), wheel("numpy", "2.0", MANYLINUX)
    named = name_file(known_by_hash(pure), on_index(pure, native), DEBIAN)
    assert isinstance(named.source, PackageWheel)
    assert named.source.name == pure
    assert named.source.hashes == {"sha256": digest(pure)}
    assert named.source.url == f"https://files.example/{pure}"


def test_an_index_without_any_locked_hash_is_refused() -> None:
    with pytest.raises(LockError) as caught:
        name_file(known_by_hash("a"), on_index("b"), DEBIAN)
    assert caught.value.code == "hash-not-on-index"


def test_locked_hashes_of_other_platforms_only_are_no_wheel_for_the_target() -> None:
    windows = wheel("numpy", "2.0", WINDOWS)
    with pytest.raises(TargetError) as caught:
        name_file(known_by_hash(windows), on_index(windows), DEBIAN)
    assert caught.value.code == "no-wheel-for-target"
    assert caught.value.problems[0].place == "requirements.txt:1"
