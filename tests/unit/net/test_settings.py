"""Proxies and authorities from the environment; waiting times from servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipwheel.errors import HostError
from shipwheel.net import origin, retry_after
from shipwheel.net.settings import proxy_for, tls_context


def proxy(url: str, **environ: str) -> str | None:
    return proxy_for(origin(url), environ)


def test_https_goes_through_the_https_proxy_and_http_through_the_http_proxy() -> None:
    environ = {"HTTPS_PROXY": "http://one.example:1", "HTTP_PROXY": "http://two.example:2"}
    assert proxy("https://index.example/", **environ) == "http://one.example:1"
    assert proxy("http://index.example/", **environ) == "http://two.example:2"


def test_all_proxy_serves_where_there_is_no_other() -> None:
    assert proxy("https://index.example/", all_proxy="http://one.example:1") == "http://one.example:1"


def test_a_proxy_without_scheme_is_an_http_proxy() -> None:
    assert proxy("https://index.example/", https_proxy="one.example:1") == "http://one.example:1"


@pytest.mark.parametrize(
    "no_proxy",
    [
        "index.example",
        ".example",
        "*.example",
        "example",
        "*",
        "other.example, index.example",
        "index.example:443",
    ],
)
def test_no_proxy_exempts(no_proxy: str) -> None:
    assert proxy("https://index.example/", HTTPS_PROXY="http://one.example", NO_PROXY=no_proxy) is None


@pytest.mark.parametrize("no_proxy", ["", "dex.example", "index.example:8443", "10.0.0.0/8"])
def test_no_proxy_exempts_nothing_else(no_proxy: str) -> None:
    assert proxy("https://index.example/", HTTPS_PROXY="http://one.example", NO_PROXY=no_proxy) is not None


def test_no_proxy_takes_networks() -> None:
    assert proxy("https://10.1.2.3/", HTTPS_PROXY="http://one.example", NO_PROXY="10.0.0.0/8") is None


def test_loopback_never_goes_through_a_proxy() -> None:
    assert proxy("http://127.0.0.1:5000/", HTTP_PROXY="http://one.example") is None


def test_a_socks_proxy_is_refused_by_name_without_its_password() -> None:
    with pytest.raises(HostError) as error:
        proxy("https://index.example/", HTTPS_PROXY="socks5://me:s3cret@one.example:1")
    assert error.value.code == "proxy-unsupported"
    assert "s3cret" not in str(error.value)


def test_a_bundle_that_is_not_there_is_an_error_that_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(HostError) as error:
        tls_context({"PIP_CERT": str(tmp_path / "absent.pem")})
    assert error.value.code == "ca-bundle-unreadable"
    assert "PIP_CERT" in str(error.value)


def test_a_bundle_that_is_no_bundle_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("hello")
    with pytest.raises(HostError) as error:
        tls_context({"SSL_CERT_FILE": str(tmp_path / "ca.pem")})
    assert error.value.code == "ca-bundle-unreadable"


def test_retry_after_takes_seconds_and_dates() -> None:
    assert retry_after({"Retry-After": "7"}) == 7
    assert retry_after({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, now=50.0) == 10
    assert retry_after({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, now=90.0) == 0


@pytest.mark.parametrize("value", ["", "soon", "-3", "1.5", "\u0661"])
def test_an_unreadable_retry_after_asks_for_nothing(value: str) -> None:
    assert retry_after({"Retry-After": value}) is None
