"""A proxy for tests: CONNECT and plain requests, with or without a login, on loopback; it notes what came."""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import socketserver
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Seen:
    """What the proxy was asked for."""

    login: tuple[str, str] | None = None
    lines: list[str] = field(default_factory=list)
    """First lines of the requests that it passed on."""
    refused: int = 0


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        head = self._head()
        if not head:
            return
        first, *rest = head.decode("latin-1").split("\r\n")
        seen: Seen = self.server.seen  # type: ignore[attr-defined]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        if seen.login is not None:
            token = base64.b64encode(":".join(seen.login).encode()).decode()
            if headers.get("proxy-authorization") != f"Basic {token}":
                seen.refused += 1
                answer = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=proxy\r\n"
                self.request.sendall(f"{answer}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
                return
        seen.lines.append(first)
        method, target, version = first.split(" ")
        place = target if method == "CONNECT" else target.partition("://")[2].partition("/")[0]
        host, _, port = place.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5) as other:
            if method == "CONNECT":
                self.request.sendall(f"{version} 200 Connection established\r\n\r\n".encode())
            else:
                path = "/" + target.partition("://")[2].partition("/")[2]
                kept = [line for line in rest if not line.lower().startswith(("proxy-", "connection:"))]
                other.sendall("\r\n".join([f"{method} {path} {version}", "Connection: close", *kept]).encode("latin-1"))
            self._pass_on(other)

    def _head(self) -> bytes:
        data = b""
        self.request.settimeout(5)
        with contextlib.suppress(OSError):
            while b"\r\n\r\n" not in data:
                piece = self.request.recv(4096)
                if not piece:
                    return b""
                data += piece
        return data

    def _pass_on(self, other: socket.socket) -> None:
        pair = {self.request: other, other: self.request}
        with contextlib.suppress(OSError):
            while True:
                ready, _, _ = select.select(list(pair), [], [], 5)
                if not ready:
                    return
                for one in ready:
                    piece = one.recv(65536)
                    if not piece:
                        return
                    pair[one].sendall(piece)


@contextlib.contextmanager
def proxying(login: tuple[str, str] | None = None) -> Iterator[tuple[str, Seen]]:
    """HOST:PORT of a proxy and what it saw."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.seen = Seen(login)  # type: ignore[attr-defined]
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}", server.seen  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
