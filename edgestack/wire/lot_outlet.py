"""The outlet of an application thread on the lot: straight to the non-blocking socket, without waking the loop.

The connection is given back by the thread. At the first would-block the rest goes to an Outbox and the socket to a
Sender on the loop, until the answer is out; the thread goes on appending and is free when it has finished, however slow
the client is. The thread never reads and never closes (design: engine, rules 2, 4, 5, 6).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from edgestack.errors import Disconnected, EdgeError
from edgestack.http.bodies import FileSegment, Piece
from edgestack.http.messages import AT_ONCE, AppCall, Exchange, Response
from edgestack.wire.connection import GONE, WOULD_BLOCK, Connection
from edgestack.wire.h1_answer import Tail, encode
from edgestack.wire.outbox import Outbox
from edgestack.wire.outlet import WHOLE, ThreadOutlet
from edgestack.wire.overdue import given_up, taken
from edgestack.wire.pace import patience
from edgestack.wire.sender import Sender
from edgestack.wire.sending import begin

if TYPE_CHECKING:
    from edgestack.wire.lot import Lot

__all__ = ["LotOutlet", "PacedOutlet"]

log = logging.getLogger("edgestack.error")
_tail = Tail()


class LotOutlet(ThreadOutlet):
    """Holds a connection of the lot while application code answers it."""

    __slots__ = ("_lot", "_sender", "connection")

    def __init__(self, lot: Lot, connection: Connection, exchange: Exchange, call: AppCall) -> None:
        super().__init__(exchange, call)
        self._lot = lot
        self.connection = connection
        self._sender: Sender | None = None

    # -- on the thread -----------------------------------------------------------------------------------------------

    def whole(self, response: Response, data: bytes) -> None:
        """A complete answer: where nothing stands in the way, without the steps of framing, in one send."""
        exchange = self._exchange
        request = exchange.request
        size = len(data)
        if not (
            response.length == size <= AT_ONCE
            and response.status == 200
            and request.version == "HTTP/1.1"
            and request.persistent
            and request.method != "HEAD"
            and not response.body
            and self._keep()
        ):
            super().whole(response, data)
            return
        try:
            self._take_ticket()
            exchange.head = head = response.encoded or encode(response)
            self._framed = WHOLE
            exchange.status = 200
            exchange.bytes_out = size
            self._write_first(b"%b%b%08x\r\n\r\n%b" % (head, _tail.refresh(), exchange.serial, data))
        except Disconnected:
            self.broken()
            return
        self._done()

    def _keep(self) -> bool:
        framing = self.connection.h1.framing
        return self._lot.lasting and (framing is None or framing.complete)

    def _write(self, data: bytes) -> None:
        if self._outbox is not None:
            self._outbox.put(data)
            return
        connection = self.connection
        try:
            if self._gone:
                raise BrokenPipeError
            if connection.tls and len(data) > Sender.TLS_PIECE:
                sent = self._send_pieces(data)
            else:
                sent = connection.send(data)
        except WOULD_BLOCK:
            sent = 0
        except OSError:
            self._gone = True
            raise Disconnected from None
        if sent < len(data):
            self._pass_on(sent > 0, data[sent:])  # on TLS the very same bytes are owed after a want-write

    def _send_pieces(self, data: bytes) -> int:
        """On TLS: so that, when one is not taken, the sender knows to the byte what was offered. Returns what left."""
        send, view, at = self.connection.send, memoryview(data), 0
        while at < len(data):
            try:
                at += send(view[at : at + Sender.TLS_PIECE])
            except WOULD_BLOCK:
                break
        return at

    def _pass_on(self, begun: bool, *owed: Piece) -> None:
        """The socket is full: a sender on the loop takes it for the rest of the answer."""
        lot = self._lot
        outbox = Outbox(*owed, limit=lot.limits.spool, gap=patience(self._exchange, lot.timeouts), budget=lot.spools)
        assert self._framed is not None
        sender = Sender(lot, self.connection, self._exchange, outbox, self._framed.keep, begun)
        outbox.open(lambda: self._post(sender.wake))
        self._outbox, self._sender = outbox, sender
        self._post(sender.wake)

    def _write_file(self, head: bytes, segment: FileSegment) -> None:
        if self._gone:
            raise Disconnected
        self._exchange.bytes_out += segment.length
        if self._outbox is not None:  # then the head has left already
            self._outbox.put(segment)
        elif head:
            self._pass_on(False, head, segment)
        else:
            self._pass_on(True, segment)

    def _post(self, callback: Callable[[], None]) -> None:
        """Run `callback` on the loop; when that has gone, whoever still holds the connection closes it."""
        if not self._lot.post(callback):
            self.connection.sock.close()

    def _done(self) -> None:
        """Give the connection back. The law of connection.py: everything needed is used before `holder = None`."""
        if self._outbox is not None:
            self._over = True
            self._outbox.close()
            return
        self._over = True
        lot, connection = self._lot, self.connection
        assert self._framed is not None
        try:
            self._exchange.finish()
        except Exception:  # the application is not to blame for what an end does
            log.exception("%s: an end of the exchange failed", self._exchange.request_id)
            self._count_failure()
            self._post(lambda: lot.close(connection, hard=True))
            return
        if not self._framed.keep:
            self._post(lambda: lot.give_back(connection, keep=False))
            return
        connection.deadline = deadline = lot.clock() + lot.timeouts.keepalive
        connection.holder = None
        in_time = 0 < connection.bucket <= deadline + 1  # else the loop must look earlier than for this call
        if connection.pending or lot.draining or not in_time:
            self._post(lambda: lot.resume(connection))

    def _break(self) -> None:
        if self._sender is not None and self._outbox is not None:
            self._sender.truncated = True
            self._outbox.close()
            return
        self._exchange.break_off()
        lot, connection = self._lot, self.connection
        self._post(lambda: lot.close(connection, hard=True))

    def _count_failure(self) -> None:
        self._lot.post(self._lot.count_failure)

    # -- on the loop ---------------------------------------------------------------------------------------------------

    def event(self, connection: Connection, mask: int) -> None:
        """Noted already; level-triggered, it would be reported for ever, so unregister until it is given back."""
        self._lot.watch(connection, 0)
        if mask & GONE:
            self._gone = True

    def expire(self, connection: Connection, now: float) -> None:
        """The application has not answered in time: 504 in its place, unless its answer has begun (overdue.py)."""
        exchange, lot = self._exchange, self._lot
        if not taken(exchange):
            return
        self._gone = True
        error = given_up(exchange, lot.threads, self.run, lot.patience)
        connection.holder = None
        if begin(lot, connection, exchange, exchange.chain.errors(exchange, error)):
            lot.resume(connection)

    def stop(self, connection: Connection) -> bool:
        """The server waits no longer: take the ticket, so that nothing of a late answer leaves.

        :returns: False when the thread is writing: a descriptor is never closed beneath it, shutting it has to do.
        """
        self._gone = True
        if not taken(self._exchange):
            return self._over
        self._exchange.break_off(503)
        return True

    def refuse(self, error: EdgeError) -> None:
        """No thread will take the call: answer with the error."""
        connection, lot = self.connection, self._lot
        self._call.discard()
        connection.holder = None
        if begin(lot, connection, self._exchange, self._exchange.chain.errors(self._exchange, error)):
            lot.resume(connection)


class PacedOutlet(LotOutlet):
    """For an answer that may only leave at a pace: a Sender, which keeps it, has it from the first byte on."""

    __slots__ = ()

    def _write(self, data: bytes) -> None:
        if self._outbox is not None:
            self._outbox.put(data)
        elif self._gone:
            raise Disconnected
        else:
            self._pass_on(False, data)
