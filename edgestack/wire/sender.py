"""The Sender: a callback on the lot that writes an answer as its socket takes it, and gives the connection back.

    run()    write until the socket is full, the turn is over, or all is sent
    wake()   the outbox was filled, or closed, on another thread

One turn moves at most 2 MiB (256 KiB on TLS), then the connection goes to the back of the queue: its registration for
EPOLLOUT brings it back. A large file is left to the thread for files as soon as a deep socket is full (`mover.py`). On
TLS a piece has at most 128 KiB, and after a want-write exactly those bytes are owed first. An answer with a pace
(`pace.py`) rests until the next whole second. Design: engine, rules 11 and 12.
"""

from __future__ import annotations

import logging
import math
import os
import ssl
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from edgestack.http.bodies import FileSegment
from edgestack.http.messages import Exchange
from edgestack.wire.connection import READABLE, WOULD_BLOCK, WRITABLE, Connection
from edgestack.wire.mover import DEEP, Move
from edgestack.wire.outbox import Outbox
from edgestack.wire.pace import pace_of, send_gap

if TYPE_CHECKING:
    from edgestack.wire.lot import Lot
    from edgestack.wire.mover import Mover

__all__ = ["Sender"]

log = logging.getLogger("edgestack.error")


class Sender:
    """Holds a connection until its outbox is empty and closed."""

    __slots__ = (
        "_begun",
        "_connection",
        "_deep",
        "_done",
        "_exchange",
        "_file",
        "_gap",
        "_keep",
        "_lot",
        "_move",
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
        deep: bool = False,
    ) -> None:
        """
        :param begun: bytes of this answer have left already.
        :param offered: on TLS, how many bytes OpenSSL was offered and did not take: it insists on the very same.
        :param deep: the socket is full, and took much of a file before it was.
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
        self._deep = deep
        """The socket took much of the file before it was full."""
        self._move: Move | None = None
        """What the thread for files has of it."""
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
            self._full(READABLE if isinstance(error, ssl.SSLWantReadError) else WRITABLE)
            return False
        except OSError:
            self._fail()
            return False
        if pace is None:
            self._full(WRITABLE)
        elif self._owed is None and self._file is None and not self._take():
            return self._dry()
        else:
            self._rest()
        return False

    def _full(self, mask: int) -> None:
        """The socket takes no more for now, or the turn is over."""
        mover = self._lot.mover
        if self._deep and self._file is not None and self._pace is None and mover is not None:
            self._hand_over(mover)
        else:
            self._wait(mask)

    def _wait(self, mask: int) -> None:
        lot = self._lot
        lot.deadlines.watch(self._connection, lot.now + self._gap)
        lot.watch(self._connection, mask)

    def _hand_over(self, mover: Mover) -> None:
        """The rest of this file leaves on the thread for files."""
        connection, segment, done = self._connection, self._file, self._done
        assert segment is not None
        self._deep = False  # it will say so again
        self._wait(0)
        at, end = segment.offset + done, segment.offset + segment.length
        back = partial(self._lot.guarded, connection, self._back)
        self._move = Move(connection.fd, segment.fd, at, end, self._wrote, back)
        mover.take(self._move)

    def _wrote(self) -> None:
        """The client took something. On the thread."""
        self._connection.deadline = self._lot.clock() + self._gap

    def _back(self) -> None:
        """The thread has let go of the file: all of it left, or a write here tells why not."""
        if self._move is None:
            return  # it was dropped meanwhile
        self._reclaim(self._move)
        if self.run():
            self._lot.resume(self._connection)

    def _reclaim(self, move: Move) -> None:
        """Nobody else writes any more: what the thread has moved has left."""
        segment = self._file
        assert segment is not None
        self._move = None
        self._done = move.at - segment.offset
        if self._done == segment.length:
            self._file = None

    def _rest(self) -> None:
        """Until the next whole second, when deadlines are looked at (`expire`)."""
        self._resting = True
        lot = self._lot
        lot.deadlines.watch(self._connection, lot.clock())
        lot.watch(self._connection, 0)

    def _dry(self) -> bool:
        """Nothing to write for now, or for ever."""
        if not self._outbox.finished:
            self._connection.deadline = math.inf
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
        if moved == asked:
            return moved
        self._deep = moved >= DEEP
        return left

    def wake(self) -> None:
        """The outbox was filled, or closed, on another thread."""
        if not self._outbox.finished and self._move is None and self.run():
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
        if self._move is not None and self._lot.mover is not None:
            self._lot.mover.withdraw(self._move)
            self._reclaim(self._move)
        unsent = self._outbox.waiting() + len(self._owed or b"")
        if self._file is not None:
            unsent += self._file.length - self._done
        self._owed = self._file = None
        self._outbox.abandon()
        self._exchange.bytes_out = max(0, self._exchange.bytes_out - unsent)
        self._exchange.break_off()
