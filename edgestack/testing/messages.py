"""Messages as tests look at them: a request that was seen, an answer that came, each beside its very bytes.

    reader = Requests(); reader.feed(data); reader.next() -> SeenRequest | None
    reader = Replies();  reader.expect("GET"); reader.feed(data); reader.next() -> Reply | None

Sans I/O: whoever has bytes feeds them. h11 takes the messages apart (RFC 9112); a fresh connection of it for each
message, so that what belongs to the next one stays here as bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import h11

__all__ = ["Fields", "Replies", "Reply", "Requests", "SeenRequest", "request_bytes"]

MOST_SHOWN = 200
"""Bytes of what came that an error shows."""
LARGEST = 1 << 20
"""Bytes of a head that are taken: more than any limit of the edge that a test may want to see kept."""
Fields = tuple[tuple[str, str], ...]
"""Field names as they were written, and values, in order."""


class _Message:
    """What both have."""

    fields: Fields
    body: bytes

    @property
    def text(self) -> str:
        """The body as UTF-8; what is none is replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON.

        :raises ValueError: it is none.
        """
        return json.loads(self.body)

    def all(self, name: str) -> list[str]:
        """Every value of a field, in order; the name in any case."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of a field, or the default."""
        return next(iter(self.all(name)), default)

    def __getitem__(self, name: str) -> str:
        """The value of a field that is there once.

        :raises KeyError: it is not there, or several times.
        """
        found = self.all(name)
        if len(found) != 1:
            raise KeyError(f"{name} is there {len(found)} times: {found}")
        return found[0]

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))


@dataclass(frozen=True)
class SeenRequest(_Message):
    """A request, as whoever it was sent to has seen it."""

    method: str
    target: str
    """The request-target, byte for byte (RFC 9112 §3.2)."""
    fields: Fields
    body: bytes
    """Decoded from chunks where it came in them."""
    raw: bytes
    """All of it, as it came."""


@dataclass(frozen=True)
class Reply(_Message):
    """A whole answer."""

    status: int
    reason: str
    fields: Fields
    body: bytes
    raw: bytes
    """All of it, as it came; interim answers (1xx) before it too."""
    interim: tuple[int, ...] = ()
    """The statuses of those."""


class _Reader:
    """Bytes in, messages out."""

    def __init__(self) -> None:
        self.buffer = b""
        """What was fed and belongs to no message yet."""
        self.ended = False
        self._connection: h11.Connection | None = None
        self._fed = 0
        self._begin()

    def _begin(self) -> None:
        self._head: Any = None
        self._body = bytearray()
        self._interim: tuple[int, ...] = ()
        self._fed = 0

    def feed(self, data: bytes) -> None:
        """What came; b"" for the end of the stream."""
        self.buffer += data
        self.ended = self.ended or not data

    def _whole(self, connection: h11.Connection) -> bytes | None:
        """Go on reading one message; its bytes when it is complete.

        :raises h11.RemoteProtocolError: it is none.
        """
        if self._fed < len(self.buffer):
            connection.receive_data(self.buffer[self._fed :])
            self._fed = len(self.buffer)
        if self.ended:
            connection.receive_data(b"")
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return None
            if isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.InformationalResponse) and event.status_code != 101:
                self._interim += (event.status_code,)
            elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                break
            else:
                self._head = event
                if isinstance(event, h11.InformationalResponse):
                    break
        left = len(connection.trailing_data[0])
        raw, self.buffer = self.buffer[: len(self.buffer) - left], self.buffer[len(self.buffer) - left :]
        return raw


class Requests(_Reader):
    """The requests of one connection."""

    def next(self) -> SeenRequest | None:
        """The next one, when all of it is here.

        :raises h11.RemoteProtocolError: what came is no request.
        """
        if not self.buffer:
            return None
        connection = self._connection = self._connection or h11.Connection(h11.SERVER, LARGEST)
        raw = self._whole(connection)
        if raw is None or self._head is None:
            return None
        head, body = self._head, bytes(self._body)
        self._connection = None
        self._begin()
        return SeenRequest(head.method.decode(), head.target.decode("latin-1"), _fields(head), body, raw)


class Replies(_Reader):
    """The answers of one connection."""

    def __init__(self) -> None:
        super().__init__()
        self._methods: list[str] = []

    def expect(self, method: str, *, upgrade: bool = False) -> None:
        """A request was sent: how its answer ends depends on it (RFC 9112 §6.3)."""
        self._methods.append("UPGRADE" if upgrade else method)

    @property
    def awaits(self) -> bool:
        """Whether an answer is still to come."""
        return bool(self._methods)

    def next(self) -> Reply | None:
        """The next one, when all of it is here.

        :raises ConnectionError: what came is no answer, or broke off before its end.
        """
        if not self._methods:
            return None
        connection = self._connection = self._connection or _asking(self._methods[0])
        try:
            raw = self._whole(connection)
        except h11.RemoteProtocolError as error:
            raise ConnectionError(f"{error}, after {self.buffer[:MOST_SHOWN]!r}") from error
        if raw is None and self.ended:
            raise ConnectionError(f"the server closed before its answer was whole: {self.buffer[:MOST_SHOWN]!r}")
        if raw is None or self._head is None:
            return None
        head, body, interim = self._head, bytes(self._body), self._interim
        del self._methods[0]
        self._connection = None
        self._begin()
        return Reply(head.status_code, head.reason.decode("latin-1"), _fields(head), body, raw, interim)


def _asking(method: str) -> h11.Connection:
    """A connection of h11's on which such a request was sent."""
    connection = h11.Connection(h11.CLIENT, LARGEST)
    fields = [("Host", "a")]
    if method == "UPGRADE":
        method = "GET"
        fields += [("Connection", "Upgrade"), ("Upgrade", "websocket")]
    connection.send(h11.Request(method=method, target="/", headers=fields))
    connection.send(h11.EndOfMessage())
    return connection


def _fields(head: Any) -> Fields:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers.raw_items())


def request_bytes(
    method: str, target: str, host: str, fields: Iterable[tuple[str, str]] = (), body: bytes | None = None
) -> bytes:
    """A request as it is sent: Host first, Content-Length where there is a body and no framing is said.

    :param fields: of the request; a Host among them takes the place of `host`.
    """
    said = list(fields)
    names = {name.lower() for name, _ in said}
    if "host" not in names:
        said.insert(0, ("Host", host))
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        said.append(("Content-Length", str(len(body))))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in said), "", ""]
    return "\r\n".join(lines).encode("latin-1") + (body or b"")
