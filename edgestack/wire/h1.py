"""HTTP/1 on the server's side, the receiving half: bytes in, requests and body bytes out (RFC 9112).

    feed(bytes) ─► next_request() ─► Request          heads: h1_head.py
                        └─► framing.read() ─► bytes    its body: by Content-Length, or chunked
                              └─ complete ─► next_request() …

Sans-I/O: no socket, no clock, no thread, no answer. One `H1` belongs to one connection for its life, and is small,
because ten thousand of them sit idle: an empty buffer and no framing. `read` never looks beyond the body; what follows
is the next request (pipelining). Every error is a `ClientError`, and after it the connection is answered and closed.

Chunked bodies are decoded by h11. In front of it stands a gate that lets only strict chunk framing through (RFC 9112
§7.1): h11 takes `5 `, any byte but LF as an extension, and trailers with bare LF or folded lines, and bounds none of
them. A request smuggled past a laxer proxy dies here (E1, E2; CVE-2025-43859 was of this family).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod

import h11

from edgestack.config.model import Limits
from edgestack.errors import ClientError
from edgestack.http.fields import is_token, tokens
from edgestack.http.messages import Request
from edgestack.http.target import read_path
from edgestack.wire.h1_head import early_error, read_extraordinary, read_field, read_ordinary
from edgestack.wire.known_heads import read_known

__all__ = ["H1", "ChunkedFraming", "Framing", "LengthFraming"]

CRLF = b"\r\n"
END = b"\r\n\r\n"

AT_ONCE = 4096
"""Bytes that are taken for one whole head when they end like one: it saves the search for its end (0.3 µs of 4)."""
CHUNK_LINE = 1024
"""Bytes of a chunk's size line with its extensions. A guess with room: signatures of 100 bytes are the longest seen."""
EXTENSIONS = 16 * 1024
"""Bytes of chunk extensions in one body; as much excess as Go's net/http bears (CVE-2023-39326)."""
TRAILERS = 8 * 1024
"""Bytes of a trailer section; as much as a request line."""
CHUNKS_A_READ = 32
"""Chunks that one `read` decodes: h11 takes some 10 µs for each, and the loop is not ours for more than 0.5 ms."""

FRAMING_FIELDS = frozenset(("content-length", "host", "transfer-encoding"))
"""What no trailer may say (RFC 9110 §6.5.1)."""


class Framing(ABC):
    """How the body of a request is delimited (RFC 9112 §6), and the way to its bytes."""

    __slots__ = ("_h1", "complete", "expects_continue", "length")

    def __init__(self, h1: H1, length: int | None, expects_continue: bool) -> None:
        """
        :param length: bytes of body by Content-Length; None for a chunked body.
        :param expects_continue: whether the client waits for 100 (Continue) before it sends the body (E6).
        """
        self._h1: H1 | None = h1  # let go of when complete: the two would keep each other alive
        self.length = length
        self.expects_continue = expects_continue
        self.complete = False
        """Whether every byte of the body has been handed out."""

    @abstractmethod
    def read(self) -> bytes:
        """Body bytes that have arrived, decoded; b"" when more must be fed first, or when `complete`.

        Raises `ClientError` 400 on bad framing, and 431 when a trailer section is too large.
        """


class LengthFraming(Framing):
    """A body of `length` bytes (RFC 9112 §6.2); never made for an empty one."""

    __slots__ = ("_left",)

    def __init__(self, h1: H1, length: int, expects_continue: bool) -> None:
        super().__init__(h1, length, expects_continue)
        self._left = length

    def read(self) -> bytes:
        h1 = self._h1
        if h1 is None:
            return b""
        data = h1.buffer
        if len(data) < self._left:
            h1.buffer = b""
            self._left -= len(data)
            return data
        h1.buffer = data[self._left :]
        self.complete = True
        self._h1 = None
        return data[: self._left]


class ChunkedFraming(Framing):
    """A chunked body (RFC 9112 §7.1). Extensions and trailers are checked, bounded, and dropped."""

    __slots__ = ("_connection", "_extensions", "_fields", "_last", "_left", "_room")

    def __init__(self, h1: H1, connection: h11.Connection, expects_continue: bool) -> None:
        """
        :param connection: the h11 connection that has read the head, and nothing beyond it.
        """
        super().__init__(h1, None, expects_continue)
        self._connection: h11.Connection | None = connection
        self._left = 0  # bytes of the present chunk still to come, with the CRLF that closes it
        self._extensions = 0  # bytes of them so far
        self._last = False  # whether the last chunk's size line has been passed: trailers follow
        self._room = TRAILERS  # bytes that the rest of the trailer section may have
        self._fields = 0  # trailer fields so far

    def read(self) -> bytes:
        h1, connection = self._h1, self._connection
        if h1 is None or connection is None:
            return b""
        passed = self._gate(h1.buffer, h1.limits)
        if not passed:
            return b""
        connection.receive_data(h1.buffer[:passed])
        h1.buffer = h1.buffer[passed:]
        pieces: list[bytes] = []
        try:
            while type(event := connection.next_event()) is h11.Data:
                pieces.append(event.data)
        except h11.RemoteProtocolError as error:
            raise ClientError("The chunked body is malformed.", 400, detail=str(error)) from error
        if type(event) is h11.EndOfMessage:
            self.complete = True
            self._h1 = self._connection = None
        return b"".join(pieces)

    def _gate(self, data: bytes, limits: Limits) -> int:
        """How many bytes from the start of `data` are strict chunk framing and may go to h11."""
        at = chunks = 0
        while at < len(data) and chunks < CHUNKS_A_READ:
            if self._left:
                step = self._data(data, at)
            elif self._last:
                step = self._trailer_line(data, at, limits.fields)
                if step == 2:
                    return at + 2  # the blank line: what follows is the next request
            else:
                step = self._size_line(data, at)
                chunks += 1
            if not step:
                break
            at += step
        return at

    def _data(self, data: bytes, at: int) -> int:
        """How much of the present chunk is here, the CRLF that closes it included."""
        step = min(self._left, len(data) - at)
        self._left -= step
        closing = min(step, 2 - self._left)
        if closing > 0 and data[at + step - closing : at + step] != CRLF[2 - self._left - closing : 2 - self._left]:
            raise ClientError("A chunk does not end where its size says.", 400)
        return step

    def _size_line(self, data: bytes, at: int) -> int:
        """The length of the size line at `at`, CRLF included; 0 when it is not all here. Sets what follows it."""
        end = data.find(CRLF, at, at + CHUNK_LINE + 2)
        if end < 0:
            begun = data[at : at + CHUNK_LINE + 2]
            if len(begun) == CHUNK_LINE + 2 or not _begun_size_line.fullmatch(begun):
                raise ClientError("A chunk's size line is malformed.", 400)
            return 0
        match = _size_line.fullmatch(data, at, end)
        if match is None:
            raise ClientError("A chunk's size line is malformed.", 400)
        self._extensions += match.end() - match.end(1)
        if self._extensions > EXTENSIONS:
            raise ClientError("The chunk extensions are too large.", 400)
        size = int(match[1], 16)
        if size:
            self._left = size + 2
        else:
            self._last = True
        return end + 2 - at

    def _trailer_line(self, data: bytes, at: int, most: int) -> int:
        """The length of the trailer line at `at`, CRLF included: 0 when it is not all here, 2 for the blank line.

        :param most: the number of fields that the section may have.
        """
        end = data.find(CRLF, at, at + self._room)
        line = data[at:end] if end >= 0 else data[at : at + self._room]
        if b"\n" in line:
            raise ClientError("A line ends in a bare line feed.", 400)
        if end < 0:
            if len(line) == self._room:
                raise ClientError("The trailer section is too large.", 431)
            return 0
        self._room -= len(line) + 2
        if line:
            self._fields += 1
            if self._fields > most:
                raise ClientError("There are too many trailer fields.", 431)
            if read_field(line)[0] in FRAMING_FIELDS:
                raise ClientError("A field that belongs to the head stands in the trailer section.", 400)
        return len(line) + 2


# plain quantifiers: in a size line of 1 KiB no two of them compete for a byte, and Python 3.11.2 reads `(…)?+` wrongly
_token = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_quoted = rb'"(?:[^\x00-\x08\x0a-\x1f\x7f"\\]|\\[^\x00-\x08\x0a-\x1f\x7f])*"'
_size_line = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[ \t]*%b(?:=(?:%b|%b))?)*" % (_token, _token, _quoted))
_begun_size_line = re.compile(rb"[0-9A-Fa-f]{0,16}(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?\r?")


class H1:
    """The receiving half of one connection."""

    __slots__ = ("_blank", "_searched", "buffer", "framing", "limits")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.buffer = b""
        """Received and not yet consumed."""
        self.framing: Framing | None = None
        """How the body of the latest request is delimited; None when it has none."""
        self._searched = 0  # where to go on looking for the end of the head
        self._blank = False  # whether an empty line before the request line was skipped

    def feed(self, data: bytes) -> None:
        """Take what arrived."""
        self.buffer += data

    def next_request(self) -> Request | None:
        """The next request, its head read and its body not begun; None while the head is not complete.

        To be called when the body before was read to its end. Raises `ClientError`: 400, 405, 414, 431, 501, 505.
        """
        self.framing = None
        buffer = self.buffer
        request = None
        if len(buffer) <= AT_ONCE and buffer[-4:] == END:
            request = read_known(buffer, self.limits)  # a second head within would show as an empty line
        if request is not None:
            self.buffer = b""
        else:
            end = buffer.find(END, self._searched)
            if end <= 0:
                return self._unfinished() if buffer else None
            request = read_ordinary(buffer[:end], self.limits)
            if request is None:
                return self._extraordinary(end)
            self.buffer = buffer[end + 4 :]
        self._searched = 0
        self._blank = False
        if "content-length" in request.fields:
            self._frame_by_length(request)
        return request

    def eof_error(self) -> ClientError | None:
        """What to make of the client's end of file now: None between two requests, else the error to answer with."""
        if self.framing is not None and not self.framing.complete:
            return ClientError("The body ended early.", 400)
        if not self.buffer or (self.buffer == b"\r" and not self._blank):
            return None
        return ClientError("The request ended before its head was complete.", 400)

    def unreadable(self) -> Request:
        """What stands in the exchange of a head that was refused: empty, but for the method and target of a request
        line that can be read, so that the log tells what was asked and HEAD gets no body. Never persistent."""
        line = self.buffer[: self.limits.request_line].partition(CRLF)[0].decode("latin-1")
        method, _, rest = line.partition(" ")
        target = rest.partition(" ")[0]
        if not (is_token(method) and target.isascii() and target.isprintable()):
            method = target = ""
        return Request(method, target, "HTTP/1.1", [], {}, read_path("/"), "", "", persistent=False)

    def _extraordinary(self, end: int) -> Request | None:
        if self._skip_blank_line():
            return self.next_request()
        request, connection = read_extraordinary(self.buffer[:end], self.limits)
        self.buffer = self.buffer[end + 4 :]
        self._searched = 0
        self._blank = False
        if "transfer-encoding" in request.fields:
            self.framing = ChunkedFraming(self, connection, _expects_continue(request))
        elif "content-length" in request.fields:
            self._frame_by_length(request)
        return request

    def _frame_by_length(self, request: Request) -> None:
        length = int(request.fields["content-length"])
        if length:
            self.framing = LengthFraming(self, length, _expects_continue(request))

    def _unfinished(self) -> Request | None:
        if self._skip_blank_line():
            return self.next_request()
        buffer = self.buffer
        if buffer == b"\r" and not self._blank:
            return None
        if self._may_be_wrong(buffer):
            error = early_error(buffer, self.limits)
            if error is not None:
                raise error
        self._searched = max(0, len(buffer) - 3)
        return None

    def _may_be_wrong(self, buffer: bytes) -> bool:
        """Whether what came last can have made an unfinished head wrong: a drip of bytes must not cost its square."""
        limits = self.limits
        return (
            not self._searched
            or len(buffer) >= limits.head
            or buffer.find(b"\n", self._searched) >= 0
            or (len(buffer) > limits.request_line and buffer.find(b"\n", 0, limits.request_line + 2) < 0)
        )

    def _skip_blank_line(self) -> bool:
        """Skip one empty line before a request line, which old clients send after a body (RFC 9112 §2.2)."""
        if self._blank or self.buffer[:2] != CRLF:
            return False
        self.buffer = self.buffer[2:]
        self._searched = 0
        self._blank = True
        return True


def _expects_continue(request: Request) -> bool:
    """Whether 100 (Continue) is awaited; HTTP/1.0 clients cannot (RFC 9110 §10.1.1)."""
    expect = request.fields.get("expect")
    return expect is not None and request.version == "HTTP/1.1" and "100-continue" in tokens(expect)
