"""One connection of the portable driver, from its first head to its close: a task, and so a story told in order.

    heads (keep-alive and head timeouts) -> exchange -> answer -> … -> linger | leave

What an answer may be, its framing, its limits and its log line are those of the lot; see `lot.py`, `sending.py`,
`exchange_task.py` and `linger.py` for their twins there. The boundaries for bugs are `run` and `_exchange`.
"""

from __future__ import annotations

import logging
import math
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from edgestack.errors import AppError, ClientError, Disconnected, EdgeError, Refused
from edgestack.http.bodies import FileSegment, Piece
from edgestack.http.facts import Facts
from edgestack.http.messages import AppCall, Errand, Exchange, Request, Response
from edgestack.wire.connection import RECEIVE, Door
from edgestack.wire.conversation import Conversation, Line
from edgestack.wire.h1 import H1
from edgestack.wire.h1_answer import Framed, Tail, frame
from edgestack.wire.outbox import READ_BACK
from edgestack.wire.overdue import given_up, taken
from edgestack.wire.pace import Pace, pace_of, send_gap
from edgestack.wire.portable_outlet import PortableOutlet
from edgestack.wire.portable_relay import Ahead, beside, pass_both_ways
from edgestack.wire.portable_watch import Watch
from edgestack.wire.receiving import ReceivedBody
from edgestack.wire.relay import Relay
from edgestack.wire.sending import pieces_of
from edgestack.wire.streaming import let_go, on_the_wire
from edgestack.wire.tunnel import Tunnel, head_of

if TYPE_CHECKING:
    from edgestack.wire.portable import Portable

__all__ = ["PortableStream"]

T = TypeVar("T")
log = logging.getLogger("edgestack.error")
_tail = Tail()


class PortableStream:
    """One connection."""

    def __init__(
        self, driver: Portable, stream: trio.abc.Stream, transport: trio.abc.Stream, facts: Facts, door: Door
    ) -> None:
        self._driver = driver
        self._stream = stream
        self.transport = transport
        self._facts = facts
        self.door = door
        self._h1 = H1(driver.limits)
        self._sent = 0
        self._gap = driver.timeouts.send_gap
        self._pace: Pace | None = None
        self._watch: Watch | None = None
        self._ahead = b""
        """What a watch has read."""
        self._receiving = False
        """Somebody waits for what the client sends next."""
        self.scope = trio.CancelScope()
        """Cancelled when the server waits no longer."""
        self.idle: trio.CancelScope | None = None
        """The wait for a next request."""
        self.lately = False
        """That wait began since a drain last closed what was idle."""

    # -- receiving ---------------------------------------------------------------------------------------------------

    async def receive(self) -> bytes:
        """Some bytes (`receiving.Source`).

        :raises Disconnected: the connection is broken.
        """
        self._receiving = True  # before anything is waited for: no watch may begin from here on
        try:
            if self._watch is not None:
                await self._watch.stop()
            if self._ahead:
                data, self._ahead = self._ahead, b""
                return data
            return await self._read()
        finally:
            self._receiving = False

    async def _read(self) -> bytes:
        try:
            return bytes(await self._stream.receive_some(RECEIVE))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise Disconnected from None

    async def send(self, data: bytes) -> None:
        """All of `data`, each piece within the send gap (`receiving.Source`)."""
        at, pace = 0, self._pace
        while at < len(data):
            most = READ_BACK if pace is None else await pace.turn(trio.current_time, READ_BACK)
            piece = data[at : at + most]
            with trio.move_on_after(self._gap) as scope:
                try:
                    await self._stream.send_all(piece)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    raise Disconnected from None
            if scope.cancelled_caught:
                raise Disconnected(detail="the client took nothing for the whole send gap")
            at += len(piece)
            self._sent += len(piece)
            if pace is not None:
                pace.spend(len(piece))

    def rest(self) -> None:
        """The whole body is here (`receiving.Source`): the client that waits for the answer is watched again."""
        if self._watch is not None and not self._watch.ended:
            self._watch = self._watch.again()
            self._driver.nursery.start_soon(self._watch.run)

    async def send_eof(self) -> bool:
        """Say that nothing more is sent (`portable_relay.Client`). False: TLS streams of trio cannot by halves."""
        if not isinstance(self._stream, trio.abc.HalfCloseableStream):
            return False
        try:
            await self._stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise Disconnected from None
        return True

    async def run(self, refusal: EdgeError | None = None) -> None:
        """Exchanges, one after the other; and the boundary for what fails between them."""
        try:
            if refusal is not None:
                await self._refuse(refusal)
                await self._linger()
            elif await self._exchanges():
                await self._linger()
            else:
                await self._leave()
        except Disconnected:
            pass  # the client left; its exchange is finished and logged
        except Exception as error:
            self._failed("between two requests", error)
        finally:
            if self._watch is not None:
                self._watch.end()

    def _failed(self, what: str, error: Exception) -> None:
        """A boundary caught a bug: log it and count it."""
        self._driver.count_failure()
        log.error("%s: the connection from %s failed", what, self._facts.remote_addr, exc_info=error)

    async def _exchanges(self) -> bool:
        """Answer until the connection is not to go on. True: a last answer is on its way, and the close lingers."""
        try:
            while (request := await self._next_request()) is not None:
                if not await self._exchange(request):
                    return True
        except Disconnected:
            raise
        except ClientError as error:
            await self._refuse(error)
            return True
        return False

    async def _next_request(self) -> Request | None:
        """The next head; None when the client has closed, or was idle for too long."""
        driver, h1 = self._driver, self._h1
        until: float | None = None  # the head timer, once a head has begun
        while (request := h1.next_request()) is None:
            now = trio.current_time()
            if not h1.buffer:
                until = None
                deadline = now + (driver.timeouts.keepalive or driver.timeouts.head)
            else:
                until = deadline = until or now + driver.timeouts.head
            data = await self._wait(deadline)
            if not data:
                error = h1.eof_error()
                if error is not None:
                    raise error
                return None
            h1.feed(data)
        return request

    async def _wait(self, deadline: float) -> bytes:
        with trio.CancelScope(deadline=deadline) as scope:
            if not self._h1.buffer:
                self.idle, self.lately = scope, self._driver.draining
            try:
                return await self.receive()
            finally:
                self.idle = None
        if self._h1.buffer:
            raise ClientError("The request's head took too long to arrive.", 408)
        return b""

    # -- closing -----------------------------------------------------------------------------------------------------

    async def _refuse(self, error: EdgeError) -> None:
        self._driver.statistics.refused += 1
        exchange = self._driver.exchange(self._facts, self._h1.unreadable())
        exchange.ends = self.door.ends
        await self._see_through(exchange, self._reply(exchange, self.door.errors(exchange, error)))

    async def _linger(self) -> None:
        """Read on for a while, so that the client sees the answer and not a reset (E8)."""
        left, transport = self._driver.limits.linger, self.transport
        if self._watch is not None:
            await self._watch.stop()
        with trio.move_on_after(self._driver.timeouts.linger):
            try:
                if transport is not self._stream:
                    await self._stream.aclose()  # close_notify; the transport stays open
                if isinstance(transport, trio.abc.HalfCloseableStream):
                    await transport.send_eof()
                    while left > 0 and (data := await transport.receive_some(RECEIVE)):
                        left -= len(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # reset by the client: the end all the same

    async def _leave(self) -> None:
        """Close an idle connection; where TLS speaks, not without a word."""
        if self.transport is not self._stream:
            with trio.move_on_after(self._driver.timeouts.linger):
                await self._stream.aclose()

    # -- answering ---------------------------------------------------------------------------------------------------

    async def _exchange(self, request: Request) -> bool:
        """Answer one request. True: the connection goes on."""
        driver = self._driver
        exchange = driver.exchange(self._facts, request)
        if self._h1.framing is not None:
            request.body = ReceivedBody(self, self._h1.framing, self._h1, driver.limits, driver.timeouts)
        return await self._see_through(exchange, self._answer(exchange))

    async def _see_through(self, exchange: Exchange, answering: Awaitable[bool]) -> bool:
        """Answer to the end of the exchange, and the boundary for what fails there. True: the connection goes on."""
        try:
            goes_on = await answering
        except Disconnected:
            exchange.break_off(499)
            raise
        except Exception as error:
            self._failed(exchange.request_id, error)
            exchange.break_off(500)
            raise Disconnected from None
        except BaseException:  # Cancelled: the server waits no longer
            exchange.break_off(503)
            raise
        exchange.finish()
        return goes_on

    async def _answer(self, exchange: Exchange) -> bool:
        answer: Any = self.door.handle(exchange)
        if not isinstance(answer, (Response, AppCall)):
            errand = isinstance(answer, Errand)
            if errand:
                answer.interim = self.send
            waiting: Awaitable[Response | AppCall] = answer
            answer = await self._watched(lambda: waiting, end_is_gone=errand)
        self._pace = pace_of(exchange, trio.current_time)
        self._gap = send_gap(exchange, self._driver.timeouts.send_gap)
        if isinstance(answer, AppCall):
            return await self._call(exchange, answer)
        return await self._reply(exchange, answer)

    def _keep(self) -> bool:
        """Whether the server would go on with this connection: what is here of an unread body is dropped (E4)."""
        framing = self._h1.framing
        try:
            while framing is not None and not framing.complete and framing.read():
                pass
        except ClientError:
            return False
        return self._driver.lasting and (framing is None or framing.complete)

    async def _reply(self, exchange: Exchange, response: Response) -> bool:
        body = response.body
        try:
            if isinstance(body, Tunnel):
                return await self._tunnel(exchange, response, body)
            if isinstance(body, Conversation):
                return await self._converse(exchange, response, body)
            framed = frame(exchange, response, self._keep())
            exchange.status = response.status
            await self._send_framed(exchange, response, framed)
        finally:
            if isinstance(body, Tunnel):
                body.close()
            let_go(body)
        return framed.keep

    async def _send_framed(self, exchange: Exchange, response: Response, framed: Framed) -> None:
        head = framed.head + _tail.of(exchange)
        before = self._sent + len(head)
        at_hand = isinstance(response.body, (bytes, tuple, FileSegment))
        try:
            if at_hand:
                await self._send_pieces(exchange, head, pieces_of(response), framed.bare)
            else:
                await self.send(head)
                await self._stream_body(exchange, response, framed)
        except Disconnected:
            if self._sent < before:
                exchange.status = 499  # the client left before its answer, as nginx has it
            raise
        finally:
            if at_hand:
                exchange.bytes_out = max(0, self._sent - before)

    async def _stream_body(self, exchange: Exchange, response: Response, framed: Framed) -> None:
        body = response.body
        if isinstance(body, Relay) and body.buffering and not framed.bare:
            ahead = Ahead(body, self._driver.limits.spool, self._driver.spools)
            said = response.with_(body=ahead)
            job = beside(lambda: on_the_wire(exchange, said, framed, self.send), ahead.read)
        else:
            job = on_the_wire(exchange, response, framed, self.send)
        await self._watched(lambda: job, end_is_gone=True)

    async def _tunnel(self, exchange: Exchange, response: Response, tunnel: Tunnel) -> bool:
        """Until both sides have ended; nothing else is answered on this connection."""
        exchange.status = response.status
        await self.send(head_of(exchange, response))
        early, self._h1.buffer = self._h1.buffer, b""

        def count(size: int) -> None:
            exchange.bytes_out += size

        await pass_both_ways(self, early, tunnel, count)
        return False

    async def _converse(self, exchange: Exchange, response: Response, conversation: Conversation) -> bool:
        """Another protocol from here on, spoken in this process; nothing else is answered on this connection."""
        exchange.status = response.status
        early, self._h1.buffer = self._h1.buffer, b""

        async def say(data: bytes) -> None:
            await self.send(data)
            exchange.bytes_out += len(data)

        try:
            await self.send(head_of(exchange, response))
            await conversation.hold(Line(early, self.receive, say))
        finally:
            conversation.gone()
        return False

    async def _watched(
        self, work: Callable[[], Awaitable[T]], gone: Callable[[], None] | None = None, *, end_is_gone: bool = False
    ) -> T:
        """What `work` gives; a client that leaves meanwhile is not waited for.

        :param gone: what to do when it has left; without that the work is cancelled.
        """
        if self._watch is not None:
            await self._watch.stop()
        scope = trio.CancelScope()
        self._watch = Watch(self._look, gone or scope.cancel, end_is_gone)
        if self._receiving:  # an application that answers while it reads
            self._watch.rest()
        else:
            self._driver.nursery.start_soon(self._watch.run)
        try:
            with scope:
                return await work()
        finally:
            self._watch.end()
        raise Disconnected

    async def _look(self) -> bool:
        """Wait for what the client does next; whether that is its end. What had to be read for it is kept.

        :raises Disconnected: the connection is broken, or this failed, which is logged and counted.
        """
        try:
            transport = self.transport
            if isinstance(transport, trio.SocketStream):
                if not await transport.socket.recv(1, socket.MSG_PEEK):
                    return True
                if transport is self._stream:
                    return False
            if len(self._h1.buffer) + len(self._ahead) >= RECEIVE:
                return False  # a long pipeline is read when its turn comes, and no sooner
            data = await self._read()  # on TLS this may be close_notify
            self._ahead += data
            return not data
        except Disconnected:
            raise
        except (OSError, trio.ClosedResourceError):
            raise Disconnected from None
        except Exception as error:
            self._failed("while it was held", error)
            raise Disconnected from None

    async def _send_pieces(self, exchange: Exchange, head: bytes, pieces: list[Piece], bare: bool) -> None:
        if pieces and not bare and isinstance(pieces[0], bytes):
            head += pieces.pop(0)  # type: ignore[operator] # just looked at
        await self.send(head)
        while pieces and not bare:
            await self._send_piece(exchange, pieces.pop(0))

    async def _send_piece(self, exchange: Exchange, piece: Piece) -> None:
        if isinstance(piece, bytes):
            await self.send(piece)
            return
        done = 0
        while done < piece.length:
            data = piece.read(done, READ_BACK)
            if not data:
                log.warning("%s: a file became %d bytes shorter while it was sent; the connection is broken (%s)",
                            exchange.request_id, piece.length - done, exchange.request.target)  # fmt: skip
                raise Disconnected
            done += len(data)
            await self.send(bytes(data))

    async def _call(self, exchange: Exchange, call: AppCall) -> bool:
        """Hand the exchange to an application thread and send what it puts into its outbox."""
        exchange.ticket = [None]
        outlet = PortableOutlet(self._driver, self._h1, exchange, call)
        try:
            self._driver.threads.queue(outlet.run)
        except Refused as error:
            call.discard()
            return await self._reply(exchange, exchange.chain.errors(exchange, error))
        self._driver.threads.go()
        outbox, begun = outlet.outbox, self._sent
        try:
            late = await self._watched(lambda: self._empty(exchange, outlet), outlet.desert)
        except Disconnected:
            if self._sent == begun:
                exchange.status, exchange.bytes_out = 499, 0
            raise
        finally:
            exchange.ticket.clear()
            exchange.bytes_out = max(0, exchange.bytes_out - outbox.waiting())
            outbox.abandon()
        if late is not None:
            return await self._reply(exchange, exchange.chain.errors(exchange, late))
        if outlet.truncated:
            raise Disconnected
        return outlet.keep

    async def _empty(self, exchange: Exchange, outlet: PortableOutlet) -> AppError | None:
        """Send what an application's thread puts into its outbox, to the last piece; 504 where none comes in time."""
        outbox, driver = outlet.outbox, self._driver
        patience = driver.patience
        while not outbox.finished:
            piece = outbox.take()
            if piece is not None:
                await self._send_piece(exchange, piece)
            elif not outbox.finished:
                with trio.move_on_after(patience) as scope:
                    await outlet.filled.wait()
                if not scope.cancelled_caught:
                    outlet.filled = trio.Event()
                elif taken(exchange):
                    outlet.desert()
                    return given_up(exchange, driver.threads, outlet.run, patience)
                patience = math.inf  # the answer has begun
        return None
