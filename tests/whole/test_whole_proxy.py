"""The edge before real servers, over HTTP: gunicorn, nginx, and one that does nothing but give.

Issue 4, "real parts": uploads and downloads that do not fit in memory, streams, and every kind of body and answer.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from server_kit import PATIENCE, Server, exchange
from upstream_kit import front, gunicorn, needs_nginx, nginx, port_of, read_head, scripted, tcp, unix

CONFIG = """
[server]
max_body = "100MB"
[upstream.app]
servers = ["127.0.0.1:{port}"]
[[route]]
match = "/buffered/"
proxy = "http://app/"
[[route]]
match = "/passed/"
proxy = {{ to = "http://app/", request_buffering = false, buffering = false }}
[[route]]
match = "/unix/"
proxy = "http://unix:{path}:/"
"""
ROADS = ["buffered", "passed", "unix"]
UPLOAD = 50 << 20
DOWNLOAD = 100 << 20
BLOCK = bytes(range(256)) * 256
GROWTH = 48 << 20
"""Bytes of memory that a server may take for what is larger than that; our number."""


@pytest.fixture(scope="module")
def app(data: Path, file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An edge before gunicorn, on a port and on a unix socket."""
    folder = tmp_path_factory.mktemp("app")
    with ExitStack() as stack:
        listener, local = stack.enter_context(tcp()), stack.enter_context(unix(folder / "app.sock"))
        for one in (listener, local):
            stack.enter_context(gunicorn(one, env={"EDGE_FILE": str(file)}))
        text = CONFIG.format(port=port_of(listener), path=folder / "app.sock")
        yield stack.enter_context(front(folder, text, data=data))


def memory(server: Server) -> int:
    """Bytes: the most that it has had in memory."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc here to look at memory")


# --- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("road", ROADS)
def test_one_connection_for_all(app: Server, road: str) -> None:
    """B7: the client's connection is kept whatever happens behind it; HEAD, 204-like and unread bodies included."""
    with closing(app.connect()) as connection:
        exchange(connection, "GET", f"/{road}/page/first")
        socket_used = connection.sock
        for number in range(20):
            assert exchange(connection, "GET", f"/{road}/page/{number}").text.startswith(f"{number}|")
            assert exchange(connection, "POST", f"/{road}/upload", b"x" * number).json()["size"] == number
            assert exchange(connection, "PUT", f"/{road}/upload", iter([b"y"] * number)).json()["size"] == number
            head = exchange(connection, "HEAD", f"/{road}/validated")
            assert (head.status, head.body, head["ETag"]) == (200, b"", '"a-page-of-the-application"')
            again = exchange(connection, "GET", f"/{road}/validated", fields={"If-None-Match": head["ETag"]})
            assert (again.status, again.body) == (304, b"")
            if road != "passed":  # there the answer may overtake the body, and what is unread then closes (E4)
                assert exchange(connection, "POST", f"/{road}/page/unread", b"x" * 1000).status == 200
        assert connection.sock is socket_used


def test_what_the_application_sees(app: Server) -> None:
    """B5, B8: its own name as Host, the client in X-Forwarded-For, and nothing that a client pretends."""
    pretended = {
        "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "gopher", "Proxy": "http://evil.example", "TE": "trailers",
        "X_Secret": "1", "X-Kept": "kept", "Connection": "X-Dropped, close", "X-Dropped": "1",
    }  # fmt: skip
    environ = app.request("GET", "/buffered/environ?a=%2F&b", fields=pretended).json()
    assert environ["HTTP_HOST"] == "app"
    assert environ["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
    assert environ["HTTP_X_FORWARDED_PROTO"] == "http"
    assert environ["HTTP_X_FORWARDED_HOST"] == f"localhost:{app.port}"
    assert environ["HTTP_X_KEPT"] == "kept"
    assert environ["RAW_URI"] == "/environ?a=%2F&b"
    assert {"HTTP_PROXY", "HTTP_TE", "HTTP_X_SECRET", "HTTP_X_DROPPED", "HTTP_CONNECTION"}.isdisjoint(environ)


@needs_proc
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("road", ["buffered", "passed"])
def test_an_upload_of_50_mb(app: Server, road: str, framing: str) -> None:
    """request_buffering on and off: every byte arrives, and few of them are ever in memory."""
    before = memory(app)
    fields = {"Content-Length": str(UPLOAD)} if framing == "length" else {}
    pieces = (BLOCK for _ in range(UPLOAD // len(BLOCK)))
    reply = app.request("POST", f"/{road}/upload", pieces, fields)
    assert reply.json() == {"size": UPLOAD, "sha256": whole_digest(UPLOAD)}
    assert memory(app) - before < GROWTH


def whole_digest(size: int) -> str:
    """Of so many bytes, BLOCK after BLOCK."""
    digest = hashlib.sha256()
    for _ in range(size // len(BLOCK)):
        digest.update(BLOCK)
    return digest.hexdigest()


@pytest.mark.parametrize("road", ROADS)
def test_100_continue(app: Server, road: str) -> None:
    """B8, E6: the edge asks for the body itself; the upstream's own 100 never shows."""
    with app.socket() as sock:
        sock.sendall(
            f"POST /{road}/upload HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
            "Expect: 100-continue\r\nConnection: close\r\n\r\n".encode()
        )
        assert sock.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"12345")
        with http.client.HTTPResponse(sock) as response:
            response.begin()
            assert (response.status, json.load(response)["size"]) == (200, 5)


def test_a_client_that_pipelines(app: Server) -> None:
    """E4: in order, each over a link that is free again, mixed with what is sent on in pieces."""
    asked = [f"GET /{ROADS[number % 3]}/page/{number} HTTP/1.1\r\nHost: h\r\n\r\n" for number in range(60)]
    told = app.raw("".join([*asked, "GET /unix/page/end HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"]).encode())
    assert re.findall(rb"(\w+)\|\|http://", told) == [*(b"%d" % number for number in range(60)), b"end"]


def test_http_10_clients(app: Server) -> None:
    """E3, E5: no chunks for them, and a connection that is kept where they ask for it and the length is known."""
    assert app.raw(b"GET /buffered/page/old HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\nold||http://app")
    large = app.raw(b"GET /buffered/large HTTP/1.0\r\n\r\n")
    head, _, body = large.partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert body == bytes(20 << 20)
    kept = b"HEAD /buffered/file HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    answers = app.raw(kept + kept + b"HEAD /buffered/file HTTP/1.0\r\n\r\n")
    assert re.findall(rb"\r\nContent-Length: (\d+)\r\n", answers) == [b"300000"] * 3


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("road", ROADS)
def test_server_sent_events_pass_at_once(app: Server, road: str) -> None:
    """B13, B14: the first piece is here before the second is made, for it is made only when we ask for it."""
    with closing(app.connect()) as connection:
        gate = f"{road}-events"
        connection.request("GET", f"/{road}/stream/{gate}")
        with connection.getresponse() as response:
            assert response.getheader("Transfer-Encoding") == "chunked"
            assert response.read1(100) == b"first "
            assert app.get(f"/{road}/open/{gate}").text == "open"
            assert response.read() == b"second"


@pytest.mark.parametrize("road", ROADS)
def test_answers_in_pieces(app: Server, road: str) -> None:
    """Chunks of the upstream's become our own; a length stays a length; cookies stay apart."""
    large = app.get(f"/{road}/large")
    assert (large["Transfer-Encoding"], large.body) == ("chunked", bytes(20 << 20))
    file = app.get(f"/{road}/file")
    assert (file["Content-Length"], file.body) == ("300000", bytes(range(250)) * 1200)
    assert app.get(f"/{road}/cookies").all("Set-Cookie") == ["a=1; Path=/", "b=2; Path=/"]
    assert len(file.all("Date")) == len(file.all("Server")) == 1  # B11
    assert "gunicorn" not in str(file.fields)


def test_redirects_are_mapped_back(app: Server) -> None:
    """B12: gunicorn gives the path alone, which is the route's business; an error of the application is its own."""
    assert app.get("/buffered/redirect")["Location"] == "/page/there?q=1"
    boom = app.get("/buffered/boom")
    assert (boom.status, "secret" in boom.text) == (500, False)


class Giver:
    """An upstream that gives DOWNLOAD bytes, and knows how far it has come."""

    def __init__(self) -> None:
        self.stalled = threading.Event()
        """Nobody took anything for a while."""
        self.done = threading.Event()

    def __call__(self, sock: socket.socket) -> None:
        while read_head(sock)[0]:
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % DOWNLOAD)
            sock.settimeout(0.5)
            left = DOWNLOAD
            while left:
                try:
                    left -= sock.send(BLOCK[-left % len(BLOCK) :])
                except TimeoutError:
                    self.stalled.set()
            sock.settimeout(PATIENCE)
            self.done.set()


@needs_proc
@pytest.mark.parametrize("buffering", [True, False], ids=["buffering", "unbuffered"])
def test_a_download_of_100_mb_to_a_slow_client(tmp_path: Path, data: Path, buffering: bool) -> None:
    """B14: with buffering the upstream is done before the client has begun to read; without, it waits for the client.
    Neither takes memory, and no byte is lost."""
    giver = Giver()
    with scripted(giver) as port:
        route = f'to = "http://127.0.0.1:{port}", buffering = {str(buffering).lower()}'
        text = f'[[route]]\nmatch = "/"\nproxy = {{ {route} }}\n'
        with front(tmp_path / "edge", text, data=data) as server, server.socket() as sock:
            before = memory(server)
            sock.sendall(b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            if buffering:
                assert giver.done.wait(PATIENCE)
            else:
                assert giver.stalled.wait(PATIENCE)
                assert not giver.done.is_set()
            digest, size = digest_of_body(sock)
            assert (size, digest) == (DOWNLOAD, whole_digest(DOWNLOAD))
            assert giver.done.wait(PATIENCE)
            assert memory(server) - before < GROWTH


def digest_of_body(sock: socket.socket) -> tuple[str, int]:
    """SHA-256 and size of what comes after the head."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(1 << 16)
    rest = data.partition(b"\r\n\r\n")[2]
    digest, size = hashlib.sha256(rest), len(rest)
    while piece := sock.recv(1 << 18):
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


# --- nginx behind -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An edge before nginx with files."""
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "site" / "folder").mkdir(parents=True)
    (folder / "site" / "page.txt").write_bytes(BLOCK)
    with tcp() as listener, nginx(listener, folder):
        text = f'[[route]]\nmatch = "/files/"\nproxy = "http://127.0.0.1:{port_of(listener)}/"\n'
        with front(folder / "edge", text, data=data) as server:
            yield server


@needs_nginx
def test_ranges_and_validators(files: Server) -> None:
    """206, 304, 412 and 416 come from whoever has the file; HEAD has the length that GET has."""
    whole = files.get("/files/page.txt")
    assert whole.body == BLOCK
    part = files.get("/files/page.txt", range="bytes=5-9")
    assert (part.status, part.body, part["Content-Range"]) == (206, BLOCK[5:10], f"bytes 5-9/{len(BLOCK)}")
    parts = files.get("/files/page.txt", range="bytes=0-0,-1")
    assert (parts.status, parts["Content-Type"].partition(";")[0]) == (206, "multipart/byteranges")
    assert files.get("/files/page.txt", range=f"bytes={len(BLOCK)}-").status == 416
    unchanged = files.get("/files/page.txt", if_none_match=whole["ETag"])
    assert (unchanged.status, unchanged.body, unchanged["ETag"]) == (304, b"", whole["ETag"])
    assert files.get("/files/page.txt", if_match='"other"').status == 412
    head = files.request("HEAD", "/files/page.txt")
    assert (head.body, head["Content-Length"]) == (b"", str(len(BLOCK)))


@needs_nginx
def test_answers_without_a_body(files: Server) -> None:
    """B15: 204 ends with its head, so the connection behind serves the next; its own errors are its own."""
    with closing(files.connect()) as connection:
        for _ in range(3):
            assert exchange(connection, "GET", "/files/nothing").status == 204
            teapot = exchange(connection, "GET", "/files/teapot")
            assert (teapot.status, teapot.body) == (418, b"short")
    missing = files.get("/files/missing")
    assert (missing.status, b"nginx" in missing.body, missing["Server"]) == (404, True, "edgestack")


@needs_nginx
def test_a_redirect_of_nginx(files: Server) -> None:
    """B12: absolute or not, it leads to the route's prefix, where the client can follow it."""
    for target, place in (("/files/folder", "/files/folder/"), ("/files/moved", "/files/moved/to")):
        reply = files.get(target)
        assert (reply.status, urlsplit(reply["Location"]).path) == (301, place)
        assert files.get(place).status in (403, 404)
