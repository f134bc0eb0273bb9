"""Moves a Relay to its client on the lot, by callbacks: no task, whatever the client's pace.

    link readable -> read (up to 256 KiB) -> decode -> (transform, chunk) -> outbox -> Sender: send at once
    client full   -> buffering: read on, into 64 KiB of memory and then a spool file, until the spools are full
                     else:      the link is watched no longer until the client has taken what is owed

It is a Sender whose outbox is filled from a link: pace, TLS, the send gap and the end of the exchange are a Sender's.
As soon as the last byte was read the link is let go, however slow the client is. A body that is broken off is sent as
far as it came; then the connection breaks, so that the client sees the truncation. A client that leaves, were it by
halves, while the server still sends gives the rest up (design: engine, rule 8).
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, ClassVar

from edgestack.errors import UpstreamError
from edgestack.http.bodies import Transform
from edgestack.http.messages import Exchange, Response
from edgestack.wire.connection import CLOSING, GONE, READABLE, RECEIVE, WRITABLE, Connection
from edgestack.wire.h1_answer import LAST_CHUNK, Tail, chunk, frame
from edgestack.wire.link import Link
from edgestack.wire.outbox import Outbox
from edgestack.wire.relay import MOST, Relay, paused
from edgestack.wire.sender import Sender
from edgestack.wire.sending import unread
from edgestack.wire.upstream_errors import about

if TYPE_CHECKING:
    from edgestack.wire.lot import Lot

__all__ = ["Pump"]

log = logging.getLogger("edgestack.error")
_tail = Tail()


class Pump(Sender):
    """Holds a connection and a link until the answer is out."""

    __slots__ = ("_chunked", "_held", "_largest", "_least", "_left", "_link", "_most", "_relay", "_transform", "_turn")

    TURN: ClassVar[int] = 1024 * 1024
    """Bytes read in one turn (design: engine, rule 11)."""
    WORKED: ClassVar[int] = 16 * 1024
    """The same where each byte costs work: a turn stays within half a millisecond."""

    def __init__(self, lot: Lot, connection: Connection, exchange: Exchange, response: Response, relay: Relay) -> None:
        """
        :param response: has a body on the wire, which is `relay`, from a `Link`.
        """
        framed = frame(exchange, response, lot.lasting and not unread(connection))
        outbox = Outbox(limit=lot.limits.spool if relay.buffering else 0, budget=lot.spools)
        outbox.open(_nobody)
        super().__init__(lot, connection, exchange, outbox, framed.keep)
        assert isinstance(relay.link, Link)
        self._relay = relay
        self._link = relay.link
        self._chunked = framed.chunked
        self._transform = transform = response.transform
        length = response.length if transform is None else transform.plain.length
        self._left = math.inf if length is None else length
        """Bytes of what was announced that are still to come."""
        self._held = b""
        """What found no room in the outbox, behind everything that is there."""
        self._least, self._largest, self._turn = (
            (RECEIVE, MOST, self.TURN) if transform is None else (self.WORKED, self.WORKED, self.WORKED)
        )
        """Bytes of a read at first, once they come fast, and of a turn."""
        self._most = self._least
        exchange.status = response.status
        self._pass(relay.first, framed.head + _tail.of(exchange))

    def begin(self) -> None:
        """Send the head and what is here, then go on as the link does. On the loop."""
        lot, relay, link = self._lot, self._relay, self._link
        self._connection.holder = link.holder = self
        link.deadline = lot.now + relay.gap
        lot.take_up(link)
        if relay.body.complete:
            self._whole()
        else:
            self.run()

    # -- the link's side -----------------------------------------------------------------------------------------------

    def _pull(self) -> None:
        """Read what came, and pass it on; a few pieces a turn."""
        relay, link, left = self._relay, self._link, self._turn
        try:
            while left > 0 and not relay.over:
                most = self._most
                data = self._read(most)
                if data is None:
                    self._lot.watch(link, READABLE | WRITABLE if link.owing else READABLE)
                    return
                size = len(data)
                left -= size
                relay.received += size
                link.deadline = self._lot.now + relay.gap
                self._pass(relay.feed(data))
                if relay.body.complete:
                    self._whole()
                elif not self._go_on() or (size < most and not link.tls):
                    return  # what a read does not fill leaves nothing behind
                elif size >= most:
                    self._most = self._largest
        except UpstreamError as error:
            self._broken_off(error)

    def _read(self, most: int) -> bytes | None:
        """What has come; on TLS, where one read is one record of 16 KiB at most, as many as make a piece."""
        link = self._link
        data = link.receive_nowait(most)
        if not (link.tls and data):
            return data
        pieces, size = [data], len(data)
        while size < most and (data := link.receive_nowait(most)):  # the end, too, is told again
            pieces.append(data)
            size += len(data)
        return b"".join(pieces)

    def _pass(self, piece: bytes, head: bytes = b"") -> None:
        """Into the outbox; never more than was announced."""
        if len(piece) > self._left:
            piece = piece[: int(self._left)]
        self._left -= len(piece)
        if self._transform is not None:
            piece = self._transformed(self._transform, piece)
        self._exchange.bytes_out += len(piece)
        data = chunk(piece) if piece and self._chunked else piece
        if self._chunked and self._all_is_here():
            data += LAST_CHUNK
        self._offer(head + data if head else data)

    def _all_is_here(self) -> bool:
        """Whether the last byte was passed on, and it is not shorter than announced."""
        return self._relay.body.complete and self._left in (0, math.inf)

    def _transformed(self, transform: Transform, piece: bytes) -> bytes:
        """What leaves for a piece; with the last one the end, unless the body is shorter than announced."""
        if self._all_is_here():
            return transform.finish(piece)
        return transform.feed(piece) if piece else piece

    def _offer(self, data: bytes) -> None:
        if self._held:
            self._held += data
        elif data and not self._outbox.offer(data):
            self._held = data

    def _go_on(self) -> bool:
        """Send what goes. False: enough for this turn, the client is to have its own; or the link has to wait."""
        if not self._is_waiting():
            self.run()
        if not self._is_waiting():
            return not self._relay.over
        self._most = self._least
        if self._held or not self._relay.buffering:
            self._link.deadline = math.inf
            self._lot.watch(self._link, 0)
        return False

    def _read_on(self) -> None:
        """There is room again."""
        link, lot = self._link, self._lot
        if not (link.interest or self._relay.over):
            lot.deadlines.watch(link, lot.now + self._relay.gap)
            lot.watch(link, READABLE)

    def _whole(self) -> None:
        """The last byte was read: the link is free, whatever the client does."""
        if self._left and self._left < math.inf:
            self._broken_off(UpstreamError(detail=f"the answer is {self._left} bytes shorter than announced"))
            return
        self._relay.end()
        self._finish()

    def _broken_off(self, error: UpstreamError) -> None:
        log.error("%s: the answer is broken off: %s", self._exchange.request_id, about(self._relay.link.peer, error))
        self.truncated = True
        self._relay.end(error)
        self._finish()

    def _finish(self) -> None:
        self._outbox.close()
        if not self._is_waiting() and self.run():
            self._lot.go_on(self._connection)

    # -- the client's side ---------------------------------------------------------------------------------------------

    def _is_waiting(self) -> bool:
        """Whether what is owed waits for the client, or for its pace."""
        return self._connection.interest & WRITABLE != 0 or self._resting

    def _take(self) -> bool:
        if super()._take():
            return True
        self._owed, self._held = self._held or None, b""
        return self._owed is not None

    def _dry(self) -> bool:
        if self._outbox.finished:
            return super()._dry()
        connection, lot = self._connection, self._lot
        connection.deadline = math.inf
        if connection.interest & WRITABLE or not connection.interest:
            lot.watch(connection, READABLE)
        self._read_on()
        return False

    def _wait(self, mask: int) -> None:
        super()._wait(mask if self._relay.over else mask | CLOSING)

    def event(self, party: Any, mask: int) -> None:
        """One of the two sides has moved."""
        connection = self._connection
        if party is self._link:
            self._pull()
        elif mask & GONE or (mask & CLOSING and not self._relay.over):
            self._fail()
        elif self._owed is not None or connection.interest & WRITABLE:
            super().event(connection, mask)
        else:  # the next request: it waits
            self._lot.watch(connection, CLOSING)

    def expire(self, party: Any, now: float) -> None:
        """The server paused for too long; or the client did, or the rest that its pace asks for is over."""
        if party is not self._link:
            super().expire(party, now)
        elif not self._relay.over:
            self._broken_off(paused(self._relay))

    def failed(self, link: Link, error: Exception) -> None:
        """A bug on the link's side."""
        self._relay.close()
        self._outbox.abandon()
        self._lot.failed(self._connection, error, self._exchange)

    def _drop(self) -> None:
        self._relay.close()
        super()._drop()


def _nobody() -> None:
    """The taker is awake: it fills the outbox itself."""
