"""How an answer's head is written: framing, persistence, and the fields that the wire alone adds (RFC 9112 §6, §9).

Sans-I/O and shared by both drivers. A head has two parts: what depends on the response alone (`encode`, kept on the
response, so that a static entry pays once) and what belongs to this exchange (`Tail`: Date and request id, appended as
bytes). `frame` decides in between: Content-Length or chunks or until close, and whether the connection goes on.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from edgestack.errors import AppError
from edgestack.http.dates import http_date
from edgestack.http.messages import Exchange, Response
from edgestack.http.pages import REASONS

__all__ = ["CONTINUE", "LAST_CHUNK", "Framed", "Tail", "bodiless", "chunk", "encode", "frame"]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
BODILESS = frozenset([204, 304])
HEADS_KEPT = 256
"""Heads of applications' answers that are remembered whole: enough for the handful a site repeats, 100 KiB at most."""

_heads: dict[tuple[int, str, int | None, tuple[tuple[str, str], ...]], bytes] = {}


class Framed(NamedTuple):
    """An answer's head and what follows from it."""

    head: bytes
    """Status line and fields, to be followed by a `Tail`."""
    chunked: bool
    keep: bool
    """Whether the connection goes on after this answer."""
    bare: bool
    """No byte of body may follow (E5)."""


def encode(response: Response) -> bytes:
    """Status line, fields, Server and Content-Length as bytes; kept on the response.

    :raises AppError: a field would break the head in two (CR, LF or NUL inside): nothing of it is sent.
    """
    if response.encoded:
        return response.encoded
    key = (response.status, response.reason, response.length, response.fields)
    head = _heads.get(key)
    if head is None:
        head = _encode(response)
        if len(_heads) >= HEADS_KEPT:
            _heads.clear()
        if len(head) <= 1024:
            _heads[key] = head
    response.encoded = head
    return head


def _encode(response: Response) -> bytes:
    status = response.status
    lines = [f"HTTP/1.1 {status} {response.reason or REASONS.get(status, 'Unknown')}", "Server: edgestack"]
    lines += [f"{name}: {value}" for name, value in response.fields]
    if response.length is not None and status not in BODILESS and status >= 200:
        lines.append(f"Content-Length: {response.length}")
    text = "\r\n".join(lines)
    if text.count("\r") != len(lines) - 1 or text.count("\n") != len(lines) - 1 or "\0" in text:
        raise AppError("The answer could not be sent.", detail="a response field holds CR, LF or NUL")
    return text.encode("latin-1", "replace") + b"\r\n"


def bodiless(exchange: Exchange, response: Response) -> bool:
    """Whether this answer has no body on the wire, whatever was given (RFC 9112 §6.3: HEAD, 1xx, 204, 304)."""
    return exchange.request.method == "HEAD" or response.status in BODILESS or response.status < 200


def frame(exchange: Exchange, response: Response, keep: bool) -> Framed:
    """The head of `response` as an answer in `exchange`.

    :param keep: whether the server would go on with this connection; the client's wish comes on top.
    """
    request = exchange.request
    keep = keep and request.persistent
    bare = bodiless(exchange, response)
    modern = request.version == "HTTP/1.1"
    chunked = response.length is None and not bare and modern
    if response.length is None and not bare and not modern:
        keep = False  # an HTTP/1.0 client learns the end of such a body from the close (RFC 9112 §6.3, rule 8)
    head = encode(response)
    if chunked:
        head += b"Transfer-Encoding: chunked\r\n"
    if not keep:
        head += b"Connection: close\r\n"
    elif not modern:
        head += b"Connection: keep-alive\r\n"
    exchange.head = head
    return Framed(head, chunked, keep, bare)


def chunk(data: bytes) -> bytes:
    """`data` as one chunk (RFC 9112 §7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Tail:
    """The end of every head: Date (RFC 9110 §6.6.1), made once a second, and the request id."""

    __slots__ = ("line", "second")

    def __init__(self) -> None:
        self.second = -1
        self.line = b""

    def refresh(self) -> bytes:
        """Everything up to the serial number of the request id, for the second that it is now."""
        second = int(time.time())
        if second != self.second:
            # the line first: another thread that already sees the new second must not find the old line, or none
            self.line = f"Date: {http_date(second)}\r\nX-Request-Id: {Exchange.prefix}".encode("ascii")
            self.second = second
        return self.line

    def of(self, exchange: Exchange) -> bytes:
        """What ends the head of this exchange's answer, the empty line included."""
        return b"%b%08x\r\n\r\n" % (self.refresh(), exchange.serial)
