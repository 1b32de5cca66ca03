"""A proxy on loopback that tunnels (RFC 9110, CONNECT): every name leads to one server of the test's."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class ConnectProxy:
    """A running proxy: `url`, and for each tunnel the name asked for and the headers that came with it."""

    url: str
    asked: list[str] = field(default_factory=list)
    headers: list[bytes] = field(default_factory=list)


@contextlib.contextmanager
def connect_proxy(target: str) -> Iterator[ConnectProxy]:
    """Tunnel to `target` (host:port), whatever name is asked for."""
    host, _, port = target.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy = ConnectProxy(url=f"http://127.0.0.1:{server.getsockname()[1]}")
        thread = threading.Thread(target=_serve, args=(server, proxy, (host, int(port))), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            # accept() notices a shutdown, and not a close.
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(server: socket.socket, proxy: ConnectProxy, target: tuple[str, int]) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_tunnel, args=(client, proxy, target), daemon=True).start()


def _tunnel(client: socket.socket, proxy: ConnectProxy, target: tuple[str, int]) -> None:
    with client:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = client.recv(1)
            if not byte:
                return
            head += byte
        proxy.asked.append(head.split()[1].decode())
        proxy.headers.append(head)
        with socket.create_connection(target) as upstream:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(upstream, client), daemon=True)
            back.start()
            _pump(client, upstream)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
