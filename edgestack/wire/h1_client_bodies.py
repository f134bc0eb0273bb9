"""The bodies of responses: bytes from a server behind us in, decoded bytes out (RFC 9112 §6.3, §7.1).

    Empty             HEAD, 1xx, 204, 304: none, whatever the fields say
    ByLength          Content-Length
    Chunked           Transfer-Encoding: chunked; extensions and trailers are checked, bounded and dropped
    UntilClose        neither: the end of the connection is the end of the body

    data = body.feed(received)    until body.complete; what came beyond is `body.overread`
    body.eof()                    the server closed: complete, or `UpstreamError`

Only a body that says itself where it ends leaves a link that may serve again (criterion B15), and over-read bytes are
nobody's answer: such a link is to be discarded. Sans-I/O. What is taken here h11 takes, and decodes the same
(`tests/wire/test_h1_client_property.py`).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod

from edgestack.errors import ClientError, UpstreamError
from edgestack.wire.h1_head import read_field

__all__ = ["Body", "ByLength", "Chunked", "Empty", "UntilClose", "bad"]

CRLF = b"\r\n"

CHUNK_LINE = 1024
"""Bytes of a chunk's size line with its extensions; as much as a client may send us."""
EXTENSIONS = 16 * 1024
"""Bytes of chunk extensions in one body (CVE-2023-39326)."""
TRAILERS = 8 * 1024
"""Bytes of a trailer section."""
MALFORMED = "The server behind this one sent an answer that is not understood."


def bad(detail: str) -> UpstreamError:
    """What a server sent that is no HTTP/1 (A16: "invalid_header")."""
    return UpstreamError(MALFORMED, detail=detail, condition="invalid_header")


class Body(ABC):
    """How the body of a response is delimited, and how far it has come."""

    __slots__ = ("complete", "overread")

    framed = True
    """Whether it says itself where it ends: only then may the link serve again (B15)."""
    length: int | None = None
    """Bytes in all, where that is known before."""

    def __init__(self) -> None:
        self.complete = False
        """Whether every byte of it has been given out."""
        self.overread = b""
        """What came beyond its end."""

    @abstractmethod
    def feed(self, data: bytes) -> bytes:
        """Take what arrived, and give what of it is body; b"" when more must be fed first, or when `complete`.

        :raises UpstreamError: 502, the framing is malformed.
        """

    def eof(self) -> None:
        """The server closed.

        :raises UpstreamError: 502, in the midst of the body.
        """
        if not self.complete:
            raise UpstreamError(
                "The server behind this one broke off.", detail=f"the server closed before the end of its {self}"
            )


class Empty(Body):
    """No body, whatever the fields say (RFC 9112 §6.3, rule 1)."""

    __slots__ = ()
    length = 0

    def __init__(self) -> None:
        super().__init__()
        self.complete = True

    def feed(self, data: bytes) -> bytes:
        """All of it is too much."""
        self.overread += data
        return b""


class ByLength(Body):
    """`length` bytes (RFC 9112 §6.3, rule 6)."""

    __slots__ = ("_left", "length")

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self._left = length
        self.complete = not length

    def __str__(self) -> str:
        return f"body, {self._left} of {self.length} bytes missing"

    def feed(self, data: bytes) -> bytes:
        """The body's bytes as they come."""
        size = len(data)
        if size < self._left:
            self._left -= size
            return data
        if size > self._left:
            self.overread += data[self._left :]
            data = data[: self._left]
        self._left = 0
        self.complete = True
        return data


class UntilClose(Body):
    """Everything until the server closes (RFC 9112 §6.3, rule 8)."""

    __slots__ = ()
    framed = False

    def feed(self, data: bytes) -> bytes:
        """The body's bytes as they come."""
        return data

    def eof(self) -> None:
        """That was its end."""
        self.complete = True


# plain quantifiers: in a line of 1 KiB no two of them compete for a byte
_size_line = re.compile(rb"([0-9A-Fa-f]{1,16})((?:;[^\x00-\x08\x0a-\x1f\x7f]*)?)[ \t]*")
_begun_size_line = re.compile(rb"[0-9A-Fa-f]{0,16}[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?\r?")


class Chunked(Body):
    """A chunked body (RFC 9112 §7.1)."""

    __slots__ = ("_extensions", "_kept", "_last", "_left", "_room")

    def __init__(self) -> None:
        super().__init__()
        self._kept = b""  # a line that is not all here
        self._left = 0  # bytes of the present chunk still to come, with the CRLF that closes it
        self._last = False  # whether the last chunk's size line has been passed: trailers follow
        self._extensions = 0
        self._room = TRAILERS

    def __str__(self) -> str:
        return "chunked body"

    def feed(self, data: bytes) -> bytes:
        """The content of the chunks, together."""
        if self.complete:
            self.overread += data
            return b""
        if self._kept:
            data = self._kept + data
            self._kept = b""
        pieces: list[bytes] = []
        at, size = 0, len(data)
        while at < size:
            if self._left:
                at = self._data(data, at, pieces)
                continue
            after = self._trailer_line(data, at) if self._last else self._size_line(data, at)
            if after < 0:
                self._kept = data[at:]
                break
            at = after
            if self.complete:
                self.overread = data[at:]
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _data(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Take what is here of the present chunk; where what follows begins."""
        step = min(self._left, len(data) - at)
        content = min(self._left - 2, step)
        if content > 0:
            pieces.append(data[at : at + content])
        closing = step - max(content, 0)
        self._left -= step
        if closing and data[at + step - closing : at + step] != CRLF[2 - self._left - closing : 2 - self._left]:
            raise bad("a chunk does not end where its size says")
        return at + step

    def _size_line(self, data: bytes, at: int) -> int:
        """Where what follows the size line begins; -1 when the line is not all here."""
        end = data.find(CRLF, at, at + CHUNK_LINE + 2)
        if end < 0:
            begun = data[at : at + CHUNK_LINE + 2]
            if len(begun) == CHUNK_LINE + 2 or not _begun_size_line.fullmatch(begun):
                raise bad("a chunk's size line is malformed or too long")
            return -1
        match = _size_line.fullmatch(data, at, end)
        if match is None:
            raise bad("a chunk's size line is malformed")
        self._extensions += len(match[2])
        if self._extensions > EXTENSIONS:
            raise bad("the chunk extensions are too large")
        size = int(match[1], 16)
        if size:
            self._left = size + 2
        else:
            self._last = True
        return end + 2

    def _trailer_line(self, data: bytes, at: int) -> int:
        """Where what follows the trailer line begins; -1 when the line is not all here."""
        end = data.find(CRLF, at, at + self._room)
        line = data[at:end] if end >= 0 else data[at : at + self._room]
        if b"\n" in line:
            raise bad("a line of the trailer section ends in a bare line feed")
        if end < 0:
            if len(line) == self._room:
                raise bad("the trailer section is too large")
            return -1
        self._room -= len(line) + 2
        if line:
            try:
                read_field(line)
            except ClientError as error:
                raise bad(f"in the trailer section: {error.public}") from None
        else:
            self.complete = True
        return end + 2
