"""What is needed to build and has no wheel is found for every platform, pinned first, and never in a circle."""

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import cast

import pytest

from shipwheel.assemble.workshop import Workshop
from shipwheel.base.model import DebianBase, DebianPlatform, ImageBase, ImagePlatform
from shipwheel.errors import BuildError, TargetError
from shipwheel.lockfile import ShipwheelLock
from shipwheel.locks.model import LockedFile, Selected
from shipwheel.oci.model import Platform
from shipwheel.sources import requirements
from shipwheel.sources.names import builder_name, builder_target, unbuilt_ids
from shipwheel.sources.requirements import note_unbuilt
from shipwheel.wheel.origin import source_id
from shipwheel.wheel.pins import BuildPin, BuildSystem, SourceBuild

ANY, SDIST = "py3-none-any.whl", "tar.gz"


@pytest.fixture(autouse=True)
def _on_amd64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "host_platform", lambda: Platform.parse("linux/amd64"))


def digest(filename: str) -> str:
    return f"sha256:{filename.encode().hex():0<64.64}"


def system(**files: Sequence[str]) -> BuildSystem:
    """Return a build system of one release each, with files that end so."""
    pins = [
        BuildPin(name=name, version="1", hashes=tuple(digest(f"{name}-1-{end}") for end in ends))
        for name, ends in files.items()
    ]
    return BuildSystem(requires=tuple(files), pins=tuple(pins))


def workshop(*systems: BuildSystem) -> Workshop:
    """Return one whose index lists the files of all `systems`."""
    listed: dict[str, list[LockedFile]] = {}
    for pin in (pin for item in systems for pin in item.pins):
        for end in (ANY, SDIST, "cp313-cp313-manylinux_2_17_x86_64.whl", "cp313-cp313-win_amd64.whl"):
            known = digest(f"{pin.name}-1-{end}")
            if known in pin.hashes:
                name = f"{pin.name}-1.{end}" if end == SDIST else f"{pin.name}-1-{end}"
                file = LockedFile(name=name, hashes={"sha256": known.partition(":")[2]})
                listed.setdefault(pin.name, []).append(file)
    fetcher = SimpleNamespace(list_files=lambda asked: listed[str(asked.name)])
    return cast("Workshop", SimpleNamespace(fetcher=fetcher))


def lock(python: str = "3.13.1") -> ShipwheelLock:
    """Return the lock of an image with `python` that is compiled for among packages of trixie."""
    names = ("linux/amd64", "linux/arm64")
    platforms = [
        DebianPlatform(
            platform=name, python="3.13.5", libc="glibc 2.41", executable="/usr/bin/python3.13", packages=()
        )
        for name in names
    ]
    images = [
        ImagePlatform(
            platform=name,
            digest="sha256:0",
            python=python,
            libc="glibc 2.36",
            executable="/usr/local/bin/python3",
            layers=(),
        )
        for name in names
    ]
    builder = DebianBase(suite="trixie", recipe="r", archives=(), platforms=tuple(platforms))
    base = ImageBase(kind="layout", reference="base", digest="sha256:0", platforms=tuple(images))
    return ShipwheelLock(base=base, builder=builder)


def pinner(
    below: Mapping[str, BuildSystem], shop: Workshop
) -> Callable[[ShipwheelLock, Selected], ShipwheelLock]:
    """Return a `pin` that knows what each source needs, and pins those in turn."""

    def pin(lock: ShipwheelLock, item: Selected, needed_by: tuple[Selected, ...] = ()) -> ShipwheelLock:
        needs = below[str(item.name)]

        def deeper(lock: ShipwheelLock, needed: Selected) -> ShipwheelLock:
            return pin(lock, needed, (*needed_by, item))

        lock, noted = note_unbuilt(lock, needs, (*needed_by, item), shop, pin=deeper)
        build = SourceBuild(
            name=str(item.name), source=source_id(item.source), requires=noted.requires, native=True
        )
        return ShipwheelLock(
            base=lock.base,
            builder=lock.builder,
            sources=(*lock.sources, build),
            build_systems=(*lock.build_systems, noted),
        )

    return pin


def test_what_has_a_wheel_is_not_built() -> None:
    outer = system(hatchling=[ANY, SDIST])

    kept, noted = note_unbuilt(lock(), outer, (), workshop(outer), pin=pinner({}, workshop()))

    assert (kept.sources, noted.unbuilt) == ((), ())


def test_a_source_without_wheel_is_pinned_with_all_that_it_needs_in_turn() -> None:
    outer, middle, inner = system(old=[SDIST]), system(older=[SDIST]), system()
    shop = workshop(outer, middle)

    kept, noted = note_unbuilt(lock(), outer, (), shop, pin=pinner({"old": middle, "older": inner}, shop))

    assert [build.name for build in kept.sources] == ["older", "old"]
    assert noted.unbuilt == (digest(f"old-1-{SDIST}"),)
    assert len(unbuilt_ids(noted, kept, "sha256:builder")) == 1


def test_what_an_inner_source_is_built_with_is_part_of_every_name_above_it() -> None:
    def name_with(innermost: BuildSystem) -> tuple[str, ...]:
        outer, middle = system(old=[SDIST]), system(older=[SDIST])
        shop = workshop(outer, middle, innermost)
        pin = pinner({"old": middle, "older": innermost}, shop)
        kept, noted = note_unbuilt(lock(), outer, (), shop, pin=pin)
        return unbuilt_ids(noted, kept, "sha256:builder")

    assert name_with(system(hatchling=[ANY])) != name_with(system(flit=[ANY]))


def test_a_source_that_only_another_platform_needs_is_noted_all_the_same() -> None:
    outer = system(fast=["cp313-cp313-manylinux_2_17_x86_64.whl", SDIST])
    shop = workshop(outer)

    _, noted = note_unbuilt(lock(), outer, (), shop, pin=pinner({"fast": system()}, shop))

    assert noted.unbuilt == (digest(f"fast-1-{SDIST}"),)


def test_what_is_there_for_no_other_platform_is_their_concern() -> None:
    outer = system(fast=["cp313-cp313-manylinux_2_17_x86_64.whl"])

    _, noted = note_unbuilt(lock(), outer, (), workshop(outer), pin=pinner({}, workshop()))

    assert noted.unbuilt == ()


def test_what_is_not_there_for_this_platform_is_refused() -> None:
    outer = system(fast=["cp313-cp313-win_amd64.whl"])

    with pytest.raises(TargetError) as caught:
        note_unbuilt(lock(), outer, (), workshop(outer), pin=pinner({}, workshop()))

    assert caught.value.code == "no-wheel-for-target"


def test_a_circle_of_sources_is_named_from_its_first_to_its_last() -> None:
    outer, hen, egg = system(hen=[SDIST]), system(egg=[SDIST]), system(hen=[SDIST])
    shop = workshop(outer, hen)

    with pytest.raises(BuildError) as caught:
        note_unbuilt(lock(), outer, (), shop, pin=pinner({"hen": hen, "egg": egg}, shop))

    assert caught.value.code == "build-cycle"
    assert "hen 1 needs egg 1 needs hen 1" in str(caught.value)


def test_a_python_that_debian_has_not_is_the_images_own_and_part_of_the_builders_name() -> None:
    platform = Platform.parse("linux/amd64")

    same, other = lock("3.13.1"), lock("3.12.1")

    assert (builder_target(same, platform).python, builder_target(other, platform).python) == (
        "3.13.5",
        "3.12.1",
    )
    assert {str(builder_target(item, platform).libc) for item in (same, other)} == {"glibc 2.41"}
    assert builder_name(same, platform) != builder_name(other, platform)
