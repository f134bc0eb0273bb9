"""The portable driver: a task per connection over any trio stream, on the same protocol objects as the lot.

    next head (keep-alive, head timeouts) -> handle -> Response | await it | a thread with an outbox -> send

It serves memory streams under virtual time in tests, and every system without epoll. It is allowed to cost more than
the lot, never to answer differently: one contract suite runs over both. Here the task holds the connection throughout,
so there is no holder to hand over; application threads write into an Outbox, which the task empties.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import AsyncIterable, Callable
from contextlib import aclosing
from typing import Any

import trio

from edgestack.config.model import Limits, Timeouts
from edgestack.errors import ClientError, Disconnected, EdgeError, Refused
from edgestack.http.bodies import FileSegment, Piece
from edgestack.http.messages import AppCall, Exchange, Facts, Request, Response, unreadable
from edgestack.http.target import read_path
from edgestack.wire.connection import RECEIVE, Door
from edgestack.wire.h1 import H1
from edgestack.wire.h1_answer import LAST_CHUNK, Tail, chunk, frame
from edgestack.wire.outbox import READ_BACK, Budget, Outbox
from edgestack.wire.outlet import ThreadOutlet
from edgestack.wire.receiving import ReceivedBody
from edgestack.wire.sending import pieces_of
from edgestack.wire.statistics import Statistics

__all__ = ["Portable"]

log = logging.getLogger("edgestack.error")
_tail = Tail()


class Portable:
    """What the connections of this driver share. `serve` runs one connection to its end."""

    def __init__(self, limits: Limits, timeouts: Timeouts, submit: Callable[[Callable[[], None]], None]) -> None:
        self.limits = limits
        self.timeouts = timeouts
        self.submit = submit
        self.draining = False
        self.statistics = Statistics()
        self.spools = Budget(limits.spools)
        self.idle: set[trio.CancelScope] = set()
        """The waits for a next request; the drain cancels them."""
        self.open = 0
        self._serial = 0

    async def serve(self, stream: trio.abc.Stream, facts: Facts, door: Door) -> None:
        """Serve one connection until it closes; the boundary for what fails there."""
        self.statistics.accepted += 1
        self.open += 1
        connection = _Stream(self, stream, facts, door)
        try:
            await connection.run()
        except (Disconnected, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client left; its exchange is finished and logged
        except Exception:
            self.statistics.failures += 1
            log.exception("connection from %s failed", facts.remote_addr)
        finally:
            self.open -= 1
            await trio.aclose_forcefully(stream)

    def exchange(self, facts: Facts, request: Request) -> Exchange:
        """A new exchange, numbered."""
        self._serial += 1
        return Exchange(facts, request, self._serial, trio.current_time())

    def close_idle(self) -> None:
        """End the waits for a next request."""
        for scope in self.idle:
            scope.cancel()


class _Stream:
    """One connection."""

    def __init__(self, driver: Portable, stream: trio.abc.Stream, facts: Facts, door: Door) -> None:
        self._driver = driver
        self._stream = stream
        self._facts = facts
        self._door = door
        self._h1 = H1(driver.limits)

    # -- receiving ---------------------------------------------------------------------------------------------------

    async def receive(self) -> bytes:
        """Some bytes (`receiving.Source`)."""
        try:
            return bytes(await self._stream.receive_some(RECEIVE))
        except trio.BrokenResourceError:
            return b""

    async def send(self, data: bytes) -> None:
        """All of `data`, within the send gap (`receiving.Source`)."""
        with trio.move_on_after(self._driver.timeouts.send_gap):
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                raise Disconnected from None
            return
        raise Disconnected(detail="the client took nothing for the whole send gap")

    async def run(self) -> None:
        """Exchanges, one after the other."""
        try:
            while (request := await self._next_request()) is not None:
                if not await self._exchange(request):
                    break
                if self._driver.draining and not self._h1.buffer:
                    return
            else:
                return
        except ClientError as error:
            if error.status == 499:
                raise
            await self._refuse(error)
        await self._linger()

    async def _next_request(self) -> Request | None:
        """The next head; None when the client has closed, or was idle for too long."""
        driver, h1 = self._driver, self._h1
        deadline = math.inf
        while True:
            begun = h1.buffer != b""
            request = h1.next_request()
            if request is not None:
                return request
            if not h1.buffer:
                deadline = trio.current_time() + (driver.timeouts.keepalive or driver.timeouts.head)
            elif not begun or deadline == math.inf:
                deadline = trio.current_time() + driver.timeouts.head
            data = await self._wait(deadline)
            if data:
                if not h1.buffer:
                    deadline = trio.current_time() + driver.timeouts.head
                h1.feed(data)
                continue
            error = h1.eof_error()
            if error is not None:
                raise error
            return None

    async def _wait(self, deadline: float) -> bytes:
        driver = self._driver
        with trio.CancelScope(deadline=deadline) as scope:
            if not self._h1.buffer:
                driver.idle.add(scope)
            try:
                return await self.receive()
            finally:
                driver.idle.discard(scope)
        if self._h1.buffer:
            raise ClientError("The request's head took too long to arrive.", 408)
        return b""

    async def _refuse(self, error: EdgeError) -> None:
        self._driver.statistics.refused += 1
        exchange = self._driver.exchange(self._facts, unreadable(read_path("/")))
        exchange.ends = self._door.ends
        await self._reply(exchange, self._door.errors(exchange, error))

    async def _linger(self) -> None:
        """Read on for a while, so that the client sees the answer and not a reset (E8)."""
        left = self._driver.limits.linger
        with trio.move_on_after(self._driver.timeouts.linger):
            if isinstance(self._stream, trio.abc.HalfCloseableStream):
                await self._stream.send_eof()
                while left > 0 and (data := await self.receive()):
                    left -= len(data)

    # -- answering ---------------------------------------------------------------------------------------------------

    async def _exchange(self, request: Request) -> bool:
        """Answer one request. True: the connection goes on."""
        driver = self._driver
        exchange = driver.exchange(self._facts, request)
        if self._h1.framing is not None:
            request.body = ReceivedBody(self, self._h1.framing, self._h1, driver.limits, driver.timeouts)
        try:
            answer: Any = self._door.handle(exchange)
            if not isinstance(answer, (Response, AppCall)):
                answer = await answer
            if isinstance(answer, AppCall):
                return await self._call(exchange, answer)
            return await self._reply(exchange, answer)
        except Disconnected:
            exchange.status = exchange.status or 499
            raise
        finally:
            exchange.finish()

    def _keep(self) -> bool:
        framing = self._h1.framing
        if framing is not None and not framing.complete:
            while framing.read():
                pass
        whole = framing is None or framing.complete
        return whole and not self._driver.draining and self._driver.timeouts.keepalive > 0

    async def _reply(self, exchange: Exchange, response: Response) -> bool:
        framed = frame(exchange, response, self._keep())
        exchange.status = response.status
        head = framed.head + _tail.of(exchange)
        if isinstance(response.body, (bytes, tuple, FileSegment)):
            pieces = pieces_of(response)
            if framed.bare:
                _close(pieces)
                pieces = []
            if pieces and isinstance(pieces[0], bytes):
                head += pieces.pop(0)  # type: ignore[operator] # just looked at
            exchange.bytes_out = 0 if framed.bare else response.length or 0
            await self._send_pieces([head, *pieces])
        else:
            await self.send(head)
            await self._stream_out(exchange, response.body, framed.chunked, framed.bare)
        return framed.keep

    async def _stream_out(self, exchange: Exchange, body: AsyncIterable[bytes], chunked: bool, bare: bool) -> None:
        async with aclosing(body.__aiter__()) as pieces:  # type: ignore[type-var]
            if not bare:
                async for piece in pieces:
                    if piece:
                        exchange.bytes_out += len(piece)
                        await self.send(chunk(piece) if chunked else piece)
        if chunked:
            await self.send(LAST_CHUNK)

    async def _send_pieces(self, pieces: list[Piece]) -> None:
        try:
            while pieces:
                await self._send_piece(pieces.pop(0))
        finally:
            _close(pieces)

    async def _send_piece(self, piece: Piece) -> None:
        if isinstance(piece, bytes):
            await self.send(piece)
            return
        try:
            while piece.length:
                data = os.pread(piece.fd, min(piece.length, READ_BACK), piece.offset)
                if not data:
                    log.warning("a file became %d bytes shorter while it was sent", piece.length)
                    raise Disconnected
                piece.offset += len(data)
                piece.length -= len(data)
                await self.send(data)
        finally:
            piece.close()

    async def _call(self, exchange: Exchange, call: AppCall) -> bool:
        """Hand the exchange to an application thread and send what it puts into its outbox."""
        driver = self._driver
        exchange.ticket = [None]
        outlet = _Outlet(self, exchange, call)
        try:
            driver.submit(outlet.run)
        except Refused as error:
            call.discard()
            return await self._reply(exchange, exchange.chain.errors(exchange, error))
        with hold_clock():
            try:
                while True:
                    piece = outlet.outbox.take()
                    if piece is not None:
                        await self._send_piece(piece)
                    elif outlet.outbox.closed:
                        break
                    else:
                        await outlet.filled.wait()
                        outlet.filled = trio.Event()
            finally:
                exchange.ticket.clear()
                outlet.outbox.abandon()
        if outlet.truncated:
            raise Disconnected
        return outlet.keep


def _close(pieces: list[Piece]) -> None:
    for piece in pieces:
        if isinstance(piece, FileSegment):
            piece.close()


class _Outlet(ThreadOutlet):
    """Everything goes through the outbox; the connection's task empties it."""

    __slots__ = ("_connection", "_token", "filled", "outbox", "truncated")

    def __init__(self, connection: _Stream, exchange: Exchange, call: AppCall) -> None:
        super().__init__(exchange, call)
        driver = connection._driver
        self._connection = connection
        self._token = trio.lowlevel.current_trio_token()
        self.filled = trio.Event()
        self.outbox = Outbox(limit=driver.limits.spool, gap=driver.timeouts.send_gap, budget=driver.spools)
        self.outbox.open(self._wake)
        self._outbox = self.outbox
        self.truncated = False

    @property
    def keep(self) -> bool:
        """Whether the connection goes on."""
        return self._framed is not None and self._framed.keep

    def _wake(self) -> None:
        try:
            self._token.run_sync_soon(lambda: self.filled.set())
        except trio.RunFinishedError:
            pass  # the loop is gone, and the client with it

    def _keep(self) -> bool:
        return self._connection._keep()

    def _write(self, data: bytes) -> None:
        if self._gone:
            raise Disconnected
        self.outbox.put(data)

    def _write_file(self, head: bytes, segment: FileSegment) -> None:
        try:
            if head:
                self._write(head)
        except Disconnected:
            segment.close()
            raise
        self.outbox.put(segment)

    def _done(self) -> None:
        self.outbox.close()

    def _break(self) -> None:
        self.truncated = True
        self.outbox.close()


class hold_clock:
    """While an application thread works, an autojumping test clock must not run ahead of it."""

    held = 0
    threshold = math.inf

    def __enter__(self) -> None:
        clock: Any = trio.lowlevel.current_clock()
        if hasattr(clock, "autojump_threshold"):
            if hold_clock.held == 0:
                hold_clock.threshold, clock.autojump_threshold = clock.autojump_threshold, math.inf
            hold_clock.held += 1

    def __exit__(self, *_: object) -> None:
        clock: Any = trio.lowlevel.current_clock()
        if hasattr(clock, "autojump_threshold"):
            hold_clock.held -= 1
            if hold_clock.held == 0:
                clock.autojump_threshold = hold_clock.threshold
