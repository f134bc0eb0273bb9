"""The frames of one WebSocket connection: wsproto's, behind as much of a face as is needed (RFC 6455 §5).

    feed(bytes) -> Message, Message, …       reassembled, pings answered, what breaks the protocol closed with its code
    message(text | bytes), ping(), close()   -> bytes to be sent

Sans-I/O; one thread may feed it while another has it make messages. wsproto is the extra `asgi`; without it a handshake
is answered with 501, and the log says how to get it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from edgestack.asgi.extensions import Terms
from edgestack.errors import EdgeError

if TYPE_CHECKING:
    from wsproto.connection import Connection
    from wsproto.events import Event
    from wsproto.extensions import Extension

__all__ = ["MOST", "Frames", "Message", "frames"]

MOST = 16 * 1024 * 1024
"""Bytes of one message (uvicorn's ws_max_size): beyond it the connection is closed with 1009."""
TOO_BIG = 1009
INFLATED_HERE = 1024
"""Bytes that may be inflated on the loop: they come to 1 MiB at most (zlib: 1032 to 1), in some 3 ms."""
DEFLATED_HERE = 16 * 1024
"""Bytes that may be deflated on the loop (criterion D5)."""

REASONS = {TOO_BIG: "the message is too large"}
"""What is said instead of wsproto's own words."""

log = logging.getLogger("edgestack.error")


class Message(NamedTuple):
    """What came."""

    data: str | bytes | None = None
    """A whole message."""
    reply: bytes = b""
    """What must be sent for it: a pong, the answer to a close."""
    close: int | None = None
    """The code with which it is over."""
    reason: str = ""


class Frames:
    """See the top of this file."""

    def __init__(self, connection: Connection, most: int = MOST, *, compressed: bool = False) -> None:
        """
        :param most: bytes of one message.
        :param compressed: messages may be.
        """
        self._connection = connection
        self._most = most
        self._compressed = compressed
        self._text: list[str] = []
        self._bytes: list[bytes] = []
        self._size = 0

    def long_to_feed(self, data: bytes) -> bool:
        """Whether the loop should not wait for `feed`, nor for a step of what it gives."""
        return self._compressed and len(data) > INFLATED_HERE

    def long_to_make(self, data: str | bytes) -> bool:
        """Whether the loop should not wait for `message`."""
        return self._compressed and len(data) > DEFLATED_HERE

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that are whole now, and what else must be done."""
        from wsproto import events
        from wsproto.utilities import RemoteProtocolError

        try:
            self._connection.receive_data(data)
            for event in self._connection.events():
                if isinstance(event, events.Ping):
                    yield Message(reply=self._connection.send(event.response()))
                elif isinstance(event, events.CloseConnection):
                    yield self._closed(event)
                    return
                elif isinstance(event, events.TextMessage):
                    yield from self._piece(self._text, event.data, len(event.data.encode()), event.message_finished)
                elif isinstance(event, events.BytesMessage):
                    yield from self._piece(self._bytes, bytes(event.data), len(event.data), event.message_finished)
        except RemoteProtocolError as error:
            hint = error.event_hint
            code = int(hint.code) if isinstance(hint, events.CloseConnection) else 1002
            yield self._refused(code, str(error))

    def _closed(self, event: object) -> Message:
        """The client closes, answers our close, or has broken the protocol; code 1005 stands for none (§7.1.5)."""
        from wsproto import events
        from wsproto.connection import ConnectionState

        assert isinstance(event, events.CloseConnection)
        code, reason, state = int(event.code or 1005), event.reason or "", self._connection.state
        if state is ConnectionState.OPEN:
            return self._refused(code, reason)
        reply = self._connection.send(event.response()) if state is ConnectionState.REMOTE_CLOSING else b""
        return Message(reply=reply, close=code, reason=reason)

    def _piece(self, pieces: list[str] | list[bytes], data: str | bytes, size: int, last: bool) -> Iterator[Message]:
        if data:  # any number of fragments may be empty
            pieces.append(data)  # type: ignore[arg-type] # each list gets its own kind
        self._size += size
        if self._size > self._most:
            yield self._refused(TOO_BIG, "")
        elif last:
            whole = "".join(self._text) if pieces is self._text else b"".join(self._bytes)
            self._text.clear()
            self._bytes.clear()
            self._size = 0
            yield Message(whole)

    def _refused(self, code: int, reason: str) -> Message:
        reason = REASONS.get(code, reason)
        return Message(reply=self.close(code, reason), close=code, reason=reason)

    def message(self, data: str | bytes) -> bytes:
        """A whole message in one frame; nothing once it is closing."""
        from wsproto import events

        return self._made(events.TextMessage(data) if isinstance(data, str) else events.BytesMessage(data))

    def ping(self) -> bytes:
        """A ping; nothing once it is closing."""
        from wsproto import events

        return self._made(events.Ping())

    def close(self, code: int, reason: str = "") -> bytes:
        """A close; nothing where it was said already."""
        from wsproto import events

        return self._made(events.CloseConnection(code, reason))

    def _made(self, event: Event) -> bytes:
        from wsproto.utilities import LocalProtocolError

        try:
            return bytes(self._connection.send(event))
        except LocalProtocolError:
            return b""


def frames(most: int = MOST, terms: Terms | None = None) -> Frames:
    """For a connection whose handshake is made elsewhere.

    :param terms: on which messages are compressed; None: they are not.
    :raises EdgeError: 501, wsproto is not installed.
    """
    try:
        from wsproto.connection import Connection, ConnectionType

        from edgestack.asgi.deflating import Deflate
    except ImportError:
        detail = "WebSockets need wsproto: pip install 'edgestack[asgi]'"
        raise EdgeError("WebSockets are not spoken here.", 501, detail=detail) from None
    used: list[Extension] = [Deflate(terms, most)] if terms is not None else []
    return Frames(Connection(ConnectionType.SERVER, used), most, compressed=terms is not None)
