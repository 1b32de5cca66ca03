"""Fetching: cache, mirrors, snapshot, in this order; and nothing that is not what was locked."""

from pathlib import Path

import pytest

from helpers.debian import MIRROR, SECURITY, BuiltDeb, MemoryHttp, make_deb
from shipwheel.base.debian.fetch import fetch_packages
from shipwheel.base.debian.mirrors import Mirrors
from shipwheel.base.model import DebianArchive, DebianBase
from shipwheel.cache import Cache
from shipwheel.errors import IntegrityError, NetworkError, ShipwheelError

DEB = make_deb("hello")
BASE = DebianBase(
    suite="trixie",
    recipe="debian/1",
    archives=(
        DebianArchive(name="trixie", inrelease="sha256:00", date="2026-09-12T07:55:41Z"),
        DebianArchive(name="trixie-security", inrelease="sha256:00", date="2026-11-21T00:53:03Z"),
    ),
    platforms=(),
)
SNAPSHOT = "https://snapshot.example"
BOTH = Mirrors(main=MIRROR, security=SECURITY, snapshot=SNAPSHOT)


def fetch(
    tmp_path: Path,
    http: MemoryHttp,
    *,
    mirrors: Mirrors | None = BOTH,
    archive: str = "trixie",
    sha1: str = "",
    deb: BuiltDeb = DEB,
) -> bytes:
    package = deb.locked(archive=archive, **({"sha1": sha1} if sha1 else {}))
    (path,) = fetch_packages(http, Cache(tmp_path), BASE, [package], mirrors).values()
    return path.read_bytes()


def test_a_package_comes_from_the_mirror_and_then_from_the_cache(tmp_path: Path) -> None:
    http = MemoryHttp({f"{MIRROR}/{DEB.path}": DEB.data})
    assert fetch(tmp_path, http) == DEB.data
    assert fetch(tmp_path, http, mirrors=None) == DEB.data
    assert http.asked == [f"{MIRROR}/{DEB.path}"]


def test_a_security_update_is_asked_for_at_the_security_mirror_first(tmp_path: Path) -> None:
    http = MemoryHttp({f"{SECURITY}/{DEB.path}": DEB.data})
    assert fetch(tmp_path, http, archive="trixie-security") == DEB.data
    assert http.asked == [f"{SECURITY}/{DEB.path}"]


@pytest.mark.parametrize(
    ("archive", "address"),
    [
        ("trixie", f"{SNAPSHOT}/archive/debian/20260912T075541Z/{DEB.path}"),
        ("trixie-security", f"{SNAPSHOT}/archive/debian-security/20261121T005303Z/{DEB.path}"),
    ],
)
def test_what_the_mirrors_have_dropped_comes_from_the_snapshot(
    tmp_path: Path, archive: str, address: str
) -> None:
    assert fetch(tmp_path, MemoryHttp({address: DEB.data}), archive=archive) == DEB.data


def test_the_snapshot_is_asked_by_hash_where_it_is_locked(tmp_path: Path) -> None:
    http = MemoryHttp({f"{SNAPSHOT}/file/{'ab' * 20}": DEB.data})
    assert fetch(tmp_path, http, sha1="ab" * 20) == DEB.data


def test_what_is_nowhere_is_an_error_that_says_to_lock_again(tmp_path: Path) -> None:
    with pytest.raises(NetworkError) as caught:
        fetch(tmp_path, MemoryHttp({}), mirrors=Mirrors(main=MIRROR))
    problem = caught.value.problems[0]
    assert problem.code == "not-on-mirror"
    assert problem.place == f"{MIRROR}/{DEB.path}"
    assert "shipwheel lock" in (problem.hint or "")


def test_without_a_mirror_only_the_cache_serves(tmp_path: Path) -> None:
    with pytest.raises(NetworkError) as caught:
        fetch(tmp_path, MemoryHttp({}), mirrors=None)
    assert caught.value.code == "not-on-mirror"


@pytest.mark.parametrize(
    "lie", [DEB.data[:-1] + b"!", b"", DEB.data + b"x"], ids=["other bytes", "nothing", "more"]
)
def test_a_mirror_that_lies_is_passed_over_for_one_that_does_not(tmp_path: Path, lie: bytes) -> None:
    http = MemoryHttp({f"{MIRROR}/{DEB.path}": lie, f"{SECURITY}/{DEB.path}": DEB.data})
    assert fetch(tmp_path, http) == DEB.data


def test_bytes_with_another_hash_never_reach_the_cache(tmp_path: Path) -> None:
    lie = DEB.data[:-1] + b"!"
    with pytest.raises(IntegrityError) as caught:
        fetch(tmp_path, MemoryHttp({f"{MIRROR}/{DEB.path}": lie}))
    assert caught.value.code == "wrong-hash"
    assert [use.entries for use in Cache(tmp_path).usage() if use.part in ("files", "tmp")] == [0, 0]


def test_every_package_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    packages = [make_deb(name).locked() for name in ("one", "two", "three")]
    with pytest.raises(ShipwheelError) as caught:
        fetch_packages(MemoryHttp({}), Cache(tmp_path), BASE, packages, Mirrors(main=MIRROR))
    told = [problem.message for problem in caught.value.problems if problem.code == "not-on-mirror"]
    assert [message.split()[0] for message in told] == ["one", "two", "three"]
