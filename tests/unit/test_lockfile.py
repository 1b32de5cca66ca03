"""shipwheel.lock: what is written is read back equal, and equal locks have equal text."""

import tomllib
from pathlib import Path

import pytest

from shipwheel.base.model import (
    Base,
    BaseLayer,
    DebianArchive,
    DebianBase,
    DebianPackage,
    DebianPlatform,
    ImageBase,
    ImagePlatform,
    Omission,
)
from shipwheel.errors import HostError, LockError
from shipwheel.lockfile import ShipwheelLock, read_lockfile, render_lockfile, write_lockfile
from shipwheel.wheel.pins import BuildPin, BuildSystem

DEBIAN = DebianBase(
    suite="trixie",
    recipe="debian/1",
    archives=(
        DebianArchive(name="trixie", inrelease="sha256:00", date="2026-09-12T00:00:00Z", signers=("AA",)),
    ),
    platforms=(
        DebianPlatform(
            platform="linux/amd64",
            python="3.13.5",
            libc="glibc 2.41",
            executable="/usr/bin/python3.13",
            packages=(
                DebianPackage(
                    name="libc6",
                    version="2.41-12",
                    architecture="amd64",
                    archive="trixie",
                    path="pool/main/g/glibc/libc6.deb",
                    size=3,
                    sha256="ab",
                    sha1="cd",
                ),
            ),
            omissions=(Omission(name="debconf", reason="asks questions"),),
        ),
    ),
    requested=("libpq5",),
)
IMAGE = ImageBase(
    kind="registry",
    reference="registry.example/python:3.13-slim",
    digest="sha256:11",
    platforms=(
        ImagePlatform(
            platform="linux/arm64",
            digest="sha256:22",
            python="3.13.1",
            libc="musl 1.2",
            executable="/usr/local/bin/python3.13",
            layers=(BaseLayer(media_type="m", digest="sha256:33", size=4, diff_id="sha256:44"),),
            env=("A=b=c",),
        ),
    ),
)
SYSTEM = BuildSystem(
    requires=("poetry-core>=2",),
    pins=(
        BuildPin(name="poetry-core", version="2.1", hashes=("sha256:55",), marker="python_version >= '3.9'"),
    ),
)


@pytest.mark.parametrize("base", [DEBIAN, IMAGE])
def test_a_lock_is_read_back_as_it_was_written(tmp_path: Path, base: Base) -> None:
    lock = ShipwheelLock(base=base, build_systems=(SYSTEM,), sizes={"sha256:66": 7})

    write_lockfile(tmp_path / "shipwheel.lock", lock)

    assert read_lockfile(tmp_path / "shipwheel.lock") == lock


def test_no_file_is_none(tmp_path: Path) -> None:
    assert read_lockfile(tmp_path / "shipwheel.lock") is None


def test_order_of_making_does_not_show(tmp_path: Path) -> None:
    other = BuildSystem(requires=("hatchling",), pins=())
    one = ShipwheelLock(base=IMAGE, build_systems=(SYSTEM, other), sizes={"b": 1, "a": 2})
    two = ShipwheelLock(base=IMAGE, build_systems=(other, SYSTEM), sizes={"a": 2, "b": 1})

    assert render_lockfile(one) == render_lockfile(two)
    assert tomllib.loads(render_lockfile(one))["version"] == 1


def test_pins_are_found_for_the_same_requirements_in_any_order() -> None:
    system = BuildSystem(requires=("a", "b"), pins=())
    lock = ShipwheelLock(base=IMAGE, build_systems=(system,))

    assert lock.build_system(["b", "a"]) == system
    assert lock.build_system(["b"]) is None


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "shipwheel.lock"

    with pytest.raises(HostError) as caught:
        write_lockfile(path, ShipwheelLock(base=IMAGE))

    assert caught.value.code == "cannot-write"
    assert not path.parent.exists()


def test_a_python_version_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shipwheel.lock"
    path.write_text(render_lockfile(ShipwheelLock(base=DEBIAN)).replace('"3.13.5"', '"**"'))

    with pytest.raises(LockError) as caught:
        read_lockfile(path)

    assert caught.value.problems[0].code == "bad-shipwheel-lock"
