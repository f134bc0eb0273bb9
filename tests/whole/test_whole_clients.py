"""Python's clients and openssl over real TLS: httpx2 (plain, and async on trio), http.client, `openssl s_client`."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
from contextlib import closing
from typing import Any

import pytest
import trio
from server_kit import PATIENCE, Server, exchange

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")


@pytest.fixture(scope="module")
def httpx2() -> Any:
    return pytest.importorskip("httpx2")


# --- httpx2 -----------------------------------------------------------------------------------------------------------


def test_httpx2(bare: Server, httpx2: Any) -> None:
    """Pages, a form, an upload in chunks, and cookies that come back, on connections that are kept."""
    with httpx2.Client(verify=bare.tls(), base_url=bare.url, trust_env=False) as client:
        assert client.get("/page/café", params={"q": "ü"}).text == f"café|ü|{bare.url}"
        assert client.post("/form", data={"a": "b c"}).json() == {"a": "b c"}
        assert client.post("/upload", content=iter([b"x" * 100_000] * 3)).json()["size"] == 300_000
        client.get("/cookies")
        assert client.get("/cookies").text == "a=1; b=2"
        assert client.get("/redirect", follow_redirects=True).text == f"there|1|{bare.url}"
        assert client.head("/file").headers["content-length"] == "300000"


def test_httpx2_reads_a_stream_as_it_comes(bare: Server, httpx2: Any) -> None:
    """D6: compressed, and not withheld."""
    client = httpx2.Client(verify=bare.tls(), base_url=bare.url, trust_env=False)
    with client, client.stream("GET", "/stream/httpx2") as response:
        pieces = response.iter_bytes()
        assert next(pieces) == b"first "
        assert client.get("/open/httpx2").status_code == 200
        assert b"".join(pieces) == b"second"


async def test_httpx2_on_trio(bare: Server, httpx2: Any) -> None:
    """Forty requests at once, more than there are application threads."""
    texts: dict[int, str] = {}
    async with httpx2.AsyncClient(verify=bare.tls(), base_url=bare.url, trust_env=False, timeout=PATIENCE) as client:

        async def ask(number: int) -> None:
            texts[number] = (await client.get(f"/page/{number}")).text

        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(ask, number)
    assert texts == {number: f"{number}||{bare.url}" for number in range(40)}


# --- http.client ------------------------------------------------------------------------------------------------------


def test_one_connection_for_everything(bare: Server) -> None:
    """E4: bodies with a length, in chunks and without, read by the application or not, and still in step."""
    with closing(bare.connect()) as connection:
        exchange(connection, "GET", "/page/first")
        socket_used = connection.sock
        for number in range(20):
            assert exchange(connection, "GET", f"/page/{number}").text.startswith(f"{number}|")
            assert exchange(connection, "POST", "/upload", b"x" * number).json()["size"] == number
            assert exchange(connection, "POST", "/upload", iter([b"y"] * number)).json()["size"] == number
            assert exchange(connection, "POST", "/page/unread", b"x" * 1000).status == 200
            assert exchange(connection, "HEAD", "/page/x").body == b""
        assert connection.sock is socket_used


def test_a_client_that_pretends(bare: Server) -> None:
    """F2, F3: nobody here is a trusted proxy; names with an underscore and `Proxy` (httpoxy) do not arrive."""
    pretended = {
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Proto": "gopher",
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "for=192.0.2.1",
        "Proxy": "http://evil.example",
        "X_Real_Ip": "192.0.2.1",
        "X-Kept": "kept",
    }
    environ = bare.request("GET", "/environ", fields=pretended).json()
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["HTTP_HOST"] == f"localhost:{bare.port}"
    assert environ["SERVER_PORT"] == str(bare.port)
    assert environ["HTTP_X_KEPT"] == "kept"
    assert {"HTTP_PROXY", "HTTP_X_REAL_IP"}.isdisjoint(environ)


def test_a_client_that_pipelines(bare: Server) -> None:
    """E4: in order, though the answers come from several threads."""
    asked = [f"GET /page/{number} HTTP/1.1\r\nHost: h\r\n\r\n" for number in range(50)]
    told = bare.raw("".join([*asked, "GET /page/end HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"]).encode())
    assert re.findall(rb"\r\n\r\n(\w+)\|\|https://h", told) == [*(b"%d" % number for number in range(50)), b"end"]


def test_a_client_that_says_it_is_done(bare: Server) -> None:
    """Engine, rule 8: a half-closed connection still gets its answer."""
    with socket.create_connection(("127.0.0.1", bare.port), timeout=PATIENCE) as raw:
        tls = bare.tls().wrap_bio(incoming := ssl.MemoryBIO(), outgoing := ssl.MemoryBIO(), server_hostname="localhost")

        def until(step: Any) -> Any:
            while True:
                try:
                    result = step()
                except ssl.SSLWantReadError:
                    if outgoing.pending:
                        raw.sendall(outgoing.read())
                    incoming.write(raw.recv(1 << 16))
                else:
                    if outgoing.pending:
                        raw.sendall(outgoing.read())
                    return result

        until(tls.do_handshake)
        until(lambda: tls.write(b"GET /page/half HTTP/1.1\r\nHost: h\r\n\r\n"))
        raw.shutdown(socket.SHUT_WR)
        assert b"half||https://h" in until(lambda: tls.read(1 << 16))


# --- TLS itself -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed(bare: Server, version: ssl.TLSVersion) -> None:
    """Issue 2, §5: the second connection skips the certificate."""
    context = bare.tls()
    context.maximum_version = version
    session = None
    reused = []
    for _ in range(2):
        raw = socket.create_connection(("127.0.0.1", bare.port), timeout=PATIENCE)
        with context.wrap_socket(raw, server_hostname="localhost", session=session) as tls:
            tls.sendall(b"GET /page/x HTTP/1.1\r\nHost: h\r\n\r\n")
            assert tls.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")  # tickets of TLS 1.3 come with the first data
            session = tls.session
            reused.append(tls.session_reused)
    assert reused == [False, True]


@pytest.mark.parametrize("offered", [["h2", "http/1.1"], ["http/1.1"]])
def test_alpn(bare: Server, offered: list[str]) -> None:
    """RFC 7301."""
    context = bare.tls()
    context.set_alpn_protocols(offered)
    raw = socket.create_connection(("127.0.0.1", bare.port), timeout=PATIENCE)
    with context.wrap_socket(raw, server_hostname="localhost") as tls:
        assert tls.selected_alpn_protocol() == "http/1.1"


def s_client(server: Server, *words: str) -> str:
    """What `openssl s_client` tells of its connections; its input is at its end at once."""
    assert OPENSSL
    command = [OPENSSL, "s_client", "-connect", f"127.0.0.1:{server.port}", "-servername", "localhost"]
    done = subprocess.run(
        [*command, "-CAfile", str(server.ca), "-verify_return_error", *words],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=2 * PATIENCE,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    return done.stdout + done.stderr


@needs_openssl
def test_openssl_reconnects(bare: Server) -> None:
    """Resumption as `openssl s_client -reconnect` tells it: one full handshake, five short ones."""
    told = s_client(bare, "-reconnect", "-tls1_2")
    assert told.count("New, TLSv1.2") == 1
    assert told.count("Reused, TLSv1.2") == 5
    assert "Verify return code: 0 (ok)" in told


@needs_openssl
@pytest.mark.parametrize("old", ["-tls1", "-tls1_1"])
def test_old_versions_are_refused(bare: Server, old: str) -> None:
    """RFC 8996. The client is allowed its weakest, so that it is the server that refuses."""
    told = s_client(bare, old, "-cipher", "ALL:@SECLEVEL=0")
    assert "Cipher is (NONE)" in told
    assert "alert protocol version" in told
