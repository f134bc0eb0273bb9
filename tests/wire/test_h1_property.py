"""The law of the head reader, held by generated streams: well-formed ones, malformed ones, and every way to cut them.

    (a) whatever the fast road accepts, h11 accepts, and reads the same;
    (b) how a stream is cut into reads never changes what becomes of it;
    (c) whatever is accepted, body included, a fresh h11 reads the same from the same bytes;
    (d) nothing that criteria E1 and E2 forbid is ever in what was accepted: judged here by regular expressions over the
        raw bytes, which share no code with what they judge.

In the suite the examples are few, and the same as long as the code is; `EDGESTACK_LONG=1` runs many, and others each
time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgestack.config.model import Limits
from edgestack.errors import ClientError
from edgestack.http.messages import Request
from edgestack.wire.h1 import H1
from edgestack.wire.h1_head import read_ordinary

LONG = bool(os.environ.get("EDGESTACK_LONG"))
pytestmark = pytest.mark.timeout(900 if LONG else 60)
PROFILE = settings(
    max_examples=20_000 if LONG else 800,
    suppress_health_check=list(HealthCheck),
)
LIMITS = Limits(request_line=120, head=1200, fields=12)
"""Small ones, so that generated streams meet them."""

END = b"\r\n\r\n"

# --- streams ---------------------------------------------------------------------------------------------------------


def often(good: list[bytes], bad: list[bytes]) -> st.SearchStrategy[bytes]:
    """Mostly a good one: a stream that is wrong in ten places tests the first of them only."""
    return st.sampled_from(good * (1 + 12 * len(bad) // len(good)) + bad)


METHODS = often(
    [b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"PROPFIND", b"TRACE"],
    [b"get", b"CONNECT", b"G T", b"", b"\xc9"],
)
TARGETS = often(
    [b"/", b"/a/b?c=d", b"/a%20b//c", b"/x?y=?z", b"/index.html", b"*", b"http://h.example/p?q", b"HTTPS://h:1"],
    [
        b"", b"a", b"/a b", b"/\xff", b"/%", b"/..", b"/#", b"/?#", b"/\x00", b"//", b"http://", b"http://u@h/",
        b"ftp://h/", b"/" + b"a" * 120,
    ],
)  # fmt: skip
VERSIONS = often(
    [b"HTTP/1.1"] * 6 + [b"HTTP/1.0"],
    [b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 ", b"HTTP/11", b""],
)
HOSTS = often(
    [b"Host: a", b"host:\tb.example:8080", b"HOST:[::1]:1 "],
    [b"Host: a b", b"Host:", b"Host : a", b"Host: a\r\nHost: a", b"X: y"],
)
FIELDS = often(
    [
        b"Accept: */*", b"X-Y:z", b"x-y: \t w \t", b"X-Y:", b"Cookie: a=b; c", b"Cookie: d", b"Accept: a/b,c;q=0.1",
        b"Connection: keep-alive", b"Connection: close", b"connection: x, Close", b"Connection: Upgrade",
        b"Upgrade: websocket", b"Expect: 100-continue", b"X: caf\xe9\xa0", b"Content_Length: 3", b"X: " + b"y" * 100,
    ],
    [
        b"X : y", b" X: y", b"X: y\r\n z", b"X", b": y", b"", b"X: \x00", b"X: \x01", b"X: \x7f", b"X: a\rb",
        b"X: a\nb", b"X\t: y", b"X\xa0: y", b"X:\x0by", b"X: y\x0c", b"X" + b"x" * 1200 + b": y", b"\nX: y", b"X: y\r",
        b"Content-Length: 3, 3", b"Content-Length: +3", b"Content-Length: \xb3", b"Content-Length : 3",
        b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Transfer-Encoding: x", b"Transfer-Encoding: chunked, x",
        b"Transfer-Encoding:\x0bchunked",
    ],
)  # fmt: skip
LINE_END = often([b"\r\n"], [b"\n", b"\r", b"\r\r\n", b"\n\r"])
EXTENSIONS = often(
    [b"", b"", b"", b";a", b";a=b", b'; a="b;c"'], [b" ", b";", b";a=", b";\n", b";\x00", b'"', b";a\rb", b" ;a"]
)
SIZES = often(
    [b"%x", b"%X", b"0%x", b"000%x"], [b"0x%x", b"+%x", b" %x", b"%x ", b"-%x", b"0000000000000000%x", b"%xg"]
)
TRAILERS = often(
    [b"", b"", b"X: y\r\n", b"X: y\r\nZ:\r\n"],
    [b"X : y\r\n", b"X: y\n", b" X: y\r\n", b"Host: b\r\n", b"\n", b"X: \x00\r\n"],
)


@st.composite
def chunked(draw: st.DrawFn) -> bytes:
    """A chunked body, now and then a little wrong."""
    pieces = []
    for data in draw(st.lists(st.binary(min_size=1, max_size=20), max_size=4)):
        pieces += [draw(SIZES) % len(data), draw(EXTENSIONS), draw(LINE_END), data, draw(LINE_END)]
    return b"".join([*pieces, b"0", draw(EXTENSIONS), draw(LINE_END), draw(TRAILERS), draw(LINE_END)])


@st.composite
def message(draw: st.DrawFn) -> bytes:
    """One request with its body."""
    lines = [draw(METHODS) + b" " + draw(TARGETS) + b" " + draw(VERSIONS), draw(HOSTS)]
    lines += draw(st.lists(FIELDS, max_size=14))
    body = b""
    kind = draw(st.sampled_from(["none", "none", "length", "chunked"]))
    if kind == "length":
        body = draw(st.binary(max_size=30))
        lines.append(b"Content-Length: %d" % len(body))
    elif kind == "chunked":
        body = draw(chunked())
        lines.append(draw(st.sampled_from([b"Transfer-Encoding: chunked", b"TRANSFER-ENCODING:Chunked "])))
    end = draw(LINE_END)
    return draw(often([b""], [b"\r\n", b"\n", b"\r\n\r\n"])) + end.join(lines) + end + draw(LINE_END) + body


@st.composite
def stream(draw: st.DrawFn) -> bytes:
    """Pipelined requests, of which some bytes may be changed, lost or doubled."""
    data = bytearray(b"".join(draw(st.lists(message(), min_size=1, max_size=3))))
    for place, byte in draw(often_no_changes):
        if data:
            place %= len(data)
            if byte < 256:
                data[place] = byte
            elif byte == 256:
                del data[place]
            else:
                data[place:place] = data[place : place + 3]
    return bytes(data)


EVIL = [0, 1, 9, 10, 11, 12, 13, 32, 35, 37, 43, 44, 47, 48, 58, 59, 64, 95, 127, 160, 255, 256, 257]
often_no_changes = st.one_of(
    st.just([]), st.just([]), st.lists(st.tuples(st.integers(0, 2000), st.sampled_from(EVIL)), max_size=2)
)

# --- what becomes of them --------------------------------------------------------------------------------------------

Outcome = tuple[list[tuple[object, ...]], object]


def told(request: Request, body: bytes) -> tuple[object, ...]:
    path = request.path
    return (
        request.method, request.target, request.version, request.pairs, request.fields, request.query, request.host,
        request.persistent, path.raw, path.normal, path.path_info, body,
    )  # fmt: skip


def read(pieces: Iterable[bytes], raw: list[bytes] | None = None) -> Outcome:
    """What H1 makes of a stream; the bytes of each request read are appended to `raw`."""
    h1, requests, request, body, received, consumed = H1(LIMITS), [], None, b"", b"", 0
    for piece in pieces:
        h1.feed(piece)
        received += piece
        while True:
            try:
                if request is None:
                    request, body = h1.next_request(), b""
                    if request is None:
                        break
                while h1.framing is not None and (data := h1.framing.read()):
                    body += data
            except ClientError as error:
                return requests, (request and told(request, b""), error.status, error.public)
            if h1.framing is not None and not h1.framing.complete:
                break
            requests.append(told(request, body))
            if raw is not None:
                raw.append(received[consumed : len(received) - len(h1.buffer)])
                consumed = len(received) - len(h1.buffer)
            request = None
    error = h1.eof_error()
    return requests, (request and told(request, body), error and error.status, len(h1.buffer))


def as_h11_reads(data: bytes) -> tuple[str, str, str, list[tuple[str, str]], bytes]:
    """The one request that `data` is, to the last byte, as a fresh h11 reads it."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    event = connection.next_event()
    assert type(event) is h11.Request
    pairs = [(name.decode(), value.decode("latin-1")) for name, value in event.headers]
    body = b""
    while type(piece := connection.next_event()) is h11.Data:
        body += piece.data
    assert type(piece) is h11.EndOfMessage
    assert connection.trailing_data == (b"", False)
    return event.method.decode(), event.target.decode(), "HTTP/" + event.http_version.decode(), pairs, body


# --- the law ---------------------------------------------------------------------------------------------------------


@PROFILE
@given(stream())
def test_what_the_fast_road_accepts_h11_reads_the_same(data: bytes) -> None:
    """(a), E1."""
    for part in data.split(END):
        first = read_ordinary(part, LIMITS)
        again = read_ordinary(part, LIMITS)  # now its lines are remembered
        assert (first is None) == (again is None)
        if first is None or again is None:
            continue
        assert told(first, b"") == told(again, b"")
        length = int(first.fields.get("content-length", "0"))
        assert (first.method, first.target, first.version, first.pairs, b"x" * length) == as_h11_reads(
            part + END + b"x" * length
        )
        h1 = H1(LIMITS)
        h1.feed(part + END)
        assert told(h1.next_request() or first, b"") == told(first, b"")


@PROFILE
@given(stream(), st.lists(st.integers(1, 400), max_size=5))
def test_cutting_changes_nothing(data: bytes, cuts: list[int]) -> None:
    """(b), E4: at every byte, at some bytes, and pipelined behind an ordinary request."""
    whole = read([data])
    assert read(data[i : i + 1] for i in range(len(data))) == whole
    places = sorted({min(cut, len(data)) for cut in cuts})
    assert read(data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True) if a != b) == whole
    before = b"GET /before HTTP/1.1\r\nHost: a\r\n\r\n"
    requests, end = read([before + data])
    assert (requests[1:], end) == whole


@PROFILE
@given(stream())
def test_what_is_accepted_h11_reads_the_same(data: bytes) -> None:
    """(c), (d), E1, E2, E3."""
    raw: list[bytes] = []
    requests, _ = read([data], raw)
    for request, received in zip(requests, raw, strict=True):
        lawful(received)
        method, target, version, pairs, *_, body = request
        assert (method, target, version, pairs, body) == as_h11_reads(received.removeprefix(b"\r\n"))


STRICT_HEAD = re.compile(
    rb"(?:\r\n)?[!#-'*+\-.0-9A-Z^-z|~]+ [!-~]+ HTTP/1\.[01](?:\r\n[!#-'*+\-.0-9A-Z^-z|~]+:[\t -~\x80-\xff]*)*\r\n\r\n"
)
STRICT_CHUNKS = re.compile(
    rb"(?:0*[1-9A-Fa-f][0-9A-Fa-f]*(?:;[\t -~\x80-\xff]+)?\r\n.+\r\n)*0+(?:;[\t -~\x80-\xff]+)?\r\n"
    rb"(?:[!#-'*+\-.0-9A-Z^-z|~]+:[\t -~\x80-\xff]*\r\n)*\r\n",
    re.DOTALL,
)


def lawful(received: bytes) -> None:
    """E1 and E2 over raw bytes."""
    head = received.removeprefix(b"\r\n").partition(END)[0].lower() + b"\r\n"
    assert STRICT_HEAD.match(received)
    names = re.findall(rb"\r\n([^:\r\n]+):", head)
    assert names.count(b"host") == 1 or (b" http/1.0\r\n" in head and names.count(b"host") == 0)
    assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
    assert not re.search(rb"\r\ncontent-length:[\t ]*[^0-9\t ]", head)
    assert not re.search(rb"\r\ncontent-length:[\t ]*[0-9]+[\t ]*[^0-9\t \r]", head)
    if b"transfer-encoding" in names:
        assert re.search(rb"\r\ntransfer-encoding:[\t ]*chunked[\t ]*\r\n", head)
        assert b" http/1.1\r\n" in head
        assert STRICT_CHUNKS.fullmatch(received.removeprefix(b"\r\n").partition(END)[2])
    assert not head.startswith((b"connect ", b"trace "))
    assert len(names) <= LIMITS.fields
    assert len(head) + 2 <= LIMITS.head
    assert head.index(b"\r\n") <= LIMITS.request_line


def test_the_streams_are_worth_reading() -> None:
    """The generator makes enough of every kind: accepted on both roads, with bodies, and refused for many reasons."""
    roads, bodies, statuses, sentences = {True: 0, False: 0}, 0, set(), set()

    @settings(PROFILE, max_examples=800, derandomize=True)
    @given(stream())
    def look(data: bytes) -> None:
        nonlocal bodies
        raw: list[bytes] = []
        requests, (_, status, public) = read([data], raw)  # type: ignore[misc]
        for request, received in zip(requests, raw, strict=True):
            roads[read_ordinary(received.partition(END)[0], LIMITS) is not None] += 1
            bodies += bool(request[-1])
        statuses.add(status)
        sentences.add(public)

    look()
    assert min(roads.values()) > 50
    assert bodies > 10
    assert {None, 400, 405, 431} <= statuses
    assert len(sentences) > 12
