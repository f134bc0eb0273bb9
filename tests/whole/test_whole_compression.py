"""Coded answers in the whole product, read by clients that know codings: curl and httpx2 (criteria D1 to D7)."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from server_kit import PATIENCE, Server, running

CURL = shutil.which("curl")
TEXT = "".join(f"<p>line {at} of a page that is worth being coded</p>\n" for at in range(2000))
APP = """
TEXT = "".join(f"<p>line {at} of a page that is worth being coded</p>\\n" for at in range(2000)).encode()


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/echo":
        body = environ["wsgi.input"].read()
        told = environ.get("HTTP_CONTENT_ENCODING", "-") + " " + environ.get("CONTENT_LENGTH", "-")
        start_response("200 OK", [("Content-Type", "application/octet-stream"), ("X-Told", told)])
        return [body]
    if path == "/pieces":
        start_response("200 OK", [("Content-Type", "text/html")])
        return (TEXT[at : at + 5000] for at in range(0, len(TEXT), 5000))
    start_response("200 OK", [("Content-Type", "text/html"), ("ETag", '"v1"')])
    return [TEXT]
"""
CONFIG = """
[server]
bind = "127.0.0.1:0"
tls = false
max_body = "2MB"
access_log = "off"

[[route]]
match = "/files/"
static = "site/"

[[route]]
match = "/plain/"
static = "site/"
compress = "off"

[[route]]
match = "/app/"
app = "coded_app:app"
inflate = true

[[route]]
match = "/raw/"
app = "coded_app:app"
compress = {{ codings = ["gzip"], min_size = 1 }}

[[route]]
match = "/proxied/"
proxy = "http://127.0.0.1:{port}/app/"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that proxies to another one's application, which does not code for it."""
    folder = tmp_path_factory.mktemp("coded")
    (folder / "coded_app.py").write_text(APP)
    (folder / "site").mkdir()
    for name, size in (("small.html", 3000), ("large.html", len(TEXT))):
        path = folder / "site" / name
        path.write_text(TEXT[:size])
        os.utime(path, (1_600_000_000, 1_600_000_000))
    (folder / "site" / "tiny.html").write_text("tiny")
    behind = folder / "behind.toml"
    behind.write_text(
        '[server]\nbind = "127.0.0.1:0"\ntls = false\naccess_log = "off"\n'
        '[[route]]\nmatch = "/app/"\napp = "coded_app:app"\ncompress = "off"\n'
    )
    other = tmp_path_factory.mktemp("behind")
    with running(other, "-c", str(behind), cwd=folder, bind=False) as upstream:
        (folder / "edgestack.toml").write_text(CONFIG.format(port=upstream.port))
        with running(folder, "-c", "edgestack.toml", cwd=folder, bind=False) as front:
            yield front


@pytest.fixture(scope="module")
def httpx2() -> Any:
    return pytest.importorskip("httpx2")


PATHS = ("/files/small.html", "/files/large.html", "/app/page", "/app/pieces", "/proxied/page", "/proxied/pieces")


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
@pytest.mark.parametrize("path", PATHS)
def test_d1_curl(server: Server, path: str) -> None:
    """Whatever answers, `curl --compressed` gets fewer bytes and the same text."""
    assert CURL
    url = f"http://127.0.0.1:{server.port}{path}"
    command = [CURL, "-sS", "--noproxy", "*", "--max-time", str(PATIENCE), "--compressed", "-w", "%{size_download}"]
    done = subprocess.run([*command, url], capture_output=True, check=True, timeout=2 * PATIENCE)
    expected = TEXT[:3000] if "small" in path else TEXT
    assert done.stdout.decode()[: len(expected)] == expected
    assert int(done.stdout.decode()[len(expected) :]) < len(expected) / 4


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_d1_httpx2(server: Server, httpx2: Any, path: str, coding: str) -> None:
    """Each coding by itself, twice on one connection, which goes on."""
    with httpx2.Client(trust_env=False, headers={"Accept-Encoding": coding}) as client:
        for _ in range(2):
            answer = client.get(f"http://127.0.0.1:{server.port}{path}")
            assert (answer.status_code, answer.headers["content-encoding"]) == (200, coding)
            assert answer.headers["vary"] == "Accept-Encoding"
            assert answer.text == (TEXT[:3000] if "small" in path else TEXT)


ACCEPTED = [
    ("gzip, br, zstd", "zstd"), ("gzip, br", "br"), ("br;q=0, gzip", "gzip"), ("*", "zstd"), ("*, zstd;q=0", "br"),
    ("GZIP", "gzip"), ("gzip;q=0.5, br;q=0.4", "gzip"), ("identity;q=0", None), ("gzipped", None), ("", None),
]  # fmt: skip


@pytest.mark.parametrize("path", ["/files/small.html", "/app/page"])
@pytest.mark.parametrize(("accepted", "expected"), ACCEPTED)
def test_d4_accept_encoding(server: Server, path: str, accepted: str, expected: str | None) -> None:
    """RFC 9110 §12.5.3; D2 on all of them."""
    reply = server.get(path, accept_encoding=accepted)
    assert (reply.all("Content-Encoding"), reply["Vary"]) == ([expected] if expected else [], "Accept-Encoding")


def test_d1_what_is_not_coded(server: Server) -> None:
    for path in ("/files/tiny.html", "/plain/large.html"):
        reply = server.get(path, accept_encoding="gzip, br, zstd")
        assert (reply.all("Content-Encoding"), reply.all("Vary")) == ([], [])


def test_the_keys_of_compress(server: Server) -> None:
    reply = server.request("POST", "/raw/echo", b"x" * 500, {"Accept-Encoding": "br, gzip"})
    assert reply.all("Content-Encoding") == []  # of no listed type
    reply = server.get("/raw/page", accept_encoding="zstd, br, gzip;q=0.1")
    assert reply["Content-Encoding"] == "gzip"
    assert gzip.decompress(reply.body).decode() == TEXT


def test_d3_validation_through_a_proxy(server: Server) -> None:
    first = server.get("/proxied/page", accept_encoding="br")
    assert first["ETag"] == '"v1-br"'


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [10, 100_000])
def test_d7_an_inflated_body(server: Server, coding: str, chunked: bool, size: int) -> None:
    """D7: the application sees neither coding nor its length."""
    body = (TEXT.encode() * 2)[:size]
    coded = made(coding, body)
    data: Any = iter([coded[:7], coded[7:]]) if chunked else coded
    reply = server.request("POST", "/app/echo", data, {"Content-Encoding": coding})
    assert (reply.status, reply.body, reply["X-Told"]) == (200, body, f"- {size}")


def test_d7_not_unless_it_is_enabled(server: Server) -> None:
    body = gzip.compress(b"hello")
    reply = server.request("POST", "/raw/echo", body, {"Content-Encoding": "gzip"})
    assert (reply.body, reply["X-Told"]) == (body, f"gzip {len(body)}")


REFUSED = [
    ("too large", "gzip", lambda: gzip.compress(os.urandom(2_100_000)), 413),
    ("a bomb", "gzip", lambda: gzip.compress(bytes(1_900_000)), 413),
    ("a bomb of brotli", "br", lambda: made("br", bytes(1_900_000)), 413),
    ("no gzip", "gzip", lambda: b"this is not coded", 400),
    ("cut off", "gzip", lambda: gzip.compress(TEXT.encode())[:-20], 400),
    ("more behind it", "gzip", lambda: gzip.compress(b"x") + b"more", 400),
    ("unknown", "compress", lambda: b"x", 415),
    ("two", "gzip, br", lambda: b"x", 415),
]


@pytest.mark.parametrize(("coding", "body", "status"), [one[1:] for one in REFUSED], ids=[one[0] for one in REFUSED])
def test_d7_what_is_refused(server: Server, coding: str, body: Any, status: int) -> None:
    """Bounded in size and ratio; 415 says what is taken (RFC 9110 §15.5.16)."""
    reply = server.request("POST", "/app/echo", body(), {"Content-Encoding": coding})
    assert reply.status == status
    assert bool(reply.all("Accept-Encoding")) == (status == 415)


def made(coding: str, data: bytes) -> bytes:
    """By the library itself."""
    if coding == "gzip":
        return gzip.compress(data)
    library: Any = pytest.importorskip({"br": "brotli", "zstd": "backports.zstd"}[coding])
    coded: bytes = library.compress(data)
    return coded
