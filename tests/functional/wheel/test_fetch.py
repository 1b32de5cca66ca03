"""Locked files arrive whole and as locked from an index that fails and lies, and nothing else is kept."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from packaging.pylock import PackageArchive, PackageDirectory, PackageWheel
from packaging.utils import canonicalize_name
from packaging.version import Version

from shipwheel.cache import Cache
from shipwheel.errors import IntegrityError, LockError, NetworkError
from shipwheel.locks.model import KnownByHash, Selected
from shipwheel.net import Http
from shipwheel.testing.index import FakeIndex
from shipwheel.testing.wheels import MadeWheel, make_wheel
from shipwheel.wheel.fetch import Fetcher
from shipwheel.wheel.indexes import Index, Indexes

Make = Callable[..., Fetcher]


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    with FakeIndex() as running:
        yield running


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Return a function that makes a fetcher for mirrors and extra places, each with the same cache."""
    with Http({}, sleep=lambda seconds: None) as http:

        def fetcher(
            *mirrors: str,
            extra: tuple[Index, ...] = (),
            environ: Mapping[str, str] | None = None,
            **more: Any,
        ) -> Fetcher:
            places = Indexes(mirrors=tuple(Index(url=url) for url in mirrors), extra=extra, **more)
            return Fetcher.over(
                http, Cache(tmp_path / "cache"), places, environ=environ or {}, home=tmp_path, root=tmp_path
            )

        yield fetcher


def locked(
    wheel: MadeWheel,
    *,
    url: str | None = None,
    size: int | None = None,
    index: str | None = None,
    **hashes: str,
) -> Selected:
    source = PackageWheel(name=wheel.filename, url=url, size=size, hashes=hashes or {"sha256": wheel.sha256})
    return Selected(
        name=canonicalize_name(wheel.name),
        version=Version(wheel.version),
        source=source,
        index=index,
        place=f"poetry.lock [package.{wheel.name}]",
    )


def kept(tmp_path: Path) -> list[Path]:
    """Every file in the cache: kept ones and what lies in its tmp folder."""
    root = tmp_path / "cache" / "v1"
    return [path for part in ("files", "tmp") for path in sorted((root / part).rglob("*")) if path.is_file()]


@pytest.mark.parametrize("serves", ["html", "json"])
def test_a_locked_wheel_arrives_over_either_kind_of_page(make: Make, serves: Any) -> None:
    with FakeIndex(serves=serves) as index:
        wheel = index.add(make_wheel("My.Name", "1.0+local.1"))
        assert make(index.url).fetch(locked(wheel)).read_bytes() == wheel.data
        assert index.requests[0].path == "/simple/my-name/"


def test_the_second_time_nobody_is_asked(make: Make, index: FakeIndex) -> None:
    wheel = index.add(make_wheel("a"))
    make(index.url).fetch(locked(wheel))
    asked = len(index.requests)
    assert make(index.url).fetch(locked(wheel)).read_bytes() == wheel.data
    assert len(index.requests) == asked


def test_the_locks_own_address_needs_no_page(make: Make, index: FakeIndex) -> None:
    wheel = index.add(make_wheel("a"))
    assert make().fetch(locked(wheel, url=index.file_url(wheel), index=index.url)).exists()
    assert index.paths("/simple/*") == []


def test_a_mirror_comes_before_the_locks_own_address(make: Make, index: FakeIndex) -> None:
    with FakeIndex() as mirror:
        wheel = make_wheel("a")
        index.add(wheel)
        mirror.add(wheel)
        make(mirror.url).fetch(locked(wheel, url=index.file_url(wheel)))
        assert index.requests == []


def test_the_locks_address_serves_what_the_mirror_lacks(make: Make, index: FakeIndex) -> None:
    with FakeIndex() as mirror:
        wheel = index.add(make_wheel("a"))
        assert make(mirror.url).fetch(locked(wheel, url=index.file_url(wheel))).exists()
        assert mirror.paths() == ["/simple/a/"]


def test_other_bytes_are_refused_and_nothing_is_kept(make: Make, index: FakeIndex, tmp_path: Path) -> None:
    wheel = index.add(make_wheel("a"))
    index.fail("*.whl", "corrupt")
    received = hashlib.sha256(bytes([wheel.data[0] ^ 0xFF]) + wheel.data[1:]).hexdigest()
    with pytest.raises(IntegrityError) as caught:
        make(index.url).fetch(locked(wheel))
    assert caught.value.code == "hash-mismatch"
    message = str(caught.value)
    for part in (wheel.filename, wheel.sha256, received, index.origin, "poetry.lock [package.a]"):
        assert part in message
    assert kept(tmp_path) == []


def test_every_locked_hash_has_to_fit(make: Make, index: FakeIndex, tmp_path: Path) -> None:
    wheel = index.add(make_wheel("a"))
    with pytest.raises(IntegrityError) as caught:
        make(index.url).fetch(locked(wheel, sha256=wheel.sha256, sha512="0" * 128))
    assert caught.value.code == "hash-mismatch"
    assert kept(tmp_path) == []


def test_sha512_alone_will_do(make: Make, index: FakeIndex) -> None:
    wheel = index.add(make_wheel("a"), algorithms=("sha512",))
    path = make(index.url).fetch(locked(wheel, sha512=wheel.hash("sha512")))
    assert path.name == wheel.hash("sha512")


@pytest.mark.parametrize("told", [{"sha256": "0" * 64}, {}, {"md5": "0" * 32}, {"weird": "x"}])
def test_what_a_page_says_of_hashes_is_not_believed(
    make: Make, index: FakeIndex, told: dict[str, str]
) -> None:
    wheel = index.add(make_wheel("a"), hashes=told)
    assert make(index.url).fetch(locked(wheel)).read_bytes() == wheel.data


@pytest.mark.parametrize("told", [1, 10**12, -1])
def test_what_a_page_says_of_sizes_is_not_believed(make: Make, index: FakeIndex, told: int) -> None:
    wheel = index.add(make_wheel("a"), size=told)
    assert make(index.url).fetch(locked(wheel)).read_bytes() == wheel.data


def test_a_locked_size_holds(make: Make, index: FakeIndex, tmp_path: Path) -> None:
    wheel = index.add(make_wheel("a"))
    index.fail("*.whl", "longer", after=100)
    with pytest.raises(IntegrityError) as caught:
        make(index.url).fetch(locked(wheel, size=wheel.size))
    assert caught.value.code == "size-mismatch"
    assert kept(tmp_path) == []


def test_a_shorter_file_is_refused(make: Make, index: FakeIndex, tmp_path: Path) -> None:
    wheel = index.add(make_wheel("a"))
    index.fail("*.whl", "shorter", after=10)
    for size in (None, wheel.size):
        with pytest.raises(IntegrityError):
            make(index.url).fetch(locked(wheel, size=size))
    assert kept(tmp_path) == []


def test_another_place_serves_when_the_first_has_other_bytes(make: Make, index: FakeIndex) -> None:
    with FakeIndex() as good:
        wheel = make_wheel("a")
        index.add(wheel)
        good.add(wheel)
        index.fail("*.whl", "corrupt")
        fetcher = make(index.url, good.url)
        assert fetcher.fetch(locked(wheel)).read_bytes() == wheel.data
        assert any(index.origin in note and "sha256" in note for note in fetcher.notes)


def test_a_break_is_resumed_where_it_was(make: Make, index: FakeIndex) -> None:
    wheel = index.add(make_wheel("a", padding=600_000))
    index.fail("*.whl", "cut-off", after=400_000, times=1)
    assert make(index.url).fetch(locked(wheel)).read_bytes() == wheel.data
    ranges = [request.headers.get("range") for request in index.requests if request.path.endswith(".whl")]
    assert ranges[0] is None
    assert ranges[1] is not None


def test_a_server_without_ranges_starts_again(make: Make) -> None:
    with FakeIndex(ranges=False) as index:
        wheel = index.add(make_wheel("a", padding=600_000))
        index.fail("*.whl", "cut-off", after=400_000, times=2)
        assert make(index.url).fetch(locked(wheel)).read_bytes() == wheel.data


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("status", {"status": 500}),
        ("status", {"status": 503}),
        ("status", {"status": 429, "headers": {"Retry-After": "1"}}),
        ("drop", {}),
    ],
)
@pytest.mark.parametrize("match", ["/simple/*", "*.whl"])
def test_what_passes_is_tried_again(
    make: Make, index: FakeIndex, kind: Any, match: str, more: dict[str, Any]
) -> None:
    wheel = index.add(make_wheel("a"))
    index.fail(match, kind, times=2, **more)
    assert make(index.url).fetch(locked(wheel)).read_bytes() == wheel.data


def test_an_index_that_stays_down_is_named(make: Make, index: FakeIndex) -> None:
    wheel = index.add(make_wheel("a"))
    index.fail("/simple/*", "status", status=500)
    with pytest.raises(NetworkError, match=index.origin) as caught:
        make(index.url).fetch(locked(wheel))
    assert caught.value.code == "http-status"


def test_a_file_of_no_index_says_who_was_asked(make: Make, index: FakeIndex, tmp_path: Path) -> None:
    index.add(make_wheel("a", "2.0"))
    folder = Index(url=tmp_path.as_uri(), kind="find-links", configured="PIP_FIND_LINKS")
    with pytest.raises(NetworkError) as caught:
        make(index.url, extra=(folder,)).fetch(locked(make_wheel("a", "1.0")))
    assert caught.value.code == "not-on-index"
    message = str(caught.value)
    for part in ("a-1.0-py3-none-any.whl", index.url, "which has other files", "PIP_FIND_LINKS"):
        assert part in message


def test_a_file_without_hash_is_refused_before_anybody_is_asked(make: Make, index: FakeIndex) -> None:
    good, bare = index.add(make_wheel("good")), index.add(make_wheel("bare"))
    unhashed = Selected(
        name=canonicalize_name("bare"),
        version=None,
        source=PackageWheel(name=bare.filename, hashes={}),
        place="requirements.txt:3",
    )
    with pytest.raises(IntegrityError, match=r"requirements\.txt:3") as caught:
        make(index.url).fetch_all([locked(good), unhashed, locked(bare, md5=bare.hash("md5"))])
    assert [problem.code for problem in caught.value.problems] == ["unhashed-file", "weak-hash"]
    assert index.requests == []


def test_a_directory_is_no_file(make: Make) -> None:
    source = PackageDirectory(path="../lib")
    selected = Selected(name=canonicalize_name("lib"), version=None, source=source, place="uv.lock")
    with pytest.raises(IntegrityError, match="directory"):
        make().fetch(selected)


def test_a_yanked_file_is_taken_and_noted(make: Make, index: FakeIndex) -> None:
    wheel = index.add(make_wheel("a"), yanked="it eats data")
    fetcher = make(index.url)
    assert fetcher.fetch(locked(wheel)).exists()
    assert fetcher.notes == ("a-1.0-py3-none-any.whl is yanked: it eats data",)


def test_a_percent_encoded_plus_and_a_relative_link_work(make: Make, index: FakeIndex) -> None:
    wheel = make_wheel("torch", "2.0+cpu")
    index.add_path("/simple/files/torch-2.0+cpu-py3-none-any.whl", wheel.data)
    index.add(wheel, url="../files/torch-2.0%2Bcpu-py3-none-any.whl")
    index.add_path("/simple/files/torch-2.0%2Bcpu-py3-none-any.whl", wheel.data)
    assert make(index.url).fetch(locked(wheel)).read_bytes() == wheel.data


def test_a_base_element_moves_relative_links(make: Make) -> None:
    with FakeIndex(serves="html", base_href="/elsewhere/") as index:
        wheel = make_wheel("a")
        index.add_path(f"/elsewhere/f/{wheel.filename}", wheel.data)
        index.add(wheel, url=f"f/{wheel.filename}")
        assert make(index.url).fetch(locked(wheel)).read_bytes() == wheel.data


def test_a_page_cannot_name_a_file_of_this_machine(make: Make, index: FakeIndex, tmp_path: Path) -> None:
    wheel = make_wheel("a")
    index.add(wheel, url=wheel.write(tmp_path / "private").as_uri())
    with pytest.raises(NetworkError) as caught:
        make(index.url).fetch(locked(wheel))
    assert caught.value.code == "not-on-index"


def test_find_links_folders_and_file_indexes_serve_before_the_network(
    make: Make, index: FakeIndex, tmp_path: Path
) -> None:
    here, paged, bare = make_wheel("here"), make_wheel("paged"), make_wheel("bare")
    here.write(tmp_path / "links")
    paged.write(tmp_path / "simple" / "paged")
    (tmp_path / "simple/paged/index.html").write_text(f'<a href="{paged.filename}">{paged.filename}</a>')
    bare.write(tmp_path / "simple" / "bare")
    extra = (
        Index(url=(tmp_path / "links").as_uri(), kind="find-links"),
        Index(url=(tmp_path / "simple").as_uri() + "/"),
    )
    fetcher = make(index.url, extra=extra)
    assert [path.read_bytes() for path in fetcher.fetch_all([locked(here), locked(paged), locked(bare)])] == [
        here.data,
        paged.data,
        bare.data,
    ]
    assert index.requests == []


def test_a_rebuilt_wheel_in_a_folder_does_not_stand_in_the_way(
    make: Make, index: FakeIndex, tmp_path: Path
) -> None:
    wheel = index.add(make_wheel("a"))
    make_wheel("a", files={"a.py": "patched"}).write(tmp_path / "links")
    folder = Index(url=(tmp_path / "links").as_uri(), kind="find-links")
    assert make(index.url, extra=(folder,)).fetch(locked(wheel)).read_bytes() == wheel.data


def test_a_find_links_page_serves(make: Make, index: FakeIndex) -> None:
    wheel = make_wheel("a")
    other = make_wheel("a-b")
    index.add_path(f"/w/{wheel.filename}", wheel.data)
    links = (
        f'<a href="{other.filename}">download</a><a href="{wheel.filename}">download</a><a href="../">up</a>'
    )
    page = index.add_path("/w/", links.encode(), "text/html")
    place = Index(url=page, kind="find-links")
    assert make("http://127.0.0.1:9/", extra=(place,), no_index=True).fetch(locked(wheel)).exists()


def test_no_index_asks_nobody_on_the_network(make: Make, index: FakeIndex) -> None:
    wheel = index.add(make_wheel("a"))
    with pytest.raises(NetworkError, match="no-index is set"):
        make(index.url, no_index=True).fetch(locked(wheel, url=index.file_url(wheel)))
    assert index.requests == []


def test_a_package_of_a_private_index_is_not_asked_for_at_the_mirror(make: Make, index: FakeIndex) -> None:
    with FakeIndex() as private:
        wheel = make_wheel("secret-project")
        private.add(wheel)
        index.add(make_wheel("secret-project", files={"evil.py": "1"}))
        assert make(index.url).fetch(locked(wheel, index=private.url)).read_bytes() == wheel.data
        with pytest.raises(NetworkError, match="not-on-index"):
            make(index.url).fetch(locked(make_wheel("other-secret"), index=private.url))
    assert index.requests == []


def test_another_file_under_the_same_name_never_comes_in(
    make: Make, index: FakeIndex, tmp_path: Path
) -> None:
    with FakeIndex() as private:
        wheel = make_wheel("inner", "1.0")
        index.add(make_wheel("inner", "1.0", files={"evil.py": "1"}))
        with pytest.raises(IntegrityError) as caught:
            make(extra=(Index(url=index.url),)).fetch(locked(wheel, index=private.url))
        assert caught.value.code == "hash-mismatch"
    assert kept(tmp_path) == []


def test_a_direct_archive_comes_from_its_address_alone(make: Make, index: FakeIndex) -> None:
    wheel = make_wheel("a")
    address = index.add_path(f"/direct/{wheel.filename}", wheel.data)
    source = PackageArchive(url=address, hashes={"sha256": wheel.sha256})
    selected = Selected(name=canonicalize_name("a"), version=None, source=source, place="uv.lock")
    assert make(index.url).fetch(selected).read_bytes() == wheel.data
    assert index.paths() == [f"/direct/{wheel.filename}"]


def test_a_locked_path_is_hashed_too(make: Make, tmp_path: Path) -> None:
    wheel = make_wheel("a")
    wheel.write(tmp_path / "vendor")
    source = PackageArchive(path=f"vendor/{wheel.filename}", hashes={"sha256": wheel.sha256})
    selected = Selected(name=canonicalize_name("a"), version=None, source=source, place="pdm.lock [a]")
    path = make().fetch(selected)
    assert path.read_bytes() == wheel.data
    path.unlink()
    (tmp_path / "vendor" / wheel.filename).write_bytes(b"other")
    with pytest.raises(IntegrityError, match="hash-mismatch"):
        make().fetch(selected)
    (tmp_path / "vendor" / wheel.filename).unlink()
    with pytest.raises(LockError, match="no-such-file"):
        make().fetch(selected)


def test_a_damaged_cache_entry_is_fetched_again(make: Make, index: FakeIndex) -> None:
    wheel = index.add(make_wheel("a"))
    path = make(index.url).fetch(locked(wheel))
    path.chmod(0o644)
    path.write_bytes(b"x" * wheel.size)
    fetcher = make(index.url)
    assert fetcher.fetch(locked(wheel)).read_bytes() == wheel.data
    assert fetcher.notes == ("a-1.0-py3-none-any.whl was damaged in the cache and is fetched again",)


def test_a_size_is_known_from_lock_page_and_cache(make: Make, index: FakeIndex) -> None:
    wheel = index.add(make_wheel("a"))
    assert make(index.url).size_of(locked(wheel, size=7)) == 7
    assert index.requests == []
    assert make(index.url).size_of(locked(wheel), ask=False) is None
    assert make(index.url).size_of(locked(wheel)) == wheel.size
    path = make(index.url).fetch(locked(wheel))
    assert make().size_of(locked(wheel), ask=False) == wheel.size
    path.unlink()  # as `cache prune` does: the size stays known, so that a plan needs no network
    assert make().size_of(locked(wheel), ask=False) == wheel.size


def test_a_size_of_another_file_is_not_taken(make: Make, index: FakeIndex) -> None:
    index.add(make_wheel("a", files={"a.py": "other"}))
    assert make(index.url).size_of(locked(make_wheel("a"))) is None


def test_files_are_listed_for_a_lock_that_knows_hashes_alone(
    make: Make, index: FakeIndex, tmp_path: Path
) -> None:
    wanted = index.add(make_wheel("a", "1.0"), make_wheel("a", "2.0"))
    local = make_wheel("a", "2.0", tag="cp313-cp313-manylinux_2_17_x86_64")
    local.write(tmp_path / "links")
    selected = Selected(
        name=canonicalize_name("a"),
        version=Version("2"),
        source=KnownByHash((f"sha256:{local.sha256}", f"sha256:{wanted.sha256}")),
        place="requirements.txt:1",
    )
    folder = Index(url=(tmp_path / "links").as_uri(), kind="find-links")
    files = make(index.url, extra=(folder,)).list_files(selected)
    assert {(file.name, file.hashes["sha256"], file.url) for file in files} == {
        (local.filename, local.sha256, None),
        (wanted.filename, wanted.sha256, None),
    }


def test_two_hundred_wheels_arrive_in_order_and_once_each(make: Make, index: FakeIndex) -> None:
    wheels = [index.add(make_wheel(f"pkg{number}", padding=2000)) for number in range(200)]
    index.fail("*pkg17*.whl", "status", status=503, times=2)
    index.fail("*pkg30*.whl", "cut-off", after=300, times=1)
    told: dict[str, int] = {}
    guard = threading.Lock()

    def progress(selected: Selected, received: int, total: int | None) -> None:
        with guard:
            told[selected.name] = received

    paths = make(index.url).fetch_all([locked(wheel) for wheel in wheels] * 2, progress)
    assert [path.read_bytes() for path in paths] == [wheel.data for wheel in wheels] * 2
    assert told == {wheel.name: wheel.size for wheel in wheels}
    assert len(index.paths("*.whl")) == 203
    assert len(index.paths("/simple/*")) == 200


def test_one_failure_ends_the_rest(make: Make, index: FakeIndex, tmp_path: Path) -> None:
    wheels = [index.add(make_wheel(f"pkg{number}", padding=200_000)) for number in range(30)]
    index.fail("*pkg0-*.whl", "corrupt")
    index.fail("*.whl", "slow", seconds=0.01)
    with pytest.raises(IntegrityError) as caught:
        make(index.url).fetch_all([locked(wheel) for wheel in wheels], workers=2)
    assert [problem.code for problem in caught.value.problems] == ["hash-mismatch"]
    assert len(index.paths("*.whl")) < 30
    assert not list((tmp_path / "cache" / "v1" / "tmp").iterdir())


def test_a_size_that_is_locked_too_large_is_a_lie_too(make: Make, index: FakeIndex, tmp_path: Path) -> None:
    wheel = index.add(make_wheel("a"))
    with pytest.raises(IntegrityError, match="size-mismatch"):
        make(index.url).fetch(locked(wheel, size=wheel.size + 1))
    assert kept(tmp_path) == []


def test_a_link_that_leads_nowhere_is_no_outage(make: Make, index: FakeIndex) -> None:
    wheel = index.add(make_wheel("a"))
    index.fail("*.whl", "status", status=410)
    with pytest.raises(NetworkError, match=r"whl \(gone\)") as caught:
        make(index.url).fetch(locked(wheel))
    assert caught.value.code == "not-on-index"


def test_a_failure_ends_downloads_that_are_under_way(make: Make, index: FakeIndex, tmp_path: Path) -> None:
    long, bad = index.add(make_wheel("long", padding=4_000_000)), index.add(make_wheel("bad"))
    index.fail("*long*.whl", "slow", seconds=0.01)
    index.fail("*bad*.whl", "corrupt")
    with pytest.raises(IntegrityError):
        make(index.url).fetch_all([locked(long), locked(bad)])
    assert kept(tmp_path) == []
