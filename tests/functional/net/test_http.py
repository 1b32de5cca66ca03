"""The HTTP client against loopback servers that break, redirect, delay and lie."""

from __future__ import annotations

import gzip
import hashlib
import io
import ssl
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from helpers.servers import Drop, Handler, Received, Reply, Times, serve
from shipwheel.errors import NetworkError
from shipwheel.net import Http, StatusError

DATA = bytes(range(256)) * 4096  # 1 MiB
BASIC = {"Authorization": "Basic czNjcmV0"}


class Waits:
    """In place of sleeping: what would have been waited."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def http(waits: Waits) -> Iterator[Http]:
    with Http({}, sleep=waits, read_timeout=2) as client:
        yield client


def ranged(data: bytes, request: Received, *, etag: str = '"1"') -> Reply:
    wanted = request.headers.get("range")
    if wanted is None or request.headers.get("if-range", etag) != etag:
        return Reply(body=data, headers={"ETag": etag})
    start = int(wanted.removeprefix("bytes=").rstrip("-"))
    headers = {"ETag": etag, "Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
    return Reply(status=206, body=data[start:], headers=headers)


def cut(reply: Reply, after: int) -> Reply:
    return Reply(status=reply.status, body=reply.body, headers=reply.headers, cut_after=after)


def test_a_small_body_is_fetched_and_unpacked(http: Http) -> None:
    def handler(request: Received) -> Reply:
        assert request.headers["accept-encoding"] == "gzip"
        return Reply(body=gzip.compress(b"hello"), headers={"Content-Encoding": "gzip", "X-Kind": "page"})

    with serve(handler) as server:
        answer = http.get(f"{server.url}/a")
    assert (answer.status, answer.body, answer.headers["x-kind"]) == (200, b"hello", "page")


def test_a_body_that_grows_without_end_is_refused(http: Http) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with (
        serve(lambda _: Reply(body=bomb, headers={"Content-Encoding": "gzip"})) as server,
        pytest.raises(NetworkError) as error,
    ):
        http.get(server.url, max_bytes=1_000_000)
    assert error.value.code == "too-large"


def test_another_status_is_an_error_that_tells_status_and_place(http: Http) -> None:
    with serve(lambda _: Reply(status=404)) as server, pytest.raises(StatusError) as error:
        http.get(f"{server.url}/a?token=s3cret")
    assert (error.value.code, error.value.status) == ("http-status", 404)
    assert "s3cret" not in str(error.value)


def test_an_expected_status_is_an_answer(http: Http) -> None:
    with serve(lambda _: Reply(status=304)) as server:
        assert http.get(server.url, {"If-None-Match": '"1"'}, accept={304}).status == 304


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(http: Http, waits: Waits, status: int) -> None:
    times = Times()
    with serve(lambda _: Reply(status=status) if times.first(2) else Reply(body=b"ok")) as server:
        assert http.get(server.url).body == b"ok"
    assert len(waits.seconds) == 2


def test_retry_after_is_honoured(http: Http, waits: Waits) -> None:
    times = Times()
    with serve(
        lambda _: Reply(status=429, headers={"Retry-After": "7"}) if times.first(1) else Reply(body=b"ok")
    ) as server:
        assert http.get(server.url).body == b"ok"
    assert waits.seconds == [7]


def test_a_server_that_asks_for_an_hour_gets_no_second_request(http: Http, waits: Waits) -> None:
    with (
        serve(lambda _: Reply(status=429, headers={"Retry-After": "3600"})) as server,
        pytest.raises(StatusError),
    ):
        http.get(server.url)
    assert waits.seconds == []
    assert len(server.received) == 1


def test_a_server_that_stays_busy_is_given_up(http: Http, waits: Waits) -> None:
    with serve(lambda _: Reply(status=503)) as server, pytest.raises(StatusError) as error:
        http.get(server.url)
    assert error.value.status == 503
    assert len(server.received) == 5
    assert waits.seconds == sorted(waits.seconds)


def test_a_dropped_connection_is_made_again(http: Http) -> None:
    times = Times()
    with serve(lambda _: Drop() if times.first(2) else Reply(body=b"ok")) as server:
        assert http.get(server.url).body == b"ok"


def test_nothing_is_sent_twice_when_that_is_asked_for(http: Http) -> None:
    with serve(lambda _: Drop()) as server, pytest.raises(NetworkError):
        http.request("POST", server.url, body=b"x", retry=False)
    assert len(server.received) == 1


def test_a_closed_port_is_unreachable(http: Http) -> None:
    with serve(lambda _: Reply()) as server:
        pass
    with pytest.raises(NetworkError) as error:
        http.get(server.url)
    assert error.value.code == "unreachable"


def test_a_server_that_says_nothing_times_out() -> None:
    with (
        Http({}, sleep=Waits(), read_timeout=0.05) as http,
        serve(lambda _: Reply(delay=0.5)) as server,
        pytest.raises(NetworkError) as error,
    ):
        http.get(server.url)
    assert error.value.code == "timeout"


# Redirects and credentials


def redirecting(to: str, status: int = 302) -> Handler:
    return lambda _: Reply(status=status, headers={"Location": to})


def test_credentials_stay_with_the_origin_they_were_given_for(http: Http) -> None:
    with serve(lambda _: Reply(body=b"ok")) as other, serve(redirecting(f"{other.url}/x")) as first:
        http.get(first.url, {**BASIC, "Cookie": "a=b", "PRIVATE-TOKEN": "c", "Accept": "d"})
    assert first.received[0].headers["authorization"] == BASIC["Authorization"]
    assert other.received[0].headers["accept"] == "d"
    assert not {"authorization", "cookie", "private-token"} & other.received[0].headers.keys()


def test_credentials_do_not_come_back_after_a_detour(http: Http) -> None:
    def first_handler(request: Received) -> Reply:
        if request.path == "/start":
            return Reply(status=302, headers={"Location": f"{other.url}/detour"})
        return Reply(body=b"ok")

    with serve(first_handler) as first, serve(redirecting(f"{first.url}/end")) as other:
        http.get(f"{first.url}/start", BASIC)
    assert "authorization" not in first.seen("GET", "/end")[0].headers


def test_credentials_go_along_within_an_origin(http: Http) -> None:
    with serve(
        lambda request: (
            Reply(body=b"ok") if request.path == "/b" else Reply(status=301, headers={"Location": "b"})
        )
    ) as server:
        http.get(f"{server.url}/a", BASIC)
    assert server.seen("GET", "/b")[0].headers["authorization"] == BASIC["Authorization"]


def test_credentials_in_the_url_are_sent_as_a_header_to_its_origin_alone(http: Http) -> None:
    with serve(lambda _: Reply(body=b"ok")) as other, serve(redirecting(f"{other.url}/x")) as first:
        http.get(first.url.replace("//", "//robot:s3cret@"))
    assert first.received[0].headers["authorization"].startswith("Basic ")
    assert "authorization" not in other.received[0].headers


def test_an_endless_redirect_ends(http: Http) -> None:
    with serve(redirecting("/again")) as server, pytest.raises(NetworkError) as error:
        http.get(server.url)
    assert error.value.code == "redirect-refused"
    assert len(server.received) < 12


def test_a_redirect_to_plain_http_elsewhere_is_refused_before_it_is_asked(http: Http) -> None:
    with serve(redirecting("http://index.example/x")) as server, pytest.raises(NetworkError) as error:
        http.get(server.url)
    assert error.value.code == "plain-http"


def test_plain_http_is_for_loopback_unless_allowed(http: Http) -> None:
    with pytest.raises(NetworkError) as error:
        http.get("http://index.example/simple/")
    assert error.value.code == "plain-http"
    assert error.value.problems[0].hint is not None


def test_a_redirected_upload_keeps_method_and_body_with_307_and_not_with_303(http: Http) -> None:
    bodies: list[tuple[str, bytes]] = []

    def handler(request: Received) -> Reply:
        body = request.read_body()
        if request.path in ("/307", "/303"):
            return Reply(status=int(request.path[1:]), headers={"Location": "/end"})
        bodies.append((request.method, body))
        return Reply()

    with serve(handler) as server:
        for status in (307, 303):
            http.request(
                "PUT", f"{server.url}/{status}", {"Content-Length": "4"}, body=lambda: io.BytesIO(b"data")
            )
    assert bodies == [("PUT", b"data"), ("GET", b"")]


def test_no_error_shows_a_secret(http: Http) -> None:
    secret = "s3cret-token"
    headers = {"Authorization": f"Bearer {secret}"}
    faults: list[Handler] = [
        lambda _: Drop(),
        lambda _: Reply(status=500),
        lambda _: Reply(body=b"x", declared=9),
        redirecting("ftp://files.example/"),
    ]
    for fault in faults:
        with serve(fault) as server, pytest.raises(NetworkError) as error:
            http.get(server.url.replace("//", f"//robot:{secret}@") + f"/?sig={secret}", headers)
        shown = "".join(traceback.format_exception(error.value))
        assert secret not in shown


# Downloads


def test_a_download_is_hashed_and_reported(http: Http) -> None:
    file, seen = io.BytesIO(), list[int]()
    with serve(lambda request: ranged(DATA, request)) as server:
        done = http.download(
            server.url, file, size=len(DATA), algorithms=("sha256", "sha1"), progress=seen.append
        )
    assert file.getvalue() == DATA
    assert done.digests == {
        "sha1": hashlib.sha1(DATA).hexdigest(),
        "sha256": hashlib.sha256(DATA).hexdigest(),
    }
    assert sum(seen) == done.size == len(DATA)


def test_a_download_goes_on_where_it_broke(http: Http) -> None:
    times = Times()

    def handler(request: Received) -> Reply:
        reply = ranged(DATA, request)
        return cut(reply, 200_000) if times.first(3) else reply

    file = io.BytesIO()
    with serve(handler) as server:
        done = http.download(server.url, file, size=len(DATA))
    assert file.getvalue() == DATA
    assert done.digests["sha256"] == hashlib.sha256(DATA).hexdigest()
    starts = [int(request.headers["range"][6:-1]) for request in server.received[1:]]
    assert starts == sorted(starts)
    assert all(request.headers["if-range"] == '"1"' for request in server.received[1:])


def test_a_download_begins_again_when_the_file_changed_meanwhile(http: Http) -> None:
    times = Times()

    def handler(request: Received) -> Reply:
        if times.first(1):
            return cut(ranged(b"old" * 100_000, request, etag='"old"'), 200_000)
        return ranged(DATA, request, etag='"new"')

    file, seen = io.BytesIO(), list[int]()
    with serve(handler) as server:
        done = http.download(server.url, file, progress=seen.append)
    assert file.getvalue() == DATA
    assert done.digests["sha256"] == hashlib.sha256(DATA).hexdigest()
    assert sum(seen) == len(DATA)


def test_a_download_begins_again_where_the_server_knows_no_ranges(http: Http) -> None:
    times = Times()
    with serve(lambda _: cut(Reply(body=DATA), 200_000) if times.first(1) else Reply(body=DATA)) as server:
        file = io.BytesIO()
        assert http.download(server.url, file).size == len(DATA)
    assert file.getvalue() == DATA


def test_a_part_that_was_not_asked_for_is_refused(http: Http) -> None:
    def handler(request: Received) -> Reply:
        if "range" not in request.headers:
            return cut(Reply(body=DATA), 200_000)
        return Reply(status=206, body=DATA, headers={"Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"})

    with serve(handler) as server, pytest.raises(NetworkError) as error:
        http.download(server.url, io.BytesIO())
    assert error.value.code == "bad-range"


def test_a_download_that_always_breaks_at_the_same_place_is_given_up(http: Http) -> None:
    with serve(lambda request: cut(ranged(DATA, request), 0)) as server, pytest.raises(NetworkError) as error:
        http.download(server.url, io.BytesIO(), size=len(DATA))
    assert error.value.code == "cut-short"


def test_a_download_longer_than_promised_is_refused(http: Http) -> None:
    with serve(lambda _: Reply(body=DATA)) as server, pytest.raises(NetworkError) as error:
        http.download(server.url, io.BytesIO(), size=1000)
    assert error.value.code == "too-large"


def test_a_download_shorter_than_promised_is_refused(http: Http) -> None:
    with serve(lambda request: ranged(DATA[:1000], request)) as server, pytest.raises(NetworkError) as error:
        http.download(server.url, io.BytesIO(), size=1001)
    assert error.value.code in ("cut-short", "http-status")


def test_a_compressed_file_is_kept_as_it_is(http: Http) -> None:
    packed = gzip.compress(b"hello")
    file = io.BytesIO()
    with serve(lambda _: Reply(body=packed, headers={"Content-Encoding": "gzip"})) as server:
        http.download(server.url, file)
    assert file.getvalue() == packed


def test_a_file_url_is_read_from_the_disk(http: Http, tmp_path: Path) -> None:
    path = tmp_path / "a file"
    path.write_bytes(b"hello")
    assert http.get(path.as_uri()).body == b"hello"
    file = io.BytesIO()
    assert http.download(path.as_uri(), file).size == 5
    with pytest.raises(NetworkError) as error:
        http.get(path.with_name("absent").as_uri())
    assert error.value.code == "file-missing"


# TLS and proxies


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT"])
def test_a_companys_own_authority_is_trusted_where_it_is_named(
    variable: str, authority: trustme.CA, tls: ssl.SSLContext, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with (
        Http({variable: str(tmp_path / "ca.pem")}) as http,
        serve(lambda _: Reply(body=b"ok"), tls=tls) as server,
    ):
        assert http.get(server.url).body == b"ok"


def test_an_unknown_authority_is_refused_at_once_with_the_way_out(
    http: Http, waits: Waits, tls: ssl.SSLContext
) -> None:
    with serve(lambda _: Reply(), tls=tls) as server, pytest.raises(NetworkError) as error:
        http.get(server.url)
    assert error.value.code == "tls"
    assert "SSL_CERT_FILE" in str(error.value)
    assert waits.seconds == []


def test_a_certificate_for_another_host_is_refused(authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("index.example").configure_cert(context)
    with (
        Http({"SSL_CERT_FILE": str(tmp_path / "ca.pem")}, sleep=Waits()) as http,
        serve(lambda _: Reply(), tls=context) as server,
        pytest.raises(NetworkError) as error,
    ):
        http.get(server.url)
    assert error.value.code == "tls"


def test_a_redirect_from_tls_to_plain_http_is_refused_even_on_loopback(
    authority: trustme.CA, tls: ssl.SSLContext, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with (
        Http({"SSL_CERT_FILE": str(tmp_path / "ca.pem")}) as http,
        serve(lambda _: Reply()) as plain,
        serve(redirecting(plain.url), tls=tls) as server,
        pytest.raises(NetworkError) as error,
    ):
        http.get(server.url, BASIC)
    assert error.value.code == "redirect-refused"
    assert plain.received == []


def test_a_proxy_is_asked_with_its_own_credentials_and_not_shown_the_origins() -> None:
    with serve(lambda _: Reply(body=b"proxied")) as proxy:
        environ = {"HTTP_PROXY": proxy.url.replace("//", "//me:pw@")}
        with Http(environ) as http:
            assert http.get("http://index.example/a", allow_http=True).body == b"proxied"
    assert proxy.received[0].path == "http://index.example/a"
    assert proxy.received[0].headers["proxy-authorization"].startswith("Basic ")


def test_a_proxy_that_refuses_is_named_as_the_reason() -> None:
    with (
        serve(lambda _: Reply(status=407)) as proxy,
        Http({"HTTPS_PROXY": proxy.url}, sleep=Waits()) as http,
        pytest.raises(NetworkError) as error,
    ):
        http.get("https://index.example/a")
    assert error.value.code == "proxy"
