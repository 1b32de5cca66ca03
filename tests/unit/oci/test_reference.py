"""Image references: what they say, how they are written, and what is wrong with them."""

import pytest

from shipwheel.errors import UsageError
from shipwheel.oci.model import Digest
from shipwheel.oci.reference import DEFAULT_REGISTRY, Reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag"),
    [
        ("python", DEFAULT_REGISTRY, "library/python", None),
        ("python:3.13", DEFAULT_REGISTRY, "library/python", "3.13"),
        ("team/app:v1", DEFAULT_REGISTRY, "team/app", "v1"),
        (f"{DEFAULT_REGISTRY}/python", DEFAULT_REGISTRY, "library/python", None),
        (f"index.{DEFAULT_REGISTRY}/python", DEFAULT_REGISTRY, "library/python", None),
        ("index.example/a/b/c", "index.example", "a/b/c", None),
        ("localhost/app", "localhost", "app", None),
        ("localhost:5000/app:1.0", "localhost:5000", "app", "1.0"),
        ("[::1]:5000/app", "[::1]:5000", "app", None),
        ("index.example/a__b/c.d-e--f_g", "index.example", "a__b/c.d-e--f_g", None),
    ],
)
def test_a_reference_gets_the_registry_and_folder_that_people_leave_out(
    text: str, registry: str, repository: str, tag: str | None
) -> None:
    assert Reference.parse(text) == Reference(registry=registry, repository=repository, tag=tag)


def test_tag_and_digest_may_both_be_there() -> None:
    reference = Reference.parse(f"index.example/app:v1@{DIGEST}")
    assert (reference.tag, reference.digest) == ("v1", Digest.parse(DIGEST))
    assert str(reference) == f"index.example/app:v1@{DIGEST}"


@pytest.mark.parametrize(
    ("text", "familiar"),
    [
        ("python:3.13", "python:3.13"),
        ("library/python", "python"),
        ("team/app", "team/app"),
        ("index.example/app", "index.example/app"),
        (f"{DEFAULT_REGISTRY}/library/a/b", "library/a/b"),
        (f"{DEFAULT_REGISTRY}/localhost/app", f"{DEFAULT_REGISTRY}/localhost/app"),
        (f"{DEFAULT_REGISTRY}/library/localhost/app", "library/localhost/app"),
    ],
)
def test_the_familiar_form_is_the_shortest_that_means_the_same(text: str, familiar: str) -> None:
    assert Reference.parse(text).familiar == familiar
    assert Reference.parse(familiar) == Reference.parse(text)


def test_a_new_tag_drops_the_digest_and_a_digest_keeps_the_tag() -> None:
    pinned = Reference.parse("index.example/app:v1").with_digest(Digest.parse(DIGEST))
    assert str(pinned) == f"index.example/app:v1@{DIGEST}"
    assert str(pinned.with_tag("v2")) == "index.example/app:v2"


def test_latest_is_only_for_what_has_neither_tag_nor_digest() -> None:
    assert str(Reference.parse("index.example/app").with_default_tag()) == "index.example/app:latest"
    assert Reference.parse("index.example/app:v1").with_default_tag().tag == "v1"
    assert Reference.parse(f"index.example/app@{DIGEST}").with_default_tag().tag is None


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "no repository name", "repository"),
        ("index.example/", "no repository name", "repository"),
        ("index.example/App", "upper case", "write it as app"),
        ("Team/app", "upper case", "write it as team/app"),
        ("index.example/a//b", "not a part", "letters"),
        ("index.example/a..b", "not a part", "letters"),
        ("index.example/-a", "not a part", "letters"),
        ("index.example/../a", "not a part", "letters"),
        ("index.example/a:", "tag is empty", "128"),
        ("index.example/a:.v", "not a tag", "128"),
        ("index.example/a:" + "v" * 129, "not a tag", "128"),
        ("index.example/a@sha256:12", "not a sha256", "64 hex"),
        ("index.example/a@md5:" + "a" * 32, "not a sha256", "64 hex"),
        ("index.example/a@", "not a sha256", "64 hex"),
        ("index.example:99999/a", "not a port", "65535"),
        ("-index.example/a", "host name", "host:port"),
        ("https://index.example/a", "no URL", "leave out https://"),
        ("index.example/" + "a" * 250, "characters", "255"),
        ("index.example/a b", "not a part", "letters"),
        ("index.example/a\n", "not a part", "letters"),
    ],
)
def test_a_bad_reference_names_the_part_and_the_way_out(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        Reference.parse(text)
    problem = raised.value.problems[0]
    assert problem.code == "bad-reference"
    assert message in problem.message
    assert hint in (problem.hint or "")
    assert problem.place == text
