"""The edge before servers that say what no polite program would: trailers, 1xx, bodies without an end or a part.

Over real sockets and by threads; every other fault has its test under virtual time, in `tests/upstream`.
"""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from server_kit import PATIENCE, Server, exchange
from upstream_kit import front, read_head, scripted

BLOCK = bytes(range(256)) * 256


@pytest.fixture
def behind(tmp_path: Path, data: Path) -> Iterator[Callable[[Callable[[socket.socket], None]], Server]]:
    """An edge before a scripted upstream."""
    with ExitStack() as stack:

        def start(answer: Callable[[socket.socket], None]) -> Server:
            port = stack.enter_context(scripted(answer))
            text = f'[[route]]\nmatch = "/"\nproxy = {{ to = "http://127.0.0.1:{port}", early_hints = true }}\n'
            return stack.enter_context(front(tmp_path / "edge", text, data=data))

        yield start


Behind = Callable[[Callable[[socket.socket], None]], Server]


def test_trailers_end_a_body(behind: Behind) -> None:
    """Those of an answer are dropped, and the link serves the next request; those of a request do not arrive."""
    seen: list[bytes] = []

    def answer(sock: socket.socket) -> None:
        while True:
            head, rest = read_head(sock)
            if not head:
                return
            while b"chunked" in head.lower() and not rest.endswith(b"0\r\n\r\n"):
                rest += sock.recv(1 << 16)
            seen.append(head + rest)
            sock.sendall(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                b"3;name=value\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n"
            )

    server = behind(answer)
    with closing(server.connect()) as connection:
        for _ in range(3):
            reply = exchange(connection, "GET", "/")
            assert (reply.body, reply.all("X-Sum")) == (b"abcde", [])
    answered = server.raw(
        b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n0\r\nX-Secret: 1\r\n\r\n"
    )
    assert answered.startswith(b"HTTP/1.1 200 ")
    assert b"abc" in seen[-1]
    assert b"X-Secret" not in seen[-1]


def test_early_hints(behind: Behind) -> None:
    """B16: 103 is passed on to HTTP/1.1, not to HTTP/1.0; 100 and 102 that nobody wants are swallowed."""

    def answer(sock: socket.socket) -> None:
        while read_head(sock)[0]:
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
            sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    server = behind(answer)
    modern = server.raw(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    hint, final, body = modern.split(b"\r\n\r\n")
    assert hint == b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload"
    assert (final.split(b"\r\n")[0], body) == (b"HTTP/1.1 200 OK", b"ok")
    old = server.raw(b"GET / HTTP/1.0\r\n\r\n")
    assert old.startswith((b"HTTP/1.1 200 ", b"HTTP/1.0 200 "))
    assert b"103" not in old


def test_a_body_until_the_end(behind: Behind) -> None:
    """B15: an upstream that says no length: the client gets chunks, and sees the difference when it is cut."""
    begun = threading.Event()

    def answer(sock: socket.socket) -> None:
        head, _ = read_head(sock)
        sock.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + BLOCK)
        if head.startswith(b"GET /cut "):
            assert begun.wait(PATIENCE)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    server = behind(answer)
    with closing(server.connect()) as connection:
        for _ in range(2):
            assert exchange(connection, "GET", "/").body == BLOCK
        connection.request("GET", "/cut")
        with connection.getresponse() as response:
            assert response.read(len(BLOCK)) == BLOCK
            begun.set()
            with pytest.raises(http.client.IncompleteRead):
                response.read()
    assert "127.0.0.1:" in server.logged(None, "reset by the server")


def test_a_length_that_is_not_kept(behind: Behind) -> None:
    """A22: the client sees that something is missing, and the log says whose fault it is."""

    def answer(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")

    server = behind(answer)
    with closing(server.connect()) as connection:
        connection.request("GET", "/")
        with connection.getresponse() as response, pytest.raises(http.client.IncompleteRead) as short:
            response.read()
    assert short.value.partial == b"abc"
    assert "127.0.0.1:" in server.logged(None, "997 of 1000 bytes missing")
