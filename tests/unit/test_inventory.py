"""What is found installed in an image, and what a file that says it badly does."""

import pytest

from helpers.installed import SITE, deb, dist, image_of, ours, system
from shipwheel.inventory import Inventory, read_inventory
from shipwheel.oci.model import Layer
from shipwheel.testing.images import make_layer


def look(*layers: Layer, labels: dict[str, str] | None = None) -> Inventory:
    return read_inventory(image_of(*layers, labels=labels), place="registry.example/app:1")


def test_distributions_packages_system_and_interpreter_are_found() -> None:
    found = look(system(deb("libc6", "2.41-12")), ours("cow", dist("cow", "1.0")))

    assert [(package.name, package.version, package.layer) for package in found.python] == [("cow", "1.0", 1)]
    assert [(package.name, package.version, package.layer) for package in found.system] == [
        ("libc6", "2.41-12", 0)
    ]
    assert found.os["VERSION_ID"] == "13"
    assert found.runtime is not None
    assert (found.runtime.python, found.runtime.libc) == ("3.13.5", "glibc 2.41")


def test_an_image_of_anything_else_has_an_empty_inventory() -> None:
    assert look(make_layer({"bin/app": b"\x7fELF"})) == Inventory()


def test_what_an_upper_layer_removed_is_not_installed() -> None:
    gone = make_layer({f"{SITE}/.wh.cow-1.0.dist-info": ""})

    assert look(ours("cow", dist("cow", "1.0")), gone).python == ()


@pytest.mark.parametrize(
    ("metadata", "expression", "names"),
    [
        ("License-Expression: MIT OR Apache-2.0", "MIT OR Apache-2.0", ()),
        ("License: mit", "MIT", ()),
        ("License: " + "(" * 900 + "MIT", None, ()),
        ("License: BSD", None, ("BSD",)),
        ("License: " + "long text " * 30, None, ()),
        (
            "Classifier: License :: OSI Approved :: MIT License\nClassifier: Topic :: Software",
            None,
            ("MIT License",),
        ),
        (
            "License: Apache Software License\nClassifier: License :: Public Domain",
            None,
            ("Apache Software License",),
        ),
        ("", None, ()),
    ],
)
def test_a_licence_is_an_spdx_expression_or_the_names_that_there_are(
    metadata: str, expression: str | None, names: tuple[str, ...]
) -> None:
    [package] = look(ours("cow", dist("cow", "1.0", extra=metadata))).python

    assert (package.license, package.license_names) == (expression, names)


def test_the_projects_own_distribution_is_told_by_its_layer() -> None:
    found = look(
        ours("cow", dist("cow", "1.0")),
        ours("first-party", dist("shared", "0.1")),
        ours("shop", dist("shop", "0.3.0")),
        labels={"org.opencontainers.image.title": "shop"},
    )

    assert {package.name: package.first_party for package in found.python} == {
        "cow": False,
        "shared": True,
        "shop": True,
    }


def test_where_a_distribution_came_from_is_read_and_nonsense_is_not() -> None:
    deep = dist("hen", "1.0", files={"direct_url.json": "[" * 100_000})
    good = dist("cow", "1.0", files={"direct_url.json": '{"url": "https://files.example/cow.whl"}'})
    bad = dist("pig", "1.0", files={"direct_url.json": "not JSON"})

    origins = {package.name: package.origin for package in look(ours("a", {**good, **bad, **deep})).python}

    assert origins == {"cow": {"url": "https://files.example/cow.whl"}, "hen": None, "pig": None}


def test_metadata_that_says_nothing_is_named_by_its_folder() -> None:
    [package] = look(
        make_layer({"usr/lib/python3/dist-packages/odd_name-1.0.dist-info/METADATA": b"\xff\xfe"})
    ).python

    assert (package.name, package.version) == ("odd-name", "1.0")


def test_the_source_package_of_a_binary_package_is_told() -> None:
    found = look(
        system(
            deb("libc6", "2.41-12", extra="Source: glibc\n"),
            deb("libssl3t64", "3.5.7-1+b1", extra="Source: openssl (3.5.7-1)\n"),
            deb("zlib1g", "1:1.3.1-1"),
        )
    )

    assert {package.name: (package.source, package.source_version) for package in found.system} == {
        "libc6": ("glibc", "2.41-12"),
        "libssl3t64": ("openssl", "3.5.7-1"),
        "zlib1g": ("zlib1g", "1:1.3.1-1"),
    }


def test_a_usual_images_database_is_read_without_what_was_removed() -> None:
    status = (
        "Package: apt\nStatus: install ok installed\nVersion: 3.0\nArchitecture: amd64\nDepends: libc6,\n perl\n"
        "\n"
        "Package: nano\nStatus: deinstall ok config-files\nVersion: 8\nArchitecture: amd64\n"
    )

    [package] = look(make_layer({"var/lib/dpkg/status": status})).system

    assert (package.name, package.depends) == ("apt", "libc6, perl")


def test_a_debian_packages_licence_is_what_its_copyright_file_says() -> None:
    head = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense:"
    copyrights = make_layer(
        {
            "usr/share/doc/libc6/copyright": f"{head} LGPL-2.1+\n",
            "usr/share/doc/zlib1g/copyright": f"{head} public-domain\n",
        }
    )

    found = look(system(deb("libc6", "2.41-12"), deb("zlib1g", "1.3"), deb("other", "1")), copyrights)

    assert {package.name: (package.license, package.license_names) for package in found.system} == {
        "libc6": ("LGPL-2.1-or-later", ()),
        "other": (None, ()),
        "zlib1g": (None, ("public-domain",)),
    }
