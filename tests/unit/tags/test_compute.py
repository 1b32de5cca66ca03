"""Facts and policy → tags, and what is refused."""

from typing import Any

import pytest

from shipwheel.errors import ProjectError
from shipwheel.oci.model import Digest
from shipwheel.project.settings import TagSettings
from shipwheel.tags.compute import check_existing, git_labels, git_tag_versions, plan_tags
from shipwheel.tags.facts import Facts

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHA = "sha-0123456789ab"
ON_MAIN = Facts(commit=COMMIT, branch="main")
TAGGED = Facts(commit=COMMIT, tags=("v1.4.2",))


def names(facts: Facts, policy: TagSettings | None = None, **more: Any) -> list[str]:
    more = {"existing": [], **more}
    return [tag.name for tag in plan_tags("1.4.2", facts, policy or TagSettings(), **more).tags]


def refused(version: str | None, facts: Facts, policy: TagSettings | None = None, **more: Any) -> str:
    with pytest.raises(ProjectError) as raised:
        plan_tags(version, facts, policy or TagSettings(), existing=[], **more)
    return raised.value.code


def test_a_branch_gets_its_name_and_the_commit() -> None:
    assert names(ON_MAIN) == ["main", SHA]


def test_a_tagged_commit_is_a_release() -> None:
    assert names(TAGGED) == ["1.4.2", "1.4", "1", "latest", SHA]


@pytest.mark.parametrize("tag", ["1.4.2", "v1.4.2", "v1.4.2.0"])
def test_a_git_tag_may_have_a_v_and_other_spellings(tag: str) -> None:
    assert names(Facts(commit=COMMIT, tags=(tag,)))[0] == "1.4.2"


def test_a_project_without_git_is_released_by_building_it() -> None:
    assert names(Facts()) == ["1.4.2", "1.4", "1", "latest"]


def test_a_pull_request_gets_its_number_and_releases_nothing() -> None:
    facts = Facts(commit=COMMIT, pull_request="7", tags=("v1.4.2",))

    assert names(facts) == ["pr-7", SHA]
    assert names(facts, TagSettings(release="always")) == ["pr-7", SHA]


def test_every_commit_is_a_release_where_the_policy_says_so() -> None:
    assert names(ON_MAIN, TagSettings(release="always"))[:2] == ["1.4.2", "1.4"]


def test_words_overrule_the_policy() -> None:
    assert names(ON_MAIN, release=True) == ["1.4.2", "1.4", "1", "latest", "main", SHA]
    assert names(TAGGED, release=False) == [SHA]


def test_a_monorepo_names_the_git_tags_of_each_project() -> None:
    policy = TagSettings(git_tag="shop@{version}")
    facts = Facts(commit=COMMIT, tags=("core@9.0", "shop@1.4.2"))

    assert names(facts, policy)[0] == "1.4.2"
    assert names(Facts(commit=COMMIT, tags=("core@1.4.2",), branch="main"), policy) == ["main", SHA]
    assert git_tag_versions(["shop@1.0", "shop@1.10", "core@2", "shop@x"], policy) == ["1.0", "1.10"]


def test_a_registry_where_nothing_moves_gets_only_what_stays() -> None:
    assert names(TAGGED, TagSettings(immutable=True)) == ["1.4.2", SHA]
    assert names(ON_MAIN, TagSettings(immutable=True)) == [SHA]


def test_each_kind_of_tag_can_be_left_out() -> None:
    policy = TagSettings(floating=("latest",), branch=False, commit=False, pull_request=False)

    assert names(TAGGED, policy) == ["1.4.2", "latest"]
    assert refused("1.4.2", ON_MAIN, policy) == "no-tags"


def test_a_branch_whose_tag_is_the_version_is_given_once() -> None:
    facts = Facts(commit=COMMIT, branch="main", tags=("v1.4.2",))

    assert len(set(names(facts))) == len(names(facts))


def test_a_dirty_tree_is_refused_and_never_tagged_as_the_commit() -> None:
    dirty = Facts(commit=COMMIT, branch="main", dirty=("M src/app.py",))

    assert refused("1.4.2", dirty) == "dirty-tree"
    assert names(dirty, allow_dirty=True) == ["main"]
    assert names(dirty, TagSettings(dirty=True)) == ["main"]


def test_a_git_tag_of_another_version_is_refused() -> None:
    assert refused("1.4.3", TAGGED) == "tag-is-not-version"
    assert refused(None, TAGGED) == "no-version"
    assert refused("one", Facts()) == "bad-version"


def test_what_exists_decides_what_moves() -> None:
    assert names(TAGGED, existing=["1.4.1", "2.0.0", "latest", "1"]) == ["1.4.2", "1.4", "1", SHA]


def test_an_existing_version_is_refused_unless_it_is_this_image() -> None:
    mine, other = Digest.of(b"mine"), Digest.of(b"other")
    tags = plan_tags("1.4.2", TAGGED, TagSettings(), existing=[]).tags

    check_existing(tags, {"latest": other, "1.4": other, SHA: other}, digest=mine)
    check_existing(tags, {"1.4.2": mine}, digest=mine)
    for existing in ({"1.4.2": other}, {"1.4.2": None}):
        with pytest.raises(ProjectError) as raised:
            check_existing(tags, existing, digest=mine)
        assert raised.value.code == "version-exists"


def test_labels_say_what_git_knows_and_leave_out_the_rest() -> None:
    assert git_labels(Facts()) == {}
    assert git_labels(Facts(commit=COMMIT, source="https://git.example/team/shop")) == {
        "org.opencontainers.image.revision": COMMIT,
        "org.opencontainers.image.source": "https://git.example/team/shop",
    }
