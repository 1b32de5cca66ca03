"""A registry of one image on loopback, for an engine to pull from: it takes only what it has not.

Reads alone (distribution-spec, "Pulling"), for as long as the block runs, on a port that the system
chooses, under a name that nobody can guess.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from shipwheel.oci.files import CHUNK
from shipwheel.oci.model import Blob, Descriptor
from shipwheel.oci.read import AnyImage, all_blobs
from shipwheel.oci.reference import Reference

_TAG: Final = "image"
# RFC 8446, 5.1: the first byte that a client sends who expects TLS.
_TLS_HANDSHAKE: Final = b"\x16"


@dataclass(slots=True)
class Served:
    """Where the image is served as `reference`; `sent` maps digests to how often they were sent whole."""

    reference: Reference
    sent: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def sent_bytes(self) -> int:
        """Bytes of manifest, config and layers that were sent."""
        return sum(count * self.sizes[digest] for digest, count in self.sent.items())


@contextlib.contextmanager
def serve_image(image: AnyImage) -> Iterator[Served]:
    """Serve `image` while the block runs."""
    repository = f"shipwheel/{secrets.token_hex(8)}"
    parts = {str(descriptor.digest): (descriptor, blob) for descriptor, blob in all_blobs(image)}
    handler = _handler(repository, parts, str(image.descriptor.digest))
    with _Server(("127.0.0.1", 0), handler) as server:
        port = server.server_address[1]
        served = Served(
            reference=Reference(registry=f"127.0.0.1:{port}", repository=repository, tag=_TAG),
            sizes={digest: descriptor.size for digest, (descriptor, _) in parts.items()},
        )
        server.served = served
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    served: Served

    def handle_error(self, request: Any, client_address: Any) -> None:
        """An engine that has what it needs hangs up; what went wrong, it says itself."""


def _handler(
    repository: str, parts: dict[str, tuple[Descriptor, Blob]], root: str
) -> type[http.server.BaseHTTPRequestHandler]:
    path = re.compile(rf"/v2/{re.escape(repository)}/(manifests|blobs)/([^/?]+)(?:\?.*)?")

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "shipwheel"
        timeout = 60

        def handle_one_request(self) -> None:
            peek = getattr(self.rfile, "peek", None)
            if peek is not None and peek(1)[:1] == _TLS_HANDSHAKE:
                # What containerd takes for "ask again without TLS"; a hello may hold no line's end.
                self.wfile.write(
                    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                )
                self.close_connection = True
                return
            super().handle_one_request()

        def do_GET(self) -> None:
            self._answer(whole=True)

        def do_HEAD(self) -> None:
            self._answer(whole=False)

        def _answer(self, *, whole: bool) -> None:
            if self.path in ("/v2", "/v2/"):
                self._send(HTTPStatus.OK, b"{}", "application/json", whole=whole)
                return
            match = path.fullmatch(self.path)
            name = "" if match is None else root if match[2] == _TAG else match[2]
            if name not in parts:
                code = "MANIFEST_UNKNOWN" if match and match[1] == "manifests" else "BLOB_UNKNOWN"
                body = json.dumps({"errors": [{"code": code, "message": "not here"}]}).encode()
                self._send(HTTPStatus.NOT_FOUND, body, "application/json", whole=whole)
                return
            descriptor, blob = parts[name]
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", descriptor.media_type)
            self.send_header("Content-Length", str(descriptor.size))
            self.send_header("Docker-Content-Digest", name)
            self.end_headers()
            if whole:
                with blob.open() as file:
                    while chunk := file.read(CHUNK):
                        self.wfile.write(chunk)
                served = self.server.served  # type: ignore[attr-defined]
                served.sent[name] = served.sent.get(name, 0) + 1

        def _send(self, status: HTTPStatus, body: bytes, media_type: str, *, whole: bool) -> None:
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if whole:
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            """Say nothing."""

    return Handler
