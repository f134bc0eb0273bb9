"""The law of the response reader, held by generated streams: well-formed, malformed, and cut in every way.

    (a) whatever is accepted, body included, a fresh h11 reads the same from the same bytes;
    (b) how a stream is cut into reads never changes what becomes of it;
    (c) the short road (`read_whole`) says yes only where the reader reads the same and the link goes on;
    (d) nothing that two readers could understand in two ways is ever in an accepted head: judged here by regular
        expressions over the raw bytes, which share no code with what they judge.

`EDGESTACK_LONG=1` runs many examples, and others each time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgestack.errors import UpstreamError
from edgestack.wire.h1_client import ResponseReader, UpstreamHead, read_whole
from edgestack.wire.h1_client_head import read_known

LONG = bool(os.environ.get("EDGESTACK_LONG"))
pytestmark = pytest.mark.timeout(900 if LONG else 60)
PROFILE = settings(
    max_examples=20_000 if LONG else 600,
    suppress_health_check=list(HealthCheck),
)

# --- streams ---------------------------------------------------------------------------------------------------------


def often(good: list[bytes], bad: list[bytes]) -> st.SearchStrategy[bytes]:
    """Mostly a good one: a stream that is wrong in ten places tests the first of them only."""
    return st.sampled_from(good * (1 + 12 * len(bad) // len(good)) + bad)


STATUS_LINES = often(
    [b"HTTP/1.1 200 OK"] * 5
    + [
        b"HTTP/1.1 200", b"HTTP/1.1 404 ", b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified", b"HTTP/1.0 200 OK",
        b"HTTP/1.1 502 Caf\xe9 \t x", b"HTTP/1.1 999 x",
    ],
    [
        b"HTTP/1.2 200 OK", b"HTTP/2 200", b"http/1.1 200 OK", b"HTTP/1.1  200 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000",
        b"HTTP/1.1 099 x", b"HTTP/1.1 200 \x00", b"HTTP/1.1 200\tOK", b"", b"GET / HTTP/1.1", b"HTTP/1.1 \xb200 x",
    ],
)  # fmt: skip
INTERIM = often(
    [b""] * 4 + [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"],
    [b"HTTP/1.1 100 Continue\n\n", b"HTTP/1.1 102 x\r\nX : y\r\n\r\n", b"HTTP/1.0 100 x\r\n\r\n"],
)
FIELDS = often(
    [
        b"Server: s", b"Date: Sun, 06 Nov 1994 08:49:37 GMT", b"date: Sun, 06 Nov 1994 08:49:38 GMT", b"X-Y:z",
        b"x-y: \t w \t", b"X-Y:", b"Set-Cookie: a=b; Path=/", b"set-cookie: d", b"Connection: keep-alive",
        b"Connection: close", b"connection: x, Close", b"X: caf\xe9\xa0", b"ETag: \"5f-1\"", b"Upgrade: h2c",
    ],
    [
        b"X : y", b" X: y", b"X: y\r\n z", b"X", b": y", b"", b"X: \x00", b"X: \x01", b"X: \x7f", b"X: a\rb",
        b"X: a\nb", b"X\t: y", b"X\xa0: y", b"X:\x0by", b"X: y\x0c", b"\nX: y", b"X: y\r",
        b"Date: Sun, 06 Nov 1994 08:49:37 GM\x00", b"Date: Sun, 06 Nov 1994 08:49:37", b"Date:  un, 06 Nov 1994 08:49 ",
        b"Date: Sun, 06 Nov 1994 08\r\n:49:37", b"Date: \xad\xad", b"Date: Sun, 06 Nov 1994 08:49:37 GMTX",
        b"Content-Length: 3, 3", b"Content-Length: +3", b"Content-Length: \xb3", b"Content-Length : 3",
        b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Transfer-Encoding: x", b"Transfer-Encoding: chunked, x",
        b"Transfer-Encoding:\x0bchunked",
    ],
)  # fmt: skip
PLAIN = [b"Server: s", b"Date: Sun, 06 Nov 1994 08:49:37 GMT", b"X-Y: z", b"Set-Cookie: a=b", b"Connection: keep-alive"]
LINE_END = often([b"\r\n"], [b"\n", b"\r", b"\r\r\n", b"\n\r"])
EXTENSIONS = often(
    [b"", b"", b"", b";a", b";a=b", b'; a="b;c"', b" ", b"\t "], [b";\n", b";\x00", b'"', b";a\rb", b" ;a", b"\x0b"]
)
SIZES = often(
    [b"%x", b"%X", b"0%x", b"000%x"], [b"0x%x", b"+%x", b" %x", b"-%x", b"0000000000000000%x", b"%xg", b"%x\xa0"]
)
TRAILERS = often(
    [b"", b"", b"X: y\r\n", b"X: y\r\nZ:\r\n"], [b"X : y\r\n", b"X: y\n", b" X: y\r\n", b"\n", b"X: \x00\r\n"]
)


@st.composite
def chunked(draw: st.DrawFn) -> bytes:
    """A chunked body, now and then a little wrong."""
    pieces = []
    for data in draw(st.lists(st.binary(min_size=1, max_size=20), max_size=4)):
        pieces += [draw(SIZES) % len(data), draw(EXTENSIONS), draw(LINE_END), data, draw(LINE_END)]
    return b"".join([*pieces, b"0", draw(EXTENSIONS), draw(LINE_END), draw(TRAILERS), draw(LINE_END)])


EVIL = [0, 1, 9, 10, 11, 12, 13, 32, 43, 44, 47, 48, 58, 59, 127, 160, 255, 256, 257]
CHANGES = st.one_of(
    st.just([]), st.just([]), st.lists(st.tuples(st.integers(0, 500), st.sampled_from(EVIL)), max_size=2)
)


@st.composite
def whole(draw: st.DrawFn) -> bytes:
    """What the short road is for."""
    fields, body = draw(st.lists(st.sampled_from(PLAIN), max_size=5)), draw(st.binary(max_size=30))
    return b"\r\n".join([b"HTTP/1.1 200 OK", *fields, b"Content-Length: %d" % len(body), b"", body])


def changed(draw: st.DrawFn, stream: bytes) -> bytes:
    """With some bytes changed, lost or doubled, now and then."""
    data = bytearray(stream)
    for place, byte in draw(CHANGES):
        place %= len(data) or 1
        if byte < 256:
            data[place : place + 1] = bytes([byte])
        elif byte == 256:
            del data[place : place + 1]
        else:
            data[place:place] = data[place : place + 3]
    return bytes(data)


@st.composite
def stream(draw: st.DrawFn) -> bytes:
    """Interim heads, one response with its body, and what may follow; some bytes changed, lost or doubled."""
    if draw(st.booleans()):
        return changed(draw, draw(whole()))
    lines = [draw(STATUS_LINES), *draw(st.lists(FIELDS, max_size=8))]
    kind, body = draw(st.sampled_from(["none", "length", "length", "length", "chunked"])), draw(st.binary(max_size=30))
    if kind == "length":
        lines.append(b"Content-Length: %d" % max(0, len(body) + draw(st.sampled_from([0] * 8 + [1, -1]))))
    elif kind == "chunked":
        body = draw(chunked())
        lines.append(draw(st.sampled_from([b"Transfer-Encoding: chunked", b"TRANSFER-ENCODING:Chunked "])))
    end = draw(LINE_END)
    data = draw(INTERIM) + end.join(lines) + end + draw(LINE_END) + body + draw(often([b""], [b"X"]))
    return changed(draw, data)


METHODS = st.sampled_from(["GET", "GET", "GET", "HEAD"])

# --- what becomes of them --------------------------------------------------------------------------------------------


def told(head: UpstreamHead) -> tuple[object, ...]:
    """A head as a value. Date may have come to the front."""
    pairs = head.pairs
    dates, others = [p for p in pairs if p[0] == "date"], [p for p in pairs if p[0] != "date"]
    return head.status, head.reason, head.version, dates, others


def read(pieces: Iterable[bytes], method: str) -> tuple[list[tuple[object, ...]], bytes, object]:
    """The heads, the body, and how it ended: an error, or complete, reusable and what was beyond."""
    reader, heads, body = ResponseReader(method), list[tuple[object, ...]](), b""
    try:
        for piece in pieces:
            if reader.body is not None:
                body += reader.body.feed(piece)
                continue
            reader.feed(piece)
            while reader.body is None and (head := reader.next_head()) is not None:
                heads.append(told(head))
                if head.status == 101:
                    return heads, b"", None
            body += reader.first
    except UpstreamError:
        return (
            [],
            b"",
            "refused",
        )  # a body that is wrong from the start is refused with its head, where both came at once
    if reader.body is None:
        return heads, b"", "no head"
    return heads, body, (reader.body.complete, reader.reusable, reader.body.overread)


def as_h11_reads(data: bytes, method: str) -> tuple[list[tuple[object, ...]], bytes, bool]:
    """The heads, the body, and whether it is complete, as a fresh h11 reads it."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    heads, body = list[tuple[object, ...]](), b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Response | h11.InformationalResponse):
            pairs = [(name.decode(), value.decode("latin-1")) for name, value in event.headers]
            dates, others = [p for p in pairs if p[0] == "date"], [p for p in pairs if p[0] != "date"]
            version = "HTTP/" + event.http_version.decode()
            heads.append((event.status_code, event.reason.decode("latin-1"), version, dates, others))
        elif type(event) is h11.Data:
            body += event.data
        else:
            return heads, body, type(event) is h11.EndOfMessage


# --- the law ---------------------------------------------------------------------------------------------------------

STRICT_HEAD = re.compile(
    rb"HTTP/1\.[01] [1-9][0-9]{2}(?: [\t -~\x80-\xff]*)?"
    rb"(?:\r\n[!#-'*+\-.0-9A-Z^-z|~]+:[\t -~\x80-\xff]*)*\r\n\r\n"
)


def lawful(data: bytes, heads: int) -> None:
    """(d): every head that was accepted, in the raw bytes."""
    at = 0
    for _ in range(heads):
        match = STRICT_HEAD.match(data, at)
        assert match
        head = match[0].lower()
        names = re.findall(rb"\r\n([^:\r\n]+):", head)
        assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
        if b"content-length" in names:
            assert re.search(rb"\r\ncontent-length:[\t ]*[0-9]+[\t ]*\r\n", head)
        if b"transfer-encoding" in names:
            assert re.search(rb"\r\ntransfer-encoding:[\t ]*chunked[\t ]*\r\n", head)
            assert head.startswith(b"http/1.1 ")
        at = match.end()


@PROFILE
@given(stream(), METHODS)
def test_what_is_accepted_h11_reads_the_same(data: bytes, method: str) -> None:
    """(a), (d)."""
    heads, body, end = read([data], method)
    assert (heads, body, end) == read([data], method)  # now its lines and blocks are remembered
    if not isinstance(end, tuple):
        return
    lawful(data, len(heads))
    complete, _, overread = end
    theirs, their_body, their_end = as_h11_reads(data[: len(data) - len(overread)], method)
    assert (theirs, their_body) == (heads, body)
    assert complete == their_end


@PROFILE
@given(stream(), METHODS, st.lists(st.integers(1, 300), max_size=4))
def test_cutting_changes_nothing(data: bytes, method: str, cuts: list[int]) -> None:
    """(b): at every byte, and at some."""
    whole = read([data], method)
    assert read((data[i : i + 1] for i in range(len(data))), method) == whole
    places = sorted({min(cut, len(data)) for cut in cuts})
    pieces = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True) if a != b]
    assert read(pieces, method) == whole


@PROFILE
@given(stream())
def test_the_short_road_agrees(data: bytes) -> None:
    """(c)."""
    found = read_whole(data)
    if found is not None:
        heads, body, end = read([data], "GET")
        assert ([told(found[0])], found[1], (True, True, b"")) == (heads, body, end)


def test_the_streams_are_worth_reading() -> None:
    """The generator makes enough of every kind: both roads, whole answers, bodies, refusals."""
    seen = dict.fromkeys(("whole", "fast", "slow", "body", "refused", "interim"), 0)

    @settings(PROFILE, max_examples=600, derandomize=True)
    @given(stream())
    def look(data: bytes) -> None:
        heads, body, end = read([data], "GET")
        seen["whole"] += read_whole(data) is not None
        seen["refused"] += end == "refused"
        seen["interim"] += len(heads) > 1
        if isinstance(end, tuple):
            fast = len(heads) == 1 and read_known(data, data.find(b"\r\n\r\n")) is not None
            seen["fast" if fast else "slow"] += 1
            seen["body"] += bool(body)

    look()
    assert min(seen.values()) > 10, seen  # which streams are drawn depends on the modules that are loaded: leave room
