"""Packages files: stanzas found by name and by what they provide, and refused when they lie."""

import gzip
import io
import lzma

import pytest

from shipwheel.base.debian.packages import PackagesIndex
from shipwheel.errors import IntegrityError

SHA = "ab" * 32
TEXT = f"""Package: libssl3t64
Version: 3.5.7-1
Architecture: amd64
Multi-Arch: same
Provides: libssl3 (= 3.5.7-1), ssl-library
Pre-Depends: dpkg (>= 1.15)
Depends: libc6 (>= 2.38),
 zlib1g
Description: Secure Sockets Layer
 .
 Package: not-a-package
Filename: pool/main/o/openssl/libssl3t64_3.5.7-1_amd64.deb
Size: 123
SHA256: {SHA}

Version: 1.2
Package: zlib1g
Architecture: amd64
Filename: pool/main/z/zlib/zlib1g_1.2_amd64.deb
Size: 7
SHA256: {SHA}
""".encode()


def index(text: bytes, *, form: str = "", size: int | None = None) -> PackagesIndex:
    data = {"": text, "xz": lzma.compress(text), "gz": gzip.compress(text)}[form]
    return PackagesIndex(
        io.BytesIO(data),
        archive="trixie",
        form=form,
        size=len(text) if size is None else size,
        place="https://mirror.example/Packages",
    )


@pytest.mark.parametrize("form", ["", "xz", "gz"])
def test_a_package_is_found_by_its_name(form: str) -> None:
    with index(TEXT, form=form) as packages:
        (stanza,) = packages.named("libssl3t64")
        assert (stanza.version, stanza.size, stanza.sha256, stanza.sha1) == ("3.5.7-1", 123, SHA, None)
        assert [str(relation) for group in stanza.depends for relation in group] == [
            "dpkg (>= 1.15)",
            "libc6 (>= 2.38)",
            "zlib1g",
        ]
        assert packages.named("not-a-package") == []


def test_a_package_is_found_whose_stanza_begins_with_another_field() -> None:
    with index(TEXT) as packages:
        assert [stanza.version for stanza in packages.named("zlib1g")] == ["1.2"]


@pytest.mark.parametrize("name", ["libssl3", "ssl-library"])
def test_a_package_is_found_by_what_it_provides(name: str) -> None:
    with index(TEXT) as packages:
        assert [stanza.name for stanza in packages.providing(name)] == ["libssl3t64"]
        assert packages.named(name) == []


def test_stanzas_are_found_across_the_pieces_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (1, 7, 64):
        monkeypatch.setattr("shipwheel.base.debian.packages._CHUNK", size)
        with index(TEXT, form="xz") as packages:
            assert packages.named("libssl3t64")[0].size == 123
            assert packages.named("zlib1g")[0].size == 7


@pytest.mark.parametrize("size", [len(TEXT) - 1, len(TEXT) + 1])
def test_a_file_that_unpacks_to_another_length_is_refused(size: int) -> None:
    with pytest.raises(IntegrityError) as caught:
        index(TEXT, form="xz", size=size)
    assert caught.value.code == "index-malformed"


@pytest.mark.parametrize("form", ["xz", "gz"])
def test_a_truncated_file_is_refused(form: str) -> None:
    data = (lzma.compress if form == "xz" else gzip.compress)(TEXT)[:-20]
    with pytest.raises(IntegrityError) as caught:
        PackagesIndex(io.BytesIO(data), archive="a", form=form, size=len(TEXT), place="p")
    assert caught.value.code == "index-malformed"


@pytest.mark.parametrize(
    ("found", "put"),
    [
        (b"Size: 123", b"Size: many"),
        (b"Size: 123", b"Size: -1"),
        (b"Size: 123\n", b""),
        (b"SHA256: ab", b"SHA256: zz"),
        (b"Filename: pool/main/o", b"Filename: pool/../../o"),
        (b"Filename: pool/main/o", b"Filename: /pool/main/o"),
        (b"Version: 3.5.7-1\n", b"Version: 3.5.7-1\nVersion: 9\n"),
        (b"libc6 (>= 2.38)", b"libc6 (about 2.38)"),
        (b"Multi-Arch: same", b"Multi-Arch: \xff"),
    ],
)
def test_a_stanza_that_makes_no_sense_is_refused_when_it_is_asked_for(found: bytes, put: bytes) -> None:
    with index(TEXT.replace(found, put, 1)) as packages:
        assert packages.named("zlib1g")
        with pytest.raises(IntegrityError) as caught:
            packages.named("libssl3t64")
        assert caught.value.code == "index-malformed"
