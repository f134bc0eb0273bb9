"""What a scripted upstream may do with one request, or with a connection: values, told in the words of a test.

    replies(503)   says(b"HTTP/1.1 …")   refuses()   resets(after="headers")   hangs(after="request")
    drips(b"abc", every=0.5)             websocket("hello")               does(function)

An act is performed by `scripted.py`, over whatever stream the edge was given. `after` names the moment, in the order of
an exchange: "connect" (nothing was read), "request" (all of it was), "headers" (of the answer), "body" (half of it).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import trio

from edgestack.http.pages import reason as usual_reason
from edgestack.testing.messages import SeenRequest

__all__ = [
    "Act", "Do", "Drip", "Hang", "Refuse", "Replying", "Reset", "Say", "Talk", "act_of", "does", "drips", "hangs",
    "refuses", "replies", "resets", "says", "websocket",
]  # fmt: skip

Moment: TypeAlias = Literal["connect", "request", "headers", "body"]
MOMENTS = ("connect", "request", "headers", "body")
BARE = frozenset((204, 304))
"""Statuses whose answers have no body (RFC 9112 §6.3)."""


@dataclass(frozen=True)
class Replying:
    """An answer."""

    status: int = 200
    body: bytes | tuple[bytes, ...] = b""
    """Pieces are sent one by one, in chunks."""
    fields: tuple[tuple[str, str], ...] = ()
    after: float = 0.0
    """Seconds before it begins."""
    every: float = 0.0
    """Seconds between two pieces."""
    reason: str = ""

    def head(self, *, close: bool = False) -> bytes:
        """Status line and fields, framing included."""
        fields = list(self.fields)
        names = {name.lower() for name, _ in fields}
        if not names & {"content-length", "transfer-encoding"} and self.status not in BARE and self.status >= 200:
            chunked = isinstance(self.body, tuple)
            fields.append(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(self.body))))
        if close and "connection" not in names:
            fields.append(("Connection", "close"))
        reason = self.reason or usual_reason(self.status)
        lines = [f"HTTP/1.1 {self.status} {reason}", *(f"{name}: {value}" for name, value in fields), "", ""]
        return "\r\n".join(lines).encode("latin-1")

    def pieces(self) -> list[bytes]:
        """The body as it is sent."""
        if self.status in BARE:
            return []
        if isinstance(self.body, bytes):
            return [self.body] if self.body else []
        return [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in self.body if piece] + [b"0\r\n\r\n"]


@dataclass(frozen=True)
class Say:
    """Bytes, as they are; then it waits for the next request, or closes."""

    data: bytes
    close: bool = False


@dataclass(frozen=True)
class Drip:
    """Bytes of an answer's body, one after the other."""

    answer: Replying


@dataclass(frozen=True)
class Refuse:
    """Nobody listens: ECONNREFUSED."""


@dataclass(frozen=True)
class Reset:
    """The connection breaks: ECONNRESET."""

    after: Moment = "request"


@dataclass(frozen=True)
class Hang:
    """Nothing more comes, and nothing is closed."""

    after: Moment = "request"


@dataclass(frozen=True)
class Talk:
    """A WebSocket: it says these messages, and then what it hears."""

    says: tuple[str | bytes, ...] = ()
    echo: bool = field(default=True)


@dataclass(frozen=True)
class Do:
    """What a function of the test's says, or does itself."""

    function: Doing


Act: TypeAlias = Replying | Say | Drip | Refuse | Reset | Hang | Talk | Do
Said: TypeAlias = "Act | int | None"
Doing: TypeAlias = Callable[[SeenRequest, trio.abc.Stream], "Said | Awaitable[Said]"]


def replies(
    status: int = 200,
    *,
    body: bytes | str | Iterable[bytes | str] = b"",
    fields: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    after: float = 0.0,
    reason: str = "",
) -> Replying:
    """It answers.

    :param body: pieces (anything but text or bytes) are sent one by one, in chunks (RFC 9112 §7.1).
    :param fields: of the answer; framing is added where none is said.
    :param after: seconds that it thinks, on the edge's clock.
    :raises ValueError: that is no status.
    """
    if not isinstance(status, int) or not 100 <= status <= 999:
        raise ValueError(f"replies({status!r}): a status is a number of three digits, such as 503")
    pairs = tuple(fields.items()) if isinstance(fields, Mapping) else tuple(fields)
    said = _bytes(body) if isinstance(body, str | bytes) else tuple(_bytes(piece) for piece in body)
    return Replying(status, said, pairs, after, reason=reason)


def drips(
    body: bytes | str, *, every: float, status: int = 200, fields: Mapping[str, str] | None = None
) -> Drip:  # fmt: skip
    """It answers one byte at a time.

    :param every: seconds between two bytes, on the edge's clock.
    """
    data = _bytes(body)
    pairs = (*(fields or {}).items(), ("Content-Length", str(len(data))))
    return Drip(Replying(status, tuple(data[at : at + 1] for at in range(len(data))), pairs, every=every))


def says(data: bytes | str, *, close: bool = False) -> Say:
    """It sends these bytes, whatever they are; for answers that are none.

    :param close: and then it closes.
    """
    return Say(_bytes(data), close)


def refuses() -> Refuse:
    """It cannot be connected to."""
    return Refuse()


def resets(*, after: Moment = "request") -> Reset:
    """It breaks the connection (RST) at that moment."""
    return Reset(_moment(after))


def hangs(*, after: Moment = "request") -> Hang:
    """It says nothing more from that moment on."""
    return Hang(_moment(after))


def websocket(*messages: str | bytes, echo: bool = True) -> Talk:
    """It accepts a WebSocket, says these messages, and then echoes.

    :param echo: say every message that comes again.
    """
    return Talk(messages, echo)


def does(function: Doing) -> Do:
    """A function decides: `function(request, stream)`, in the edge's loop; it may be `async`.

    :param function: it gives an act, or the status of an empty answer; or it answers on the stream, and gives None.
        What it raises breaks its connection and fails the test: at once where the edge lives in the test's own loop,
        else when the test has come to its end, or in its report.
    """
    return Do(function)


def act_of(said: Act | int) -> Act:
    """An act; a number is the status of an empty answer.

    :raises TypeError: it is neither.
    """
    if isinstance(said, int):
        return replies(said)
    if not isinstance(said, Act):
        raise TypeError(f"{said!r} is nothing that an upstream can do: say replies(200), refuses(), … or a status")
    return said


def _moment(after: str) -> Moment:
    if after not in MOMENTS:
        raise ValueError(f"after={after!r}: it may be one of {', '.join(MOMENTS)}")
    return after  # type: ignore[return-value]


def _bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text
