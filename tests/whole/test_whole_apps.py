"""Flask, Django and a bare callable as real applications, behind `edgestack serve --app` over TLS (issue 2, §4)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from server_kit import FRAMEWORKS, Server, exchange, running

UPLOAD = 50_000_000
BLOCK = os.urandom(1 << 16)
LARGE = 20 << 20
BOUNDARY = "edge-stack"
URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


FRAMEWORKS_ONLY = pytest.mark.parametrize("framework", ["flask", "django"], indirect=True, scope="session")
"""For what the bare application does not know: multipart forms."""


def pieces() -> Iterator[bytes]:
    """50 MB of what does not compress."""
    whole, rest = divmod(UPLOAD, len(BLOCK))
    yield from (BLOCK for _ in range(whole))
    yield BLOCK[:rest]


@pytest.fixture(scope="module")
def digest() -> str:
    sha256 = hashlib.sha256()
    for piece in pieces():
        sha256.update(piece)
    return sha256.hexdigest()


def part(name: str, filename: str = "") -> bytes:
    file = f'; filename="{filename}"\r\nContent-Type: application/octet-stream' if filename else ""
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()


# --- pages and forms --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "name", "query"),
    [
        ("/page/plain", "plain", ""),
        ("/page/caf%C3%A9?q=%C3%BC", "café", "ü"),
        ("/page/%E2%98%83/a%20b?q=a+b%26c", "☃/a b", "a b&c"),
        ("/page/x/./y/../z", "x/z", ""),
        ("/page/50%25", "50%", ""),
    ],
)
def test_a_page(server: Server, target: str, name: str, query: str) -> None:
    """F1, F3: the path decoded once, the query as sent, scheme and host as the client used them."""
    reply = server.get(target)
    assert reply.status == 200
    assert reply.text == f"{name}|{query}|{server.url}"
    assert len(reply["X-Request-Id"]) == 32


def test_a_page_that_is_missing(server: Server) -> None:
    assert server.get("/absent").status == 404


def test_a_form(server: Server) -> None:
    """F4."""
    reply = server.request("POST", "/form", b"name=J%C3%BCrgen&text=a+b", URLENCODED)
    assert reply.json() == {"name": "Jürgen", "text": "a b"}


@FRAMEWORKS_ONLY
def test_a_form_with_a_file(server: Server) -> None:
    body = part("note") + b"hello\r\n" + part("file", "a.txt") + "naïve".encode() + f"\r\n--{BOUNDARY}--\r\n".encode()
    assert server.request("POST", "/form", body, MULTIPART).json() == {"note": "hello", "file": "naïve"}


def test_json(server: Server) -> None:
    value = {"list": [1, 2.5, None], "text": "ü"}
    reply = server.request("POST", "/json", json.dumps(value).encode(), {"Content-Type": "application/json"})
    assert reply.json() == value
    assert reply["Content-Type"] == "application/json"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_methods(server: Server, method: str) -> None:
    assert server.request(method, "/method").text == method


def test_a_method_override(server: Server) -> None:
    assert server.request("POST", "/method", b"", {"X-HTTP-Method-Override": "PUT"}).text == "PUT"


# --- uploads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_upload_of_50_mb(server: Server, digest: str, framing: str) -> None:
    """F4, F14: spooled to a file, and what the application reads is what was sent."""
    fields = {"Content-Type": "application/octet-stream"}
    if framing == "length":
        fields["Content-Length"] = str(UPLOAD)
    reply = server.request("POST", "/upload", pieces(), fields)
    assert (reply.status, reply.json()) == (200, {"size": UPLOAD, "sha256": digest})


@FRAMEWORKS_ONLY
def test_a_form_with_a_file_of_50_mb(server: Server, digest: str) -> None:
    """As a browser sends it."""
    head, tail = part("file", "disk.img"), f"\r\n--{BOUNDARY}--\r\n".encode()

    def body() -> Iterator[bytes]:
        yield head
        yield from pieces()
        yield tail

    fields = {**MULTIPART, "Content-Length": str(len(head) + UPLOAD + len(tail))}
    assert server.request("POST", "/upload", body(), fields).json() == {"size": UPLOAD, "sha256": digest}


# --- answers ----------------------------------------------------------------------------------------------------------


def test_a_stream_arrives_while_it_is_made(server: Server) -> None:
    """F5, D6: the first piece is here before the application has made the second, which another request sets free."""
    with closing(server.connect()) as connection:
        connection.request("GET", "/stream/apps")
        with connection.getresponse() as response:
            assert response.read1(100) == b"first "
            assert server.get("/open/apps").text == "open"
            assert response.read() == b"second"
            assert response.getheader("Transfer-Encoding") == "chunked"
            assert response.getheader("Content-Length") is None


def test_a_large_download(server: Server) -> None:
    reply = server.get("/large")
    assert (len(reply.body), reply.body.count(0)) == (LARGE, LARGE)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file(server: Server, file: Path, method: str) -> None:
    """F12: send_file, FileResponse and wsgi.file_wrapper; HEAD tells the same length."""
    reply = server.request(method, "/file")
    assert reply.status == 200
    assert reply["Content-Length"] == str(file.stat().st_size)
    assert reply.body == (file.read_bytes() if method == "GET" else b"")


RANGES = [
    ("bytes=0-0", slice(0, 1)),
    ("bytes=100-199", slice(100, 200)),
    ("bytes=-100", slice(-100, None)),
    ("bytes=299000-", slice(299_000, None)),
]


@pytest.mark.parametrize(("wanted", "part"), RANGES)
def test_a_part_of_a_file(server: Server, framework: str, file: Path, wanted: str, part: slice) -> None:
    """Ranges are the framework's own business, and pass; those that know none give the whole."""
    whole = file.read_bytes()
    reply = server.get("/file", range=wanted)
    if framework == "flask":
        assert (reply.status, reply.body) == (206, whole[part])
        assert reply["Content-Length"] == str(len(reply.body))
        assert reply["Content-Range"].endswith(f"/{len(whole)}")
    else:
        assert (reply.status, reply.body) == (200, whole)


@pytest.mark.parametrize("framework", ["flask"], indirect=True, scope="session")
def test_a_file_that_the_client_has(server: Server) -> None:
    """Flask's send_file answers conditional requests by itself; the others give files no validator."""
    first = server.get("/file")
    again = server.get("/file", if_none_match=first["ETag"])
    assert (again.status, again.body) == (304, b"")
    assert again["ETag"] == first["ETag"]
    assert server.get("/file", if_modified_since=first["Last-Modified"]).status == 304


def test_a_page_that_the_client_has(server: Server) -> None:
    """E5: the application's own 304, without a body, and the connection goes on."""
    with closing(server.connect()) as connection:
        first = exchange(connection, "GET", "/validated")
        assert (first.status, first.text) == (200, "a page")
        again = exchange(connection, "GET", "/validated", fields={"If-None-Match": first["ETag"]})
        assert (again.status, again.body, again["ETag"]) == (304, b"", first["ETag"])
        assert exchange(connection, "GET", "/validated").text == "a page"


@pytest.mark.parametrize("target", ["/page/x", "/validated", "/large", "/file", "/redirect", "/absent"])
def test_head_tells_what_get_would(server: Server, framework: str, target: str) -> None:
    """E5: the same fields and no body, and the connection goes on. What says how a body is framed may be left out
    (RFC 9110 §9.3.2): an application may give a HEAD no body, from which no length can be told."""
    with closing(server.connect()) as connection:
        head = exchange(connection, "HEAD", target)
        get = exchange(connection, "GET", target)
    assert (head.status, head.body) == (get.status, b"")
    framing, own = {"content-length", "transfer-encoding"}, {"date", "x-request-id"}
    if framework == "django":
        own.add("etag")  # its middleware makes one for GET alone
    before, after = ({name.lower(): value for name, value in one.fields} for one in (head, get))
    assert before.items() - after.items() <= {(name, before[name]) for name in own & before.keys()}
    assert after.keys() - before.keys() <= own | framing


def test_cookies_stay_separate(server: Server) -> None:
    """RFC 6265 §3: Set-Cookie is never folded; Cookie is one field for the application (F2)."""
    reply = server.get("/cookies", cookie="x=1; y=2")
    assert [cookie.partition(";")[0] for cookie in reply.all("Set-Cookie")] == ["a=1", "b=2"]
    assert reply.text == "x=1; y=2"


def test_a_redirect(server: Server) -> None:
    reply = server.get("/redirect")
    assert (reply.status, reply["Location"]) == (302, "/page/there?q=1")


def test_an_exception(server: Server, framework: str) -> None:
    """F11: 500, the traceback in the log under the request's id and not on the wire; the server goes on."""
    reply = server.get("/boom")
    assert reply.status == 500
    assert "secret" not in reply.text
    assert "Traceback" not in reply.text
    if framework != "django":  # which keeps it to itself, unless its own logging is set up
        server.logged(reply, "a secret of the application")
    assert server.get("/page/x").status == 200


# --- with --dev -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def developed(framework: str, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The application under `--dev`, its exceptions let through to the server."""
    folder = tmp_path_factory.mktemp("dev")
    words = ("--app", FRAMEWORKS[framework], "--dev")
    with running(folder, *words, data=data, env={"EDGE_PROPAGATE": "1"}) as server:
        yield server


@pytest.mark.parametrize(
    ("accept", "kind"),
    [("text/html,*/*;q=0.8", "text/html; charset=utf-8"), ("*/*", "text/plain; charset=utf-8"),
     ("application/json", "application/json")],
)  # fmt: skip
def test_an_exception_in_development(developed: Server, accept: str, kind: str) -> None:
    """F11: the traceback, for this machine, in the form that the client likes."""
    reply = developed.get("/boom", accept=accept)
    assert (reply.status, reply["Content-Type"]) == (500, kind)
    assert "LookupError" in reply.text
    assert "a secret of the application" in reply.text
    developed.logged(reply, "a secret of the application")
