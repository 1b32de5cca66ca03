"""Requests, small bodies and downloads over urllib3: connections, retries and redirects."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Self
from urllib.parse import unquote

from shipwheel.errors import NetworkError
from shipwheel.net.address import follow, is_loopback, origin, redact, split, take_credentials
from shipwheel.net.failures import (
    TRANSIENT,
    Response,
    cut_short,
    retry_after,
    status_error,
    too_large,
    translated,
)
from shipwheel.net.settings import proxy_for, tls_context
from shipwheel.net.transfer import Download, Transfer

if TYPE_CHECKING:
    import ssl

    import urllib3

# A body that is sent: bytes, or a function that opens it anew for each try.
Body = bytes | Callable[[], BinaryIO]

CHUNK: Final = 256 * 1024
# Tries without progress; a download that goes on a little each time may break more often.
_ATTEMPTS: Final = 5
_BREAKS: Final = 50
_MAX_REDIRECTS: Final = 8
_CONNECT_SECONDS: Final = 15.0
_READ_SECONDS: Final = 60.0
_FIRST_WAIT: Final = 0.4
# A server that asks for more patience than this gets the last word: its answer is handed on.
_LONGEST_WAIT: Final = 60.0
_RETRIED: Final = frozenset({408, 429, 500, 502, 503, 504})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_SECRET_HEADERS: Final = frozenset({"authorization", "cookie", "private-token", "job-token"})


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    headers: Mapping[str, str]
    body: Body | None = None
    allow_http: bool = False
    retry: bool = True


@dataclass(frozen=True, slots=True)
class _Answer:
    raw: urllib3.BaseHTTPResponse
    url: str

    @property
    def headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.raw.headers.items()}

    def chunks(self, *, decode: bool) -> Iterator[bytes]:
        with translated(self.url):
            yield from self.raw.stream(CHUNK, decode_content=decode)

    def read(self, max_bytes: int) -> Response:
        """Return the whole answer; raises NetworkError `too-large`, `cut-short`, `timeout`."""
        pieces: list[bytes] = []
        size = 0
        for piece in self.chunks(decode=True):
            size += len(piece)
            if size > max_bytes:
                raise too_large(self.url, max_bytes)
            pieces.append(piece)
        return Response(status=self.raw.status, url=self.url, headers=self.headers, body=b"".join(pieces))


class Http:
    """A thread-safe HTTP client; close it, or use it in a `with` block.

    `sleep` waits between tries; `notify` gets a line for people about each wait.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        user_agent: str = "shipwheel",
        sleep: Callable[[float], None] = time.sleep,
        notify: Callable[[str], None] | None = None,
        read_timeout: float = _READ_SECONDS,
    ) -> None:
        self._environ = dict(environ)
        self._user_agent = user_agent
        self._sleep = sleep
        self._notify = notify
        self._read_timeout = read_timeout
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        self._managers: dict[tuple[str, str | None], urllib3.PoolManager] = {}

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], *, notify: Callable[[str], None] | None = None) -> Self:
        """Return a client with the proxies and certificate authorities that `environ` names."""
        return cls(environ, notify=notify)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept open."""
        with self._lock:
            for manager in self._managers.values():
                manager.clear()
            self._managers.clear()

    def get(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        max_bytes: int = 64 * 1024 * 1024,
        accept: Collection[int] = (),
        allow_http: bool = False,
    ) -> Response:
        """Fetch a small body (http, https or file) into memory; 2xx and the statuses in `accept` return.

        Raises StatusError `http-status` for other answers, NetworkError `unreachable`, `timeout`, `tls`,
        `proxy`, `plain-http`, `redirect-refused`, `too-large`, `cut-short`, `bad-url`, and for a file
        URL `file-missing`; HostError `ca-bundle-unreadable`, `proxy-unsupported`.
        """
        if split(url).scheme == "file":
            with _open_file(url) as file:
                body = file.read(max_bytes + 1)
            if len(body) > max_bytes:
                raise too_large(url, max_bytes)
            return Response(status=200, url=url, headers={}, body=body)
        headers = {"Accept-Encoding": "gzip", **(headers or {})}
        response = self.request("GET", url, headers, max_bytes=max_bytes, allow_http=allow_http)
        if not (200 <= response.status < 300 or response.status in accept):
            raise status_error(response)
        return response

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        *,
        max_bytes: int = 8 * 1024 * 1024,
        allow_http: bool = False,
        retry: bool = True,
        redirects: bool = True,
    ) -> Response:
        """Send a request and return the answer whatever its status; 429 and 5xx are retried first.

        With `retry=False` nothing is sent twice; with `redirects=False` a redirect is an answer. A body
        that is not bytes needs a Content-Length header. Raises as `get` does, except `http-status`.
        """
        request = _Request(method, url, headers or {}, body, allow_http, retry)
        failures = 0
        while True:
            with self._open(request, redirects=redirects) as answer:
                try:
                    return answer.read(max_bytes)
                except NetworkError as error:
                    failures += 1
                    if error.code not in TRANSIENT or not retry or failures >= _ATTEMPTS:
                        raise
                    problem = error
            self.pause(failures, url, problem)

    def download(
        self,
        url: str,
        file: BinaryIO,
        *,
        headers: Mapping[str, str] | None = None,
        size: int | None = None,
        max_bytes: int | None = None,
        algorithms: Collection[str] = ("sha256",),
        progress: Callable[[int], None] | None = None,
        allow_http: bool = False,
    ) -> Download:
        """Stream `url` (http, https or file) into `file`, resumed where a break left it.

        `file` is seekable and written from its start. `size` is what must arrive exactly, `max_bytes`
        what may arrive at most; without either there is no limit. The caller compares `digests`: they
        are of the bytes written. `progress` gets the number of bytes of each piece (negative when a
        server made us start again). Raises as `get`, and `bad-range`.
        """
        transfer = Transfer(file, algorithms, url, size if size is not None else max_bytes, progress)
        if split(url).scheme == "file":
            with _open_file(url) as source:
                while chunk := source.read(CHUNK):
                    transfer.write(chunk)
            return transfer.finish(url, size, {})
        failures = 0
        for _ in range(_BREAKS):
            before = transfer.received
            request = _Request("GET", url, transfer.request_headers(headers or {}), None, allow_http)
            with self._open(request) as answer:
                try:
                    _receive(answer, transfer)
                    return transfer.finish(answer.url, size, answer.headers)
                except NetworkError as error:
                    failures = 1 if transfer.received > before else failures + 1
                    if error.code not in TRANSIENT or failures >= _ATTEMPTS:
                        raise
                    problem = error
            self.pause(failures, url, problem)
        raise cut_short(url, transfer.received, size)

    @contextmanager
    def _open(self, request: _Request, *, redirects: bool = True) -> Iterator[_Answer]:
        """Yield the answer after redirects and retries, its body unread; then the connection is free."""
        url, credentials = take_credentials(request.url)
        headers = {"User-Agent": self._user_agent, "Accept-Encoding": "identity", **request.headers}
        if credentials is not None and not any(name.lower() == "authorization" for name in headers):
            headers["Authorization"] = credentials
        request = _replace(request, url=url, headers=headers)
        for _ in range(_MAX_REDIRECTS + 1):
            raw = self._send_patiently(request)
            try:
                location = raw.headers.get("Location")
                if not redirects or raw.status not in _REDIRECTS or location is None:
                    yield _Answer(raw, request.url)
                    return
                with translated(request.url):
                    raw.read(CHUNK)  # a redirect's few words, so that the connection can be used again
                request = _redirected(request, raw.status, location)
            finally:
                raw.close()
        raise NetworkError(
            "redirect-refused", f"more than {_MAX_REDIRECTS} redirects", place=redact(request.url)
        )

    def _send_patiently(self, request: _Request) -> urllib3.BaseHTTPResponse:
        failures = 0
        while True:
            try:
                raw = self._send(request)
            except NetworkError as error:
                failures += 1
                if error.code not in TRANSIENT or not request.retry or failures >= _ATTEMPTS:
                    raise
                self.pause(failures, request.url, error)
                continue
            failures += 1
            if raw.status not in _RETRIED or not request.retry or failures >= _ATTEMPTS:
                return raw
            asked = retry_after(raw.headers)
            if asked is not None and asked > _LONGEST_WAIT:
                return raw
            raw.close()
            self.pause(failures, request.url, f"the server answers {raw.status}", asked)

    def _send(self, request: _Request) -> urllib3.BaseHTTPResponse:
        target = origin(request.url)
        if target.scheme == "http" and not request.allow_http and not is_loopback(target.host):
            raise NetworkError(
                "plain-http",
                f"{target.host} would be asked over plain http, which anybody on the way can read and change",
                place=redact(request.url),
                hint="use https, or allow plain http for this address in its settings",
            )
        manager = self._manager(request.url)
        body = request.body() if callable(request.body) else request.body
        try:
            with translated(request.url):
                return manager.urlopen(
                    request.method,
                    request.url,
                    body=body,
                    headers=dict(request.headers),
                    redirect=False,
                    retries=False,
                    preload_content=False,
                    decode_content=False,
                )
        finally:
            if body is not None and not isinstance(body, bytes):
                body.close()

    def _manager(self, url: str) -> urllib3.PoolManager:
        import urllib3

        target = origin(url)
        proxy = proxy_for(target, self._environ)
        with self._lock:
            manager = self._managers.get((target.scheme, proxy))
            if manager is not None:
                return manager
            if self._context is None and (target.scheme == "https" or (proxy or "").startswith("https:")):
                self._context = tls_context(self._environ)
            timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=self._read_timeout)
            if proxy is None:
                manager = urllib3.PoolManager(
                    num_pools=32, maxsize=16, timeout=timeout, ssl_context=self._context, blocksize=CHUNK
                )
            else:
                bare, credentials = take_credentials(proxy)
                manager = urllib3.ProxyManager(
                    bare,
                    num_pools=32,
                    maxsize=16,
                    timeout=timeout,
                    ssl_context=self._context,
                    proxy_ssl_context=self._context,
                    proxy_headers={"Proxy-Authorization": credentials} if credentials else None,
                    blocksize=CHUNK,
                )
            self._managers[target.scheme, proxy] = manager
            return manager

    def pause(self, failures: int, url: str, why: NetworkError | str, asked: float | None = None) -> None:
        """Wait before the next try, longer after each failure, or `asked` seconds; tell people so."""
        # Clients that were cut off together should not all come back together: half of it is chance.
        backoff = _FIRST_WAIT * 2 ** (failures - 1) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        seconds = backoff if asked is None else min(asked, _LONGEST_WAIT)
        if self._notify is not None:
            reason = why if isinstance(why, str) else why.problems[0].message
            self._notify(f"{redact(url)}: {reason}; trying again in {seconds:.1f} s")
        self._sleep(seconds)


def _receive(answer: _Answer, transfer: Transfer) -> None:
    if answer.raw.status == 416 and transfer.received:
        # What the server has now is shorter than what came before.
        received = transfer.received
        transfer.start()
        raise cut_short(answer.url, received, None)
    if answer.raw.status not in (200, 206):
        raise status_error(answer.read(1024 * 1024))
    transfer.accept(answer.raw.status, answer.headers)
    for chunk in answer.chunks(decode=False):
        transfer.write(chunk)


def _redirected(request: _Request, status: int, location: str) -> _Request:
    url = follow(request.url, location)
    headers = dict(request.headers)
    if origin(url) != origin(request.url):
        headers = {name: value for name, value in headers.items() if name.lower() not in _SECRET_HEADERS}
    method, body = request.method, request.body
    if status == 303 or (status in (301, 302) and method == "POST"):
        method, body = ("HEAD" if method == "HEAD" else "GET"), None
        headers = {name: value for name, value in headers.items() if not name.lower().startswith("content-")}
    return _Request(method, url, headers, body, request.allow_http, request.retry)


def _replace(request: _Request, *, url: str, headers: Mapping[str, str]) -> _Request:
    return _Request(request.method, url, headers, request.body, request.allow_http, request.retry)


def _open_file(url: str) -> BinaryIO:
    parts = split(url)
    if parts.netloc not in ("", "localhost"):
        raise NetworkError("bad-url", "a file URL names a file of this machine", place=redact(url))
    path = Path(unquote(parts.path))
    try:
        return path.open("rb")
    except OSError as error:
        raise NetworkError("file-missing", f"cannot read: {error.strerror}", place=str(path)) from error
