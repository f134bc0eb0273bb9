"""What follows a 101 whose other end is in this process: a task speaks the other protocol over the client's connection.

    Response(101, …, body=Conversation)  ->  head sent  ->  hold(line): receive and send, until it returns  ->  closed

Where the other end is a server behind us, a `Tunnel` is the body instead. Both drivers give a `Line`: what the client
had sent too early comes first, and several tasks may use it, one to read and one to write. RFC 9110 §7.8.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable

__all__ = ["Conversation", "Line"]


class Line:
    """A client's connection, as bytes."""

    __slots__ = ("_early", "_receive", "_send")

    def __init__(
        self, early: bytes, receive: Callable[[], Awaitable[bytes]], send: Callable[[bytes], Awaitable[None]]
    ) -> None:
        """:param early: what the client has sent already."""
        self._early = early
        self._receive = receive
        self._send = send

    async def receive(self) -> bytes:
        """Some bytes; b"" at the end.

        :raises Disconnected: the connection is broken.
        """
        if self._early:
            early, self._early = self._early, b""
            return early
        return await self._receive()

    async def send(self, data: bytes) -> None:
        """All of it; waits for a slow client, within the send gap.

        :raises Disconnected: the connection is broken.
        """
        await self._send(data)


class Conversation:
    """Somebody who speaks. Subclasses define `hold` and `gone`."""

    @abstractmethod
    async def hold(self, line: Line) -> None:
        """Speak until it is over; cancelled when the server waits no longer.

        :raises Disconnected: the client left.
        """

    @abstractmethod
    def gone(self) -> None:
        """It is not going to be held, or no longer."""
