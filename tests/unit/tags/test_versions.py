"""Which tags a version gets, and which floating ones it may move."""

import pytest
from packaging.version import Version

from shipwheel.tags.versions import branch_tag, known_versions, sanitize, version_tags


def given(version: str, *known: str) -> list[str]:
    tags, _ = version_tags(Version(version), [Version(text) for text in known])
    return [tag.name for tag in tags]


@pytest.mark.parametrize(
    ("version", "tags"),
    [
        ("1.4.2", ["1.4.2", "1.4", "1", "latest"]),
        ("1.4", ["1.4", "1", "latest"]),
        ("7", ["7", "latest"]),
        ("2026.11.22", ["2026.11.22", "2026.11", "2026", "latest"]),
        ("1.4.2.7", ["1.4.2.7", "1.4", "1", "latest"]),
        # SemVer: anything may change in major version zero, so nobody can follow it.
        ("0.9.1", ["0.9.1", "0.9", "latest"]),
        ("1.4.2.post1", ["1.4.2.post1", "1.4", "1", "latest"]),
        ("1.4.2rc1", ["1.4.2rc1"]),
        ("1.4.2a1", ["1.4.2a1"]),
        ("1.4.2.dev3", ["1.4.2.dev3"]),
        ("1.4.2.post1.dev3", ["1.4.2.post1.dev3"]),
        ("1.4.2+cu12", ["1.4.2-cu12"]),
        ("2!1.4.2", ["2-1.4.2", "2-1.4", "2-1", "latest"]),
    ],
)
def test_a_first_version_gets_the_tags_of_its_kind(version: str, tags: list[str]) -> None:
    assert given(version) == tags


@pytest.mark.parametrize(
    ("version", "known", "tags"),
    [
        # An old patch moves neither its major nor latest back, and moves its own minor.
        ("1.4.3", ["1.4.2", "1.5.0", "2.0.0"], ["1.4.3", "1.4"]),
        ("1.9.0", ["1.8.0", "2.0.0"], ["1.9.0", "1.9", "1"]),
        ("1.4.1", ["1.4.2"], ["1.4.1"]),
        # A pre-release is no newer version for those who follow a floating tag.
        ("1.4.3", ["2.0.0rc1", "1.5.0.dev1"], ["1.4.3", "1.4", "1", "latest"]),
        # A second build of the same version, and of its post-release.
        ("1.4.2", ["1.4.2"], ["1.4.2", "1.4", "1", "latest"]),
        ("1.4.2", ["1.4.2.post1"], ["1.4.2"]),
        # Ten is more than nine.
        ("1.10.0", ["1.9.0"], ["1.10.0", "1.10", "1", "latest"]),
        ("1.9.1", ["1.10.0"], ["1.9.1", "1.9"]),
        # A newer epoch is newer than every version before it.
        ("1!0.1.0", ["2026.1.0"], ["1-0.1.0", "1-0.1", "latest"]),
        ("2026.2.0", ["1!0.1.0"], ["2026.2.0", "2026.2", "2026"]),
        ("1.4.2", ["1.4"], ["1.4.2", "1.4", "1", "latest"]),
    ],
)
def test_floating_tags_never_move_back(version: str, known: list[str], tags: list[str]) -> None:
    assert given(version, *known) == tags


def test_a_floating_tag_that_is_not_given_says_why() -> None:
    _, withheld = version_tags(Version("1.4.3"), [Version("2.0.0")])

    assert [(item.name, item.reason) for item in withheld] == [("latest", "2.0.0 is there, which is newer")]


def test_only_versions_among_a_registrys_tags_count() -> None:
    tags = ["1.4.2", "1.4", "1", "latest", "main", "sha-0123456789ab", "pr-7", "20261122", "nightly-2026.1"]

    assert known_versions(tags, like=Version("1.4.3")) == {Version("1.4.2"), Version("1.4")}
    assert known_versions(["1", "2"], like=Version("3")) == {Version("1"), Version("2")}
    assert known_versions(["1-0.1.0"], like=Version("1!0.2.0")) == {Version("1!0.1.0")}


@pytest.mark.parametrize(
    ("branch", "tag"),
    [
        ("main", "main"),
        ("feature/Über-größe", "feature-ber-gr-e"),
        ("renovate/pydantic-2.x", "renovate-pydantic-2.x"),
        (".hidden", "hidden"),
        # Whoever can make a branch must not be able to make a release with its name.
        ("latest", "branch-latest"),
        ("1.4", "branch-1.4"),
        ("v1.4.2", "branch-v1.4.2"),
        ("sha-0123", "branch-sha-0123"),
        ("pr-7", "branch-pr-7"),
        ("x" * 200, "x" * 128),
        ("///", "unnamed"),
    ],
)
def test_a_branch_becomes_a_tag_that_is_no_other_kind_of_tag(branch: str, tag: str) -> None:
    assert branch_tag(branch) == tag


def test_a_tag_has_no_character_that_a_registry_refuses() -> None:
    assert sanitize("--a b@c#d+e") == "a-b-c-d-e"
