"""The response reader: what servers send, what hostile ones send, and where each response ends."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from edgestack.errors import UpstreamError
from edgestack.wire import h1_client_head
from edgestack.wire.h1_client import INTERIM, ResponseReader, encode_request, read_whole
from edgestack.wire.h1_client_head import FIELDS, HEAD, KnownHead, UpstreamHead

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
OK = b"HTTP/1.1 200 OK\r\n"


def read(data: bytes, method: str = "GET", *, closed: bool = False) -> tuple[ResponseReader, list[int], bytes]:
    """The reader, the statuses it saw, and the decoded body."""
    reader = ResponseReader(method)
    reader.feed(data)
    statuses = []
    while reader.body is None and (head := reader.next_head()) is not None:
        statuses.append(head.status)
        if head.status == 101:
            break
    if closed:
        reader.eof()
    return reader, statuses, reader.first


def test_the_head_as_it_came() -> None:
    reader, _, body = read(
        OK.replace(b"OK", b"Very Well") + b"Server: x\r\nDate: %b\r\nX-A:  b \t\r\nSet-Cookie: a=1\r\n" % DATE.encode()
        + b"set-cookie: b=2\r\nContent-Length: 5\r\n\r\nhello"
    )  # fmt: skip
    head = reader.head
    assert head is not None
    assert (head.status, head.reason, head.version, head.date) == (200, "Very Well", "HTTP/1.1", DATE)
    assert sorted(head.pairs) == [
        ("content-length", "5"), ("date", DATE), ("server", "x"), ("set-cookie", "a=1"), ("set-cookie", "b=2"),
        ("x-a", "b"),
    ]  # fmt: skip
    assert [value for name, value in head.pairs if name == "set-cookie"] == ["a=1", "b=2"]
    assert (head.length, head.framing, head.persistent, body) == (5, "length", True, b"hello")
    assert reader.reusable


def test_encode_request() -> None:
    assert encode_request("GET", b"/a%2Fb?c", b"Host: h\r\n") == b"GET /a%2Fb?c HTTP/1.1\r\nHost: h\r\n\r\n"


ENDS = {
    "by length": (OK + b"Content-Length: 3\r\n\r\nabc", "GET", b"abc", True),
    "nothing by length": (OK + b"Content-Length: 0\r\n\r\n", "GET", b"", True),
    "chunked": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nT: r\r\n\r\n", "GET", b"abc", True,
    ),
    "chunked in capitals": (OK + b"Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", "GET", b"", True),
    "HEAD with a length": (OK + b"Content-Length: 3\r\n\r\n", "HEAD", b"", True),
    "HEAD, chunked": (OK + b"Transfer-Encoding: chunked\r\n\r\n", "HEAD", b"", True),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", "GET", b"", True),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "GET", b"", True),
    "Connection: close": (OK + b"Content-Length: 3\r\nConnection: close\r\n\r\nabc", "GET", b"abc", False),
    "close among others": (OK + b"Content-Length: 3\r\nConnection: x, Close\r\n\r\nabc", "GET", b"abc", False),
    "over-read by length": (OK + b"Content-Length: 3\r\n\r\nabcd", "GET", b"abc", False),
    "over-read after chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nX", "GET", b"a", False),
    "over-read after HEAD": (OK + b"Content-Length: 3\r\n\r\nabc", "HEAD", b"", False),
    "over-read after 204": (b"HTTP/1.1 204 No Content\r\n\r\nX", "GET", b"", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", "GET", b"abc", False),
    "HTTP/1.0 that goes on": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc", "GET", b"abc", True,
    ),
    "incomplete": (OK + b"Content-Length: 3\r\n\r\nab", "GET", b"ab", False),
    "until close": (OK + b"\r\nabc", "GET", b"abc", False),
    "no reason, no space": (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "GET", b"", True),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_where_a_response_ends_and_whether_the_link_goes_on(name: str) -> None:
    """B15: framed, read to its end, nothing beyond, and both sides go on; the short road agrees."""
    data, method, body, reusable = ENDS[name]
    reader, _, got = read(data, method)
    assert (got, reader.reusable) == (body, reusable)
    whole = read_whole(data) if method != "HEAD" else None
    if whole is not None:
        assert reusable
        assert (whole[0].pairs, whole[1]) == (reader.head and reader.head.pairs, body)


def test_the_short_road_takes_the_common_answer() -> None:
    """And only it: what is not whole, or not to go on, is the reader's."""
    assert read_whole(ENDS["by length"][0]) is not None
    for name in ("chunked", "Connection: close", "over-read by length", "incomplete", "until close", "HTTP/1.0", "204"):
        assert read_whole(ENDS[name][0]) is None


def test_closed_too_early() -> None:
    """The detail says where."""
    for data, said in [
        (b"", "before it answered"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "before it answered"),
        (b"HTTP/1.1 200", "in the midst of its head"),
        (OK + b"Content-Length: 5\r\n\r\nabc", "2 of 5 bytes missing"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "chunked body"),
    ]:
        with pytest.raises(UpstreamError, match=said) as caught:
            read(data, closed=True)
        assert (caught.value.status, caught.value.condition) == (502, "error")


def test_a_body_that_ends_with_the_connection_is_complete_then() -> None:
    reader, _, _ = read(OK + b"\r\nabc", closed=True)
    assert reader.body is not None
    assert reader.body.complete
    assert not reader.reusable


def test_interim_heads_come_one_by_one() -> None:
    """B16: 100, 103, and the final one."""
    reader, statuses, body = read(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        + OK
        + b"Content-Length: 1\r\n\r\nx"
    )
    assert (statuses, body, reader.reusable) == ([100, 103, 200], b"x", True)


def test_101_leaves_the_rest_to_the_other_protocol() -> None:
    """B16, B17: bytes already read stand in the buffer."""
    reader, statuses, _ = read(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x00"
    )
    assert (statuses, reader.buffer, reader.body, reader.reusable) == ([101], b"\x81\x00", None, False)
    reader.eof()  # of no concern to this protocol any more


def test_a_storm_of_interim_heads_is_bounded() -> None:
    """B16: n pass, n + 1 do not."""
    interim = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    assert read(interim * INTERIM + OK + b"Content-Length: 0\r\n\r\n")[0].reusable
    with pytest.raises(UpstreamError, match="interim answers"):
        read(interim * (INTERIM + 1) + OK + b"\r\n")


def test_the_limits_of_a_head() -> None:
    """At n and n + 1, whole and in pieces."""
    frame = OK + b"X: \r\nContent-Length: 0\r\n\r\n"
    fits = frame.replace(b"X: ", b"X: " + b"a" * (HEAD - len(frame)))
    assert read(fits)[0].reusable
    assert read(fits + b"b" * 10)[0].body is not None
    for data in (fits.replace(b"X: ", b"X: a"), b"HTTP/1.1 200 OK\r\nX: " + b"a" * HEAD):
        with pytest.raises(UpstreamError, match="larger than 65536 bytes"):
            read(data)
    assert read(OK + b"X: a\r\n" * FIELDS + b"\r\n")[0].head is not None
    for end in (b"\r\n", b""):
        with pytest.raises(UpstreamError, match="more than 200 fields"):
            read(OK + b"X: a\r\n" * (FIELDS + 1) + end)


HOSTILE = {
    "garbage": (b"SSH-2.0-OpenSSH_9.2\r\n", "no answer in HTTP/1"),
    "TLS alert": (b"\x15\x03\x01\x00\x02\x02\x46", "is https meant?"),
    "HTTP/2": (b"HTTP/2 200\r\n\r\n", "no answer in HTTP/1"),
    "HTTP/1.2": (b"HTTP/1.2 200 OK\r\n\r\n", "status line"),
    "an empty line first": (b"\r\n" + OK + b"\r\n", "no answer in HTTP/1"),
    "a body first": (b"<html>", "no answer in HTTP/1"),
    "four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", "status line"),
    "status 099": (b"HTTP/1.1 099 No\r\n\r\n", "status line"),
    "digits of another script": ("HTTP/1.1 ².00 OK\r\n\r\n".encode("latin-1"), "status line"),
    "control in the reason": (b"HTTP/1.1 200 O\x01K\r\n\r\n", "status line"),
    "two lengths": (OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "Content-Length is repeated"),
    "a list of lengths": (OK + b"Content-Length: 3, 3\r\n\r\nabc", "Content-Length is repeated"),
    "a signed length": (OK + b"Content-Length: +3\r\n\r\nabc", "is no number"),
    "an empty length": (OK + b"Content-Length:\r\n\r\nabc", "is no number"),
    "a superscript length": (OK + b"Content-Length: \xb3\r\n\r\nabc", "is no number"),
    "an endless length": (OK + b"Content-Length: " + b"9" * 21 + b"\r\n\r\n", "is no number"),
    "length and chunked": (OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "both"),
    "chunked twice": (OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "coding"),
    "another coding": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "not known here"),
    "chunked on HTTP/1.0": (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.0 has no"),
    "folded field": (OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n", "folded"),
    "folded status line": (b"HTTP/1.1 200 OK\r\n b\r\n\r\n", "folded"),
    "bare LF": (OK + b"X: a\nY: b\r\n\r\n", "bare line feed"),
    "bare LF throughout": (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "bare line feed"),
    "bare CR": (OK + b"X: a\rY: b\r\n\r\n", "control character"),
    "NUL": (OK + b"X: a\x00b\r\n\r\n", "control character"),
    "NUL in a name": (OK + b"X\x00: a\r\n\r\n", "malformed"),
    "space before the colon": (OK + b"X : a\r\n\r\n", "malformed"),
    "no colon": (OK + b"X\r\n\r\n", "malformed"),
    "no name": (OK + b": a\r\n\r\n", "malformed"),
    "a date that is two lines": (OK + b"Date: Sun, 06 Nov 1994\r\n08 49 37 GMT\r\n\r\n", "malformed"),
    "a date with a control": (OK + b"Date: Sun, 06 Nov 1994 08:49:37 GM\x01\r\n\r\n", "control character"),
    "a chunk without a size": (OK + b"Transfer-Encoding: chunked\r\n\r\n\r\n", "size line"),
    "a signed chunk size": (OK + b"Transfer-Encoding: chunked\r\n\r\n+1\r\na\r\n", "size line"),
    "a chunk size in C": (OK + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n", "size line"),
    "an endless chunk size": (OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 17 + b"\r\n", "size line"),
    "a chunk that goes on": (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", "where its size says"),
    "bare LF after a size": (OK + b"Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n", "size line"),
    "control in an extension": (OK + b"Transfer-Encoding: chunked\r\n\r\n1;\x01\r\na\r\n", "size line"),
    "a long size line": (OK + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 1024, "too long"),
    "many extensions": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + (b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 17,
        "extensions are too large",
    ),
    "a malformed trailer": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX : y\r\n\r\n", "in the trailer section"),
    "a folded trailer": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n z\r\n\r\n", "in the trailer section"),
    "bare LF in a trailer": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\nZ: a\r\n\r\n", "bare line feed"),
    "many trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: yz\r\n" * 1200, "too large"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_servers(name: str) -> None:
    """Each is refused in words that name it, and meets next_upstream's `invalid_header`."""
    data, said = HOSTILE[name]
    assert read_whole(data) is None
    with pytest.raises(UpstreamError, match=said) as caught:
        read(data)
    assert (caught.value.status, caught.value.condition) == (502, "invalid_header")
    assert "behind this one" in caught.value.public


def test_garbage_is_refused_at_its_first_byte() -> None:
    """And not after a timeout: the head need not be complete."""
    for data in (b"S", b"HTTP/2", b"\x15", b"HTTP/1.1 200 OK\n"):
        with pytest.raises(UpstreamError):
            read(data)


def test_dates_are_no_part_of_what_is_remembered() -> None:
    """Another second gives the same known head; what is made of it stays with it."""
    frame = OK + b"Server: s\r\nDate: Sun, 06 Nov 1994 08:49:%02d GMT\r\nX-Unique: dates\r\nContent-Length: 0\r\n\r\n"
    first, second = (read(frame % at)[0].head for at in (1, 2))
    assert first is not None
    assert second is not None
    assert first.known is second.known
    assert [dict(head.pairs)["date"][-6:-4] for head in (first, second)] == ["01", "02"]


def test_cookies_are_never_remembered() -> None:
    secret = b"Set-Cookie: session=8d1f0a-secret\r\n"
    for _ in range(2):
        read(OK + secret + b"Content-Length: 0\r\n\r\n")
        read(OK + b"Date: " + DATE.encode() + b"\r\n" + secret + b"Content-Length: 0\r\n\r\n")
    tables: list[dict[bytes, object]] = [h1_client_head._lines, h1_client_head._heads]
    assert tables[0], Path(h1_client_head.__file__)
    assert not [key for table in tables for key in (*table, *table.old) if b"8d1f0a" in key]  # type: ignore[attr-defined]


def test_heads_that_come_once_leave_no_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head for each answer, as with an ETag or a request id: what the table forgets is gone at once."""
    head = b"HTTP/1.1 200 OK\r\nDate: %b\r\nX-Request-Id: %08x\r\nX-Fill: %b\r\nContent-Length: 2\r\n\r\nok"
    empty = h1_client_head._Heads(h1_client_head.BLOCKS_BUDGET)  # what other tests had remembered may hold rings
    monkeypatch.setattr(h1_client_head, "_heads", empty)
    gc.collect()
    gc.disable()
    try:
        for at in range(6000):  # far beyond what is remembered
            assert read_whole(head % (DATE.encode(), at, b"x" * 200)) is not None
        gc.set_debug(gc.DEBUG_SAVEALL)  # threads of other tests may leave rings of their own meanwhile
        gc.collect()
        assert [one for one in gc.garbage if isinstance(one, KnownHead | UpstreamHead)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
