"""A private index gets its login, nobody else does, and no error or note shows it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.pylock import PackageWheel
from packaging.utils import canonicalize_name

from shipwheel.cache import Cache
from shipwheel.errors import NetworkError, ShipwheelError
from shipwheel.locks.model import Selected
from shipwheel.net import Http
from shipwheel.testing.index import FakeIndex
from shipwheel.testing.wheels import MadeWheel, make_wheel
from shipwheel.wheel.fetch import Fetcher
from shipwheel.wheel.indexes import read_indexes

SECRET = "s3cret/@:word"


@pytest.fixture
def private() -> Iterator[FakeIndex]:
    with FakeIndex(user="me", password=SECRET) as running:
        yield running


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def http(said: list[str]) -> Iterator[Http]:
    with Http({}, sleep=lambda seconds: None, notify=said.append) as client:
        yield client


def fetcher(http: Http, home: Path, **environ: str) -> Fetcher:
    indexes = read_indexes(environ=environ, home=home, root=home, etc=home / "etc")
    return Fetcher.over(http, Cache(home / "cache"), indexes, environ=environ, home=home, root=home)


def locked(wheel: MadeWheel, *, url: str | None = None, index: str | None = None) -> Selected:
    return Selected(
        name=canonicalize_name(wheel.name),
        version=None,
        source=PackageWheel(name=wheel.filename, url=url, hashes={"sha256": wheel.sha256}),
        index=index,
        place="poetry.lock",
    )


def test_a_login_in_the_address_opens_pages_and_files(http: Http, private: FakeIndex, tmp_path: Path) -> None:
    wheel = private.add(make_wheel("a"))
    environ = {"PIP_INDEX_URL": private.url_with("me", SECRET)}
    assert fetcher(http, tmp_path, **environ).fetch(locked(wheel)).exists()
    assert all("authorization" in request.headers for request in private.requests)


def test_a_login_by_the_indexs_name_opens_it(http: Http, private: FakeIndex, tmp_path: Path) -> None:
    wheel = private.add(make_wheel("a"))
    environ = {
        "UV_INDEX": f"inner={private.url}",
        "UV_INDEX_INNER_USERNAME": "me",
        "UV_INDEX_INNER_PASSWORD": SECRET,
    }
    selected = locked(wheel, url=private.file_url(wheel), index=private.url)
    assert fetcher(http, tmp_path, **environ).fetch(selected).exists()


def test_netrc_opens_it(http: Http, private: FakeIndex, tmp_path: Path) -> None:
    wheel = private.add(make_wheel("a"))
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    assert fetcher(http, tmp_path, PIP_INDEX_URL=private.url).fetch(locked(wheel)).exists()


def test_the_keyring_is_asked_after_a_refusal(http: Http, private: FakeIndex, tmp_path: Path) -> None:
    wheel = private.add(make_wheel("a"))
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "keyring"
    program.write_text(f"#!/bin/sh\necho '{SECRET}'\n")
    program.chmod(0o755)
    environ = {"PIP_INDEX_URL": private.url.replace("//", "//me@"), "PATH": f"{tmp_path}/bin:/usr/bin:/bin"}
    assert fetcher(http, tmp_path, **environ).fetch(locked(wheel)).exists()


@pytest.mark.parametrize("password", [None, "wr0ng-password"])
def test_a_refusal_says_how_to_name_a_login_and_shows_none(
    http: Http, private: FakeIndex, tmp_path: Path, password: str | None
) -> None:
    wheel = private.add(make_wheel("a"))
    url = private.url if password is None else private.url_with("me", password)
    with pytest.raises(NetworkError) as caught:
        fetcher(http, tmp_path, PIP_INDEX_URL=url).fetch(locked(wheel))
    assert caught.value.code == "index-login"
    assert "netrc" in str(caught.value)
    assert private.origin in str(caught.value)
    assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize("match", ["/simple/*", "*.whl"])
def test_a_redirect_to_another_host_carries_no_login(
    http: Http, private: FakeIndex, tmp_path: Path, match: str
) -> None:
    with FakeIndex() as other:
        wheel = private.add(make_wheel("a"))
        other.add(wheel)
        private.fail(match, "redirect", location=other.origin + "{path}")
        environ = {"PIP_INDEX_URL": private.url_with("me", SECRET)}
        assert fetcher(http, tmp_path, **environ).fetch(locked(wheel)).exists()
        assert other.requests
        assert not any("authorization" in request.headers for request in other.requests)


def test_a_page_that_links_to_another_host_sends_it_no_login(
    http: Http, private: FakeIndex, tmp_path: Path
) -> None:
    with FakeIndex() as other:
        wheel = make_wheel("a")
        other.add(wheel)
        private.add(wheel, url=other.file_url(wheel))
        environ = {"PIP_INDEX_URL": private.url_with("me", SECRET)}
        assert fetcher(http, tmp_path, **environ).fetch(locked(wheel)).exists()
        assert "authorization" in private.requests[0].headers
        assert not any("authorization" in request.headers for request in other.requests)


def test_no_error_note_or_log_shows_a_login(
    http: Http, private: FakeIndex, tmp_path: Path, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wheel = private.add(make_wheel("a"), yanked="bad")
    texts: list[str] = []
    for kind, more in (
        ("corrupt", {}),
        ("status", {"status": 503}),
        ("status", {"status": 404}),
        ("status", {"status": 403}),
        ("drop", {}),
        ("redirect", {"location": "ftp://me:s3cret@elsewhere.example/"}),
    ):
        private.faults.clear()
        private.fail("*.whl", kind, **more)  # type: ignore[arg-type]
        with pytest.raises(ShipwheelError) as caught:
            fetcher(http, tmp_path, PIP_INDEX_URL=private.url_with("me", SECRET)).fetch(locked(wheel))
        texts += [str(caught.value), repr(caught.value), repr(caught.value.__cause__)]
    private.faults.clear()
    private.fail("*.whl", "status", status=500, times=1)
    last = fetcher(http, tmp_path, PIP_INDEX_URL=private.url_with("me", SECRET))
    last.fetch(locked(wheel))
    texts += [*last.notes, *said, caplog.text, repr(vars(last))]
    assert said
    for text in texts:
        assert "s3cret" not in text
        assert "Basic" not in text
