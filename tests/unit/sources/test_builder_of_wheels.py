"""What is compiled is checked: its name, its tags, its libraries, and what the builder left behind."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from packaging.pylock import PackageSdist
from packaging.utils import canonicalize_name
from packaging.version import Version

from shipwheel.assemble.workshop import Workshop
from shipwheel.cache import Cache
from shipwheel.errors import BuildError
from shipwheel.locks.model import Selected
from shipwheel.oci.model import Platform
from shipwheel.progress import Silent
from shipwheel.sources import maker
from shipwheel.sources.builder import Builder, Order
from shipwheel.sources.ensure import find_libraries
from shipwheel.sources.maker import Compiling
from shipwheel.target import Libc, Target
from shipwheel.testing.wheels import MadeWheel, make_sdist, make_wheel
from shipwheel.wheel.pins import BuildSystem, SourceBuild

TARGET = Target(python="3.13.5", platform=Platform.parse("linux/amd64"), libc=Libc.parse("glibc 2.41"))
LINUX = "cp313-cp313-linux_x86_64"
SYSTEM = BuildSystem(requires=(), pins=())
HERE = find_libraries(Path("/"))
PROGRAM = Path("/bin/sh").resolve().read_bytes()  # a file that needs libc.so.6


class FakeBuilder:
    """Hands out a wheel that was made before."""

    id = "sha256:builder"
    target = TARGET

    def __init__(self, made: MadeWheel, owners: Mapping[str, str]) -> None:
        self.made, self.owners, self.builds = made, owners, 0

    def build(self, order: Order, into: Path) -> Path:
        assert (order.tree / "PKG-INFO").is_file()
        self.builds += 1
        return self.made.write(into)

    def unbuilt(self, system: BuildSystem) -> tuple[str, ...]:
        return system.unbuilt or ()

    def root(self) -> object:
        return SimpleNamespace(owners=self.owners)


@pytest.fixture
def item(tmp_path: Path) -> Selected:
    sdist = make_sdist("fast", "1.0")
    (tmp_path / sdist.filename).write_bytes(sdist.data)
    source = PackageSdist(name=sdist.filename, path=sdist.filename, hashes={"sha256": sdist.sha256})
    return Selected(name=canonicalize_name("fast"), version=Version("1.0"), source=source, place="the lock")


def compiled(
    tmp_path: Path, item: Selected, made: MadeWheel, libraries: Mapping[str, Path], **owners: str
) -> tuple[Any, FakeBuilder]:
    builder = FakeBuilder(made, {name.replace("_so_", ".so."): package for name, package in owners.items()})
    workshop = SimpleNamespace(
        cache=Cache(tmp_path / "cache"),
        progress=Silent(),
        project=SimpleNamespace(root=tmp_path),
        fetcher=SimpleNamespace(fetch=lambda item: tmp_path / item.source.path),
    )
    means = Compiling(builder=cast("Builder", builder), libraries=lambda: libraries)
    build = SourceBuild(name="fast", source="sha256:source", requires=(), native=True)
    for _ in range(2):
        wheel = make_wheel_of(item, build, cast("Workshop", workshop), means)
    return wheel, builder


def make_wheel_of(item: Selected, build: SourceBuild, workshop: Workshop, means: Compiling) -> Any:
    return maker.make_wheel(item, build, SYSTEM, target=TARGET, workshop=workshop, compiling=lambda: means)


def test_a_wheel_that_fits_is_built_once(tmp_path: Path, item: Selected) -> None:
    made = make_wheel("fast", "1.0", {"fast.so": PROGRAM}, tag=LINUX)

    wheel, builder = compiled(tmp_path, item, made, HERE)

    assert (wheel.filename, wheel.sha256, builder.builds) == (made.filename, made.sha256, 1)


@pytest.mark.parametrize(
    "made",
    [
        make_wheel("fast", "1.0", tag="cp311-cp311-linux_x86_64"),
        make_wheel("fast", "1.0", tag="cp313-cp313-linux_aarch64"),
        make_wheel("slow", "1.0", tag=LINUX),
        make_wheel("fast", "1.1", tag=LINUX),
    ],
    ids=lambda made: made.filename,
)
def test_a_wheel_for_something_else_is_refused(tmp_path: Path, item: Selected, made: MadeWheel) -> None:
    with pytest.raises(BuildError) as caught:
        compiled(tmp_path, item, made, {})

    assert caught.value.code == "wrong-wheel"
    assert made.filename in str(caught.value)


def test_a_library_that_the_image_lacks_is_named_with_its_package(tmp_path: Path, item: Selected) -> None:
    made = make_wheel("fast", "1.0", {"fast.so": PROGRAM}, tag=LINUX)

    with pytest.raises(BuildError) as caught:
        compiled(tmp_path, item, made, {}, libc_so_6="libc6")

    assert caught.value.code == "missing-library"
    assert "fast.so needs libc.so.6" in str(caught.value)
    assert 'packages = ["libc6"]' in str(caught.value)


def test_what_was_compiled_for_one_image_is_looked_at_again_for_the_next(
    tmp_path: Path, item: Selected
) -> None:
    made = make_wheel("fast", "1.0", {"fast.so": PROGRAM}, tag=LINUX)
    compiled(tmp_path, item, made, HERE)

    with pytest.raises(BuildError) as caught:
        compiled(tmp_path, item, made, {}, libc_so_6="libc6")

    assert caught.value.code == "missing-library"


def test_libraries_older_than_those_compiled_with_are_told_by_version(tmp_path: Path, item: Selected) -> None:
    made = make_wheel("fast", "1.0", {"fast.so": PROGRAM}, tag=LINUX)
    older = tmp_path / "older"
    older.write_bytes(re.sub(rb"GLIBC_2\.(?=\d+\0)", b"GLIBC_1.", HERE["libc.so.6"].read_bytes()))

    with pytest.raises(BuildError) as caught:
        compiled(tmp_path, item, made, {**HERE, "libc.so.6": older})

    assert caught.value.code == "older-library"
    assert "GLIBC_2." in str(caught.value)
    assert "glibc 2.41 or newer" in str(caught.value)
