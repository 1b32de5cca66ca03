"""HTTP servers on loopback that do what a test tells them: answer, break, delay, lie, forward.

`serve` runs a function as a server; `fault_proxy` stands before a real one and breaks what a rule names.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

_CHUNK: Final = 64 * 1024
_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request: header names in lower case; `read_body()` may be called once."""

    method: str
    path: str
    headers: Mapping[str, str]
    stream: BinaryIO = field(repr=False)

    @property
    def length(self) -> int:
        return int(self.headers.get("content-length", "0"))

    def read_body(self) -> bytes:
        return self.stream.read(self.length)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer. `cut_after` body bytes the connection is dropped; `declared` is a false Content-Length."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    declared: int | None = None
    delay: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Hang up after `after` bytes of the request's body went on to the server behind (`fault_proxy`)."""

    after: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Forward the request, and change the answer on its way back (`fault_proxy`)."""

    reply: Callable[[Reply], Reply]


Handler = Callable[[Received], Reply | Drop]
Rule = Callable[[Received], Reply | Drop | Change | None]


class Server:
    """A running server: `url` without a trailing slash, `address` as host:port, and what it `received`."""

    def __init__(self, address: str, scheme: str) -> None:
        self.address = address
        self.url = f"{scheme}://{address}"
        self.received: list[Received] = []

    def seen(self, method: str, part: str = "") -> list[Received]:
        """Return the requests with this method whose path has `part` in it."""
        return [item for item in list(self.received) if item.method == method and part in item.path]


@contextlib.contextmanager
def serve(
    handler: Handler, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[Server]:
    """Answer every request with `handler`, each in a thread of its own."""

    class Requests(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "test"
        timeout = 30

        def handle_any(self) -> None:
            received = Received(
                method=self.command,
                path=self.path,
                headers={name.lower(): value for name, value in self.headers.items()},
                stream=self.rfile,  # type: ignore[arg-type]  # typeshed: BufferedIOBase
            )
            running.received.append(received)
            reply = handler(received)
            if isinstance(reply, Drop):
                self.close_connection = True
                return
            time.sleep(reply.delay)
            self.send_response_only(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            length = len(reply.body) if reply.declared is None else reply.declared
            if "content-length" not in {name.lower() for name in reply.headers}:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body[: reply.cut_after])
            if reply.cut_after is not None or reply.declared is not None:
                self.close_connection = True

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - http.server's

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's
            """Say nothing."""

    class Quiet(http.server.ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Clients that hang up are what tests are about."""

    with Quiet((host, 0), Requests) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        running = Server(f"{host}:{server.server_address[1]}", "https" if tls else "http")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def fault_proxy(upstream: str, rule: Rule = lambda _: None, *, host: str = "127.0.0.1") -> Iterator[Server]:
    """Forward to the plain HTTP server at `upstream` (host:port), except where `rule` says otherwise."""

    def handle(request: Received) -> Reply | Drop:
        fault = rule(request)
        if isinstance(fault, Reply):
            request.read_body()
            return fault
        reply = _forward(upstream, request, fault.after if isinstance(fault, Drop) else None)
        if isinstance(fault, Change) and isinstance(reply, Reply):
            return fault.reply(reply)
        return reply

    with serve(handle, host=host) as server:
        yield server


def _forward(upstream: str, request: Received, drop_after: int | None) -> Reply | Drop:
    connection = http.client.HTTPConnection(upstream, timeout=30)
    try:
        connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.items():
            if name != "connection":
                connection.putheader(name, value)
        connection.endheaders()
        left = request.length if drop_after is None else min(request.length, drop_after)
        while left and (chunk := request.stream.read(min(left, _CHUNK))):
            connection.send(chunk)
            left -= len(chunk)
        if drop_after is not None:
            return Drop()
        answer = connection.getresponse()
        body = answer.read()
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
        if request.method == "HEAD" and (length := answer.getheader("Content-Length")):
            headers["Content-Length"] = length
        return Reply(status=answer.status, headers=headers, body=body)
    finally:
        connection.close()


class Times:
    """A rule's memory: `first(n)` is true for the first `n` calls."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def first(self, count: int) -> bool:
        with self._lock:
            self._count += 1
            return self._count <= count
