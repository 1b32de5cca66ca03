"""The list of components: names that scanners match by, who needs whom, and equal bytes."""

import json
from dataclasses import replace
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from helpers.installed import deb, dist, image_of, ours, system
from shipwheel.inventory import Inventory, read_inventory
from shipwheel.oci.model import Digest, Layer
from shipwheel.supply.components import python_needs, system_needs
from shipwheel.supply.sbom import Subject, make_sbom
from shipwheel.testing.images import LINUX_AMD64

SUBJECT = Subject(
    name="registry.example/team/shop",
    digest=Digest.of(b"image"),
    platform=LINUX_AMD64,
    title="shop",
    version="0.3.0",
    epoch=1_700_000_000,
    files={("pypi", "cow", "1.0"): "c" * 64, ("deb", "libc6", "2.41-12"): "d" * 64},
)


def inventory(*layers: Layer) -> Inventory:
    return read_inventory(image_of(*layers, labels={"org.opencontainers.image.title": "shop"}), place="x")


def document(*layers: Layer, subject: Subject = SUBJECT) -> dict[str, Any]:
    text = make_sbom(inventory(*layers), subject).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found: dict[str, Any] = json.loads(text)
    return found


def component(name: str, *layers: Layer) -> dict[str, Any]:
    [found] = [item for item in document(*layers)["components"] if item["name"] == name]
    return dict(found)


def test_a_distribution_has_its_url_version_licence_and_the_hash_of_its_file() -> None:
    cow = component(
        "cow", ours("cow", dist("Cow", "1.0", extra="License-Expression: MIT\nSummary: Says moo"))
    )

    assert cow == {
        "bom-ref": "pkg:pypi/cow@1.0",
        "description": "Says moo",
        "hashes": [{"alg": "SHA-256", "content": "c" * 64}],
        "licenses": [{"license": {"id": "MIT"}}],
        "name": "cow",
        "purl": "pkg:pypi/cow@1.0",
        "type": "library",
        "version": "1.0",
    }


def test_several_licences_are_an_expression() -> None:
    cow = component("cow", ours("cow", dist("cow", "1.0", extra="License-Expression: MIT OR Apache-2.0")))

    assert cow["licenses"] == [{"expression": "MIT OR Apache-2.0"}]


def test_a_debian_package_names_release_architecture_and_source() -> None:
    libc = component("libc6", system(deb("libc6", "2.41-12", extra="Source: glibc\n")))

    assert libc["purl"] == "pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13&upstream=glibc"
    assert libc["hashes"] == [{"alg": "SHA-256", "content": "d" * 64}]
    assert {item["name"].rpartition(":")[2]: item["value"] for item in libc["properties"]} == {
        "PkgType": "debian",
        "SrcName": "glibc",
        "SrcVersion": "2.41",
        "SrcRelease": "12",
    }


@pytest.mark.parametrize(
    ("version", "source", "upstream", "parts"),
    [
        ("1:1.3.1-1+b2", "Source: zlib (1:1.3.1-1)\n", "zlib%401:1.3.1-1", ("1", "1.3.1", "1")),
        ("2026c", "", None, (None, "2026c", None)),
        ("1.0-rc1-2", "", None, (None, "1.0-rc1", "2")),
    ],
)
def test_a_source_version_is_taken_apart_as_debian_does(
    version: str, source: str, upstream: str | None, parts: tuple[str | None, ...]
) -> None:
    package = component("x", system(deb("x", version, extra=source)))

    told = {item["name"].rpartition(":")[2]: item["value"] for item in package["properties"]}
    assert tuple(told.get(key) for key in ("SrcEpoch", "SrcVersion", "SrcRelease")) == parts
    assert ("upstream=" in package["purl"]) == (upstream is not None)
    assert upstream is None or package["purl"].endswith(f"upstream={upstream}")


def test_the_project_is_an_application_and_no_strangers_package() -> None:
    app = component("shop", ours("shop", dist("shop", "0.3.0")))

    assert app["type"] == "application"
    assert "purl" not in app


def test_the_origin_of_what_comes_from_no_index_is_in_its_url() -> None:
    archive = dist("cow", "1.0", files={"direct_url.json": '{"url":"https://files.example/cow-1.0.zip"}'})
    git = dist(
        "pig",
        "2.0",
        files={
            "direct_url.json": '{"url":"https://git.example/pig","vcs_info":{"vcs":"git","commit_id":"abc"}}'
        },
    )

    assert component("cow", ours("a", archive))["purl"] == (
        "pkg:pypi/cow@1.0?download_url=https://files.example/cow-1.0.zip"
    )
    assert component("pig", ours("a", git))["purl"] == (
        "pkg:pypi/pig@2.0?vcs_url=git%2Bhttps://git.example/pig%40abc"
    )


def test_the_image_is_what_the_document_is_about() -> None:
    root = document(ours("cow", dist("cow", "1.0")))["metadata"]["component"]

    assert root["type"] == "container"
    assert (
        root["purl"] == f"pkg:oci/shop@{SUBJECT.digest}?arch=amd64&repository_url=registry.example/team/shop"
    )


def test_the_interpreter_is_named_where_no_package_brought_it() -> None:
    packaged = system(deb("python3.13-minimal", "3.13.5-2", extra="Source: python3.13\n"))

    assert "pkg:generic/python@3.13.5" in [item.get("purl") for item in document(system())["components"]]
    assert "python" not in [item["name"] for item in document(packaged)["components"]]


def test_equal_images_give_equal_bytes_and_another_image_another_serial_number() -> None:
    layers = (system(deb("libc6", "2.41-12")), ours("cow", dist("cow", "1.0")))
    found = inventory(*layers)
    turned = replace(found, python=tuple(reversed(found.python)), system=tuple(reversed(found.system)))

    assert make_sbom(found, SUBJECT) == make_sbom(turned, SUBJECT)
    assert document(*layers)["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"
    assert document(*layers)["serialNumber"] != document(layers[0])["serialNumber"]


def test_dependencies_follow_markers_and_extras() -> None:
    found = inventory(
        system(),
        ours("shop", dist("shop", "1", requires=["web[fast]>=1", "winonly; sys_platform == 'win32'"])),
        ours("web", dist("web", "1", requires=["core", "loop; extra == 'fast'", "tests; extra == 'dev'"])),
        ours(
            "rest", {**dist("core", "1"), **dist("loop", "1"), **dist("tests", "1"), **dist("winonly", "1")}
        ),
    )

    needs = {str(name): sorted(others) for name, others in python_needs(found, LINUX_AMD64).items()}

    assert needs == {
        "core": [],
        "loop": [],
        "shop": ["web"],
        "tests": [],
        "web": ["core", "loop"],
        "winonly": [],
    }


def test_a_requirement_that_is_none_is_passed_over() -> None:
    found = inventory(
        system(), ours("a", {**dist("old", "1", requires=["core (>=1", "core"]), **dist("core", "1")})
    )

    assert {str(name): len(others) for name, others in python_needs(found, LINUX_AMD64).items()} == {
        "core": 0,
        "old": 1,
    }


def test_debian_dependencies_take_alternatives_and_what_is_provided() -> None:
    found = inventory(
        system(
            deb("app", "1", extra="Pre-Depends: libc6 (>= 2.4)\nDepends: absent | mawk, awk, odd relation\n"),
            deb("libfoo", "1", extra="Depends: libc6, awk, libfoo\n"),
            deb("libc6", "2.41-12"),
            deb("mawk", "1.3", extra="Provides: awk\n"),
        )
    )

    needs = system_needs(found.system)

    assert needs["libfoo"] == {"libc6", "mawk"}
    assert needs["app"] == set()  # its field is no Debian relationship: nothing is made up


def test_every_component_is_reached_from_the_image() -> None:
    data = document(
        system(deb("libc6", "2.41-12")), ours("a", {**dist("a", "1", requires=["b"]), **dist("b", "1")})
    )

    graph = {item["ref"]: item.get("dependsOn", []) for item in data["dependencies"]}
    reached, pending = set(), [data["metadata"]["component"]["bom-ref"]]
    while pending:
        ref = pending.pop()
        if ref not in reached:
            reached.add(ref)
            pending += graph.get(ref, [])
    assert {item["bom-ref"] for item in data["components"]} <= reached
    assert "pkg:pypi/b@1" not in graph[data["metadata"]["component"]["bom-ref"]]
