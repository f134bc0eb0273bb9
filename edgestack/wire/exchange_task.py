"""A task that holds a connection of the lot while its exchange must wait: an upload, a directory, a stream.

    await the answer -> Response: send it (a Sender or a Pump does the rest) | AppCall: an application thread takes over

The boundary for what such a task raises is here: it ends this connection only; Cancelled passes (design: rule 7).
A client that resets the connection ends the wait, and one that leaves a stream half-closed does too (rule 8); any
other half-closed client is owed its answer.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import trio

from edgestack.errors import Disconnected
from edgestack.http.bodies import FileSegment
from edgestack.http.messages import AppCall, Errand, Exchange, Response
from edgestack.wire.carrying import carry
from edgestack.wire.connection import CLOSING, GONE, READABLE, WOULD_BLOCK, Connection
from edgestack.wire.conversation import Conversation, Line
from edgestack.wire.h1_answer import Tail, frame
from edgestack.wire.lot_outlet import LotOutlet, PacedOutlet
from edgestack.wire.pace import Pace, pace_of, send_gap
from edgestack.wire.receiving import LotSource
from edgestack.wire.sender import Sender
from edgestack.wire.sending import begin, unread
from edgestack.wire.streaming import let_go, on_the_wire
from edgestack.wire.tunnel import head_of

if TYPE_CHECKING:
    from edgestack.wire.lot import Lot

__all__ = ["ExchangeTask"]

_tail = Tail()


class ExchangeTask:
    """Holds one connection for one exchange."""

    __slots__ = ("_answer", "_connection", "_exchange", "_impatient", "_left", "_lot", "_pace", "_scope", "_watched")

    def __init__(self, lot: Lot, connection: Connection, exchange: Exchange, answer: Awaitable[Any]) -> None:
        self._lot = lot
        self._connection = connection
        self._exchange = exchange
        self._answer = answer
        self._scope = trio.CancelScope()
        self._left = False
        self._impatient = isinstance(answer, Errand)
        """Whether a client that leaves by halves has left: a server behind us, or a stream, is not kept busy for it."""
        if isinstance(answer, Errand):
            answer.interim = self._send
        self._pace: Pace | None = None
        self._watched = READABLE
        """What the lot looks for while this holds the connection; 0 where a task of ours reads it."""

    async def run(self) -> None:
        """Wait for the answer and see it off."""
        try:
            with self._scope:
                await self._run()
        except Disconnected:
            self._end(499)
        except Exception as error:
            self._lot.failed(self._connection, error, self._exchange)
        except BaseException:  # Cancelled, with the whole server
            self._end(503)
            raise
        if self._scope.cancelled_caught:
            self._end(499 if self._left else 503)

    def _end(self, status: int) -> None:
        """Nobody will get this answer, or no more of it. `status` is what the log says where none was sent."""
        self._exchange.break_off(status)
        self._lot.close(self._connection, hard=True)

    async def _run(self) -> None:
        lot, connection, exchange = self._lot, self._connection, self._exchange
        answer = await self._answer
        lot.now = lot.clock()  # the lot may have slept meanwhile
        self._pace = pace_of(exchange, lot.clock)
        if isinstance(answer, AppCall):
            if connection.closed:
                answer.discard()
                raise Disconnected
            lot.watch(connection, READABLE)
            lot.call(connection, exchange, answer, PacedOutlet if self._pace is not None else LotOutlet)
            lot.post(lot.hand_over)
        elif type(answer.body) in (bytes, tuple, FileSegment):
            if begin(lot, connection, exchange, answer):
                lot.resume(connection)
        elif isinstance(answer.body, Conversation):
            await self._converse(answer, answer.body)
        elif not carry(lot, connection, exchange, answer):
            await self._stream(answer)

    async def _stream(self, response: Response) -> None:
        """A body made on the loop: each piece leaves as it comes; a slow client holds the source back."""
        lot, connection, exchange = self._lot, self._connection, self._exchange
        framed = frame(exchange, response, lot.lasting and not unread(connection))
        exchange.status = response.status
        self._impatient = True
        lot.watch(connection, READABLE)
        try:
            await self._send(framed.head + _tail.of(exchange))
            await on_the_wire(exchange, response, framed, self._send)
        finally:
            let_go(response.body)  # of which nothing was asked, where not even the head could be sent
        exchange.finish()
        lot.now = lot.clock()
        lot.give_back(connection, framed.keep)

    async def _converse(self, response: Response, conversation: Conversation) -> None:
        """Another protocol from here on, spoken in this process."""
        lot, connection, exchange = self._lot, self._connection, self._exchange
        exchange.status = response.status
        early, connection.h1.buffer = connection.h1.buffer, b""
        self._watched = 0
        lot.watch(connection, 0)
        try:
            await self._send(head_of(exchange, response))
            await conversation.hold(Line(early, LotSource(lot, connection).receive, self._say))
        finally:
            conversation.gone()
        exchange.finish()
        lot.close(connection)

    async def _say(self, data: bytes) -> None:
        await self._send(data)
        self._exchange.bytes_out += len(data)

    async def _send(self, data: bytes) -> None:
        connection, pace = self._connection, self._pace
        view = memoryview(data)
        while view:
            most = Sender.TLS_PIECE if pace is None else await pace.turn(self._lot.clock, Sender.TLS_PIECE)
            try:
                sent = connection.send(view[:most])
                view = view[sent:]
                if pace is not None:
                    pace.spend(sent)
            except WOULD_BLOCK as error:
                await self._until_it_takes_more(reading=isinstance(error, ssl.SSLWantReadError))
            except OSError:
                raise Disconnected from None

    async def _until_it_takes_more(self, *, reading: bool) -> None:
        lot, connection = self._lot, self._connection
        lot.watch(connection, 0)  # two pollers would both report it
        with trio.move_on_after(send_gap(self._exchange, lot.timeouts.send_gap)) as scope:
            await (trio.lowlevel.wait_readable if reading else trio.lowlevel.wait_writable)(connection.fd)
        if scope.cancelled_caught:
            raise Disconnected(detail="the client took nothing for the whole send gap")
        lot.watch(connection, self._watched)

    def event(self, connection: Connection, mask: int) -> None:
        """Noted already; unregister until it is given back. Who waits for the answer of a client that left?"""
        left = mask & GONE or (self._impatient and mask & CLOSING)
        self._lot.watch(connection, CLOSING if self._impatient and not left else 0)
        if left:
            self._left = True
            self._scope.cancel()

    def expire(self, connection: Connection, now: float) -> None:
        """The waits of a task carry their own deadlines."""

    def stop(self, connection: Connection) -> bool:
        """The server waits no longer."""
        self._scope.cancel()
        return True
