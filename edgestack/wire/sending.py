"""The one room that moves answers out on the lot: bytes, files and outboxes, onto non-blocking sockets.

    begin(response)   frame it, send what goes at once, let a Sender do the rest
    begin_file        the short road for a run of a file on a connection that goes on (on TLS: begin_file_on_tls)
    Sender            a callback on the lot: writes when the socket can take more, gives the connection back at the end

Head and body leave in one call when both are in memory. A head before a file is sent on its own, without MSG_MORE: held
back, it costs sendfile the whole transmission (16 µs for 100 KiB against 6 where the head was on its way already; nginx
does the same unless told `tcp_nopush`). One turn moves at most 2 MiB (256 KiB on TLS), then the connection goes to the
back of the queue: its registration for EPOLLOUT brings it back. On TLS a piece has at most 128 KiB, and after a
want-write exactly those bytes are owed first. An answer with a pace (`pace.py`) rests until the next whole second.
"""

from __future__ import annotations

import logging
import os
import ssl
from typing import TYPE_CHECKING, ClassVar

from edgestack.errors import ClientError
from edgestack.http.bodies import FileSegment, Piece
from edgestack.http.messages import Exchange, Response
from edgestack.wire.connection import READABLE, WOULD_BLOCK, WRITABLE, Connection
from edgestack.wire.h1_answer import Tail, frame
from edgestack.wire.outbox import Outbox
from edgestack.wire.pace import pace_of, send_gap

if TYPE_CHECKING:
    from edgestack.wire.lot import Lot

__all__ = ["AT_HAND", "Sender", "begin", "begin_file", "begin_file_on_tls", "given", "pieces_of", "unread"]

AT_HAND = (bytes, tuple, FileSegment)
"""Bodies that need nobody to make them."""

RECORD = 16 * 1024
"""Bytes of content in one TLS record, at most (RFC 8446 §5.1)."""

log = logging.getLogger("edgestack.error")
_tail = Tail()


def unread(connection: Connection) -> bool:
    """Whether bytes of the request's body are still to come; what is here already is dropped."""
    framing = connection.h1.framing
    if framing is None or framing.complete:
        return False
    try:
        while framing.read():
            pass
    except ClientError:
        return True
    return not framing.complete


def begin(lot: Lot, connection: Connection, exchange: Exchange, response: Response) -> bool:
    """Send any answer. On the loop; one whose body is not at hand is left to a task.

    :returns: True when all of it left and the connection is on the lot; False when somebody holds it, or it closes.
    """
    if type(response.body) not in AT_HAND:
        lot.wait(connection, exchange, given(response))
        return False
    keep = lot.lasting and not unread(connection)
    framed = frame(exchange, response, keep)
    exchange.status = response.status
    pieces = pieces_of(response) if not framed.bare else []
    head = framed.head + _tail.of(exchange)
    first = pieces[0] if pieces else None
    if isinstance(first, bytes):
        head += first
        del pieces[0]
    exchange.bytes_out = response.length or 0 if not framed.bare else 0
    return Sender(lot, connection, exchange, Outbox(head, *pieces), framed.keep).run()


async def given(response: Response) -> Response:
    """An answer, for whoever awaits one."""
    return response


def begin_file(lot: Lot, connection: Connection, exchange: Exchange, response: Response, head: bytes) -> bool:
    """Send a run of a file on a plain connection that goes on afterwards. On the loop; returns as `begin` does.

    :param head: all of it, framed already.
    """
    segment = response.body
    assert isinstance(segment, FileSegment)
    exchange.status = response.status
    exchange.bytes_out = size = segment.length
    sent = moved = 0
    try:
        sent = connection.send(head)
        if sent == len(head):
            moved = os.sendfile(connection.fd, segment.fd, segment.offset, min(size, Sender.PLAIN_TURN))
            if moved == size:
                connection.deadline = lot.now + lot.timeouts.keepalive
                exchange.finish()
                return True
    except OSError:
        pass  # full, or broken: the Sender's first write tells which
    rest = segment.after(moved)
    owed = (head[sent:], rest) if sent < len(head) else (rest,)
    return Sender(lot, connection, exchange, Outbox(*owed), keep=True, begun=sent > 0).run()


def begin_file_on_tls(lot: Lot, connection: Connection, exchange: Exchange, response: Response, head: bytes) -> bool:
    """The same on TLS: the head shares its record with the beginning of the file, and a small one needs no Sender."""
    segment = response.body
    assert isinstance(segment, FileSegment)
    exchange.status = response.status
    exchange.bytes_out = size = segment.length
    piece: bytes | memoryview = head + segment.read(0, max(0, RECORD - len(head)))
    read = len(piece) - len(head)
    begun, offered = False, 0
    try:
        while piece and read <= Sender.TLS_TURN:
            offered = len(piece)
            sent = connection.send(piece)
            begun, offered = True, 0
            if sent < len(piece):
                piece = piece[sent:]
                break
            piece = segment.read(read, Sender.TLS_PIECE)
            read += len(piece)
        else:
            if read == size and not piece:
                connection.deadline = lot.now + lot.timeouts.keepalive
                exchange.finish()
                return True
    except OSError:
        pass  # full, or broken: the Sender's first write tells which
    owed = (bytes(piece), segment.after(read)) if read < size else (bytes(piece),)
    return Sender(lot, connection, exchange, Outbox(*owed), keep=True, begun=begun, offered=offered).run()


def pieces_of(response: Response) -> list[Piece]:
    """A body that is at hand, as a list; empty pieces left out."""
    body = response.body
    if type(body) is bytes:
        return [body] if body else []
    if type(body) is tuple:
        return list(body)
    assert isinstance(body, FileSegment)
    return [body]


class Sender:
    """Holds a connection until its outbox is empty and closed."""

    __slots__ = (
        "_begun",
        "_connection",
        "_done",
        "_exchange",
        "_file",
        "_gap",
        "_keep",
        "_lot",
        "_offered",
        "_outbox",
        "_owed",
        "_pace",
        "_resting",
        "truncated",
    )

    PLAIN_TURN: ClassVar[int] = 2 * 1024 * 1024
    """Bytes; nginx's sendfile_max_chunk. Half of it cost 1.2 times as much for a large file: the socket, never full,
    had every window that the client opened pushed by us."""
    TLS_TURN: ClassVar[int] = 256 * 1024
    TLS_PIECE: ClassVar[int] = 128 * 1024

    def __init__(
        self,
        lot: Lot,
        connection: Connection,
        exchange: Exchange,
        outbox: Outbox,
        keep: bool,
        begun: bool = False,
        offered: int = 0,
    ) -> None:
        """
        :param begun: bytes of this answer have left already.
        :param offered: on TLS, how many bytes OpenSSL was offered and did not take: it insists on the very same.
        """
        self._lot = lot
        self._connection = connection
        self._exchange = exchange
        self._outbox = outbox
        self._keep = keep
        self._begun = begun
        self._offered = offered
        self._owed: bytes | memoryview | None = None
        """Bytes taken from the outbox, or read of the file, that must leave before anything else."""
        self._file: FileSegment | None = None
        self._done = 0
        """Bytes of the file that left, or stand in `_owed`."""
        self._gap = send_gap(exchange, lot.timeouts.send_gap)
        self._pace = pace_of(exchange, lot.clock)
        self._resting = False
        """It waits for time to pass, and not for the client."""
        self.truncated = False
        """The answer cannot be completed: break the connection once what was written has left."""

    def run(self) -> bool:
        """Write until the socket is full, the turn is over, or all is sent (True)."""
        connection = self._connection
        connection.holder = self
        self._resting = False
        if connection.closed:
            self._fail()
            return False
        left = self.TLS_TURN if connection.tls else self.PLAIN_TURN
        pace = self._pace
        if pace is not None and self._offered <= (allowed := pace.allowed(self._lot.clock())):
            left = min(left, allowed)
        elif pace is not None:
            left = self._offered  # TLS insists on what it was offered; the bucket is then in debt
        try:
            while left > 0:
                if self._owed is None and self._file is None and not self._take():
                    return self._dry()
                left -= self._write_file(left) if self._owed is None else self._write_bytes(left)
        except WOULD_BLOCK as error:
            self._wait(READABLE if isinstance(error, ssl.SSLWantReadError) else WRITABLE)
            return False
        except OSError:
            self._fail()
            return False
        if pace is None:
            self._wait(WRITABLE)
        elif self._owed is None and self._file is None and not self._take():
            return self._dry()
        else:
            self._rest()
        return False

    def _wait(self, mask: int) -> None:
        lot = self._lot
        lot.deadlines.watch(self._connection, lot.now + self._gap)
        lot.watch(self._connection, mask)

    def _rest(self) -> None:
        """Until the next whole second, when deadlines are looked at (`expire`)."""
        self._resting = True
        lot = self._lot
        lot.deadlines.watch(self._connection, lot.clock())
        lot.watch(self._connection, 0)

    def _dry(self) -> bool:
        """Nothing to write for now, or for ever."""
        if not self._outbox.finished:
            self._connection.deadline = float("inf")
            self._lot.watch(self._connection, 0)
            return False
        if self.truncated:
            self._fail()
            return False
        self._outbox.abandon()
        connection, lot, keep = self._connection, self._lot, self._keep
        self._exchange.finish()
        if keep and connection.interest == READABLE and not connection.closed:
            connection.holder = None
            connection.deadline = lot.now + lot.timeouts.keepalive
            return True
        lot.give_back(connection, keep)
        return False

    def _take(self) -> bool:
        piece = self._outbox.take()
        if isinstance(piece, FileSegment):
            self._file = piece
            self._done = 0
        else:
            self._owed = piece
        return piece is not None

    def _write_bytes(self, left: int) -> int:
        """Write once; what is not taken stays owed. On TLS the very same bytes are offered again.

        :returns: what left, or the whole turn: a socket that takes less than it is offered is full, and asking again at
            once would push every small window that the client opens meanwhile.
        """
        owed = self._owed
        assert owed is not None
        connection, pace = self._connection, self._pace
        most = len(owed) if pace is None else left
        if connection.tls:
            most = self._offered or min(most, self.TLS_PIECE)
        piece = owed if len(owed) <= most else memoryview(owed)[:most]
        if connection.tls:
            self._offered = len(piece)
        sent = connection.send(piece)
        self._offered = 0
        self._begun = True
        if pace is not None:
            pace.spend(sent)
        if sent == len(owed):
            self._owed = None
            return sent
        self._owed = memoryview(owed)[sent:]
        return sent if connection.tls or sent == len(piece) else left

    def _write_file(self, left: int) -> int:
        """A run of the file: by sendfile, or read in a large piece and written as bytes on TLS."""
        segment, done = self._file, self._done
        assert segment is not None
        if self._connection.tls:
            self._owed = segment.read(done, self.TLS_PIECE)
            moved = len(self._owed)
        else:
            asked = min(segment.length - done, left)
            moved = os.sendfile(self._connection.fd, segment.fd, segment.offset + done, asked)
            if self._pace is not None:
                self._pace.spend(moved)
        self._done = done = done + moved
        if done == segment.length:
            self._file = None
        elif not moved:
            log.warning("%s: a file became %d bytes shorter while it was sent; the connection is broken (%s)",
                        self._exchange.request_id, segment.length - done, self._exchange.request.target)  # fmt: skip
            raise BrokenPipeError
        if self._connection.tls:
            return self._write_bytes(left)
        return moved if moved == asked else left

    def wake(self) -> None:
        """The outbox was filled, or closed, on another thread."""
        if not self._outbox.finished and self.run():
            self._lot.resume(self._connection)

    def event(self, connection: Connection, mask: int) -> None:
        """The socket takes more (or broke: the next write says so)."""
        connection.deadline = self._lot.now + self._gap
        if self.run():
            self._lot.resume(connection)

    def expire(self, connection: Connection, now: float) -> None:
        """The client took nothing for the whole send gap; or the rest that the pace asks for is over."""
        if not self._resting:
            self._fail()
        elif self.run():
            self._lot.resume(connection)

    def stop(self, connection: Connection) -> bool:
        """The lot closes the connection; drop what is owed."""
        self._drop()
        return True

    def _fail(self) -> None:
        self._lot.close(self._connection, hard=True)
        if not self._begun:
            self._exchange.status = 499  # the client left before its answer, as nginx has it
        self._drop()

    def _drop(self) -> None:
        """End the exchange here; its log line tells what has left, not what should have."""
        unsent = self._outbox.waiting() + len(self._owed or b"")
        if self._file is not None:
            unsent += self._file.length - self._done
        self._owed = self._file = None
        self._outbox.abandon()
        self._exchange.bytes_out = max(0, self._exchange.bytes_out - unsent)
        self._exchange.break_off()
