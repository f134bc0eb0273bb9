"""A task that holds a connection of the lot while its exchange must wait: an upload, a directory, a stream.

    await the answer -> Response: send it (a Sender does the rest) | AppCall: an application thread takes over

The boundary for what such a task raises is here: it ends this connection only; Cancelled passes (design: rule 7).
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable
from contextlib import aclosing
from typing import TYPE_CHECKING

import trio

from edgestack.errors import Disconnected
from edgestack.http.bodies import FileSegment
from edgestack.http.messages import AppCall, Exchange, Response
from edgestack.wire.connection import WOULD_BLOCK, Connection
from edgestack.wire.h1_answer import LAST_CHUNK, Tail, chunk, frame
from edgestack.wire.sending import begin, unread

if TYPE_CHECKING:
    from edgestack.wire.lot import Lot

__all__ = ["ExchangeTask"]

_tail = Tail()


class ExchangeTask:
    """Holds one connection for one exchange."""

    __slots__ = ("_answer", "_connection", "_exchange", "_lot", "_scope")

    def __init__(
        self, lot: Lot, connection: Connection, exchange: Exchange, answer: Awaitable[Response | AppCall]
    ) -> None:
        self._lot = lot
        self._connection = connection
        self._exchange = exchange
        self._answer = answer
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        """Wait for the answer and see it off."""
        connection, lot = self._connection, self._lot
        try:
            with self._scope:
                await self._run()
        except Disconnected:
            self._exchange.status = 499
            self._exchange.finish()
            lot.close(connection, hard=True)
        except Exception as error:
            self._exchange.finish()
            lot.failed(connection, error)
        if self._scope.cancelled_caught:
            self._exchange.finish()
            lot.close(connection, hard=True)

    async def _run(self) -> None:
        lot, connection, exchange = self._lot, self._connection, self._exchange
        answer = await self._answer
        if isinstance(answer, AppCall):
            lot.call(connection, exchange, answer)
            lot.post(lot.hand_over)
        elif type(answer.body) in (bytes, tuple, FileSegment):
            if begin(lot, connection, exchange, answer):
                lot.resume(connection)
        else:
            await self._stream(answer)

    async def _stream(self, response: Response) -> None:
        """A body made on the loop: each piece leaves as it comes; a slow client holds the source back."""
        lot, connection, exchange = self._lot, self._connection, self._exchange
        framed = frame(exchange, response, lot.lasting and not unread(connection))
        exchange.status = response.status
        await self._send(framed.head + _tail.of(exchange))
        body = response.body
        assert isinstance(body, AsyncIterable)
        async with aclosing(body.__aiter__()) as pieces:  # type: ignore[type-var]
            async for piece in pieces if not framed.bare else ():  # type: ignore[union-attr]
                if piece:
                    exchange.bytes_out += len(piece)
                    await self._send(chunk(piece) if framed.chunked else piece)
        if framed.chunked:
            await self._send(LAST_CHUNK)
        exchange.finish()
        lot.give_back(connection, framed.keep)

    async def _send(self, data: bytes) -> None:
        connection = self._connection
        view = memoryview(data)
        while view:
            try:
                view = view[connection.sock.send(view) :]
            except WOULD_BLOCK:
                await self._writable()
            except OSError:
                raise Disconnected from None

    async def _writable(self) -> None:
        self._lot.watch(self._connection, 0)
        with trio.move_on_after(self._lot.timeouts.send_gap) as scope:
            await trio.lowlevel.wait_writable(self._connection.fd)
        if scope.cancelled_caught:
            raise Disconnected(detail="the client took nothing for the whole send gap")

    def event(self, connection: Connection, mask: int) -> None:
        """Noted already; unregister until it is given back."""
        self._lot.watch(connection, 0)

    def expire(self, connection: Connection, now: float) -> None:
        """The waits of a task carry their own deadlines."""

    def stop(self, connection: Connection) -> None:
        """The server waits no longer."""
        self._scope.cancel()
