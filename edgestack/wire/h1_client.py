"""HTTP/1 on the client's side: the bytes of one response in, heads and body bytes out (RFC 9112).

    read_whole(data)                                     one read brought all of it: the common case, and the shortest

    reader = ResponseReader(method)
    reader.feed(data) ─► reader.next_head() ─► UpstreamHead     1xx ones first, one by one; heads: h1_client_head.py
                           └─ the final one ─► reader.first     body bytes that came with it
                                             ─► reader.body     decodes the rest: h1_client_bodies.py
    reader.eof()                                         the server closed
    reader.reusable                                      whether the link may serve another exchange (criterion B15)

Sans-I/O: no socket, no clock. One reader belongs to one exchange. Everything a server sends is held for hostile: what
cannot be read in exactly one way is an `UpstreamError`, whose detail names what it was. After 101 there is no body:
what came behind it stands in `reader.buffer` and belongs to the other protocol (B16, B17).
"""

from __future__ import annotations

from edgestack.errors import UpstreamError
from edgestack.wire.h1_client_bodies import Body, ByLength, Chunked, Empty, UntilClose, bad
from edgestack.wire.h1_client_head import BODILESS, HEAD, UpstreamHead, early_error, read_extraordinary, read_known

__all__ = ["ResponseReader", "UpstreamHead", "encode_request", "read_whole"]

END = b"\r\n\r\n"

BEGINNING = 16
"""Bytes that tell whether this is HTTP/1 at all."""
INTERIM = 16
"""Interim responses (1xx) before the final one: a 100, and some 103; more is a storm. A guess with room."""


def encode_request(method: str, target: bytes, fields: bytes) -> bytes:
    """The head of a request (RFC 9112 §3).

    :param target: the request-target, as it goes out.
    :param fields: the field lines, each with its CRLF.
    """
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method.encode("ascii"), target, fields)


def read_whole(data: bytes) -> tuple[UpstreamHead, bytes] | None:
    """Head and body of an answer that one read brought, to the last byte, framed by Content-Length, on a link that may
    go on; None when it is anything else: then a `ResponseReader` begins with the same bytes. Not for HEAD.
    """
    end = data.find(END)
    if end < 0 or end > HEAD - 4:
        return None
    head = read_known(data, end)
    if head is None or head.known.whole != len(data) - end - 4:
        return None
    return head, data[end + 4 :]


class ResponseReader:
    """Reads one response."""

    __slots__ = ("_interim", "_method", "_searched", "body", "buffer", "first", "head")

    def __init__(self, method: str) -> None:
        """
        :param method: of the request: HEAD has no body in its answer.
        """
        self._method = method
        self._searched = 0  # where to go on looking for the end of the head
        self._interim = 0
        self.buffer = b""
        """Received and not yet consumed."""
        self.head: UpstreamHead | None = None
        """The final head, or that of 101."""
        self.body: Body | None = None
        """The final response's; None before its head is here, and after 101."""
        self.first = b""
        """The body's bytes that came with the head, decoded."""

    def feed(self, data: bytes) -> None:
        """Take what arrived before the head was complete; afterwards it goes to `body.feed`."""
        self.buffer += data

    def next_head(self) -> UpstreamHead | None:
        """The next head: interim ones, then the final one; None while it is not complete.

        :raises UpstreamError: 502, what came is no response.
        """
        buffer = self.buffer
        end = buffer.find(END, self._searched)
        if end < 0 or end > HEAD - 4:
            if buffer:
                self._unfinished(buffer)
            return None
        head = read_known(buffer, end) or read_extraordinary(buffer[:end])
        self._searched = 0
        if head.status < 200:
            self.buffer = buffer[end + 4 :]
            self._count(head)
            return head
        self.head = head
        self.body = self._frame(head)
        self.buffer = b""
        if len(buffer) > end + 4:
            self.first = self.body.feed(buffer[end + 4 :])
        return head

    @property
    def reusable(self) -> bool:
        """Whether the response was framed and read to its end, and nothing came beyond (B15)."""
        body, head = self.body, self.head
        return (
            body is not None
            and head is not None
            and body.complete
            and body.framed
            and head.persistent
            and not body.overread
        )

    def eof(self) -> None:
        """The server closed.

        :raises UpstreamError: 502, before the end of the response.
        """
        if self.body is not None:
            self.body.eof()
        elif self.head is None:
            where = "in the midst of its head" if self.buffer else "before it answered"
            raise UpstreamError("The server behind this one broke off.", detail=f"the server closed {where}")

    def _unfinished(self, buffer: bytes) -> None:
        """Refuse early what no further bytes can make right. A drip of bytes must not cost its square: only the first
        ones, a line's end and the last that fit can have made it wrong."""
        size = len(buffer)
        if size < BEGINNING or size >= HEAD or not self._searched or buffer.find(b"\n", self._searched) >= 0:
            wrong = early_error(buffer)
            if wrong:
                raise bad(wrong)
        self._searched = max(0, size - 3)

    def _count(self, head: UpstreamHead) -> None:
        if head.status == 101:
            self.head = head
            return
        self._interim += 1
        if self._interim > INTERIM:
            raise bad(f"more than {INTERIM} interim answers came before the final one")

    def _frame(self, head: UpstreamHead) -> Body:
        """RFC 9112 §6.3."""
        known = head.known
        if self._method == "HEAD" or head.status in BODILESS:
            return Empty()
        if known.chunked:
            return Chunked()
        if known.length is None:
            return UntilClose()
        return ByLength(known.length)
