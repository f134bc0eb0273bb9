"""WebSocket through the edge, before the server and with the client of the `websockets` library (B17).

Through http and https upstreams, from plain and TLS clients: what the two say to each other arrives as it was said, in
both directions, and neither a reload nor a pause shorter than the timeout ends it.
"""

from __future__ import annotations

import random
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
from server_kit import PATIENCE, Server
from upstream_kit import Keys, front, port_of, read_head, scripted, tcp, websocket_echo

client = pytest.importorskip("websockets.sync.client")
exceptions = pytest.importorskip("websockets.exceptions")

CONFIG = """
[upstream.plain]
servers = ["127.0.0.1:{plain}"]
[upstream.secret]
servers = ["127.0.0.1:{secret}"]
[[route]]
match = "/ws/"
proxy = "http://plain/"
[[route]]
match = "/wss/"
proxy = {{ to = "https://secret/", ssl_ca = "{ca}", ssl_name = "echo.internal" }}
[[route]]
match = "/impatient/"
proxy = {{ to = "http://plain/", read_timeout = "{pause}s" }}
"""
PAUSE = 2.0
"""Seconds of silence that end a tunnel under /impatient/: four times what the other side waits."""
INTERVAL = 0.5
LARGE = 1 << 20


@pytest.fixture(scope="module", params=["plain", "tls"])
def edge(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An edge before two WebSocket servers, one of which speaks TLS."""
    folder = tmp_path_factory.mktemp("tunnels")
    keys = Keys(folder)
    with ExitStack() as stack:
        plain, secret = stack.enter_context(tcp()), stack.enter_context(tcp())
        stack.enter_context(websocket_echo(plain))
        stack.enter_context(websocket_echo(secret, *keys.issue("echo.internal")))
        text = CONFIG.format(plain=port_of(plain), secret=port_of(secret), ca=keys.ca, pause=PAUSE)
        words = ("--tls",) if request.param == "tls" else ()
        yield stack.enter_context(front(folder / "edge", text, *words, data=data))


def tunnel(server: Server, path: str) -> AbstractContextManager[Any]:
    """A client's connection, without compression and without proxies of the environment.

    On TLS 1.2: this client reads and writes in two threads, and until Python 3.13 nothing keeps them apart in OpenSSL.
    With TLS 1.3 a session ticket that is being read made the request vanish that was being written (1 in 3,000).
    """
    scheme, tls = ("wss", server.tls()) if server.secure else ("ws", None)
    if tls is not None:
        tls.maximum_version = ssl.TLSVersion.TLSv1_2
    return client.connect(  # type: ignore[no-any-return]
        f"{scheme}://localhost:{server.port}{path}", ssl=tls, proxy=None, compression=None, max_size=None,
        open_timeout=PATIENCE, close_timeout=PATIENCE, ping_interval=None,
    )  # fmt: skip


both = pytest.mark.parametrize("path", ["/ws/", "/wss/"])


@both
def test_messages_of_every_kind(edge: Server, path: str) -> None:
    """Text, binary, empty, in fragments from either side; pings are answered by the server itself."""
    with tunnel(edge, path) as connection:
        for message in ("text", "ünïcode ☃", b"binary\x00\xff", "", b""):
            connection.send(message)
            assert connection.recv(PATIENCE) == message
        connection.send(iter(["in ", "three ", "pieces"]))
        assert connection.recv(PATIENCE) == "in three pieces"
        connection.send("pieces fragments")
        assert list(connection.recv_streaming()) == [*"fragments", ""]
        assert connection.ping(b"are you there?").wait(PATIENCE)
        connection.send("count 1000")
        assert [connection.recv(PATIENCE) for _ in range(1000)] == [str(number) for number in range(1000)]


@both
def test_messages_of_1_mib(edge: Server, path: str) -> None:
    """Backpressure either way: more is under way than any buffer holds."""
    message = random.Random(4).randbytes(LARGE)
    with tunnel(edge, path) as connection:
        for _ in range(8):
            connection.send(message)
            assert connection.recv(PATIENCE) == message
        text = "ü" * (LARGE // 2)
        connection.send(text)
        assert connection.recv(PATIENCE) == text


@both
@pytest.mark.parametrize("code", [1000, 1011, 4321])
def test_close_codes(edge: Server, path: str, code: int) -> None:
    """From either side: the close frames pass, and so do the ends of the connections."""
    with tunnel(edge, path) as connection:
        connection.send(f"close {code}")
        with pytest.raises(exceptions.ConnectionClosed) as closed:
            connection.recv(PATIENCE)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, "as asked")
    with tunnel(edge, path) as connection:
        connection.close(code, "enough")
        assert connection.protocol.close_rcvd.code == code


@both
def test_the_server_speaks_first(edge: Server, path: str) -> None:
    """B17: what comes right behind the 101, perhaps in one packet with it, is not lost."""
    for _ in range(20):
        with tunnel(edge, path + "greeting") as connection:
            assert connection.recv(PATIENCE) == "hello"


@both
def test_the_client_speaks_first(edge: Server, path: str) -> None:
    """B17: a frame that comes in one packet with the request waits for the 101 and goes on behind it."""
    frame = b"\x81\x82\0\0\0\0hi"  # RFC 6455 §5.7: a masked text, the mask zero
    with edge.socket() as sock:
        sock.sendall(
            f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
            + frame
        )
        data = b""
        while b"\x81\x02hi" not in data:
            more = sock.recv(1 << 16)
            assert more, data
            data += more
    head = data.partition(b"\r\n\r\n")[0].decode()
    assert head.startswith("HTTP/1.1 101 ")
    assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head


def test_either_side_keeps_it_alive(edge: Server) -> None:
    """B17, A23: a tunnel in which only one side speaks goes on for longer than the timeout; in silence it ends."""
    with tunnel(edge, "/impatient/") as connection:
        connection.send("wait")
        assert [connection.recv(PATIENCE) for _ in range(5)] == [*"01234"]  # the server alone spoke
        for number in range(5):
            with pytest.raises(TimeoutError):
                connection.recv(INTERVAL)
            connection.pong(b"%d" % number)  # the client alone speaks: nobody answers a pong
        connection.send("still here")
        assert connection.recv(PATIENCE) == "still here"
        with pytest.raises(exceptions.ConnectionClosed):
            connection.recv(PATIENCE)


def test_a_reload_cuts_no_tunnel(edge: Server) -> None:
    """B17: not even one that takes the route and its upstream away."""
    file = edge.ready_file.parent / "edge.toml"
    before = file.read_text()
    with tunnel(edge, "/ws/") as one, tunnel(edge, "/wss/") as two:
        for text in (
            before,
            before + '[[route]]\nmatch = "/new"\nrespond = "new"\n',
            '[[route]]\nmatch = "/"\nrespond = "bye"\n',
        ):
            reload(edge, file, text)
            for connection in (one, two):
                connection.send("still here")
                assert connection.recv(PATIENCE) == "still here"
        assert edge.get("/ws/").text == "bye"
        reload(edge, file, before)
        with tunnel(edge, "/ws/") as three:
            three.send("new")
            assert three.recv(PATIENCE) == "new"
        one.send(b"x" * LARGE)
        assert one.recv(PATIENCE) == b"x" * LARGE


def reload(server: Server, file: Path, text: str) -> None:
    """Another configuration by SIGHUP, once it is in force."""
    file.write_text(text)
    start = len(server.err.lines)
    server.signal(signal.SIGHUP)
    server.err.wait_for("info: reloaded", start)


def test_a_stop_ends_tunnels(tmp_path: Path, data: Path) -> None:
    """E10: they get the graceful timeout, and then a clean end of the connection."""
    with tcp() as listener, websocket_echo(listener):
        text = f'[[route]]\nmatch = "/"\nproxy = "http://127.0.0.1:{port_of(listener)}"\n'
        with front(tmp_path / "edge", text, "--graceful-timeout", "0", data=data) as server, tunnel(server, "/") as one:
            one.send("hello")
            assert one.recv(PATIENCE) == "hello"
            server.signal(signal.SIGTERM)
            with pytest.raises(exceptions.ConnectionClosed):
                one.recv(PATIENCE)
            assert server.wait() == 0


def test_who_did_not_ask_gets_no_tunnel(tmp_path: Path, data: Path) -> None:
    """B16: a 101 to a plain request is a fault of the upstream's; another protocol than the one asked for too."""

    def answer(sock: socket.socket) -> None:
        if read_head(sock)[0]:
            sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n")
            read_head(sock)

    with scripted(answer) as port:
        text = f'[[route]]\nmatch = "/"\nproxy = "http://127.0.0.1:{port}"\n'
        with front(tmp_path / "edge", text, data=data) as server:
            for fields in ({}, {"Connection": "Upgrade", "Upgrade": "websocket"}):
                reply = server.request("GET", "/", fields=fields)
                assert reply.status == 502
                server.logged(reply, reply["X-Request-Id"])


def test_half_a_close_passes(tmp_path: Path, data: Path) -> None:
    """B17: whoever has said all may still listen; seen by both ends of a tunnel that is not WebSocket."""
    seen: list[bytes] = []

    def answer(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n")
        seen.append(b"".join(iter(lambda: sock.recv(1 << 16), b"")))
        sock.sendall(b"all of it was " + b"%d" % len(seen[0]))

    with scripted(answer) as port:
        text = f'[[route]]\nmatch = "/"\nproxy = "http://127.0.0.1:{port}"\n'
        with front(tmp_path / "edge", text, data=data) as server, server.socket() as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n")
            head = sock.recv(1 << 16)
            assert head.startswith(b"HTTP/1.1 101 ")
            sock.sendall(b"x" * LARGE)
            sock.shutdown(socket.SHUT_WR)
            assert b"".join(iter(lambda: sock.recv(1 << 16), b"")) == b"all of it was %d" % LARGE
    assert seen == [b"x" * LARGE]
