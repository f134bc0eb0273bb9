"""The lot's books: what stands where, what the poller is asked about, who runs out of time, and what is closed.

    watch(party, mask)   exactly these events, or none         close(party)   at the end of the batch, by the loop alone
    take_up(link)        a link's holder gets its events       let_go(link)   a task's now, which waits for it itself
    post(callback)       from any thread: run it on the loop   failed(…)      what becomes of a bug

Connections of clients stand in `table`, those to other servers in `links`: those are never without a holder, they are
not counted as connections, and a drain does not wait for them. This file serves nobody; `lot.py` has the turn.
Design: engine, rules 1, 2, 6, 7, 13.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import trio

from edgestack.config.model import Limits, Timeouts
from edgestack.http.facts import Facts
from edgestack.http.messages import Exchange
from edgestack.wire.connection import READABLE, Connection, Door, Holder
from edgestack.wire.deadlines import Deadlines, Timed
from edgestack.wire.h1 import H1
from edgestack.wire.held_clock import jumps_by_itself
from edgestack.wire.link import Link
from edgestack.wire.mover import Mover
from edgestack.wire.statistics import Statistics

__all__ = ["Books", "nothing"]

T = TypeVar("T")
Party: TypeAlias = "Connection | Link"
"""What the poller may be asked about."""

log = logging.getLogger("edgestack.error")


class Books:
    """What the lot keeps. Its `now` is the serving clock as the batch began."""

    __slots__ = (
        "_doomed", "_dropped", "_gate", "_gathering", "_leaving", "_poller", "_posted", "_turning", "_wake", "admitted",
        "clock", "deadlines", "deserted", "limits", "links", "mover", "now", "shaking", "statistics", "table",
        "timeouts",
    )  # fmt: skip

    def __init__(
        self,
        limits: Limits,
        timeouts: Timeouts,
        clock: Callable[[], float],
        expire: Callable[[Timed, float], None],
    ) -> None:
        """:param expire: what to do when a deadline has passed."""
        self.limits = limits
        self.timeouts = timeouts
        self.clock = clock
        self.now = clock()
        self.table: dict[int, Connection] = {}
        self.links: dict[int, Link] = {}
        self.shaking: set[socket.socket] = set()
        """Sockets in their handshakes: they count as connections, and a forked child closes them too."""
        self.deserted: Callable[[], None] | None = None
        """Called when the last connection is gone; the drain waits for it."""
        self.admitted: Callable[[Connection], None] | None = None
        """Told of each connection before its first byte."""
        self.statistics = Statistics()
        self.deadlines = Deadlines(expire, clock)
        self.mover = None if jumps_by_itself(trio.lowlevel.current_clock()) else Mover(self.post)
        """Moves large files; None under a test's clock."""
        self._poller = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poller.register(self._wake, select.EPOLLIN)
        self._gate = threading.Lock()
        """Between `post` and `dispose`: the descriptor that wakes the loop is not written to once it is closed."""
        self._posted: deque[Callable[[], None]] = deque()
        self._doomed: list[tuple[Connection, bool]] = []
        self._dropped: list[Link] = []
        self._turning = False
        self._gathering = False
        """What is to be sent waits for the end of the batch: each send may wake a process that sleeps, which costs more
        than the send itself, and those that follow at once find it awake (a tenth of a static answer, a fifth of a
        proxied one)."""
        self._leaving: list[tuple[Callable[[Any], None], Any]] = []

    def post(self, callback: Callable[[], None]) -> bool:
        """Run `callback` on the loop, soon; from any thread. False: the loop has gone, and it will not run."""
        with self._gate:
            if self._wake < 0:
                return False
            self._posted.append(callback)
            os.eventfd_write(self._wake, 1)
            return True

    def leave_together(self, send: Callable[[T], None], of: T) -> None:
        """Call `send(of)` at the end of this batch, with the answers; outside of one at once. On the loop.

        :param send: has a boundary of its own.
        """
        if self._gathering:
            self._leaving.append((send, of))
        else:
            send(of)

    def watch(self, party: Party, mask: int) -> None:
        """Register for exactly `mask` (0: not at all)."""
        if party.interest == mask or party.closed:
            return
        if not mask:
            self._poller.unregister(party.fd)
        elif party.interest:
            self._poller.modify(party.fd, mask)
        else:
            self._poller.register(party.fd, mask)
        party.interest = mask

    def connections(self) -> int:
        """How many connections are open, those in their handshakes included."""
        return len(self.table) + len(self.shaking)

    def busy(self) -> set[Any]:
        """The connections that are in the midst of an exchange."""
        return {connection for connection in self.table.values() if connection.holder is not None}

    # -- connections -------------------------------------------------------------------------------------------------

    def admit(self, sock: socket.socket, facts: Facts, door: Door) -> Connection:
        """A new connection, its handshake done, takes its place."""
        connection = Connection(sock, facts, H1(self.limits), door)
        self.now = self.clock()
        self.watch(connection, READABLE)
        self.table[connection.fd] = connection
        door.held += 1
        self.statistics.admit(facts)
        if self.admitted is not None:
            self.admitted(connection)
        self.deadlines.watch(connection, self.now + (self.timeouts.keepalive or self.timeouts.head))
        return connection

    def close(self, party: Party, hard: bool = False) -> None:
        """Close it at the end of this batch: until then no other has its number. On the loop; twice does no harm.

        :param hard: without close_notify: the client left, or a record is still owed.
        """
        if isinstance(party, Link):
            self._close_link(party)
        elif not party.closed:
            self.watch(party, 0)
            party.closed = True
            self._doomed.append((party, hard))
            self._soon()

    def _bury(self, connection: Connection, hard: bool) -> None:
        trio.lowlevel.notify_closing(connection.fd)
        self.deadlines.forget(connection)
        del self.table[connection.fd]
        connection.door.held -= 1
        if connection.tls and not hard:
            try:
                connection.sock.unwrap()  # type: ignore[attr-defined]
            except (OSError, ValueError):
                pass  # close_notify is on its way, or nobody is there to read it; nothing is waited for
        connection.sock.close()
        if not self.table and self.deserted is not None:
            self.deserted()

    # -- links -------------------------------------------------------------------------------------------------------

    def take_up(self, link: Link) -> None:
        """From now on `link.holder` gets its events and its expiry; harmless when that is so already. On the loop."""
        if link.interest == READABLE and 0 < link.bucket <= link.deadline + 1:
            return  # as it nearly always is: a link stays registered while it goes from hand to hand
        self.links[link.fd] = link
        self.watch(link, READABLE)
        self.deadlines.watch(link, link.deadline)

    def let_go(self, link: Link) -> None:
        """No longer: a task will wait on it. On the loop; harmless for a link that does not stand here."""
        if self.links.get(link.fd) is link:
            self.watch(link, 0)
            self.deadlines.forget(link)
            del self.links[link.fd]

    def _close_link(self, link: Link) -> None:
        if self.links.get(link.fd) is link:
            self.let_go(link)
            self._dropped.append(link)
            self._soon()
        elif link not in self._dropped:
            link.close()

    def _link_event(self, fd: int, mask: int) -> None:
        """An event that is no connection's, and the boundary for what fails there."""
        link = self.links.get(fd)
        if link is not None:
            link.pending = True
            try:
                link.holder.event(link, mask)  # type: ignore[union-attr] # a link on the lot has a holder
            except Exception as error:
                self.link_failed(link, error)
        elif fd == self._wake:
            os.eventfd_read(self._wake)

    def link_expired(self, link: Link, now: float) -> None:
        """Its deadline has passed; and the boundary."""
        try:
            link.holder.expire(link, now)  # type: ignore[union-attr] # a link on the lot has a holder
        except Exception as error:
            self.link_failed(link, error)

    def link_failed(self, link: Link, error: Exception) -> None:
        """A boundary caught a bug: close this link, and let its holder end what hangs on it."""
        holder = link.holder
        self.close(link)
        try:
            assert holder is not None
            holder.failed(link, error)
        except Exception:
            self.count_failure()
            log.exception("the connection to %s failed", link.peer, exc_info=error)

    # -- bugs --------------------------------------------------------------------------------------------------------

    def guarded(self, connection: Connection, callback: Callable[[], None]) -> None:
        """The boundary for what is done for one connection outside of its own events."""
        try:
            callback()
        except Exception as error:
            self.failed(connection, error)

    def failed(self, connection: Connection, error: Exception, exchange: Exchange | None = None) -> None:
        """A boundary caught a bug: log it, count it, break this connection and no other."""
        self.count_failure()
        what = exchange.request_id if exchange is not None else "between two requests"
        log.error("%s: the connection from %s failed", what, connection.facts.remote_addr, exc_info=error)
        holder = connection.holder
        self.close(connection, hard=True)
        if exchange is not None:
            exchange.break_off(500)
        elif holder is not None:
            self._abandoned(connection, holder)

    def _abandoned(self, connection: Connection, holder: Holder) -> None:
        """Let a holder that failed go of what it has: the exchange, a link."""
        try:
            holder.stop(connection)
        except Exception:
            log.exception("the end of the connection from %s failed too", connection.facts.remote_addr)

    def count_failure(self) -> None:
        """One more bug. On the loop."""
        self.statistics.failures += 1

    # -- the end -----------------------------------------------------------------------------------------------------

    def _bury_all(self) -> None:
        """Close what was to be closed in this batch."""
        while self._doomed:
            self._bury(*self._doomed.pop())
        while self._dropped:
            self._dropped.pop().close()

    def _soon(self) -> None:
        """A task or a sweep closes something: there is no batch whose end would."""
        if not self._turning:
            self.post(nothing)

    def dispose(self) -> None:
        """Give the descriptors back; after `stop`, when the loop runs no more. Threads may still come and `post`."""
        if self.mover is not None:
            self.mover.close()
        self._poller.close()
        self.table.clear()  # what is left there is a thread's, which closes it (lot_outlet.py)
        with self._gate:
            os.close(self._wake)
            self._wake = -1

    def close_in_child(self) -> None:
        """After a fork by the application: let go of everything without a word to clients or servers."""
        self._gate = threading.Lock()  # whoever held it does not live here
        here: tuple[Party, ...] = (*self.table.values(), *self.links.values(), *self._dropped)
        for sock in (*self.shaking, *(one.sock for one in here)):
            if sock.fileno() >= 0:
                os.close(sock.detach())
        self.shaking.clear()
        self.table.clear()
        self.links.clear()
        self.dispose()


def nothing() -> None:
    """What is done where nothing is to be done."""
