"""Clients that leave: in the middle of a head, of a body, of an answer; with a FIN, with a reset, without a word.

Whatever they left behind (a connection, an open file, a thread that writes to nobody) would keep the server from
stopping: it is told to wait longer for answers under way than the tests wait for it (E10; engine, rules 5 to 8).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from server_kit import FRAMEWORKS, PATIENCE, Server, running

LINES = b" HTTP/1.1\r\nHost: h\r\n"
END = LINES + b"\r\n"
LARGE = 8 << 20
TIMES = 3
SENT: dict[str, bytes] = {
    "nothing": b"",
    "no request": b"\x00\r\n\r\n",
    "half a head": b"GET /page/x HTT",
    "half a body": b"POST /upload" + LINES + b"Content-Length: 1000\r\n\r\nabc",
    "half a chunk": b"POST /upload" + LINES + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
    "a large body's beginning": b"POST /upload" + LINES + b"Content-Length: 10000000\r\n\r\n" + bytes(1 << 20),
    "too large a body": b"POST /upload" + LINES + b"Content-Length: 1000000000000\r\n\r\n" + bytes(1 << 18),
    "a body to be asked for": b"POST /upload" + LINES + b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n",
    "small file": b"GET /small" + END,
    "large file": b"GET /large.bin" + END,
    "several parts": b"GET /large.bin" + LINES + b"Range: bytes=0-1,5-7000000\r\n\r\n",
    "a listing": b"GET /folder/" + END,
    "a page": b"GET /page/x" + END,
    "a page, the last": b"GET /page/x" + LINES + b"Connection: close\r\n\r\n",
    "a large stream": b"GET /large" + END,
    "an application's file": b"GET /file" + END,
    "many at once": b"".join((b"GET " + path + END) * 20 for path in (b"/page/x", b"/large.bin", b"/small", b"/file")),
}


@pytest.fixture(scope="module", params=["tls", "plain"])
def left(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    site = tmp_path_factory.mktemp("left")
    (site / "small").write_text("small")
    (site / "folder").mkdir()
    with (site / "large.bin").open("wb") as file:
        file.truncate(LARGE)
    words = ["--static", str(site), "--listing", "--app", FRAMEWORKS["bare"], "--graceful-timeout", f"{3 * PATIENCE}"]
    if request.param == "plain":
        words.append("--no-tls")
    env = {"EDGE_FILE": str(site / "large.bin")}
    with running(tmp_path_factory.mktemp("leavers"), *words, data=data, env=env) as server:
        yield server


@pytest.mark.parametrize("read", [False, True], ids=["unread", "begun"])
@pytest.mark.parametrize("how", ["close", "fin", "reset"])
@pytest.mark.parametrize("sent", SENT)
def test_a_client_that_leaves(left: Server, sent: str, how: str, read: bool) -> None:
    """The next client is served, and (see above) nothing is left of this one."""
    for _ in range(TIMES):
        with left.socket() as sock:
            try:
                sock.sendall(SENT[sent])
                if read and b"\r\n\r\n" in SENT[sent] and "half" not in sent and "beginning" not in sent:
                    sock.recv(100)
                if how == "fin":
                    socket.socket.shutdown(sock, socket.SHUT_WR)
            except OSError:
                pass  # the server was quicker to refuse
            if how == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert left.get("/small").text == "small"
    assert left.get("/page/x").status == 200


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc here to look at descriptors")
def test_nobody_is_left(left: Server) -> None:
    """Open sockets: as many as of old, once the server has looked at what happened."""

    def sockets() -> int:
        names = []
        for fd in os.listdir(folder := f"/proc/{left.process.pid}/fd"):
            with suppress(FileNotFoundError):  # closed since it was listed
                names.append(os.readlink(f"{folder}/{fd}"))
        return sum(name.startswith("socket:") for name in names)

    with left.socket() as sock:
        sock.sendall(b"GET /small" + END)
        assert sock.recv(100)
        held = sockets()
    turns = (left.get("/small").status for _ in range(1000))  # in each the server sees what else happened
    assert any(sockets() < held for _ in turns)
