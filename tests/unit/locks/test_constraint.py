"""Poetry's constraints and markers of locks, beside Poetry's own parser."""

from __future__ import annotations

import pytest
from packaging.markers import Marker
from poetry.core.constraints.version import Version, parse_constraint

from helpers.locks import DEBIAN
from shipwheel.errors import LockError
from shipwheel.locks.constraint import admits, parse_poetry_constraint, python_marker
from shipwheel.locks.markers import MarkerEnvironment, both, either, given_extra, set_valued

VERSIONS = ("0.0.3", "0.0.4", "0.1.0", "0.9", "1.0", "1.1.9", "1.2", "1.2.3", "1.9", "2.0", "2.7.18", "3.0.1", "3.4", "3.11.2", "4.0")  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["*", "^1.2", "^1.2.3", "^0.0.3", "^0.1", "^0", "^0.0", "~1", "~1.2", "~1.2.3", "1.2.3", "==1.2", "1.*", "1.2.*",
     ">=1,<2", ">=1 <2", ">=2.7, !=3.0.*, !=3.1.*", "<1 || >=2", "^1.0|^3.0", "!=1.2", "~=1.2", ">= 1.2", "~2.7 || ^3.4",
     ">=0.1,<0.9 || 1.0"],
)  # fmt: skip
def test_constraints_admit_what_poetry_admits(text: str) -> None:
    ours = [version for version in VERSIONS if admits(parse_poetry_constraint(text), version)]
    theirs = [version for version in VERSIONS if parse_constraint(text).allows(Version.parse(version))]
    assert ours == theirs


@pytest.mark.parametrize("text", ["^^1", "abc", ">>1", "^x.y"])
def test_what_is_no_constraint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a version constraint"):
        parse_poetry_constraint(text)


def test_a_local_version_bounds_by_its_public_part() -> None:
    constraint = parse_poetry_constraint("^2.0.1+cu118")
    assert admits(constraint, "2.0.1+cu118")
    assert not admits(constraint, "3.0")


def test_a_python_constraint_becomes_a_marker() -> None:
    text = python_marker(parse_poetry_constraint("~2.7 || ^3.4"))
    assert Marker(text).evaluate({"python_full_version": "3.13.0"})
    assert not Marker(text).evaluate({"python_full_version": "3.3.0"})
    assert python_marker("") == ""


def test_a_set_of_extras_is_said_as_pep_751_says_it() -> None:
    assert set_valued("extra == 'a' and os_name != 'nt'") == "'a' in extras and os_name != 'nt'"
    assert set_valued('"a" == extra or extra != "b"') == '"a" in extras or "b" not in extras'
    assert set_valued("'a' in extras") == "'a' in extras"


def test_a_known_extra_leaves_the_rest_of_the_marker() -> None:
    assert given_extra("extra == 'A_b'", "a-b") == ""
    assert Marker(given_extra("extra == 'a' and os_name == 'nt'", "a")).evaluate({"os_name": "nt"})
    assert not Marker(given_extra("extra == 'b' or extra != 'a'", "a")).evaluate()


def test_combining_keeps_the_meaning_of_or() -> None:
    assert both("os_name == 'a' or os_name == 'b'", "", "os_name != 'b'") == (
        "(os_name == 'a' or os_name == 'b') and os_name != 'b'"
    )
    assert either("os_name == 'a'", "") == ""
    assert both() == ""


def test_an_unknown_variable_is_an_error_with_its_place() -> None:
    environment = MarkerEnvironment(DEBIAN)
    with pytest.raises(LockError) as caught:
        environment.holds("moon_phase == 'full'", place="uv.lock [package.x]")
    assert caught.value.problems[0].place == "uv.lock [package.x]"
