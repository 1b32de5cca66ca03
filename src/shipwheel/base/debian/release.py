"""Read an InRelease file: verify who signed it, that it is current, and what index files it vouches for.

The format is that of the Debian wiki's page DebianRepository/Format. Fetches nothing.
"""

from __future__ import annotations

import email.utils
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NoReturn

from shipwheel.errors import IntegrityError

if TYPE_CHECKING:
    from pysequoia import Cert

# RFC 4880 section 7: the cleartext signature framework, with nothing before, between or after.
_FRAMED: Final = re.compile(
    rb"-----BEGIN PGP SIGNED MESSAGE-----\r?\n"
    rb"(?:Hash: [A-Za-z0-9, -]+\r?\n)*\r?\n"
    rb"(?P<body>(?:(?!-----).*\n)*)"
    rb"-----BEGIN PGP SIGNATURE-----\r?\n"
    rb"(?:(?!-----).*\n)+"
    rb"-----END PGP SIGNATURE-----\s*"
)
_OTHER_MIRROR: Final = "try another mirror; if it happens again, somebody may be changing what you receive"
# A mirror may be a little ahead of this machine's clock.
_CLOCK_SKEW: Final = timedelta(days=1)
_FILE_LINE: Final = re.compile(r" ([0-9a-f]{64}) +(\d+) +(\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexFile:
    """A file below `dists/<suite>/` that the signature covers; `size` in bytes."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A verified InRelease: `signers` are primary keys' fingerprints (upper case), dates are in UTC."""

    codename: str
    sha256: str
    date: datetime
    valid_until: datetime | None
    signers: tuple[str, ...]
    by_hash: bool
    architectures: tuple[str, ...]
    files: Mapping[str, IndexFile]


def parse_inrelease(
    data: bytes,
    *,
    codename: str,
    keys: Sequence[bytes],
    now: datetime,
    not_before: datetime | None,
    place: str,
) -> Release:
    """Verify and read InRelease `data` of the archive `codename`, fetched from `place`.

    At least one of `keys` (binary certificates) must have made a good signature. `not_before` is the
    date of the index that was locked last. Raises IntegrityError `index-unsigned`,
    `index-wrong-key`, `index-bad-signature`, `index-outside-signature`, `index-malformed`,
    `index-wrong-suite`, `index-from-future`, `index-expired`, `index-rolled-back`.
    """
    body, signers = _verify(data, keys, place)
    fields = _fields(body, place)
    if fields.get("Codename") != codename:
        _refuse(
            "index-wrong-suite", f"this is the index of {fields.get('Codename')!r}, not {codename}", place
        )
    date = _date(fields, "Date", place)
    if date is None:
        _refuse("index-malformed", "the index has no Date", place)
    valid_until = _date(fields, "Valid-Until", place)
    _check_dates(date, valid_until, now=now, not_before=not_before, place=place)
    return Release(
        codename=codename,
        sha256=hashlib.sha256(data).hexdigest(),
        date=date,
        valid_until=valid_until,
        signers=signers,
        by_hash=fields.get("Acquire-By-Hash") == "yes",
        architectures=tuple(fields.get("Architectures", "").split()),
        files=_files(fields, place),
    )


def _check_dates(
    date: datetime, valid_until: datetime | None, *, now: datetime, not_before: datetime | None, place: str
) -> None:
    if date > now + _CLOCK_SKEW:
        _refuse(
            "index-from-future", f"the index is dated {date:%Y-%m-%d %H:%M} UTC", place, "check the clock"
        )
    if valid_until is not None and now > valid_until:
        _refuse(
            "index-expired",
            f"the index was valid until {valid_until:%Y-%m-%d %H:%M} UTC",
            place,
            "the mirror is stale, or somebody holds updates back: use another mirror",
        )
    if not_before is not None and date < not_before:
        _refuse(
            "index-rolled-back",
            f"the index of {date:%Y-%m-%d %H:%M} UTC is older than the one locked before"
            f" ({not_before:%Y-%m-%d %H:%M} UTC)",
            place,
            "use another mirror; to go back on purpose, remove shipwheel.lock",
        )


def _verify(data: bytes, keys: Sequence[bytes], place: str) -> tuple[bytes, tuple[str, ...]]:
    if b"-----BEGIN PGP SIGNED MESSAGE-----" not in data or b"-----BEGIN PGP SIGNATURE-----" not in data:
        _refuse("index-unsigned", "the index carries no signature", place)
    framed = _FRAMED.fullmatch(data)
    if framed is None:
        _refuse("index-outside-signature", "the index has text that no signature covers", place)

    from pysequoia import Cert, verify

    certs = [Cert.from_bytes(key) for key in keys]
    asked: list[str] = []

    def store(key_ids: list[str]) -> list[Cert]:
        asked.extend(key_ids)
        return certs

    try:
        verified = verify(data, store)
    except RuntimeError as error:  # all that pysequoia raises; its first line is the reason
        reason = str(error).partition("\n")[0]
        known = {name for key in keys for name in _key_names(key)}
        if asked and not known.intersection(name.lower() for name in asked):
            shown = ", ".join(sorted(name.upper() for name in asked))
            _refuse("index-wrong-key", f"signed by keys that are not Debian's for this index: {shown}", place)
        raise IntegrityError(
            "index-bad-signature", f"the signature is not good: {reason}", place=place, hint=_OTHER_MIRROR
        ) from error
    body = verified.bytes
    if body is None or not _same_text(body, framed["body"]):
        _refuse("index-outside-signature", "the index has text that no signature covers", place)
    signers = {signature.certificate.upper() for signature in verified.valid_sigs}
    if not signers:
        _refuse("index-bad-signature", "no signature is good", place)
    return body, tuple(sorted(signers))


def _same_text(verified: bytes, framed: bytes) -> bool:
    # RFC 4880 section 7.1: line ends and trailing blanks are not signed, and lines may be dash-escaped.
    def lines(text: bytes) -> list[bytes]:
        return [line.removeprefix(b"- ").rstrip() for line in text.rstrip(b"\r\n").split(b"\n")]

    return lines(verified) == lines(framed)


def _key_names(key: bytes) -> set[str]:
    """Return fingerprints and key ids of the keys in a certificate, in lower case."""
    from pysequoia.packet import PacketPile

    names: set[str] = set()
    for packet in PacketPile.from_bytes(key):
        if packet.fingerprint is not None:
            names |= {packet.fingerprint.lower(), packet.fingerprint.lower()[-16:]}
    return names


def _fields(body: bytes, place: str) -> dict[str, str]:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise IntegrityError(
            "index-malformed", "the index is not UTF-8", place=place, hint=_OTHER_MIRROR
        ) from error
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith((" ", "\t")) and name:
            fields[name] += "\n" + line
            continue
        name, colon, value = line.partition(":")
        if not colon or not name or name in fields:
            _refuse("index-malformed", f"not a field, or one that comes twice: {line[:80]!r}", place)
        fields[name] = value.strip()
    return fields


def _date(fields: Mapping[str, str], name: str, place: str) -> datetime | None:
    text = fields.get(name)
    if text is None:
        return None
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError as error:
        raise IntegrityError(
            "index-malformed", f"{name} is no date: {text[:60]!r}", place=place, hint=_OTHER_MIRROR
        ) from error
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)


def _files(fields: Mapping[str, str], place: str) -> dict[str, IndexFile]:
    files: dict[str, IndexFile] = {}
    for line in fields.get("SHA256", "").splitlines():
        if not line:
            continue
        match = _FILE_LINE.fullmatch(line)
        if match is None:
            _refuse("index-malformed", f"not a SHA256 entry: {line[:120]!r}", place)
        files[match[3]] = IndexFile(path=match[3], size=int(match[2]), sha256=match[1])
    if not files:
        _refuse("index-malformed", "the index lists no file with its SHA256", place)
    return files


def _refuse(code: str, message: str, place: str, hint: str | None = None) -> NoReturn:
    raise IntegrityError(code, message, place=place, hint=hint or _OTHER_MIRROR)
