"""The one room that moves request bodies in: not begun until asked for, bounded in size, in time and in rate.

    content asks -> (100-continue, once, if the client waits for it) -> read the source -> Framing decodes -> pieces

The source is a connection of either driver. What nobody asks for stays unread: the sender closes such a connection
with a lingering close, or drops what is here already (criteria E4, E6, E7, E8).
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from io import BytesIO
from typing import IO, TYPE_CHECKING, Protocol

import trio

from edgestack.config.model import Limits, Timeouts
from edgestack.errors import ClientError, Disconnected
from edgestack.http.bodies import within
from edgestack.wire.connection import CLOSING, RECEIVE, WOULD_BLOCK, Connection
from edgestack.wire.h1 import H1, Framing
from edgestack.wire.h1_answer import CONTINUE

if TYPE_CHECKING:
    from edgestack.wire.lot import Lot

__all__ = ["LotSource", "ReceivedBody", "Source"]

IN_MEMORY = 64 * 1024
"""Bytes of a body kept in memory before a temporary file takes it; nginx's client_body_buffer_size is 16k."""
RATE_AFTER = 5.0
"""Seconds after which the rate of a body is judged; a slow start is no attack."""


class Source(Protocol):
    """Where the bytes come from, on a task."""

    async def receive(self) -> bytes:
        """Some bytes; b"" at the end of the stream."""

    async def send(self, data: bytes) -> None:
        """Send an interim response."""

    def rest(self) -> None:
        """The whole body is here: watch whether the client leaves."""


class LotSource:
    """A connection of the lot, read by the task that holds it."""

    __slots__ = ("_connection", "_lot")

    def __init__(self, lot: Lot, connection: Connection) -> None:
        self._lot = lot
        self._connection = connection

    async def receive(self) -> bytes:
        """Read; the poller's registration is taken away meanwhile, two pollers would both report it."""
        connection = self._connection
        self._lot.watch(connection, 0)
        while True:
            try:
                return connection.receive(RECEIVE)
            except WOULD_BLOCK:
                await trio.lowlevel.wait_readable(connection.fd)
            except OSError:
                return b""

    def rest(self) -> None:
        """The poller's registration, for the client's end alone."""
        self._lot.watch(self._connection, CLOSING)

    async def send(self, data: bytes) -> None:
        """Send; an interim response fits into any socket buffer that is not stuck."""
        connection = self._connection
        while data:
            try:
                data = data[connection.send(data) :]
            except WOULD_BLOCK:
                await trio.lowlevel.wait_writable(connection.fd)
            except OSError:
                raise Disconnected from None


class ReceivedBody:
    """See `http.bodies.RequestBody`."""

    __slots__ = ("_framing", "_h1", "_held", "_limits", "_source", "gap", "length")

    def __init__(self, source: Source, framing: Framing, h1: H1, limits: Limits, timeouts: Timeouts) -> None:
        self._source = source
        self._framing = framing
        self._h1 = h1
        self._limits = limits
        self.gap = timeouts.body_gap
        self._held = b""
        self.length = framing.length

    def spooled_nowait(self, limit: int) -> IO[bytes] | None:
        """The whole body if it is here already."""
        within(self.length or 0, limit)
        self._held += self._framing.read()
        within(len(self._held), limit)
        return BytesIO(self._held) if self._framing.complete else None

    async def spooled(self, limit: int) -> IO[bytes]:
        """The whole body, read to its end."""
        within(self.length or 0, limit)
        spool: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - the caller's
        size = 0
        try:
            async with aclosing(self.__aiter__()) as pieces:
                async for piece in pieces:
                    size += len(piece)
                    within(size, limit)
                    spool.write(piece)
        except BaseException:
            spool.close()
            raise
        spool.seek(0)
        return spool

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives."""
        if self._framing.expects_continue and not self._held and not self._framing.complete:
            await self._source.send(CONTINUE)
        held, self._held = self._held, b""
        if held:
            yield held
        started, size = trio.current_time(), len(held)
        while True:
            data = self._framing.read()
            if data:
                yield data
            elif self._framing.complete:
                self._source.rest()
                return
            else:
                data = await self._more()
                size += len(data)
                self._judge(size, trio.current_time() - started)
                self._h1.feed(data)

    async def _more(self) -> bytes:
        with trio.move_on_after(self.gap):
            data = await self._source.receive()
            if data:
                return data
            raise Disconnected(detail="the client left within the request's body")
        raise ClientError("The request's body took too long to arrive.", 408)

    def _judge(self, size: int, seconds: float) -> None:
        """At least so many bytes a second, once the first seconds are over (E7); what came first is not counted."""
        if seconds > RATE_AFTER and size < (seconds - RATE_AFTER) * self._limits.body_rate:
            raise ClientError("The request's body arrived too slowly.", 408)
