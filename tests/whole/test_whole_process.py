"""The process that `edgestack serve` is: signals, files, sockets, limits and logs (issue 2, §6; E8, E10, E11)."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from server_kit import FRAMEWORKS, PATIENCE, Reply, Server, exchange, read_to_end, running

BARE = ("--app", FRAMEWORKS["bare"])


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """What the application's `/held` waits for."""
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


class Idle:
    """A connection that was used once and waits: its end tells that a drain has begun (E10)."""

    def __init__(self, server: Server) -> None:
        self.connection = server.connect()
        exchange(self.connection, "GET", "/page/idle")

    def wait_for_end(self) -> None:
        assert self.connection.sock.recv(1) == b""
        self.connection.close()


# --- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_an_answer_finish(tmp_path: Path, data: Path, fifo: Path, number: signal.Signals) -> None:
    """E10: what is under way goes on to its end, idle connections and the listener are closed, exit status 0."""
    with running(tmp_path, *BARE, data=data, env={"EDGE_FIFO": str(fifo)}) as server:
        with closing(server.connect()) as connection:
            connection.request("GET", "/held")
            with connection.getresponse() as response:
                assert response.read1(100) == b"first "
                idle = Idle(server)
                server.signal(number)
                idle.wait_for_end()
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
                fifo.write_bytes(b"second")
                assert response.read() == b"second"
        assert server.wait() == 0


def test_a_second_sigint_stops_at_once(tmp_path: Path, data: Path, fifo: Path) -> None:
    """The answer is cut, visibly, and the exit status is that of a program that SIGINT ended."""
    with running(tmp_path, *BARE, data=data, env={"EDGE_FIFO": str(fifo)}) as server:
        with closing(server.connect()) as connection:
            connection.request("GET", "/held")
            with connection.getresponse() as response:
                assert response.read1(100) == b"first "
                idle = Idle(server)
                server.signal(signal.SIGINT)
                idle.wait_for_end()
                server.signal(signal.SIGINT)
                with pytest.raises((http.client.IncompleteRead, OSError)):
                    response.read()
        assert server.wait() == 130


def test_a_stop_waits_no_longer_than_told(tmp_path: Path, data: Path, fifo: Path) -> None:
    """E10: after the graceful timeout the answer is cut, and the thread that cannot be ended is named."""
    with running(tmp_path, *BARE, "--graceful-timeout", "0", data=data, env={"EDGE_FIFO": str(fifo)}) as server:
        with closing(server.connect()) as connection:
            connection.request("GET", "/held")
            with connection.getresponse() as response:
                assert response.read1(100) == b"first "
                server.signal(signal.SIGTERM)
                with pytest.raises((http.client.IncompleteRead, OSError)):
                    response.read()
        assert server.wait() == 0
        assert any("this application thread still ran" in line for line in server.err.lines)
        assert any("bare.py" in line for line in server.err.lines)


def test_sigusr1_reopens_the_logs(tmp_path: Path, data: Path) -> None:
    """As logrotate does it: moved away, then the signal."""
    access, error = tmp_path / "access.log", tmp_path / "error.log"
    words = (*BARE, "--access-log", str(access), "--error-log", str(error))
    with running(tmp_path, *words, data=data) as server:
        server.get("/page/before")
        server.get("/boom")
        idle = Idle(server)
        for path in (access, error):
            path.rename(path.with_suffix(".1"))
        server.signal(signal.SIGUSR1)
        while not (access.exists() and error.exists()):  # each turn is an exchange with the server
            exchange(idle.connection, "GET", "/page/between")
        server.get("/page/after")
        server.get("/boom")
        idle.connection.close()
        server.stop()
    before, after = access.with_suffix(".1").read_text(), access.read_text()
    assert "/page/before" in before
    assert "/page/after" not in before
    assert "/page/after" in after
    for log in (error, error.with_suffix(".1")):
        assert log.read_text().count("Traceback") == 1
    assert "logs reopened" in error.read_text()


# --- files ------------------------------------------------------------------------------------------------------------


def test_the_pid_file(tmp_path: Path, data: Path) -> None:
    pid = tmp_path / "pid"
    with running(tmp_path, *BARE, "--pid", str(pid), data=data) as server:
        assert int(pid.read_text()) == server.process.pid
        server.stop()
    assert not pid.exists()


def test_the_ready_file_names_every_address(tmp_path: Path, data: Path) -> None:
    """Two listeners: the one is on port 0, the other a unix socket."""
    path = tmp_path / "edge.sock"
    with running(tmp_path, *BARE, "--bind", f"unix:{path}", data=data) as server:
        assert server.urls == [f"https://127.0.0.1:{server.port}", f"unix:{path}"]


# --- sockets ----------------------------------------------------------------------------------------------------------


def test_two_addresses(tmp_path: Path, data: Path) -> None:
    with running(tmp_path, *BARE, "--no-tls", "-b", "127.0.0.1:0", data=data) as server:
        assert len(server.urls) == 2
        for url in server.urls:
            address = url.removeprefix("http://")
            with closing(http.client.HTTPConnection(address, timeout=PATIENCE)) as connection:
                assert exchange(connection, "GET", "/page/x").text == f"x||http://{address}"


def ask_unix(path: Path, target: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(path))
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        return read_to_end(sock)


def test_a_unix_socket(tmp_path: Path, data: Path) -> None:
    """Its clients may be anybody: not even with --dev do they see a traceback (F11). The file goes with the server."""
    path = tmp_path / "edge.sock"
    words = (*BARE, "--no-tls", "--dev", "--bind", f"unix:{path}")
    with running(tmp_path, *words, data=data, bind=False) as server:
        assert ask_unix(path, "/page/x").endswith(b"x||http://h")
        answer = ask_unix(path, "/boom")
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert b"secret" not in answer
        server.logged(None, "a secret of the application")
        server.claimed.append("/boom")
        server.stop()
    assert not path.exists()


ADOPT = """\
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.argv[2], sys.argv[2:])
"""
"""What systemd does: the listening socket becomes descriptor 3 of the very process that is told of it."""


@pytest.mark.parametrize("words", [(), ("--bind", "fd://3")], ids=["LISTEN_FDS", "fd://3"])
def test_a_socket_from_systemd(tmp_path: Path, data: Path, words: tuple[str, ...]) -> None:
    """Issue 2, §6: connections that came before the server started are answered too."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        early = socket.create_connection(listener.getsockname(), timeout=PATIENCE)
        early.sendall(b"GET /page/early HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        with running(
            tmp_path, *BARE, "--no-tls", *words, data=data, bind=False,
            pass_fds=(listener.fileno(),), through=(sys.executable, "-c", ADOPT, str(listener.fileno())),
        ) as server:  # fmt: skip
            with early:
                assert read_to_end(early).endswith(b"early||http://h")
            assert server.port == listener.getsockname()[1]
            assert server.get("/page/late").text == f"late||{server.url}"


def test_plain_http_is_sent_to_https(tmp_path: Path, data: Path) -> None:
    """--redirect-http: to the port that TLS really has, query and all; the method is kept (RFC 9110 §15.4.9)."""
    with running(tmp_path, *BARE, "--redirect-http", "127.0.0.1:0", data=data) as server:
        port = server.err.wait_for("redirect").split()[2]
        with closing(http.client.HTTPConnection("localhost", int(port), timeout=PATIENCE)) as connection:
            for method, status in (("GET", 301), ("HEAD", 301), ("POST", 308)):
                reply = exchange(connection, method, "/page/a%20b?q=%C3%BC")
                assert reply.status == status
                assert reply["Location"] == f"https://localhost:{server.port}/page/a%20b?q=%C3%BC"


def test_plain_http_on_the_tls_port_is_sent_to_https(tmp_path: Path, data: Path) -> None:
    """E9, --redirect-plain: to the same port; the method is kept."""
    with running(tmp_path, *BARE, "--redirect-plain", data=data) as server:
        for method, status in (("GET", 301), ("POST", 308)):
            with closing(http.client.HTTPConnection("localhost", server.port, timeout=PATIENCE)) as plain:
                reply = exchange(plain, method, "/page/x?q=1")
            assert (reply.status, reply["Location"]) == (status, f"https://localhost:{server.port}/page/x?q=1")
        assert server.get("/page/x").status == 200


# --- limits -----------------------------------------------------------------------------------------------------------

MOST = 100_000


@pytest.fixture(scope="module")
def limited(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    words = (*BARE, "--no-tls", "--max-body", str(MOST), "--max-connections", "3", "--keepalive", "500ms")
    with running(tmp_path_factory.mktemp("limited"), *words, data=data) as server:
        yield server


def in_chunks(size: int) -> Iterator[bytes]:
    while size:
        piece = min(size, 30_000)
        size -= piece
        yield b"x" * piece


@pytest.mark.parametrize("size", [MOST - 1, MOST, MOST + 1])
@pytest.mark.parametrize("body", [lambda size: b"x" * size, in_chunks], ids=["length", "chunked"])
def test_the_largest_body(limited: Server, body: Callable[[int], bytes | Iterator[bytes]], size: int) -> None:
    """E8: one byte too many is 413, which the client can read; the application is not called."""
    reply = limited.request("POST", "/upload", body(size))
    if size <= MOST:
        assert reply.json()["size"] == size
    else:
        assert reply.status == 413


def test_a_body_far_beyond_the_limit(limited: Server) -> None:
    """E8: told by its length, before a byte of it is read."""
    with closing(limited.connect()) as connection:
        connection.putrequest("POST", "/upload")
        connection.putheader("Content-Length", str(10**12))
        connection.endheaders()
        with connection.getresponse() as response:
            assert response.status == 413
            assert response.getheader("Connection") == "close"
            assert b"413" in response.read()


def test_too_many_connections(limited: Server) -> None:
    """E11: 503 for those over the limit, and room again when others have left."""
    held = [limited.connect() for _ in range(3)]
    for connection in held:
        assert exchange(connection, "GET", "/page/held").status == 200
    refused = limited.get("/page/x")
    assert refused.status == 503
    assert int(refused["Retry-After"]) > 0
    assert exchange(held[0], "GET", "/page/still").status == 200
    for connection in held:
        connection.close()
    assert any(limited.get("/page/x").status == 200 for _ in range(100))


def test_an_idle_connection_is_closed(limited: Server) -> None:
    """E7: --keepalive."""
    with closing(limited.connect()) as connection:
        exchange(connection, "GET", "/page/x")
        assert connection.sock.recv(1) == b""


def test_no_keepalive_at_all(tmp_path: Path, data: Path) -> None:
    with running(tmp_path, *BARE, "--no-tls", "--keepalive", "0", data=data) as server:
        reply = server.get("/page/x", connection="keep-alive")
        assert (reply.status, reply["Connection"]) == (200, "close")


# --- logs -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def logging_json(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A folder and an application, logging JSON on standard output."""
    site = tmp_path_factory.mktemp("logged")
    (site / "file.txt").write_text("a file")
    words = ("--static", str(site), *BARE, "--max-body", "10", "--log-format", "json")
    with running(tmp_path_factory.mktemp("logging"), *words, data=data) as server:
        yield server


def identity(raw: bytes) -> str:
    return str(http.client.parse_headers(io.BytesIO(raw.partition(b"\r\n")[2]))["X-Request-Id"])


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/file.txt", 200),
        ("HEAD", "/file.txt", 200),
        ("GET", "/page/caf%C3%A9?q=%22", 200),
        ("GET", "/absent", 404),
        ("GET", "/redirect", 302),
        ("POST", "/upload", 413),
    ],
)
def test_a_line_of_the_access_log(logging_json: Server, method: str, target: str, status: int) -> None:
    """Issue 2, §6: every answer has an id, and one line of the log has the same."""
    reply = logging_json.request(method, target, b"x" * 11 if method == "POST" else None, {"User-Agent": 'a "test"'})
    assert reply.status == status
    line = json.loads(logging_json.out.wait_for(reply["X-Request-Id"]))
    assert (line["status"], line["method"], line["target"]) == (status, method, target)
    assert (line["bytes"], line["user_agent"], line["scheme"]) == (len(reply.body), 'a "test"', "https")
    assert line["duration_ms"] >= 0


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00\x01\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /page/\xff\xfe HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: h\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        b"TRACE / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 40_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
)
def test_a_request_that_cannot_be_read_is_logged_too(logging_json: Server, request_bytes: bytes) -> None:
    """E1, E2: an answer with an id, a line of JSON with the same."""
    answer = logging_json.raw(request_bytes)
    assert answer[:9] == b"HTTP/1.1 "
    line = json.loads(logging_json.out.wait_for(identity(answer)))
    assert line["status"] == int(answer[9:12])


def test_ids_are_unique(logging_json: Server) -> None:
    replies: list[Reply] = []
    with closing(logging_json.connect()) as connection:
        replies += [exchange(connection, "GET", target) for target in ("/file.txt", "/page/x", "/absent") * 10]
    assert len({reply["X-Request-Id"] for reply in replies}) == 30


def test_no_access_log(tmp_path: Path, data: Path) -> None:
    with running(tmp_path, *BARE, "--access-log", "off", data=data) as server:
        server.get("/page/x")
        server.stop()
    assert server.out.lines == []


def test_every_line_is_there_at_the_end(tmp_path: Path, data: Path) -> None:
    """Engine, rule 14: always before exit."""
    with running(tmp_path, *BARE, "--no-tls", data=data) as server:
        with closing(server.connect()) as connection:
            for number in range(100):
                exchange(connection, "GET", f"/page/{number}")
        server.stop()
    assert [line.split('"')[1] for line in server.out.lines] == [f"GET /page/{n} HTTP/1.1" for n in range(100)]


# --- what it says at start --------------------------------------------------------------------------------------------


def test_the_banner(tmp_path: Path, data: Path) -> None:
    """Where to go, what is served from where, what to do about the certificate; no colour in a pipe."""
    (tmp_path / "site").mkdir()
    with running(tmp_path, data=data, cwd=tmp_path) as server:
        said = "\n".join(server.err.lines)
        assert server.url in said
        assert "site/" in said
        assert str(server.ca) in said
        assert "edgestack certs trust" in said
        assert "\x1b" not in said
