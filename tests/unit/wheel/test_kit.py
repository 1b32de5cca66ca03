"""Which files are a kit: by the pins' hashes and names, and for the Python that runs this."""

from __future__ import annotations

import sys

import pytest

from shipwheel.oci.reference import Reference
from shipwheel.wheel.kit import KitFile, choose_files, kit_name
from shipwheel.wheel.pins import BuildPin, BuildSystem

HERE = f"cp{sys.version_info.major}{sys.version_info.minor}"


def pin(name: str = "packing", *digits: str, version: str = "2.0") -> BuildPin:
    return BuildPin(name=name, version=version, hashes=tuple(f"sha256:{d * 64}" for d in digits or ("a",)))


def file(filename: str, digit: str = "a") -> KitFile:
    return KitFile(filename=filename, sha256=digit * 64, size=1)


PURE = file("packing-2.0-py3-none-any.whl")


def test_a_pins_wheel_is_chosen_and_nothing_else_is() -> None:
    other = file("other-1.0-py3-none-any.whl", "b")
    assert choose_files([other, PURE], [pin()]) == [PURE]


def test_files_come_in_the_order_of_the_pins() -> None:
    other = file("other_one-1.0-py3-none-any.whl", "b")
    pins = [pin("other-one", "b", version="1"), pin()]
    assert choose_files([PURE, other], pins) == [other, PURE]


def test_of_several_the_one_for_this_python_comes_first() -> None:
    own = file(f"packing-2.0-{HERE}-none-any.whl", "b")
    assert choose_files([PURE, own], [pin("packing", "a", "b")]) == [own]


@pytest.mark.parametrize(
    "offered",
    [
        [],
        [file("packing-2.0-py3-none-any.whl", "c")],  # other bytes
        [file("packing-2.1-py3-none-any.whl")],  # another version
        [file("parking-2.0-py3-none-any.whl")],  # another name
        [file("packing-2.0-cp27-cp27m-win32.whl")],  # not for here
        [file("packing-2.0.tar.gz")],  # no wheel
        [file("../packing-2.0-py3-none-any.whl")],
        [file("packing-2.0-1/../x-py3-none-any.whl")],
        [file("")],
    ],
    ids=repr,
)
def test_a_kit_that_lacks_a_pin_is_none(offered: list[KitFile]) -> None:
    assert choose_files(offered, [pin()]) is None


def test_the_name_follows_from_the_pins_alone_and_fits_a_tag() -> None:
    one = BuildSystem(requires=("packing",), pins=(pin(),))
    same = BuildSystem(requires=("packing>=1",), pins=(pin(),))
    other = BuildSystem(requires=("packing",), pins=(pin("packing", "b"),))

    assert kit_name(one) == kit_name(same) != kit_name(other)
    tag = f"shipwheel-kit-{kit_name(one)}"
    assert Reference.parse(f"registry.example/app:{tag}").tag == tag
