"""The shortest road says yes only where the road by lines does, and reads the same; its table keeps no secret."""

from __future__ import annotations

import pytest

from edgestack.config.model import Limits
from edgestack.wire import known_heads
from edgestack.wire.h1_head import read_ordinary
from edgestack.wire.known_heads import read_known

LIMITS = Limits()

HEADS = {
    "cookie last": b"GET /a?b=c HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\nCookie: k=v\r\n\r\n",
    "cookie first": b"GET / HTTP/1.1\r\nCookie: k=v\r\nHost: a.example\r\nAccept: */*\r\n\r\n",
    "cookie in the middle": b"GET / HTTP/1.1\r\nHost: a.example\r\nCookie: k=v; l=w\r\nAccept: */*\r\n\r\n",
    "cookie with spaces": b"GET / HTTP/1.1\r\nHost: a.example\r\nCookie:  k=v  \r\n\r\n",
    "empty cookie": b"GET / HTTP/1.1\r\nHost: a.example\r\nCookie: \r\n\r\n",
    "no cookie": b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "close": b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nCookie: k=v\r\n\r\n",
    "body": b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nCookie: k=v\r\n\r\n",
    "repeated field": b"GET / HTTP/1.1\r\nHost: a.example\r\nAccept: a\r\nAccept: b\r\nCookie: k=v\r\n\r\n",
    "authorization": b"GET / HTTP/1.1\r\nHost: a.example\r\nAuthorization: Basic eA==\r\n\r\n",
}

NOT_THIS_ROAD = {
    "two cookies": b"GET / HTTP/1.1\r\nHost: a\r\nCookie: k=v\r\nCookie: l=w\r\n\r\n",
    "two cookies, the first one empty": b"GET / HTTP/1.1\r\nHost: a\r\nCookie: \r\nCookie: l=w\r\n\r\n",
    "two cookies, both empty": b"GET / HTTP/1.1\r\nHost: a\r\nCookie: \r\nCookie: \r\n\r\n",
    "two cookies, spelled differently": b"GET / HTTP/1.1\r\nHost: a\r\ncookie: k=v\r\nCookie: l=w\r\n\r\n",
    "latin-1 in a cookie that may be a control": b"GET / HTTP/1.1\r\nHost: a\r\nCookie: k=\x85\r\n\r\n",
    "control in a cookie": b"GET / HTTP/1.1\r\nHost: a\r\nCookie: k=\x01\r\n\r\n",
    "bare CR in a cookie": b"GET / HTTP/1.1\r\nHost: a\r\nCookie: k=\rX: y\r\n\r\n",
    "bare LF in a cookie": b"GET / HTTP/1.1\r\nHost: a\r\nCookie: k=\nX: y\r\n\r\n",
    "two heads": b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "two heads with cookies": 2 * b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a\r\n\r\n",
    "a body that looks like an end": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\nAccept: */*\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "expectation": b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
    "upgrade": b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    "transfer coding": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nCookie: k=v\r\n\r\n",
    "obs-fold": b"GET / HTTP/1.1\r\nHost: a\r\nAccept: a\r\n b\r\nCookie: k=v\r\n\r\n",
    "obs-fold of the cookie": b"GET / HTTP/1.1\r\nHost: a\r\nCookie: k=v\r\n l=w\r\n\r\n",
    "HTTP/1.0": b"GET / HTTP/1.0\r\nHost: a\r\nCookie: k=v\r\n\r\n",
    "leading blank line": b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "nothing": b"\r\n\r\n",
    "a request line alone": b"GET / HTTP/1.1\r\n\r\n",
    "cookie in the request line's place": b"\r\nCookie: k=v\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_it_reads_what_the_road_by_lines_reads(head: bytes) -> None:
    """Design: engine, rule 3; once when the block is new and once when it is remembered."""
    by_lines = read_ordinary(head[:-4], LIMITS)
    assert by_lines is not None
    for _ in range(2):
        known = read_known(head, LIMITS)
        assert known is not None
        for name in ("method", "target", "version", "fields", "query", "host", "persistent"):
            assert getattr(known, name) == getattr(by_lines, name), name
        assert known.pairs == by_lines.pairs
        assert known.path.normal == by_lines.path.normal


@pytest.mark.parametrize("head", NOT_THIS_ROAD.values(), ids=NOT_THIS_ROAD)
def test_everything_else_takes_another_road(head: bytes) -> None:
    """E1: nothing gets in here that another road would refuse or read otherwise."""
    for _ in range(2):
        assert read_known(head, LIMITS) is None


def test_a_cookie_is_not_remembered() -> None:
    """Design: engine, rule 3: never Cookie or Authorization."""
    for secret in (b"Cookie: sesame", b"cookie: sesame", b"Authorization: Bearer sesame", b"COOKIE: sesame"):
        assert read_known(b"GET / HTTP/1.1\r\nHost: secret.example\r\n" + secret + b"\r\n\r\n", LIMITS) is not None
    for table in (known_heads._blocks, known_heads._blocks.old):
        for key, block in table.items():
            assert b"sesame" not in key
            assert block is None or "sesame" not in str(block.pairs) + str(block.fields)


def test_one_clients_cookie_is_not_anothers() -> None:
    """Two clients share a block; neither sees the other's cookie, nor is the block changed by it."""
    shared = b"GET / HTTP/1.1\r\nHost: shared.example\r\n"
    first = read_known(shared + b"Cookie: mine\r\n\r\n", LIMITS)
    none = read_known(shared + b"\r\n", LIMITS)
    second = read_known(shared + b"Cookie: theirs\r\n\r\n", LIMITS)
    assert first is not None
    assert none is not None
    assert second is not None
    assert (first.fields["cookie"], second.fields["cookie"]) == ("mine", "theirs")
    assert first.block is second.block  # remembered, with the cookie cut out
    assert "cookie" not in none.fields


@pytest.mark.parametrize(("fields", "taken"), [(99, True), (100, True), (101, False)])
def test_the_number_of_fields(fields: int, taken: bool) -> None:
    """E2: at n-1, n and n+1, the cookie counted."""
    more = b"".join(b"X-%d: y\r\n" % number for number in range(fields - 2))
    head = b"GET / HTTP/1.1\r\nHost: a\r\n" + more + b"Cookie: k=v\r\n\r\n"
    assert (read_known(head, LIMITS) is not None) is taken


def test_the_table_is_bounded() -> None:
    """Design: engine, rule 3: two generations; a flood of blocks forgets the oldest, and the used one stays."""
    used = b"GET / HTTP/1.1\r\nHost: used.example\r\n\r\n"
    for number in range(3000):
        assert read_known(b"GET / HTTP/1.1\r\nHost: flood%d.example\r\n\r\n" % number, LIMITS) is not None
        assert read_known(used, LIMITS) is not None
    table = known_heads._blocks
    assert b"\r\nHost: used.example" in table
    assert table.spent <= known_heads.BLOCKS_BUDGET
    assert len(table) + len(table.old) < 2 * known_heads.BLOCKS_BUDGET // known_heads.ENTRY
