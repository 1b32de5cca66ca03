"""A simple-API index on loopback (PEP 503, 691, 700) that can fail and lie in every way a real one does.

    with FakeIndex() as index:
        index.add(make_wheel("numpy", "2.0.0"))
        index.fail("*.whl", "status", status=503, times=2)
        fetch_from(index.url)
        assert index.requests[0].headers["accept"]

Listens on 127.0.0.1 and a port of the system's choice. Checks nothing; tests do.
"""

from __future__ import annotations

import base64
import contextlib
import html
import http.server
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from http import HTTPStatus
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote, unquote, urlsplit

from packaging.utils import canonicalize_name

from shipwheel.testing.wheels import MadeWheel

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML_TYPE = "application/vnd.pypi.simple.v1+html"
_CHUNK = 16 * 1024

FaultKind = Literal[
    "status",  # answer with `status` and `headers`
    "cut-off",  # announce the whole length, send `after` bytes, close the connection
    "corrupt",  # send other bytes of the same length
    "longer",  # send `after` more bytes than the file has
    "shorter",  # send `after` bytes fewer, as if that were the file
    "slow",  # wait `seconds` between chunks
    "stall",  # wait `seconds` before the answer
    "redirect",  # 302 to `location`, in which `{path}` is the path asked for
    "drop",  # close the connection without an answer
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How requests whose path matches the shell pattern `match` go wrong; None `times`: always."""

    match: str
    kind: FaultKind
    times: int | None = None
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    after: int = 0
    seconds: float = 0.0
    location: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A file on the index and what its page says of it.

    `hashes` and `size`, where given, are told instead of the truth; `hashes={}` tells none and
    `size=-1` tells no size. `yanked` is the reason ("" for none given), None for a file that is not.
    `url` is the link as it stands on the page; None gives `/files/<sha256>/<file name>`.
    """

    wheel: MadeWheel
    requires_python: str | None = None
    yanked: str | None = None
    hashes: Mapping[str, str] | None = None
    size: int | None = None
    url: str | None = None
    algorithms: tuple[str, ...] = ("sha256",)

    def told_hashes(self) -> dict[str, str]:
        """Return what the page says the hashes are."""
        if self.hashes is not None:
            return dict(self.hashes)
        return {algorithm: self.wheel.hash(algorithm) for algorithm in self.algorithms}

    def told_size(self) -> int | None:
        """Return what the page says the size is; None for nothing."""
        if self.size is not None:
            return self.size if self.size >= 0 else None
        return self.wheel.size

    def link(self) -> str:
        """Return the file's address as it stands on the page."""
        if self.url is not None:
            return self.url
        return f"/files/{self.wheel.sha256}/{quote(self.wheel.filename, safe='')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came in; header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]


class FakeIndex:
    """The index, running between `__enter__` and `__exit__`. Everything may be changed while it runs.

    `serves` says which formats it can give; `user` and `password`, where given, are asked for (basic).
    `ranges` says whether a download can be resumed; `base_href` puts a `<base>` on HTML pages;
    `context` serves TLS.
    """

    def __init__(
        self,
        *,
        serves: Literal["both", "html", "json"] = "both",
        user: str | None = None,
        password: str = "",
        ranges: bool = True,
        base_href: str | None = None,
        context: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.serves: Literal["both", "html", "json"] = serves
        self.user, self.password = user, password
        self.ranges = ranges
        self.base_href = base_href
        self.requests: list[Received] = []
        self.faults: list[Fault] = []
        self._listed: dict[str, list[Listed]] = {}
        self._extra: dict[str, tuple[str, bytes]] = {}
        self._lock = threading.Lock()
        self._server = _Server((host, 0), _handler_for(self))
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "http" if context is None else "https"
        self._host = host
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.close_connections()
        self._server.server_close()
        self._thread.join()

    @property
    def origin(self) -> str:
        """Scheme, host and port, as `http://127.0.0.1:40001`."""
        return f"{self._scheme}://{self._host}:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """The simple API's address, with a slash at its end."""
        return f"{self.origin}/simple/"

    def url_with(self, user: str, password: str) -> str:
        """Return `url` with credentials in it."""
        scheme, rest = self.url.split("://", 1)
        return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"

    def file_url(self, wheel: MadeWheel) -> str:
        """Return the address that serves `wheel` when it was added without an own `url`."""
        return self.origin + Listed(wheel=wheel).link()

    def add(
        self,
        *wheels: MadeWheel,
        requires_python: str | None = None,
        yanked: str | None = None,
        hashes: Mapping[str, str] | None = None,
        size: int | None = None,
        url: str | None = None,
        algorithms: tuple[str, ...] = ("sha256",),
    ) -> MadeWheel:
        """List `wheels` (see `Listed`) and serve them; return the last one."""
        for wheel in wheels:
            listed = Listed(
                wheel=wheel,
                requires_python=requires_python,
                yanked=yanked,
                hashes=hashes,
                size=size,
                url=url,
                algorithms=algorithms,
            )
            with self._lock:
                self._listed.setdefault(canonicalize_name(wheel.name), []).append(listed)
        return wheels[-1]

    def add_path(self, path: str, data: bytes, content_type: str = "application/octet-stream") -> str:
        """Serve `data` at `path` (with a leading slash); return its address."""
        with self._lock:
            self._extra[path] = (content_type, data)
        return self.origin + path

    def fail(
        self,
        match: str,
        kind: FaultKind,
        *,
        times: int | None = None,
        status: int = 500,
        headers: Mapping[str, str] | None = None,
        after: int = 0,
        seconds: float = 0.0,
        location: str = "",
    ) -> None:
        """Make requests for paths that match the shell pattern `match` go wrong; the first match wins."""
        fault = Fault(
            match=match,
            kind=kind,
            times=times,
            status=status,
            headers=headers or {},
            after=after,
            seconds=seconds,
            location=location,
        )
        with self._lock:
            self.faults.append(fault)

    def paths(self, match: str = "*") -> list[str]:
        """Return the paths asked for so far that match the shell pattern, in order."""
        with self._lock:
            return [request.path for request in self.requests if fnmatchcase(request.path, match)]

    # What follows is the server's side.

    def _received(self, request: Received) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            for position, fault in enumerate(self.faults):
                if fault.times != 0 and fnmatchcase(unquote(request.path), fault.match):
                    if fault.times is not None:
                        self.faults[position] = replace(fault, times=fault.times - 1)
                    return fault
        return None

    def _content(self, path: str, accept: str) -> tuple[str, bytes] | None:
        with self._lock:
            if path in self._extra:
                return self._extra[path]
            if path in ("/simple", "/simple/"):
                return self._root(accept)
            parts = path.strip("/").split("/")
            if parts[0] == "simple" and len(parts) == 2 and parts[1] in self._listed:
                return self._page(parts[1], accept)
            for listed in self._all():
                # As unquoted: a `+` in a version may come as `%2B`.
                if unquote(path) in (unquote(listed.link()), unquote(Listed(wheel=listed.wheel).link())):
                    return "application/octet-stream", listed.wheel.data
                if unquote(path) == unquote(listed.link()) + ".metadata":
                    return "application/octet-stream", listed.wheel.metadata
        return None

    def _all(self) -> Iterator[Listed]:
        for files in self._listed.values():
            yield from files

    def _as_json(self, accept: str) -> bool:
        return self.serves == "json" or (self.serves == "both" and JSON_TYPE in accept)

    def _root(self, accept: str) -> tuple[str, bytes]:
        names = sorted(self._listed)
        if self._as_json(accept):
            root = {"meta": {"api-version": "1.1"}, "projects": [{"name": name} for name in names]}
            return JSON_TYPE, json.dumps(root).encode()
        links = "\n".join(f'<a href="/simple/{name}/">{name}</a>' for name in names)
        return "text/html", f"<!DOCTYPE html><html><body>{links}</body></html>".encode()

    def _page(self, name: str, accept: str) -> tuple[str, bytes]:
        files = self._listed[name]
        if self._as_json(accept):
            page = {
                "meta": {"api-version": "1.1"},
                "name": name,
                "versions": sorted({listed.wheel.version for listed in files}),
                "files": [_json_file(listed) for listed in files],
            }
            return JSON_TYPE, json.dumps(page).encode()
        base = f'<base href="{html.escape(self.base_href)}">' if self.base_href else ""
        links = "<br>\n".join(_anchor(listed) for listed in files)
        text = f"<!DOCTYPE html><html><head>{base}</head><body>{links}</body></html>"
        return ("text/html; charset=utf-8" if self.serves == "html" else HTML_TYPE), text.encode()

    def _admits(self, authorization: str | None) -> bool:
        if self.user is None:
            return True
        wanted = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return authorization == f"Basic {wanted}"


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(address, handler)

    def process_request_thread(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        self._connections.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.discard(request)

    def close_connections(self) -> None:
        """End what a client keeps open, so that the handlers' threads end."""
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that goes away in the middle is part of the tests."""


def _handler_for(index: FakeIndex) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Keep the test's output clean."""

        def do_GET(self) -> None:
            self._serve()

        def do_HEAD(self) -> None:
            self._serve()

        def _serve(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            path = urlsplit(self.path).path
            fault = index._received(Received(method=self.command, path=self.path, headers=headers))
            if fault is not None and self._refuse(fault):
                return
            if not index._admits(headers.get("authorization")):
                self._answer(401, {"WWW-Authenticate": 'Basic realm="index"'}, b"who are you?")
                return
            found = index._content(path, headers.get("accept", ""))
            if found is None:
                self._answer(404, {}, b"no such page")
                return
            content_type, data = found
            self._send(content_type, _falsify(data, fault), headers, fault)

        def _refuse(self, fault: Fault) -> bool:
            if fault.kind == "status":
                self._answer(fault.status, dict(fault.headers), HTTPStatus(fault.status).phrase.encode())
            elif fault.kind == "redirect":
                self._answer(302, {"Location": fault.location.format(path=self.path)}, b"")
            elif fault.kind == "drop":
                self.close_connection = True
            elif fault.kind == "stall":
                time.sleep(fault.seconds)
                return False
            else:
                return False
            return True

        def _send(
            self, content_type: str, data: bytes, headers: Mapping[str, str], fault: Fault | None
        ) -> None:
            tag = f'"{len(data)}-{hash(data):x}"'
            start = _range_start(headers, len(data), tag) if index.ranges else None
            self.send_response(200 if start is None else 206)
            self.send_header("Content-Type", content_type)
            self.send_header("ETag", tag)
            if index.ranges:
                self.send_header("Accept-Ranges", "bytes")
            if start is not None:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
                data = data[start:]
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if fault is not None and fault.kind == "cut-off":
                self.wfile.write(data[: fault.after])
                self.close_connection = True
                return
            for position in range(0, len(data), _CHUNK):
                if fault is not None and fault.kind == "slow":
                    time.sleep(fault.seconds)
                self.wfile.write(data[position : position + _CHUNK])

        def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    return Handler


def _falsify(data: bytes, fault: Fault | None) -> bytes:
    if fault is None:
        return data
    if fault.kind == "corrupt":
        return bytes([data[0] ^ 0xFF]) + data[1:]
    if fault.kind == "longer":
        return data + bytes(fault.after)
    if fault.kind == "shorter":
        return data[: -fault.after]
    return data


def _range_start(headers: Mapping[str, str], size: int, tag: str) -> int | None:
    """Return where an open-ended `Range: bytes=N-` starts (RFC 9110, 14.2), or None for all of it."""
    unit, _, span = headers.get("range", "").partition("=")
    first, _, last = span.partition("-")
    if unit != "bytes" or not first.isdigit() or last or int(first) >= size:
        return None
    if headers.get("if-range", tag) != tag:
        return None
    return int(first)


def _json_file(listed: Listed) -> dict[str, object]:
    data: dict[str, object] = {
        "filename": listed.wheel.filename,
        "url": listed.link(),
        "hashes": listed.told_hashes(),
        "yanked": False if listed.yanked is None else (listed.yanked or True),
    }
    if (size := listed.told_size()) is not None:
        data["size"] = size
    if listed.requires_python is not None:
        data["requires-python"] = listed.requires_python
    return data


def _anchor(listed: Listed) -> str:
    hashes = listed.told_hashes()
    # PEP 503: one hash in the fragment; sha256 is recommended.
    algorithm = "sha256" if "sha256" in hashes else next(iter(hashes), "")
    fragment = f"#{algorithm}={hashes[algorithm]}" if algorithm else ""
    attributes = f'href="{html.escape(listed.link() + fragment)}"'
    if listed.requires_python is not None:
        attributes += f' data-requires-python="{html.escape(listed.requires_python)}"'
    if listed.yanked is not None:
        attributes += f' data-yanked="{html.escape(listed.yanked)}"'
    return f"<a {attributes}>{html.escape(listed.wheel.filename)}</a>"
