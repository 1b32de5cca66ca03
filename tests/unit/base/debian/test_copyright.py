"""Debian's copyright files: SPDX where it is sure, the packager's own words where it is not."""

from __future__ import annotations

import pytest
from packaging.licenses import canonicalize_license_expression

from shipwheel.base.debian.copyright import Licences, read_copyright, to_spdx

HEAD = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: x\n"


def of(*stated: str) -> Licences:
    parts = [
        f"Files: {number}/*\nCopyright: 2020 Ann\nLicense: {text}\n" for number, text in enumerate(stated)
    ]
    return read_copyright("\n".join([HEAD, *parts]))


@pytest.mark.parametrize(
    ("name", "spdx"),
    [
        ("Expat", "MIT"),
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPL-2", "GPL-2.0-only"),
        ("GPL-2.0.0+", "GPL-2.0-or-later"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("LGPL-2.1", "LGPL-2.1-only"),
        ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"),
        ("Apache-2.0", "Apache-2.0"),
        ("BSD-3-clause", "BSD-3-Clause"),
        ("Zlib", "Zlib"),
        ("Expat or GPL-2+", "MIT OR GPL-2.0-or-later"),
        ("ISC and Expat or Zlib", "ISC AND MIT OR Zlib"),
    ],
)
def test_a_standard_short_name_is_one_licence(name: str, spdx: str) -> None:
    assert to_spdx(name) == spdx
    assert canonicalize_license_expression(spdx) == spdx


@pytest.mark.parametrize(
    "name",
    [
        "MIT",  # copyright-format 1.0: "There are many versions of the MIT license."
        "public-domain",
        "GPL",
        "GPL-2.5",
        "GPL-NIV-2",
        "GPL-2+ with OpenSSL exception",
        "GPL-1+ or Artistic, and BSD-3-clause",
        "Permission to use, copy, modify",
        "Expat or",
        "or",
        "",
    ],
)
def test_what_is_not_sure_is_no_expression(name: str) -> None:
    assert to_spdx(name) is None


def test_a_package_is_under_all_of_its_files_licences() -> None:
    found = of("GPL-2+\n The text\n .\n goes on", "Expat or Zlib", "GPL-2+")
    assert found == Licences(expression="(MIT OR Zlib) AND GPL-2.0-or-later")
    assert of("Expat or Zlib") == Licences(expression="MIT OR Zlib")


def test_one_unsure_part_leaves_names_in_order() -> None:
    assert of("public-domain", "GPL-2+", "MIT") == Licences(
        names=("GPL-2.0-or-later", "MIT", "public-domain")
    )


def test_a_part_without_a_name_makes_the_whole_unsure() -> None:
    assert of(
        "Expat", "Permission is hereby granted to everyone to do everything that they ever wanted to do so"
    ) == (Licences(names=("MIT",)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "This package was debianized by Ann.\n\nLicense: GPL-2+\n",
        HEAD,
        f"{HEAD}\nFiles: *\n",
        "\x00\n\n:",
    ],
)
def test_other_files_say_nothing(text: str) -> None:
    assert read_copyright(text) == Licences()
