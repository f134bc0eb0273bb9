"""The receiving half of HTTP/1: requests, bodies, refusals, each with its section of RFC 9112 (E1, E2, E3, E4, E6)."""

from __future__ import annotations

import gc
import sys
import time

import pytest

from edgestack.config.model import Limits
from edgestack.errors import ClientError
from edgestack.http.messages import Request
from edgestack.http.target import ASTERISK
from edgestack.wire.h1 import H1, ChunkedFraming, LengthFraming

LIMITS = Limits()
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def fed(data: bytes, limits: Limits = LIMITS) -> H1:
    h1 = H1(limits)
    h1.feed(data)
    return h1


def request_of(data: bytes) -> Request:
    request = fed(data).next_request()
    assert request is not None
    return request


def refusal_of(data: bytes, limits: Limits = LIMITS) -> ClientError:
    with pytest.raises(ClientError) as caught:
        fed(data, limits).next_request()
    return caught.value


# --- the life of a connection ----------------------------------------------------------------------------------------


def test_idle() -> None:
    """Ten thousand of them are held: nothing in the buffer, no framing, and few bytes."""
    h1 = H1(LIMITS)
    assert h1.next_request() is None
    assert (h1.buffer, h1.framing, h1.eof_error()) == (b"", None, None)
    h1.feed(GET)
    assert h1.next_request() is not None
    assert h1.next_request() is None
    assert (h1.buffer, h1.framing, h1.eof_error()) == (b"", None, None)
    assert sys.getsizeof(h1) <= 96
    assert not hasattr(h1, "__dict__")


def test_a_head_in_pieces() -> None:
    h1 = H1(LIMITS)
    for i in range(len(GET)):
        assert h1.next_request() is None
        assert (h1.eof_error() is None) == (i == 0)
        h1.feed(GET[i : i + 1])
    assert h1.next_request() is not None
    assert h1.eof_error() is None


def test_pipelined_requests_come_in_order() -> None:
    """E4, RFC 9112 §9.3.2: one at a time, and what follows waits in the buffer."""
    one = b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    two = b"POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n"
    h1 = fed(one + two + GET + GET[:9])
    seen = []
    while (request := h1.next_request()) is not None:
        seen.append((request.target, h1.framing.read() if h1.framing else None))
    assert seen == [("/1", b"abc"), ("/2", b"def"), ("/", None)]
    assert h1.buffer == GET[:9]


@pytest.mark.parametrize(
    ("received", "status"),
    [
        (b"", None),
        (b"\r\n", None),
        (b"\r", None),
        (b"G", 400),
        (b"\r\nG", 400),
        (b"\r\n\r", 400),
        (GET[:-1], 400),
    ],
)
def test_end_of_file(received: bytes, status: int | None) -> None:
    """Between two requests it is clean; within a head it deserves an answer (RFC 9112 §8)."""
    h1 = fed(received)
    try:
        assert h1.next_request() is None
        error = h1.eof_error()
    except ClientError as refused:
        error = refused
    assert (error and error.status) == status


def test_end_of_file_within_a_body() -> None:
    h1 = fed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
    assert h1.next_request() is not None
    assert h1.framing is not None
    assert h1.framing.read() == b"a"
    error = h1.eof_error()
    assert error is not None
    assert error.status == 400
    h1.feed(b"b")
    assert h1.framing.read() == b"b"
    assert h1.eof_error() is None


# --- what a request says ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "connection", "persistent"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: keep-alive\r\n", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.1", b"connection: CLOSE\r\n", False),
        (b"1.1", b"Connection: foo,\tclose , bar\r\n", False),
        (b"1.1", b"Connection: closed, xclose\r\n", True),
        (b"1.1", b"Connection: keep-alive, close\r\n", False),
        (b"1.1", b"Connection: a\r\nConnection: close\r\n", False),
        (b"1.1", b"Connection: Upgrade\r\nUpgrade: x\r\n", True),
        (b"1.1", b"Connection: Upgrade, close\r\nUpgrade: x\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: keep-alive\r\n", True),
        (b"1.0", b"Connection: Keep-Alive\r\n", True),
        (b"1.0", b"Connection: foo, Keep-Alive\r\n", True),
        (b"1.0", b"Connection: keep-alive, close\r\n", False),
    ],
)
def test_persistence(version: bytes, connection: bytes, persistent: bool) -> None:
    """E3: RFC 9112 §9.3, and HTTP/1.0 keep-alive honoured when asked (`ab -k`; §C.2.2)."""
    request = request_of(b"GET / HTTP/" + version + b"\r\nHost: a\r\n" + connection + b"\r\n")
    assert request.persistent is persistent
    assert request.version == "HTTP/" + version.decode()


@pytest.mark.parametrize(
    ("line", "host", "asked", "path", "query"),
    [
        (b"GET /a?b HTTP/1.1", b"Host: x\r\n", "x", "/a", "b"),
        (b"GET /a? HTTP/1.1", b"Host: x:8\r\n", "x:8", "/a", ""),
        (b"GET http://y/a?b HTTP/1.1", b"Host: x\r\n", "y", "/a", "b"),
        (b"GET https://y:1 HTTP/1.1", b"Host: x\r\n", "y:1", "/", ""),
        (b"GET http://y?b HTTP/1.1", b"Host: y\r\n", "y", "/", "b"),
        (b"GET /a HTTP/1.0", b"", "", "/a", ""),
        (b"GET /a HTTP/1.0", b"Host:\r\n", "", "/a", ""),
        (b"GET /a HTTP/1.0", b"Host: x\r\n", "x", "/a", ""),
        (b"GET http://y/a HTTP/1.0", b"", "y", "/a", ""),
        (b"OPTIONS * HTTP/1.1", b"Host: x\r\n", "x", "*", ""),
    ],
)
def test_targets(line: bytes, host: bytes, asked: str, path: str, query: str) -> None:
    """E3, RFC 9112 §3.2: origin, absolute and asterisk form; an absolute target overrides Host (§3.2.2)."""
    request = request_of(line + b"\r\n" + host + b"\r\n")
    assert (request.host, request.path.raw, request.query) == (asked, path, query)
    assert request.fields.get("host", "") == asked
    assert request.target == line.split(b" ")[1].decode()
    assert (request.path is ASTERISK) == (path == "*")


@pytest.mark.parametrize(
    ("fields", "expects"),
    [
        (b"Content-Length: 1\r\n", False),
        (b"Content-Length: 1\r\nExpect: 100-continue\r\n", True),
        (b"Content-Length: 1\r\nExpect: 100-Continue\r\n", True),
        (b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n", True),
        (b"Content-Length: 1\r\nExpect: 100-continue-x\r\n", False),
        (b"Content-Length: 1\r\nExpect: x\r\n", False),
    ],
)
def test_expectations(fields: bytes, expects: bool) -> None:
    """E6: on HTTP/1.1 only (RFC 9110 §10.1.1)."""
    h1 = fed(b"POST / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")
    assert h1.next_request() is not None
    assert h1.framing is not None
    assert h1.framing.expects_continue is expects


def test_http_1_0_cannot_expect() -> None:
    """E6."""
    h1 = fed(b"POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")
    assert h1.next_request() is not None
    assert h1.framing is not None
    assert h1.framing.expects_continue is False


def test_an_upgrade_is_an_ordinary_request() -> None:
    request = request_of(
        b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    assert request.fields["upgrade"] == "websocket"
    assert request.fields["connection"] == "keep-alive, Upgrade"


# --- bodies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [b"", b"Content-Length: 0\r\n", b"Content-Length: 000\r\nExpect: 100-continue\r\n"])
def test_no_body_no_framing(fields: bytes) -> None:
    """RFC 9112 §6.3: no length and no coding means no body."""
    h1 = fed(b"POST / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n" + GET)
    assert h1.next_request() is not None
    assert h1.framing is None
    assert h1.buffer == GET


def test_a_body_by_length() -> None:
    """RFC 9112 §6.2: exactly so many bytes, whatever follows them."""
    h1 = fed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
    assert h1.next_request() is not None
    framing = h1.framing
    assert type(framing) is LengthFraming
    assert (framing.length, framing.complete, framing.read()) == (10, False, b"")
    h1.feed(b"0123")
    assert (framing.read(), framing.read(), framing.complete) == (b"0123", b"", False)
    h1.feed(b"456")
    h1.feed(b"789" + GET)
    assert (framing.read(), framing.read(), framing.complete) == (b"456789", b"", True)
    assert h1.buffer == GET
    assert h1.next_request() is not None


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_a_chunked_body(step: int) -> None:
    """RFC 9112 §7.1: decoded however it arrives; extensions and trailers are dropped."""
    body = b'5\r\nhello\r\n1;a;b=c;d="e f"\r\n \r\n00A\r\n0123\r\n6789\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n'
    h1 = fed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert h1.next_request() is not None
    framing = h1.framing
    assert type(framing) is ChunkedFraming
    assert framing.length is None
    data = b""
    stream = body + GET
    for start in range(0, len(stream), step):
        h1.feed(stream[start : start + step])
        data += framing.read()
        assert framing.complete == (start + step >= len(body))
    assert data == b"hello 0123\r\n6789"
    assert framing.read() == b""
    assert h1.buffer == GET
    assert h1.next_request() is not None


def test_one_read_decodes_a_bounded_number_of_chunks() -> None:
    """design.md §4 rule 11: 64 KiB of one-byte chunks are not decoded in one go; reading again goes on."""
    h1 = fed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n")
    assert h1.next_request() is not None
    framing = h1.framing
    assert framing is not None
    sizes = []
    while data := framing.read():
        sizes.append(len(data))
    assert sum(sizes) == 1000
    assert max(sizes) <= 32
    assert framing.complete


def test_a_large_chunk_passes_in_pieces() -> None:
    h1 = fed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n")
    assert h1.next_request() is not None
    assert h1.framing is not None
    total = 0
    for _ in range(16):
        h1.feed(b"x" * 0x10000)
        total += len(h1.framing.read())
        assert h1.buffer == b""
    h1.feed(b"\r\n0\r\n\r\n")
    assert (total, h1.framing.read(), h1.framing.complete) == (0x100000, b"", True)


@pytest.mark.parametrize(
    ("line", "accepted"),
    [
        (b"5" + b";" + b"a" * 1022, True),  # n: 1,024 bytes of size line
        (b"5" + b";" + b"a" * 1023, False),
        (b"0" * 15 + b"5", True),  # 16 hex digits
        (b"0" * 16 + b"5", False),
        (b"5;a=b", True),
        (b'5;a="b;\\"c"', True),
        (b"5; a", True),
        (b"5;a=", False),
        (b'5;a="b', False),
        (b"5;a b", False),
        (b"5;\x7f", False),
    ],
)
def test_size_lines(line: bytes, accepted: bool) -> None:
    """E2: RFC 9112 §7.1.1, bounded, whole and byte by byte."""
    body = line + b"\r\nhello\r\n0\r\n\r\n"
    for step in (1, len(body)):
        h1 = fed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert h1.next_request() is not None
        assert h1.framing is not None
        data, status = b"", None
        try:
            for start in range(0, len(body), step):
                h1.feed(body[start : start + step])
                data += h1.framing.read()
        except ClientError as error:
            status = error.status
        assert status == (None if accepted else 400)
        assert (data == b"hello" and h1.framing.complete) == accepted


@pytest.mark.parametrize(("chunks", "accepted"), [(15, True), (16, True), (17, False)])
def test_extensions_are_bounded_over_the_body(chunks: int, accepted: bool) -> None:
    """E2: 16 KiB of extensions in one body (CVE-2023-39326)."""
    body = (b"1;" + b"a" * 1022 + b"\r\nx\r\n") * chunks
    assert body.count(b"a") + chunks in (15 * 1023, 16 * 1023, 17 * 1023)
    body += b"1;" + b"a" * 15 + b"\r\nx\r\n" + b"0\r\n\r\n"
    h1 = fed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    assert h1.next_request() is not None
    assert h1.framing is not None
    if accepted:
        assert h1.framing.read() == b"x" * (chunks + 1)
    else:
        with pytest.raises(ClientError):
            h1.framing.read()


@pytest.mark.parametrize(
    ("trailers", "status"),
    [
        (b"X: y\r\n" * 99, None),
        (b"X: y\r\n" * 100, None),
        (b"X: y\r\n" * 101, 431),
        (b"X: " + b"y" * (8192 - 3 - 4 - 1) + b"\r\n", None),
        (b"X: " + b"y" * (8192 - 3 - 4) + b"\r\n", None),  # with its blank line 8 KiB
        (b"X: " + b"y" * (8192 - 3 - 4 + 1) + b"\r\n", 431),
    ],
)
def test_trailers_are_bounded(trailers: bytes, status: int | None) -> None:
    """E2."""
    body = b"0\r\n" + trailers + b"\r\n"
    for step in (1, 1000, len(body)):
        h1 = fed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert h1.next_request() is not None
        assert h1.framing is not None
        seen = None
        try:
            for start in range(0, len(body), step):
                h1.feed(body[start : start + step])
                h1.framing.read()
        except ClientError as error:
            seen = error.status
        assert seen == status, step
        assert h1.framing.complete == (status is None)


def test_a_finished_body_keeps_nothing_alive() -> None:
    """Connection and framing would keep each other alive until the garbage collector looked."""
    gc.collect()
    gc.disable()
    try:
        for fields, body in (
            (b"Content-Length: 1\r\n", b"x"),
            (b"Transfer-Encoding: chunked\r\n", b"1\r\nx\r\n0\r\n\r\n"),
        ):
            h1 = fed(b"POST / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n" + body)
            assert h1.next_request() is not None
            assert h1.framing is not None
            assert h1.framing.read() == b"x"
            assert not any(type(held) is H1 for held in gc.get_referents(h1.framing))
    finally:
        gc.enable()


# --- refusals --------------------------------------------------------------------------------------------------------

TLS_HELLO = bytes.fromhex("16030102000100")

REFUSALS = [
    # what was sent, status, a word of the public sentence, section of RFC 9112
    (TLS_HELLO, 400, "TLS", "none"),
    (b"\x80\x01", 400, "no HTTP", "none"),
    (b"\n", 400, "no HTTP", "2.2"),
    (b"GET / HTTP/1.1\n", 400, "bare line feed", "2.2"),
    (b"GET / HTTP/1.1\r\nHost: a\n", 400, "bare line feed", "2.2"),
    (b"GET /\r\n\r\n", 400, "request line", "3"),
    (b"GET / HTTP/1.1 \r\n\r\n", 400, "request line", "3"),
    (b"GET  HTTP/1.1\r\n\r\n", 400, "request line", "3"),
    (b"GET / HTTP/2.0\r\n\r\n", 505, "HTTP/1.1", "2.3"),
    (b"GET / HTTP/1.2\r\n\r\n", 505, "HTTP/1.1", "2.3"),
    (b"GET / HTTP/3\r\n\r\n", 505, "HTTP/1.1", "2.3"),
    (b"GET / HTTQ/1.1\r\n\r\n", 400, "request line", "2.3"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/2", "9113 3.4"),
    (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405, "CONNECT", "3.2.3"),
    (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, "TRACE", "9110 9.3.8"),
    (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "OPTIONS", "3.2.4"),
    (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target", "3.2"),
    (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target", "3.2.2"),
    (b"GET /.. HTTP/1.1\r\nHost: a\r\n\r\n", 400, "root", "3.2.1"),
    (b"GET / HTTP/1.1\r\n\r\n", 400, "no Host", "3.2"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "more than one Host", "3.2"),
    (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "Host field", "3.2"),
    (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "Host field", "3.2"),
    (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, "malformed", "5.1"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400, "folded", "5.2"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400, "control", "9110 5.5"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n", 400, "control", "2.2"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n", 400, "Content-Length", "6.3"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", 400, "Content-Length", "6.3"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", 400, "Content-Length", "6.3"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "exclude", "6.1"),
    (b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "HTTP/1.0", "6.1"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "chunked", "6.1"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, "chunked", "6.1"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400, "last", "6.3"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 400, "last", "6.1"),
]


@pytest.mark.parametrize(("data", "status", "word", "section"), REFUSALS)
def test_refusals(data: bytes, status: int, word: str, section: str) -> None:
    """E1, E2, E3: status, and a sentence that tells a stranger what was wrong."""
    error = refusal_of(data)
    assert error.status == status
    assert word in error.public
    assert error.public.endswith(".")


@pytest.mark.parametrize("method", [b"CONNECT a:1", b"TRACE /"])
def test_405_names_the_methods(method: bytes) -> None:
    """E3; RFC 9110 §15.5.6: Allow is mandatory with 405."""
    error = refusal_of(method + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert dict(error.fields)["Allow"].startswith("GET, HEAD")


def head_with_line(size: int) -> bytes:
    return b"GET /" + b"a" * (size - 14) + b" HTTP/1.1\r\nHost: a\r\n\r\n"


def head_of_size(size: int) -> bytes:
    head = b"GET / HTTP/1.1\r\nHost: a\r\n"
    while size - len(head) > 4000:
        head += b"X: " + b"y" * 2000 + b"\r\n"
    return head + b"X: " + b"y" * (size - len(head) - 7) + b"\r\n\r\n"


def head_with_fields(count: int) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * (count - 1) + b"\r\n"


LIMIT_CASES = [
    (head_with_line, 8 * 1024, 414),
    (head_of_size, 32 * 1024, 431),
    (head_with_fields, 100, 431),
]


@pytest.mark.parametrize(("make", "limit", "status"), LIMIT_CASES, ids=["request line", "head", "fields"])
@pytest.mark.parametrize("slow", [False, True], ids=["fast road", "slow road"])
@pytest.mark.parametrize("step", [1 << 20, 1000, 61])
def test_limits(make, limit: int, status: int, slow: bool, step: int) -> None:  # type: ignore[no-untyped-def]
    """E2: at n-1 and n a request, at n+1 the status, however it arrives and whichever road reads it."""
    for size, expected in ((limit - 1, None), (limit, None), (limit + 1, status)):
        head = make(size)
        if slow:
            head = head.replace(b"HTTP/1.1", b"HTTP/1.0", 1)
        h1, request, seen = H1(LIMITS), None, None
        try:
            for start in range(0, len(head), step):
                h1.feed(head[start : start + step])
                request = h1.next_request()
        except ClientError as error:
            seen = error.status
        assert seen == expected, size
        assert (request is None) == (expected is not None)


@pytest.mark.parametrize(
    ("endless", "status", "most"),
    [(b"a", 414, 8 * 1024 + 2), (b"X: y\r\n", 431, 700), (b"X: " + b"y" * 1000 + b"\r\n", 431, 32 * 1024)],
)
def test_an_endless_head_is_refused_while_it_comes(endless: bytes, status: int, most: int) -> None:
    """E2: memory is bounded, not only the answer."""
    h1, error = fed(b"GET /" if len(endless) == 1 else b"GET / HTTP/1.1\r\n"), None
    while error is None:
        try:
            assert h1.next_request() is None
            h1.feed(endless)
        except ClientError as refused:
            error = refused
    assert error.status == status
    assert len(h1.buffer) <= most + len(endless)


def test_what_is_wrong_first_is_what_is_told() -> None:
    """The same answer whether the stream came at once or in pieces: here the line was too long before the bare LF."""
    data = b"GET /" + b"a" * 9000 + b"\nHost: a\r\n\r\n"
    assert refusal_of(data).status == 414
    assert refusal_of(data[:8194]).status == 414
    assert refusal_of(b"GET /\n" + b"a" * 9000 + b"\r\n\r\n").status == 400


def test_small_limits() -> None:
    limits = Limits(request_line=20, head=60, fields=2)
    assert fed(b"GET /%b HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n" % (b"a" * 6), limits).next_request()
    assert refusal_of(b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * 7), limits).status == 414
    assert refusal_of(b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nX: y\r\n", limits).status == 431
    assert refusal_of(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 32, limits).status == 431
    assert refusal_of(b"a" * 30, Limits(request_line=100, head=30)).status == 431


def test_h11s_own_limit_is_not_ours() -> None:
    """h11 stops at 16 KiB by default; the slow road takes what the limits take."""
    value = b"y" * 30000
    request = request_of(b"GET / HTTP/1.0\r\nHost: a\r\nX: " + value + b"\r\n\r\n")
    assert request.fields["x"] == value.decode()


@pytest.mark.parametrize("unit", [b" ", b"\t", b"a ", b",", b"a:", b"%", b"/.", b"/.."])
def test_hostile_heads_take_linear_time(unit: bytes) -> None:
    """No head of 30 KiB, however crafted, holds the loop: the slow road included."""
    value = unit * (30000 // len(unit))
    target = b"/" + (unit * (8000 // len(unit))).replace(b" ", b"a").replace(b"\t", b"a")
    started = time.process_time()
    for version in (b"1.1", b"1.0"):
        for line in (b"X: " + value + b"x", b"X: " + value, b"Connection: " + value, b"X" + value, b"Cookie:" + value):
            try:
                fed(b"GET " + target + b" HTTP/" + version + b"\r\nHost: a\r\n" + line + b"\r\n\r\n").next_request()
            except ClientError:
                pass
    assert time.process_time() - started < 0.5
