"""Clients that take their time, before a server with a single application thread: nobody else may wait for them.

That a slow client holds neither the loop nor the thread is shown by order, not by time: while many of them stand in
the middle of a head, a body, an answer or a handshake, another one is served; then they go on, and get what is theirs.
"""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from server_kit import FRAMEWORKS, PATIENCE, Server, read_to_end, running

MANY = 20
LAST = b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
LARGE = 20 << 20


@pytest.fixture(scope="module", params=["tls", "plain"])
def single(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    site = tmp_path_factory.mktemp("slow")
    with (site / "large.bin").open("wb") as file:
        file.truncate(LARGE)
    words = ["--static", str(site), "--app", FRAMEWORKS["bare"], "--threads", "1"]
    if request.param == "plain":
        words.append("--no-tls")
    env = {"EDGE_FILE": str(site / "large.bin")}
    with running(tmp_path_factory.mktemp("single"), *words, data=data, env=env) as server:
        yield server


@pytest.fixture
def clients(single: Server) -> Iterator[list[socket.socket]]:
    """Connected, their handshakes done."""
    with ExitStack() as stack:
        yield [stack.enter_context(single.socket()) for _ in range(MANY)]


def others_are_served(server: Server) -> bool:
    upload = server.request("POST", "/upload", bytes(100_000))
    return server.get("/page/x").status == 200 and upload.json()["size"] == 100_000


def test_slow_heads(single: Server, clients: list[socket.socket]) -> None:
    for sock in clients:
        sock.sendall(b"GET /page/slow" + LAST[:20])
    assert others_are_served(single)
    for sock in clients:
        sock.sendall(LAST[20:] + b"\r\n")
    assert all(b"slow||http" in read_to_end(sock) for sock in clients)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_slow_uploads(single: Server, clients: list[socket.socket], framing: str) -> None:
    """F14: a thread is taken only when the body is here."""
    content = bytes(range(250)) * 1000
    if framing == "length":
        field, body = b"Content-Length: %d\r\n\r\n" % len(content), content
    else:
        field, body = b"Transfer-Encoding: chunked\r\n\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)
    for sock in clients:
        sock.sendall(b"POST /upload" + LAST + field + body[:100_001])
    assert others_are_served(single)
    for sock in clients:
        sock.sendall(body[100_001:])
    wanted = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    for sock in clients:
        assert json.loads(read_to_end(sock).partition(b"\r\n\r\n")[2]) == wanted


@pytest.mark.parametrize("target", [b"/large.bin", b"/file", b"/large"])
def test_slow_readers(single: Server, clients: list[socket.socket], target: bytes) -> None:
    """F14: of a file, of the application's file, and of what it makes piece by piece: 100 MB that nobody takes yet."""
    readers = clients[:5]
    for sock in readers:
        sock.sendall(b"GET " + target + LAST + b"\r\n")
    assert others_are_served(single)
    for sock in readers[:3]:
        body = read_to_end(sock).partition(b"\r\n\r\n")[2]
        assert body.count(0) == LARGE
        assert len(body) == LARGE if target != b"/large" else body.endswith(b"\r\n0\r\n\r\n")
    assert others_are_served(single)


def test_slow_handshakes(single: Server) -> None:
    with ExitStack() as stack:
        address = ("127.0.0.1", single.port)
        silent = [stack.enter_context(socket.create_connection(address, timeout=PATIENCE)) for _ in range(MANY)]
        for sock in silent[: MANY // 2]:
            sock.sendall(b"\x16\x03\x01\x02\x00" if single.secure else b"G")  # the first bytes of a ClientHello
        assert others_are_served(single)
