"""A tunnel: after 101 (Switching Protocols) bytes pass both ways, and nobody here knows what they mean (B17).

    client -> recv -> send -> server        one read and one write for what comes, both sides as callbacks on the lot
    server -> recv -> send -> client        a side that is full: its other side is not read until it takes more

What either side had sent too early goes first. A side that ends is told to the other one (half-close), and goes on
receiving; when both have ended the tunnel has. It also ends when nothing passes for `gap` seconds either way. A reload
leaves it alone, a drain waits for it as for any connection. RFC 9110 §7.8; nginx: ngx_http_upstream_process_upgraded.

A half-close on TLS is a close_notify, and OpenSSL, told to send one, looks for the peer's own at once: application data
that it finds there are thrown away, and the session with them. So a side is told only when it has nothing unread.
"""

from __future__ import annotations

import math
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from edgestack.errors import Disconnected, EdgeError
from edgestack.http.messages import Exchange, Response
from edgestack.wire.connection import GONE, READABLE, RECEIVE, WOULD_BLOCK, WRITABLE, Connection
from edgestack.wire.h1_answer import Tail, encode
from edgestack.wire.link import AnyLink, Link

if TYPE_CHECKING:
    from edgestack.wire.lot import Lot

__all__ = ["Passage", "Tunnel", "head_of", "say_the_end"]

_tail = Tail()

READS = 16
"""Reads of one side before it is told of an end, in one turn; what has more to say is reported again."""


class Tunnel:
    """The other end of a tunnel. See `http.bodies.Tunnel`."""

    __slots__ = ("_ended", "first", "gap", "link")

    def __init__(self, link: AnyLink, ended: Ended, *, first: bytes = b"", gap: float = 60.0) -> None:
        """
        :param ended: called once, on the loop, with `Disconnected` when the tunnel did not come to its own end. Whoever
            gave the link closes it.
        :param first: what the server sent behind its head.
        :param gap: seconds for which nothing may pass.
        """
        self.link = link
        self.first = first
        self.gap = gap
        self._ended: Ended | None = ended

    def end(self, error: EdgeError | None = None) -> None:
        """The link is no longer needed. Only the first call counts."""
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(self, error)

    def close(self) -> None:
        """Nobody wants it."""
        self.end(Disconnected(detail="the tunnel was broken off"))


class Way:
    """One direction of a tunnel."""

    __slots__ = ("ended", "owed", "shut", "sink", "source", "stuck")

    def __init__(self, source: Connection | Link, sink: Connection | Link, owed: bytes) -> None:
        """:param owed: what the sink must get before anything else."""
        self.source = source
        self.sink = sink
        self.owed = owed
        self.ended = False
        """The source sends no more."""
        self.shut = False
        """The sink was told so."""
        self.stuck = False
        """It was not, because its socket is full."""

    def mask(self, back: Way) -> int:
        """What to wait for at the source; `back` leads to it. Never 0: a reset is to be seen while nothing is read."""
        reading = READABLE if not (self.ended or self.owed) else 0
        return (reading | WRITABLE if back.owed or back.stuck else reading) or GONE


class Passage:
    """Holds a connection and a link for as long as a tunnel lasts."""

    __slots__ = ("_connection", "_down", "_exchange", "_gap", "_lot", "_over", "_tunnel", "_up")

    def __init__(
        self, lot: Lot, connection: Connection, exchange: Exchange, response: Response, tunnel: Tunnel
    ) -> None:
        assert isinstance(tunnel.link, Link)
        self._lot = lot
        self._connection = connection
        self._exchange = exchange
        self._tunnel = tunnel
        self._gap = tunnel.gap
        self._over = False
        early, connection.h1.buffer = connection.h1.buffer, b""
        self._up = Way(connection, tunnel.link, early)
        self._down = Way(tunnel.link, connection, head_of(exchange, response) + tunnel.first)
        exchange.status = response.status
        exchange.bytes_out = len(tunnel.first)

    def begin(self) -> None:
        """Send the head, and what was sent too early; then let it flow. On the loop."""
        lot, connection, link = self._lot, self._connection, self._down.source
        connection.holder = link.holder = self
        link.deadline = math.inf
        lot.take_up(link)  # type: ignore[arg-type] # it is the link
        lot.deadlines.watch(connection, lot.now + self._gap)
        if self._flush(self._down) and self._flush(self._up):
            self._rearrange()

    def event(self, party: Any, mask: int) -> None:
        """One side has moved."""
        way, back = (self._up, self._down) if party is self._connection else (self._down, self._up)
        if (back.owed or back.stuck) and mask & WRITABLE:
            if not self._flush(back) or (way.ended and not self._flush(way)):
                return
            self._rearrange()
            if mask == WRITABLE:
                return
        if way.owed:
            if mask & GONE:  # it would be reported until what is owed to the other side has left
                self._lot.watch(party, 0)
        elif self._pass(way) and back.ended and self._flush(back):
            self._rearrange()

    def _pass(self, way: Way) -> bool:
        """One read, one write. True: something passed, and there may be more."""
        try:
            data = way.source.sock.recv(RECEIVE)
        except WOULD_BLOCK as blocked:
            if isinstance(blocked, ssl.SSLWantWriteError):
                self._lot.watch(way.source, READABLE | WRITABLE)
            else:
                self._rearrange()
            return False
        except ssl.SSLZeroReturnError:  # its end, after ours was said
            data = b""
        except OSError:
            self._end(Disconnected())
            return False
        if not data:
            way.ended = True
            if self._flush(way):
                self._rearrange()
            return False
        self._connection.deadline = self._lot.now + self._gap
        if way is self._down:
            self._exchange.bytes_out += len(data)
        try:
            sent = way.sink.sock.send(data)
        except WOULD_BLOCK:
            sent = 0
        except OSError:
            self._end(Disconnected())
            return False
        if sent < len(data):
            way.owed = data[sent:]
            self._rearrange()
        return True

    def _flush(self, way: Way) -> bool:
        """Send what is owed, and the end behind it. False: that was the end of the tunnel."""
        try:
            if way.owed:
                way.owed = way.owed[way.sink.sock.send(way.owed) :]
                self._connection.deadline = self._lot.now + self._gap
            if way.ended and not (way.owed or way.shut) and self._has_read_all(way.sink):
                way.shut = say_the_end(way.sink.sock)
                way.stuck = not way.shut
        except WOULD_BLOCK:
            return True
        except OSError:
            self._end(Disconnected())
            return False
        if self._up.shut and self._down.shut:
            self._end(None)
        return not self._over

    def _has_read_all(self, party: Connection | Link) -> bool:
        """Whether nothing that this side has sent is unread, where that matters: on TLS."""
        if not party.tls:
            return True
        way = self._up if party is self._connection else self._down
        for _ in range(READS):
            if way.owed or self._over:
                return False
            if way.ended or not self._pass(way):
                return not (way.owed or self._over)
        return False

    def _rearrange(self) -> None:
        """Wait for what each side can do now."""
        up, down = self._up, self._down
        self._lot.watch(up.source, up.mask(down))
        self._lot.watch(down.source, down.mask(up))

    def _end(self, error: EdgeError | None) -> None:
        self._over = True
        if error is None:
            self._exchange.finish()
        else:
            self._exchange.break_off()
        self._lot.close(self._connection, hard=error is not None)
        self._tunnel.end(error)
        self._lot.close(self._down.source)

    def expire(self, party: Any, now: float) -> None:
        """Nothing passed for the whole gap."""
        self._end(Disconnected(detail=f"nothing passed for {self._gap:g} s"))

    def stop(self, party: Any) -> bool:
        """The server waits no longer."""
        self._end(Disconnected(detail="the server stops"))
        return True

    def failed(self, link: Link, error: Exception) -> None:
        """A bug on the link's side."""
        self._tunnel.close()
        self._lot.failed(self._connection, error, self._exchange)


def head_of(exchange: Exchange, response: Response) -> bytes:
    """The head of a 101, whose Connection and Upgrade are among its fields."""
    return encode(response) + _tail.of(exchange)


def say_the_end(sock: socket.socket) -> bool:
    """Nothing more will be sent; reading goes on. On TLS close_notify (RFC 8446 §6.1), and no FIN beneath it yet: to be
    called when a read has just found nothing.

    :returns: False where the socket is full: call again when it takes more.
    :raises OSError: the connection is broken; or data came in the very moment, and are lost.
    """
    if not isinstance(sock, ssl.SSLSocket):
        sock.shutdown(socket.SHUT_WR)
        return True
    try:
        sock._sslobj.shutdown()  # type: ignore[attr-defined] # `unwrap` forgets TLS where the peer's own came before
    except ssl.SSLWantWriteError:
        return False
    except ssl.SSLWantReadError:
        pass  # ours is on its way; the peer's own comes when it has ended
    return True


Ended: TypeAlias = "Callable[[Tunnel, EdgeError | None], None]"
