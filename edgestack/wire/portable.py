"""The portable driver: a task per connection over any trio stream, on the same protocol objects as the lot.

    serve(stream) -> portable_stream.py: head -> handle -> Response | await it | an application thread -> send -> …

It serves memory streams under virtual time in tests, and every system without epoll. It is allowed to cost more than
the lot, never to answer differently: one contract suite runs over both. Here the task holds the connection throughout,
so there is no holder to hand over; application threads write into an Outbox, which the task empties.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Callable
from typing import Any

import trio

from edgestack.config.model import Limits, Timeouts
from edgestack.errors import EdgeError
from edgestack.http.facts import Facts
from edgestack.http.messages import Exchange, Request
from edgestack.wire.connection import Door
from edgestack.wire.held_clock import Threads
from edgestack.wire.outbox import Budget
from edgestack.wire.portable_stream import PortableStream
from edgestack.wire.statistics import Statistics

__all__ = ["Portable"]


class Portable:
    """What the connections of this driver share. `serve` runs one connection to its end."""

    def __init__(
        self,
        limits: Limits,
        timeouts: Timeouts,
        threads: Threads,
        nursery: trio.Nursery,
        patience: float = math.inf,
    ) -> None:
        """
        :param nursery: for connections that an acceptor takes in.
        :param patience: seconds within which application code begins its answer.
        """
        self.limits = limits
        self.timeouts = timeouts
        self.threads = threads
        self.patience = patience
        self.most: float = math.inf
        """Requests after which `spent` is called, once."""
        self.spent: Callable[[], None] = _nothing
        self.nursery = nursery
        self.draining = False
        self.lasting = timeouts.keepalive > 0
        """Whether a connection may go on after an answer: neither draining, nor without keep-alive."""
        self.deserted: Callable[[], None] | None = None
        """Called when the last connection is gone; the drain waits for it."""
        self.admitted: Callable[[PortableStream], None] | None = None
        """Told of each connection before its first byte."""
        self.statistics = Statistics()
        self.spools = Budget(limits.spools)
        self.table: set[PortableStream] = set()
        self.shaking: set[socket.socket] = set()
        self.sockets: set[socket.socket] = set()
        """Of the connections that stand on one: a forked child closes them."""
        self._token = trio.lowlevel.current_trio_token()
        self._serial = 0

    async def serve(self, stream: trio.abc.Stream, facts: Facts, door: Door) -> None:
        """Serve one connection until it closes."""
        await self.see_through(self.admit(stream, facts, door))

    def admit(
        self, stream: trio.abc.Stream, facts: Facts, door: Door, transport: trio.abc.Stream | None = None
    ) -> PortableStream:
        """Take a connection in: from now on it counts as one.

        :param transport: what lies beneath a TLS stream; closing that one leaves it open.
        """
        self.statistics.admit(facts)
        connection = PortableStream(self, stream, transport or stream, facts, door)
        self.table.add(connection)
        door.held += 1
        if self.admitted is not None:
            self.admitted(connection)
        return connection

    async def see_through(self, connection: PortableStream, refusal: EdgeError | None = None) -> None:
        """Serve a connection that was admitted, until it closes.

        :param refusal: answer with this, and close.
        """
        try:
            with connection.scope:
                await connection.run(refusal)
        finally:
            self.table.discard(connection)
            connection.door.held -= 1
            await trio.aclose_forcefully(connection.transport)
            if not self.table and self.deserted is not None:
                self.deserted()

    def post(self, callback: Callable[[], None]) -> bool:
        """Run `callback` on the loop, soon; from any thread. False: the loop has gone."""
        try:
            self._token.run_sync_soon(callback)
        except trio.RunFinishedError:
            return False
        return True

    def exchange(self, facts: Facts, request: Request) -> Exchange:
        """A new exchange, numbered."""
        self._serial += 1
        facts.requests += 1
        if self._serial >= self.most:
            self.most = math.inf
            self.spent()
        return Exchange(facts, request, self._serial, trio.current_time())

    @property
    def requests(self) -> int:
        """How many came."""
        return self._serial

    def count_failure(self) -> None:
        """One more bug. On the loop."""
        self.statistics.failures += 1

    def connections(self) -> int:
        """How many connections are open, those in their handshakes included."""
        return len(self.table) + len(self.shaking)

    def adopt(self, limits: Limits, timeouts: Timeouts, threads: Threads, patience: float) -> None:
        """Other limits, timeouts and threads for what begins from now on (reload). On the loop."""
        if limits.spools != self.limits.spools:
            self.spools = Budget(limits.spools)  # what is on disk now counts against the old one
        self.limits, self.timeouts, self.threads, self.patience = limits, timeouts, threads, patience
        self.lasting = timeouts.keepalive > 0 and not self.draining

    def busy(self) -> set[Any]:
        """The connections that are in the midst of an exchange."""
        return {connection for connection in self.table if connection.idle is None}

    # -- the end -----------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """From now on each answer is the last one of its connection (E10)."""
        self.draining = True
        self.lasting = False

    def close_idle(self) -> None:
        """End the waits for a next request, but for those that began since the last time (lot.py says why)."""
        for connection in self.table:
            if connection.idle is not None and not connection.lately:
                connection.idle.cancel()
            connection.lately = False

    def stop(self) -> None:
        """Wait no longer: every connection is cancelled, and the ticket of its exchange taken with it."""
        for connection in self.table:
            connection.scope.cancel()

    def dispose(self) -> None:
        """Nothing is held beyond the connections."""

    def close_in_child(self) -> None:
        """After a fork by the application: let go of everything without a word to the clients."""
        for sock in (*self.shaking, *self.sockets):
            if sock.fileno() >= 0:
                os.close(sock.detach())


def _nothing() -> None:
    """Nobody wants to know."""
