"""The lingering close: read on for a while after the last answer, so that the client sees it and not a reset (E8).

A socket closed with unread bytes in its buffer sends RST, which may destroy the answer on its way. So: close_notify
where TLS speaks, FIN, then read and drop until the client closes, the bytes are too many, or the time is up.
nginx: lingering_close, lingering_time.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from edgestack.wire.connection import READABLE, RECEIVE, WOULD_BLOCK, Connection

if TYPE_CHECKING:
    from edgestack.wire.lot import Lot

__all__ = ["Linger"]


class Linger:
    """Holds a connection between its last answer and its close."""

    __slots__ = ("_connection", "_left", "_lot")

    def __init__(self, lot: Lot, connection: Connection) -> None:
        self._lot = lot
        self._connection = connection
        self._left = lot.limits.linger

    def begin(self) -> None:
        """Say that nothing more comes, then read on. On the loop."""
        connection = self._connection
        connection.holder = self
        try:
            if connection.tls:
                self._close_notify()
            socket.socket.shutdown(connection.sock, socket.SHUT_WR)
        except OSError:
            self._lot.close(connection, hard=True)
            return
        self._lot.deadlines.watch(connection, self._lot.now + self._lot.timeouts.linger)
        self._lot.watch(connection, READABLE)
        self.event(connection, READABLE)

    def _close_notify(self) -> None:
        try:
            self._connection.sock.unwrap()  # type: ignore[attr-defined]
        except WOULD_BLOCK:
            pass  # ours is sent; the client's own is among what is read and dropped

    def event(self, connection: Connection, mask: int) -> None:
        """Read and drop; on the raw socket, for what TLS holds is of no interest any more."""
        try:
            while self._left > 0:
                data = socket.socket.recv(connection.sock, RECEIVE)
                if not data:
                    break
                self._left -= len(data)
        except BlockingIOError:
            return
        except OSError:
            pass  # reset by the client: the end all the same
        self._lot.close(connection, hard=True)

    def expire(self, connection: Connection, now: float) -> None:
        """The time is up."""
        self._lot.close(connection, hard=True)

    def stop(self, connection: Connection) -> bool:
        """The lot closes it."""
        return True
