"""What a URL says about whom we talk to, and how it is shown."""

from __future__ import annotations

import pytest

from shipwheel.errors import NetworkError
from shipwheel.net import is_loopback, origin, redact
from shipwheel.net.address import basic_credentials, follow, split, take_credentials


def test_a_shown_url_has_no_user_password_query_or_fragment() -> None:
    shown = redact("https://robot:s3cret@files.example:8443/a/b.whl?X-Signature=abc#sha256=1")
    assert shown == "https://files.example:8443/a/b.whl?…"


def test_a_password_with_an_at_sign_is_not_shown() -> None:
    assert redact("https://robot:p@ss@files.example/x") == "https://files.example/x"


def test_a_malformed_url_is_not_shown_at_all() -> None:
    assert "s3cret" not in redact("https://robot:s3cret@[files.example/")


def test_origins_differ_by_scheme_host_and_port_only() -> None:
    assert origin("https://Files.example/a") == origin("https://files.example:443/b?c")
    assert origin("https://files.example/") != origin("http://files.example/")
    assert origin("https://files.example/") != origin("https://files.example:8443/")


@pytest.mark.parametrize("host", ["localhost", "reg.localhost", "127.0.0.1", "127.8.8.8", "::1", "[::1]"])
def test_loopback_hosts(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.example", "10.0.0.1", "127.0.0.1.example", "0.0.0.0", "example"])
def test_other_hosts_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_credentials_in_a_url_become_a_header_and_leave_the_url() -> None:
    url, credentials = take_credentials("https://robot:p%40ss@files.example/a?b#c")
    assert url == "https://files.example/a?b"
    assert credentials == basic_credentials("robot", "p@ss")


def test_a_redirect_may_go_to_https_elsewhere() -> None:
    assert follow("https://index.example/a/b", "https://files.example/c") == "https://files.example/c"
    assert follow("https://index.example/a/b", "../c") == "https://index.example/c"


def test_a_redirect_brings_no_credentials_of_its_own() -> None:
    assert follow("https://index.example/", "https://evil:pw@files.example/") == "https://files.example/"


@pytest.mark.parametrize("location", ["http://index.example/", "file:///etc/passwd", "ftp://files.example/"])
def test_a_redirect_from_https_to_anything_else_is_refused(location: str) -> None:
    with pytest.raises(NetworkError) as error:
        follow("https://index.example/", location)
    assert error.value.code == "redirect-refused"


@pytest.mark.parametrize(
    "url",
    ["ftp://files.example/", "https:///x", "https://files.example:x/", "https://a b/", "https://a/\r\nX: y"],
)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(NetworkError) as error:
        split(url)
    assert error.value.code == "bad-url"
