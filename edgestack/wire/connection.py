"""One accepted connection on the lot, and who may hold it.

A connection has exactly one holder: the lot (`holder is None`), a callback, a task, or an application thread. The law
that keeps wake-ups from being lost (design: engine, rule 2):

    an event writes `pending` first, *then* reads `holder`;
    giving back writes `holder = None` first, *then* reads `pending`.

Seeing a connection twice is harmless: a read that would block. Only the loop closes, and only the lot unregisters.
"""

from __future__ import annotations

import math
import socket
import ssl
from collections.abc import Callable
from typing import Protocol

from edgestack.errors import EdgeError
from edgestack.http.facts import Facts
from edgestack.http.messages import Exchange, Handler, Response
from edgestack.wire.h1 import H1
from edgestack.wire.tls_sockets import calls_of

__all__ = [
    "BROKEN",
    "CLOSING",
    "GONE",
    "QUEUED",
    "READABLE",
    "RECEIVE",
    "WOULD_BLOCK",
    "WRITABLE",
    "Connection",
    "Door",
    "Holder",
]

READABLE = 0x001 | 0x2000
"""EPOLLIN | EPOLLRDHUP: what the lot waits for."""
WRITABLE = 0x004
"""EPOLLOUT, without RDHUP: level-triggered, a half-closed client would report it for ever."""
CLOSING = 0x2000
"""EPOLLRDHUP alone: the client sends no more. What the lot waits for while it reads nothing."""
GONE = 0x008 | 0x010
"""EPOLLERR | EPOLLHUP: reset, or closed in both directions."""
RECEIVE = 64 * 1024
"""Bytes asked of one read; a browser's head is 1 to 4 KiB, an upload arrives in pieces of this size. More than a TLS
record holds (16 KiB): what a read leaves with OpenSSL would be reported by no poller."""

WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
BROKEN = OSError


class Door:
    """What a listener leads to. `adopt` changes it in place: new exchanges take the new plan, old ones keep theirs."""

    __slots__ = ("__weakref__", "ends", "errors", "handle", "held")

    def __init__(
        self,
        handle: Handler,
        errors: Callable[[Exchange, EdgeError], Response],
        ends: tuple[Callable[[Exchange], None], ...] = (),
    ) -> None:
        """
        :param handle: answers an exchange; raises nothing but bugs.
        :param errors: makes the page for an error that no route has seen (a malformed head).
        :param ends: the ends of such an exchange.
        """
        self.handle = handle
        self.errors = errors
        self.ends = ends
        self.held = 0
        """Open connections that came through it; counted by the driver."""


class Holder(Protocol):
    """Whoever holds a connection, as the lot sees it. All three are called on the loop."""

    def event(self, connection: Connection, mask: int, /) -> None:
        """The poller reported `mask`."""

    def expire(self, connection: Connection, now: float, /) -> None:
        """The connection's deadline has passed."""

    def stop(self, connection: Connection, /) -> bool:
        """The server stops and will wait no longer: let go of it. False: another thread may be using the socket."""


class Connection:
    """A non-blocking socket, what was received on it, and its holder."""

    __slots__ = (
        "bucket", "closed", "deadline", "door", "facts", "fd", "h1", "holder", "interest", "pending", "receive",
        "send", "sock", "tls",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, facts: Facts, h1: H1, door: Door) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.tls = isinstance(sock, ssl.SSLSocket)
        self.receive: Callable[[int], bytes]
        """Some bytes; b"" at the end of the stream, which on TLS may come as `ssl.SSLEOFError` too."""
        self.send: Callable[[bytes | memoryview], int]
        self.receive, self.send = calls_of(sock) if isinstance(sock, ssl.SSLSocket) else (sock.recv, sock.send)
        self.facts = facts
        self.h1 = h1
        self.door = door
        self.holder: Holder | None = None
        self.pending = False
        """Something happened, or is left to do, while it was held."""
        self.interest = 0
        """The mask it is registered with; 0 when it is not."""
        self.closed = False
        self.deadline = math.inf
        self.bucket = 0

    def shut(self) -> None:
        """Break the connection in both directions, from any thread; the loop closes it when it sees that.

        On the raw socket always: an `SSLSocket.shutdown` would make the next send leave in clear text.
        """
        try:
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
        except OSError:
            pass  # it is broken already, which is what was wanted


class Queued:
    """Holds a connection that waits for its next turn."""

    def event(self, connection: Connection, mask: int) -> None:
        """Its turn comes anyway."""

    def expire(self, connection: Connection, now: float) -> None:
        """Its turn comes anyway."""

    def stop(self, connection: Connection) -> bool:
        """Nothing was begun."""
        return True


QUEUED = Queued()
