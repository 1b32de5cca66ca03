"""Debian versions and relationships: Policy 5.6.12's order, and what satisfies what."""

import pytest

from shipwheel.base.debian.relations import Relation, parse_relations, version_key
from shipwheel.errors import LockError


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        ("1.0", "1.1"),
        ("1.9", "1.10"),
        ("1.0~rc1", "1.0"),
        ("1.0~~", "1.0~~a"),  # Policy's example: ~~, ~~a, ~, the empty part, a
        ("1.0~~a", "1.0~"),
        ("1.0~", "1.0"),
        ("1.0", "1.0a"),
        ("1.0a", "1.0+b"),  # letters sort before non-letters
        ("9", "1:0"),
        ("1.0-1", "1.0-1+b1"),
        ("1.0-1~deb13u1", "1.0-1"),
        ("3.5.7-1~deb13u2", "3.5.7-1~deb13u3"),
        ("20250419", "20250419+deb13u1"),
        ("1.2.3-9", "1.2.3-10"),
    ],
)
def test_versions_sort_as_policy_says(smaller: str, larger: str) -> None:
    assert version_key(smaller) < version_key(larger)


@pytest.mark.parametrize(("one", "other"), [("1.0", "1.0-0"), ("0:1.0", "1.0"), ("1.00", "1.0")])
def test_versions_are_equal_where_policy_sees_no_difference(one: str, other: str) -> None:
    assert version_key(one) == version_key(other)


@pytest.mark.parametrize("text", ["", "a:1", ":1", "1:"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(LockError) as caught:
        version_key(text)
    assert caught.value.code == "bad-version"


def test_alternatives_and_restrictions_are_read() -> None:
    assert parse_relations("libc6 (>= 2.38), media-types | mime-support (<<4), python3:any") == (
        (Relation(name="libc6", operator=">=", version="2.38"),),
        (Relation(name="media-types"), Relation(name="mime-support", operator="<<", version="4")),
        (Relation(name="python3", qualifier="any"),),
    )


def test_an_empty_field_relates_to_nothing() -> None:
    assert parse_relations(" , ") == ()


@pytest.mark.parametrize("text", ["libc6 (2.38)", "libc6 >= 2", "UPPER", "a || b", "a (>= 1"])
def test_what_is_no_relationship_is_refused(text: str) -> None:
    with pytest.raises(LockError) as caught:
        parse_relations(text)
    assert caught.value.code == "bad-relation"


@pytest.mark.parametrize(
    ("operator", "allowed"),
    [
        ("<<", {"1"}),
        ("<=", {"1", "2"}),
        ("<", {"1", "2"}),
        ("=", {"2"}),
        (">", {"2", "3"}),
        (">=", {"2", "3"}),
        (">>", {"3"}),
        ("", {"1", "2", "3"}),
    ],
)
def test_each_operator_allows_its_versions(operator: str, allowed: set[str]) -> None:
    relation = Relation(name="a", operator=operator, version="2")
    assert {version for version in ("1", "2", "3") if relation.allows(version)} == allowed
