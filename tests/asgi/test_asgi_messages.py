"""What an application may send, and what is refused at its own `send`."""

from __future__ import annotations

from typing import Any

import pytest

from edgestack.asgi.messages import Head, body_of, read_fields, read_head

START = "http.response.start"


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (200, None, Head(200, (), None)),
        (200, [(b"content-type", b"text/plain")], Head(200, (("content-type", "text/plain"),), None)),
        (200, [[bytearray(b"x"), b" padded "]], Head(200, (("x", "padded"),), None)),
        (404, [(b"Content-Length", b"7")], Head(404, (), 7)),
        (200, iter([(b"a", b"1"), (b"a", b"2")]), Head(200, (("a", "1"), ("a", "2")), None)),
        (
            200,
            [(b"transfer-encoding", b"chunked"), (b"Connection", b"close"), (b"date", b"x"), (b"server", b"y")],
            Head(200, (), None),
        ),
        (599, [(b"latin", b"caf\xe9")], Head(599, (("latin", "caf\xe9"),), None)),
    ],
)
def test_heads_that_can_be_sent(status: int, headers: Any, expected: Head) -> None:
    assert read_head({"type": START, "status": status, "headers": headers}) == expected


@pytest.mark.parametrize(
    ("message", "error", "said"),
    [
        ({}, TypeError, "needs a status"),
        ({"status": "200"}, TypeError, "needs a status"),
        ({"status": True}, TypeError, "needs a status"),
        ({"status": 199}, ValueError, "200 to 999"),
        ({"status": 1000}, ValueError, "200 to 999"),
        ({"status": 200, "headers": [("a", "b")]}, TypeError, "pair of bytes"),
        ({"status": 200, "headers": [(b"a",)]}, TypeError, "pair of bytes"),
        ({"status": 200, "headers": [(b"a b", b"c")]}, ValueError, "cannot be sent"),
        ({"status": 200, "headers": [(b"a", b"x\r\nSet-Cookie: y")]}, ValueError, "cannot be sent"),
        ({"status": 200, "headers": [(b"content-length", b"-1")]}, ValueError, "no number"),
        ({"status": 200, "headers": [(b"content-length", b"1" * 19)]}, ValueError, "no number"),
    ],
)
def test_heads_that_cannot(message: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        read_head({"type": START, **message})


def test_an_accept_keeps_the_handshake_to_us() -> None:
    fields = read_fields([(b"Sec-WebSocket-Accept", b"x"), (b"set-cookie", b"a=b")])
    assert fields == (("set-cookie", "a=b"),)


@pytest.mark.parametrize("body", [b"a", bytearray(b"a"), memoryview(b"a")])
def test_bodies_are_bytes(body: Any) -> None:
    assert body_of({"type": "http.response.body", "body": body}) == b"a"


def test_a_body_that_is_text() -> None:
    with pytest.raises(TypeError, match="is str: bytes"):
        body_of({"type": "http.response.body", "body": "a"})
