"""InRelease: who signed it, whether it is current, what it vouches for."""

from datetime import UTC, datetime, timedelta

import pytest

from helpers.debian import NOW, Archive, certificate, clear_sign, fingerprint, make_deb
from shipwheel.base.debian.release import Release, parse_inrelease
from shipwheel.base.debian.suites import SUITES, pinned_keys
from shipwheel.errors import IntegrityError

PLACE = "https://mirror.example/debian/dists/trixie/InRelease"


def read(
    data: bytes,
    *,
    keys: tuple[str, ...] = ("archive",),
    now: datetime = NOW,
    not_before: datetime | None = None,
) -> Release:
    return parse_inrelease(
        data,
        codename="trixie",
        keys=[certificate(name) for name in keys],
        now=now,
        not_before=not_before,
        place=PLACE,
    )


def refusal(data: bytes, **options: object) -> str:
    with pytest.raises(IntegrityError) as caught:
        read(data, **options)  # type: ignore[arg-type]
    problem = caught.value.problems[0]
    assert problem.place == PLACE
    assert problem.hint
    return problem.code


def test_a_signed_index_is_read() -> None:
    archive = Archive(debs=[make_deb("hello")], valid_until="Sat, 28 Nov 2026 08:00:00 UTC")
    release = read(archive.inrelease())
    assert release.codename == "trixie"
    assert release.date == datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
    assert release.valid_until == datetime(2026, 11, 28, 8, 0, tzinfo=UTC)
    assert release.signers == (fingerprint(),)
    assert release.by_hash
    assert release.files["main/binary-amd64/Packages"].size == len(archive.packages("amd64"))


def test_one_good_signature_of_a_pinned_key_is_enough() -> None:
    assert read(Archive().inrelease(), keys=("other", "archive")).signers == (fingerprint(),)


def test_an_unsigned_index_is_refused() -> None:
    assert refusal(Archive().release_text().encode()) == "index-unsigned"


def test_a_key_that_is_not_pinned_is_refused() -> None:
    assert refusal(Archive(key="stranger").inrelease()) == "index-wrong-key"


@pytest.mark.parametrize(
    ("found", "put"), [(b"Origin: Debian", b"Origin: Debiam"), (b"SHA256:\n", b"SHA256:\n \n")]
)
def test_an_altered_body_is_refused(found: bytes, put: bytes) -> None:
    assert refusal(Archive().inrelease().replace(found, put)) == "index-bad-signature"


def test_a_signature_that_is_cut_short_is_refused() -> None:
    data = Archive().inrelease()
    end = data.index(b"-----END PGP SIGNATURE-----")
    broken = data[: end - 60] + b"\n" + data[end:]
    assert refusal(broken) == "index-bad-signature"


@pytest.mark.parametrize("before", [True, False])
def test_text_outside_the_signed_part_is_refused(before: bool) -> None:
    data, extra = Archive().inrelease(), b"Codename: trixie\n"
    assert refusal(extra + data if before else data + extra) == "index-outside-signature"


def test_unsigned_armor_headers_are_refused() -> None:
    # RFC 4880 section 7 allows "Hash" there and nothing else; nobody signs these lines.
    data = Archive().inrelease().replace(b"\n\n", b"\nDate: tomorrow\n\n", 1)
    assert refusal(data) == "index-outside-signature"


def test_two_messages_in_one_file_are_refused() -> None:
    assert refusal(Archive().inrelease() * 2) == "index-outside-signature"


def test_the_index_of_another_suite_is_refused() -> None:
    assert refusal(Archive(codename="bookworm").inrelease()) == "index-wrong-suite"


def test_an_expired_index_is_refused() -> None:
    data = Archive(valid_until="Sat, 21 Nov 2026 23:59:59 UTC").inrelease()
    assert refusal(data) == "index-expired"
    assert read(data, now=datetime(2026, 11, 21, 23, 59, 59, tzinfo=UTC)).valid_until is not None


def test_an_index_older_than_the_locked_one_is_refused() -> None:
    data = Archive().inrelease()
    date = read(data).date
    assert refusal(data, not_before=date + timedelta(seconds=1)) == "index-rolled-back"
    assert read(data, not_before=date).date == date


def test_an_index_from_the_future_is_refused() -> None:
    assert refusal(Archive().inrelease(), now=datetime(2026, 11, 19, tzinfo=UTC)) == "index-from-future"


@pytest.mark.parametrize(
    "text",
    [
        "Codename: trixie\nDate: soon\nSHA256:\n",
        "Codename: trixie\nSHA256:\n",
        "Codename: trixie\nDate: Sat, 21 Nov 2026 08:00:00 UTC\n",
        "Codename: trixie\nDate: Sat, 21 Nov 2026 08:00:00 UTC\nSHA256:\n zz 1 main/Packages\n",
        "Codename: trixie\nCodename: trixie\n",
        "no field\n",
    ],
)
def test_a_signed_index_that_makes_no_sense_is_refused(text: str) -> None:
    assert refusal(clear_sign(text)) == "index-malformed"


def test_every_suite_pins_keys_that_are_shipped() -> None:
    from pysequoia import Cert

    for suite in SUITES.values():
        for pin in suite.archives:
            fingerprints = {Cert.from_bytes(key).fingerprint for key in pinned_keys(pin)}
            assert len(fingerprints) == len(pin.keys) >= 2, pin


def test_keys_of_the_security_archive_do_not_sign_the_main_archive() -> None:
    for suite in SUITES.values():
        main, security = suite.archives
        assert not set(main.keys) & set(security.keys)
