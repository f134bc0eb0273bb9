"""The PROXY protocol: the specification's own examples, hostile headers, and both drivers behind a proxy."""

from __future__ import annotations

import logging
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from edgestack.compose import compose
from edgestack.config.model import Config, Limits, Listener, Respond, Route, Server, Timeouts, Tls
from edgestack.errors import ClientError
from edgestack.http.facts import Facts
from edgestack.stack import Stack
from edgestack.wire.proxy_protocol import LONGEST, Told, encode, read_header

SIGNATURE = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
CLIENT, SERVER = ("192.0.2.1", 56324), ("198.51.100.7", 443)
CLIENT_6, SERVER_6 = ("2001:db8::1", 56324), ("2001:db8::2", 443)


def v2(command: int, family: int, body: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack(">BBH", command, family, len(body) if length is None else length) + body


BODY_4 = bytes([192, 0, 2, 1, 198, 51, 100, 7]) + struct.pack(">HH", 56324, 443)
BODY_6 = (
    b"\x20\x01\x0d\xb8" + b"\0" * 11 + b"\1" + b"\x20\x01\x0d\xb8" + b"\0" * 11 + b"\2" + struct.pack(">HH", 56324, 443)
)
UNIX = b"/run/a.sock".ljust(108, b"\0") + b"/run/b\x1b.sock".ljust(108, b"\0")

HEADERS = {
    "v1 over IPv4": (b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", CLIENT, SERVER),
    "v1 over IPv6": (b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n", CLIENT_6, SERVER_6),
    "v1, the longest address": (
        b"PROXY TCP6 " + b" ".join([b"ffff:" * 7 + b"ffff"] * 2) + b" 65535 65535\r\n",
        ("ffff:" * 7 + "ffff", 65535),
        ("ffff:" * 7 + "ffff", 65535),
    ),
    "v1, unknown": (b"PROXY UNKNOWN\r\n", None, ("", 0)),
    "v1, unknown with more": (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None, ("", 0)),
    "v1, mapped": (b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.7 56324 443\r\n", CLIENT, SERVER),
    "v2 over IPv4": (v2(0x21, 0x11, BODY_4), CLIENT, SERVER),
    "v2 over IPv6": (v2(0x21, 0x21, BODY_6), CLIENT_6, SERVER_6),
    "v2 with TLVs": (v2(0x21, 0x11, BODY_4 + b"\x04\0\3abc"), CLIENT, SERVER),
    "v2 over a unix socket": (v2(0x21, 0x31, UNIX), ("unix:/run/a.sock", 0), ("unix:/run/b.sock", 0)),
    "v2, local": (v2(0x20, 0x00, b""), None, ("", 0)),
    "v2, local with addresses": (v2(0x20, 0x11, BODY_4), None, ("", 0)),
    "v2, unspecified": (v2(0x21, 0x00, b"abc"), None, ("", 0)),
    "v2, datagrams": (v2(0x21, 0x12, BODY_4), None, ("", 0)),
    "v2, the longest": (v2(0x21, 0x11, BODY_4 + b"\0" * (LONGEST - 16 - 12)), CLIENT, SERVER),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers(name: str) -> None:
    """Read the same whole, with what follows, and not before they are complete: cut at every byte."""
    data, client, server = HEADERS[name]
    told = Told(len(data), client, server)
    assert read_header(data) == told
    assert read_header(data + b"GET / HTTP/1.1\r\n") == told
    for cut in range(len(data)):
        assert read_header(data[:cut]) is None


NO_HEADERS = {
    "a request": b"GET / HTTP/1.1\r\n",
    "TLS": b"\x16\x03\x01",
    "lower case": b"proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
    "an empty line": b"\r\n\r\nGET",
    "a family that is none": b"PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n",
    "another family's address": b"PROXY TCP4 ::1 ::1 1 1\r\n",
    "no address": b"PROXY TCP4 localhost 1.1.1.1 1 1\r\n",
    "an address with a zone": b"PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n",
    "octal": b"PROXY TCP4 010.1.1.1 1.1.1.1 1 1\r\n",
    "digits of another script": "PROXY TCP4 ²92.0.2.1 1.1.1.1 1 1\r\n".encode("latin-1"),
    "two spaces": b"PROXY TCP4  1.1.1.1 1.1.1.1 1 1\r\n",
    "a word missing": b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n",
    "a word more": b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n",
    "a port too high": b"PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n",
    "a signed port": b"PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n",
    "a port with zeros": b"PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n",
    "bare line feed": b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n",
    "a line that does not end": b"PROXY UNKNOWN " + b"a" * 93,
    "a line too long": b"PROXY UNKNOWN " + b"a" * 92 + b"\r\n",
    "v2, version 1": v2(0x11, 0x11, BODY_4),
    "v2, another command": v2(0x22, 0x11, BODY_4),
    "v2, shorter than its addresses": v2(0x21, 0x21, BODY_4),
    "v2, too long": v2(0x21, 0x11, b"", LONGEST - 15),
}


@pytest.mark.parametrize("name", NO_HEADERS)
def test_what_is_none(name: str) -> None:
    with pytest.raises(ClientError) as caught:
        read_header(NO_HEADERS[name])
    assert caught.value.status == 400


@given(st.binary(max_size=300), st.sampled_from([b"", b"PROXY ", b"PROXY TCP6 ", SIGNATURE, SIGNATURE + b"\x21\x11"]))
def test_anything_at_all(data: bytes, beginning: bytes) -> None:
    """Nothing but a `ClientError`, and never more taken than is there."""
    try:
        told = read_header(beginning + data)
    except ClientError:
        return
    assert told is None or 0 < told.size <= len(beginning + data)


@pytest.mark.parametrize(
    ("facts", "first", "client", "server"),
    [
        (Facts(*CLIENT, *SERVER), HEADERS["v1 over IPv4"][0], CLIENT, SERVER),
        (Facts(*CLIENT_6, *SERVER_6), HEADERS["v1 over IPv6"][0], CLIENT_6, SERVER_6),
        (Facts(*CLIENT, *SERVER_6), None, CLIENT, SERVER_6),
        (Facts("unix:", 0, "/run/a.sock", 0), b"PROXY UNKNOWN\r\n", None, ("", 0)),
    ],
)
def test_what_is_said_is_understood(
    facts: Facts, first: bytes | None, client: tuple[str, int] | None, server: tuple[str, int]
) -> None:
    """Out and in again, in both versions."""
    for version in (1, 2):
        data = encode(version, facts)
        assert read_header(data) == Told(len(data), client, server)
    if first is not None:
        assert encode(1, facts) == first


# --- a listener behind a proxy ----------------------------------------------------------------------------------------

ADDRESS = Route(respond=Respond(body="$remote_addr $remote_port $server_port $scheme"))
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def serving(
    *trusted: str, portable: bool, tls: Tls | None = None, handshake: float = 10.0
) -> AsyncIterator[tuple[str, int]]:
    """Where a stack listens whose listener reads PROXY headers."""
    listener = Listener("127.0.0.1", tls=tls is not None, proxy_protocol=trusted)
    server = Server(timeouts=Timeouts(handshake=handshake), limits=Limits(connections=100))
    stack = Stack(compose(Config(server, (listener,), tls or Tls(), routes=(ADDRESS,))), {}, portable=portable)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(stack.serve)
            yield stack._places.pairs[0][1].getsockname()
            nursery.cancel_scope.cancel()


async def connect(address: tuple[str, int]) -> trio.SocketStream:
    return await trio.open_tcp_stream(*address)


async def rest(stream: trio.abc.ReceiveStream) -> bytes:
    try:
        return b"".join([data async for data in stream])
    except trio.BrokenResourceError:
        return b""


@pytest.fixture(params=["lot", "portable"])
def portable(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "portable")


@pytest.mark.parametrize("name", ["v1 over IPv4", "v2 over IPv4", "v2 with TLVs"])
async def test_who_the_client_is(name: str, portable: bool) -> None:
    """From a proxy that is trusted: in one piece with the request, and a byte at a time."""
    async with serving("127.0.0.1", portable=portable) as address:
        for pieces in ([HEADERS[name][0] + REQUEST], [bytes([byte]) for byte in HEADERS[name][0] + REQUEST]):
            stream = await connect(address)
            for piece in pieces:
                await stream.send_all(piece)
                if len(pieces) > 1:
                    await wait_all_tasks_blocked()
            assert (await rest(stream)).endswith(b"\r\n\r\n192.0.2.1 56324 443 http")
            await stream.aclose()


@pytest.mark.parametrize(("trusted", "name"), [("10.0.0.0/8", "v2 over IPv4"), ("127.0.0.1", "v2, local")])
async def test_who_is_not_believed_or_says_nothing(trusted: str, name: str, portable: bool) -> None:
    """The header is taken off all the same."""
    async with serving(trusted, portable=portable) as address:
        stream = await connect(address)
        await stream.send_all(HEADERS[name][0] + REQUEST)
        said = await rest(stream)
        assert b"\r\n\r\n127.0.0.1 " in said
        assert said.endswith(b" %d http" % address[1])
        await stream.aclose()


@pytest.mark.parametrize("begun", [b"", b"PROXY TCP4 192", REQUEST, SIGNATURE + b"\x21\x11\x00\x0c"])
async def test_a_connection_that_begins_otherwise(
    begun: bytes, portable: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Closed without an answer: at once where it is no header, else within the time of a handshake."""
    with caplog.at_level(logging.INFO, "edgestack.error"):
        async with serving("127.0.0.1", portable=portable, handshake=0.1) as address:
            stream = await connect(address)
            await stream.send_all(begun)
            assert await rest(stream) == b""
            await stream.aclose()
    assert "PROXY header" in caplog.text


async def test_a_proxy_that_looks_whether_the_port_is_open(portable: bool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "edgestack.error"):
        async with serving("127.0.0.1", portable=portable) as address:
            stream = await connect(address)
            await stream.send_eof()
            assert await rest(stream) == b""
            await stream.aclose()
    assert "the client left before its PROXY header was complete" in caplog.text


async def test_before_tls(tmp_path: Path, portable: bool) -> None:
    """The header goes in clear text before the handshake; the facts of both hold."""
    ca = trustme.CA()
    leaf = ca.issue_cert("backend.example")
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    files[0].write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(files[1])
    context = ssl.create_default_context()
    ca.configure_trust(context)
    async with serving("127.0.0.0/8", portable=portable, tls=Tls((files,))) as address:
        stream = await connect(address)
        await stream.send_all(HEADERS["v2 over IPv6"][0])
        secure = trio.SSLStream(stream, context, server_hostname="backend.example", https_compatible=True)
        await secure.send_all(REQUEST)
        assert (await rest(secure)).endswith(b"\r\n\r\n2001:db8::1 56324 443 https")
        await stream.aclose()


async def test_a_listener_that_reads_none(portable: bool) -> None:
    """Without `proxy_protocol` a header is what it is in HTTP: no request."""
    async with serving(portable=portable) as address:
        stream = await connect(address)
        await stream.send_all(HEADERS["v1 over IPv4"][0] + REQUEST)
        assert (await rest(stream)).startswith(b"HTTP/1.1 400 ")
        await stream.aclose()
