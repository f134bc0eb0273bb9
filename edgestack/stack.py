"""What runs: a Stack serves a Plan, takes another one in its place, and drains.

    stack = Stack(plan, applications)
    async with trio.open_nursery() as nursery:
        addresses = await nursery.start(stack.serve)     # a driver, and an acceptor per listener
        stack.adopt(other_plan)                          # new exchanges take it; those in flight keep theirs
        still_running = await stack.drain(30)            # stop accepting, finish, then let go

There are two drivers: the lot, and the portable one where the system has no epoll, or where that is asked for. The
command line, the workers and the tests all enter here.

What outlives a plan is kept under the value of its config section, and an unchanged section keeps its object:

    [[listen]], bind       its socket, by address         wire/places.py     other certificates, redirects: same socket
    [tls]                  certificates, ticket keys      here
    app                    the application                applications.py    its code is never read again
    [server] threads       application threads            here               old ones finish what they have
    access log             its open file                  phases/access_logs.py
    limit, and others      their counters                 kept.py
    [upstream.NAME]        peers, idle links, tasks       upstream/service.py
    [cache.NAME]           stored responses               caching/zone.py

`adopt` first does everything that may fail (an import, a certificate, a bind), and then changes over in one step of the
loop. Limits and timeouts hold for what begins afterwards.
"""

from __future__ import annotations

import math
import os
import select
import socket
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import trio

from edgestack.applications import Applications, loaded
from edgestack.asgi.lives import Lives
from edgestack.caching.zone import Zones
from edgestack.compose import Plan, Resources
from edgestack.config.model import Config, Listener, Server
from edgestack.content.files import PrivateFiles
from edgestack.content.threads import AppThreads
from edgestack.http.facts import Facts
from edgestack.kept import Kept
from edgestack.neighbours import Neighbours
from edgestack.phases.access_log import FLUSH_DELAY, AccessLog
from edgestack.phases.access_logs import AccessLogs
from edgestack.phases.subrequest import CurrentThreads
from edgestack.upstream.group import GroupStatistics
from edgestack.upstream.service import Roster, Services
from edgestack.wire.descriptors import most_connections
from edgestack.wire.dialing import Dialer
from edgestack.wire.held_clock import HeldThreads, jumps_by_itself
from edgestack.wire.lot import Lot
from edgestack.wire.places import Pairs, Places, bound, close_fresh, url
from edgestack.wire.portable import Portable
from edgestack.wire.tls import Certificates

__all__ = ["Stack"]

IDLE_GRACE = 0.25
"""Seconds that idle connections stay open once the drain has begun, or their answer has ended: a request already on its
way is answered (E10)."""
HANDSHAKE_GRACE = 1.0
"""Seconds that handshakes get beyond that: some round trips; nobody waits for what a silent client might say."""
LAST_CALL = 1.0
"""Seconds that application threads get after the grace, shielded, before they are named and left behind."""

SAME: Any = object()
"""The access log stays the one it is."""


class Stack:
    """One running edge."""

    def __init__(
        self,
        plan: Plan,
        applications: Applications | None = None,
        access_log: AccessLog | None = None,
        unknown_host: Callable[[str], bool] | None = None,
        *,
        portable: bool | None = None,
        dialer: Dialer | None = None,
        neighbours: Neighbours | None = None,
        certificates: Certificates | None = None,
        admitted: Callable[[Any], None] | None = None,
    ) -> None:
        """
        :param applications: loaded already, by section; what is missing is loaded by name.
        :param access_log: opened already; its lines are flushed by this stack.
        :param unknown_host: asked when a TLS client names a host that no certificate bears; True: they were renewed.
        :param portable: use the portable driver; without a word, where the system has no epoll.
        :param dialer: makes the connections to upstreams; without one, over the system's sockets.
        :param neighbours: other processes that serve the same; None for none.
        :param certificates: those of the plan, loaded already.
        :param admitted: told of each connection, before its first byte: for tests that look at what passes.
        :raises ConfigError: an application cannot be loaded, a certificate cannot be used.
        """
        self._plan = plan
        self._access_log = access_log
        self._unknown_host = unknown_host
        self._portable = not hasattr(select, "epoll") if portable is None else portable
        self._admitted = admitted
        self._driver: Lot | Portable | None = None
        self._held: HeldThreads | None = None
        self._neighbours = neighbours or Neighbours()
        self._places = Places(self._neighbours.turns)
        self._serving: trio.CancelScope = trio.CancelScope()
        self.token: trio.lowlevel.TrioToken | None = None
        """The way to the loop, for application threads that ask it something."""
        self._flush: trio.CancelScope = trio.CancelScope()
        self._kept = Kept()
        self._services = Services(dialer, secret=self._neighbours.secret)
        self.caches = Zones()
        """The caches, for whoever asks what is in them."""
        server = plan.config.server
        self.threads = self._pool(server)
        self._earlier: list[AppThreads] = []
        """Threads of earlier plans that may still be at work."""
        self.certificates = certificates or Certificates.of(plan.config.tls, unknown_host)
        self._applications = loaded(plan.applications, server.processes, applications)
        self.lives = Lives(self._applications.values())
        self._logs = AccessLogs([access_log] if access_log is not None else [])
        with self._kept.next() as keep:
            self._resources = self._gather(plan, self._applications, access_log, keep)
            self._lead, self._plain = plan.assemble(self._resources), plan.assemble_plain(self._resources)

    def _gather(self, plan: Plan, applications: Applications, access_log: AccessLog | None, keep: Any) -> Resources:
        ends = (access_log.end,) if access_log is not None else ()
        threads, roster = CurrentThreads(self), Roster(self._services, keep)
        return Resources(
            applications, ends, PrivateFiles.of(plan.config), keep, threads, access_log, roster, self.caches,
            limits=self._neighbours.limits, processes=self._neighbours.processes,
        )  # fmt: skip

    def _pool(self, server: Server) -> AppThreads:
        return AppThreads(server.threads, server.queue, crowded=self._neighbours.crowded)

    @property
    def pool(self) -> AppThreads | HeldThreads:
        """The application threads, as the driver has them."""
        return self._held or self.threads

    # -- serving -----------------------------------------------------------------------------------------------------

    async def serve(
        self,
        sockets: Iterable[tuple[Listener, socket.socket]] | None = None,
        *,
        task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled or drained; `started` with the addresses, as URLs, once they accept.

        :param sockets: listening sockets, bound already; without them the plan's listeners are bound here.
        :raises OSError: a listener cannot be bound.
        :raises ExceptionGroup: with a ConfigError: an application says that it cannot start (`asgi.lives.refusal`).
        """
        pairs: Pairs = []
        try:
            pairs = bound(self._plan.config.listeners) if sockets is None else list(sockets)
            with self._serving:
                async with trio.open_nursery() as nursery:
                    driver = self._begin(nursery)
                    await self.lives.begin(self._applications.values())
                    await nursery.start(self._places.run, driver)
                    self._places.prepare(pairs, self._lead, self._plain, self.certificates, self._most())()
                    task_status.started([url(listener, sock) for listener, sock in pairs])
        finally:
            self._end()
            for _, sock in pairs:
                sock.close()
            await self.lives.close()

    async def serve_stream(
        self, stream: trio.abc.Stream, facts: Facts | None = None, listener: Listener | None = None
    ) -> None:
        """Serve one connection over any stream until it closes; on the portable driver, while `serve` runs.

        :param facts: what is known of the client.
        :param listener: what it would have come through.
        """
        assert isinstance(self._driver, Portable)
        door = self._places.apart(listener or Listener(), self._lead)
        await self._driver.serve(stream, facts or Facts(), door)

    def _begin(self, nursery: trio.Nursery) -> Lot | Portable:
        """Make the driver and set it going."""
        server = self._plan.config.server
        self.token = trio.lowlevel.current_trio_token()
        clock: Any = trio.lowlevel.current_clock()
        if jumps_by_itself(clock):
            self._held = HeldThreads(self.threads, clock)
        threads = self._held or self.threads
        driver: Lot | Portable
        if self._portable:
            driver = Portable(server.limits, server.timeouts, threads, nursery, server.processes.patience)
        else:
            now, patience = clock.current_time, server.processes.patience
            driver = lot = Lot(server.limits, server.timeouts, threads, now, nursery, patience)
            nursery.start_soon(lot.run)
            nursery.start_soon(lot.deadlines.run)
        self._driver = driver
        driver.admitted = self._admitted
        self.lives.bind(nursery)
        driver.most, driver.spent = self._neighbours.requests or math.inf, self._neighbours.spent
        self._services.bind(nursery, driver if isinstance(driver, Lot) else None, self._resources.upstreams)
        self.caches.bind(nursery)
        self._system_most = most_connections()
        _alive.add(self)
        self._logs.bind(clock.current_time, self._wake_log, driver.busy)
        nursery.start_soon(self._flush_logs)
        return driver

    def _most(self) -> int:
        return self._plan.config.server.limits.connections or self._system_most

    def _end(self) -> None:
        self._logs.unbind()
        self._services.close()
        self.caches.close()
        if self._driver is not None:
            self._driver.stop()
            self._driver.dispose()
        for threads in (self.threads, *self._earlier):
            threads.stop()
        self._places.close()
        self._logs.close()
        _alive.discard(self)

    # -- the access logs -----------------------------------------------------------------------------------------------

    def _wake_log(self) -> None:
        assert self._driver is not None
        self._driver.post(self._arm_log)

    def _arm_log(self) -> None:
        self._flush.deadline = trio.current_time() + FLUSH_DELAY

    async def _flush_logs(self) -> None:
        """Sleep until a line wants to be written: an idle process makes no system calls."""
        while True:
            with trio.CancelScope(deadline=math.inf) as self._flush:
                await trio.sleep_forever()
            self._logs.flush()

    def reopen_logs(self) -> None:
        """Open the access logs anew by their names: they were moved away (SIGUSR1, logrotate)."""
        self._logs.reopen()

    # -- change and end ------------------------------------------------------------------------------------------------

    async def awake(self, plan: Plan, applications: Applications) -> Applications:
        """The same applications, ready for `adopt`: those that have a startup (ASGI) have gone through it.

        :raises ConfigError: one cannot be loaded, or says that it cannot start.
        """
        ready = loaded(plan.applications, plan.config.server.processes, applications, self._applications)
        await self.lives.begin(ready.values())
        return ready

    def adopt(
        self,
        plan: Plan,
        applications: Applications | None = None,
        access_log: AccessLog | None = SAME,
        sockets: Iterable[tuple[Listener, socket.socket]] | None = None,
        unknown_host: Callable[[str], bool] | None = SAME,
    ) -> None:
        """New exchanges take `plan`; those in flight keep theirs. On the loop; on an error nothing has changed.

        :param applications: loaded already, by section; those of unchanged sections are kept whatever it says, and
            what is missing is loaded by name, which may take its time.
        :param access_log: instead of the one before, which is closed when no exchange needs it any more.
        :param sockets: where to listen from now on, all of it; the sockets that stay are the same objects. Without
            them the plan's listeners are compared with those that stand, and what is new is bound here.
        :raises ConfigError: an application cannot be loaded, a certificate cannot be used.
        :raises OSError: a listener cannot be bound.
        """
        before, driver = self._plan.config, self._driver
        assert driver is not None
        log = self._access_log if access_log is SAME else access_log
        unknown = self._unknown_host if unknown_host is SAME else unknown_host
        ready = loaded(plan.applications, plan.config.server.processes, applications, self._applications)
        same = plan.config.tls == before.tls
        adjust = self.certificates.adjust if self.certificates is not None else None
        certificates = self.certificates if same else Certificates.of(plan.config.tls, unknown, adjust)
        most = plan.config.server.limits.connections or self._system_most
        standing = self._places.pairs
        with self._kept.next() as keep:
            resources = self._gather(plan, ready, log, keep)
            lead, plain = plan.assemble(resources), plan.assemble_plain(resources)
            pairs = bound(plan.config.listeners, standing) if sockets is None else list(sockets)
            try:
                change = self._places.prepare(pairs, lead, plain, certificates, most)
            except BaseException:
                close_fresh(pairs, standing)
                raise
        self._plan, self._resources, self._lead, self._plain = plan, resources, lead, plain
        self._applications, self.certificates, self._unknown_host = ready, certificates, unknown
        self._adopt_threads(before)
        self._services.adopt(resources.upstreams)
        self.caches.adopt(plan.config.caches)
        self.lives.adopt(ready.values())
        change()
        self._adopt_logs(log)

    def _adopt_threads(self, before: Config) -> None:
        """Other limits for the driver; other threads where their number changed, and the old ones finish their work."""
        server = self._plan.config.server
        if (server.threads, server.queue) != (before.server.threads, before.server.queue):
            self.threads.stop()
            self._earlier = [threads for threads in (*self._earlier, self.threads) if not threads.stop()]
            self.threads = self._pool(server)
            if self._held is not None:
                self._held.use(self.threads)
        assert self._driver is not None
        self._driver.adopt(server.limits, server.timeouts, self._held or self.threads, server.processes.patience)

    def _adopt_logs(self, access_log: AccessLog | None) -> None:
        self._access_log = access_log
        self._logs.adopt([access_log] if access_log is not None else [])

    async def drain(self, grace: float) -> list[str]:
        """Stop: no new connections, finish what is in flight, close idle ones after a short grace, then let go (E10).

        Who has connected and waits to be accepted is taken in, and gets the answer to what it has asked.

        :param grace: seconds until what still runs is cancelled.
        :returns: the application threads that still ran after that, each with its stack.
        """
        driver = self._driver
        assert driver is not None
        await trio.lowlevel.checkpoint()  # an acceptor that was started just now has begun then
        driver.drain()
        self.lives.drain()
        self._places.leave()
        with trio.move_on_after(grace):
            await self._finish(driver)
            await self.lives.quiet()
        self._places.stop()
        driver.stop()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + LAST_CALL):
            for threads in (self.threads, *self._earlier):
                await threads.idle()
        await self.lives.end()
        self._serving.cancel()
        return [one for threads in (self.threads, *self._earlier) for one in threads.still_running()]

    async def _finish(self, driver: Lot | Portable) -> None:
        """Until the last connection is gone: idle ones are let go in turns, then handshakes that do not end."""
        patience = trio.current_time() + IDLE_GRACE + HANDSHAKE_GRACE
        while not await _deserted(driver, IDLE_GRACE):
            driver.close_idle()
            if driver.shaking and trio.current_time() >= patience:
                self._places.stop()

    def statistics(self) -> dict[str, int]:
        """Counters and levels, for whoever asks."""
        driver = self._driver
        if driver is None:
            return {}
        counted = driver.statistics
        return {
            "accepted": counted.accepted,
            "refused": counted.refused,
            "failures": counted.failures,
            "connections": driver.connections(),
            "requests": driver.requests,
        }

    def upstreams(self) -> tuple[GroupStatistics, ...]:
        """What is known of each group of servers and of its peers, and why one is out. On the loop."""
        return self._services.statistics(trio.current_time())

    def close_in_child(self) -> None:
        """After a fork by the application: the child lets go of our listeners, connections and pollers."""
        if self._driver is not None:
            self._driver.close_in_child()
        self._places.close_in_child()


async def _deserted(driver: Lot | Portable, seconds: float) -> bool:
    """Wait until no connection is left, or so long."""
    with trio.move_on_after(seconds):
        while driver.connections():
            gone = trio.Event()
            driver.deserted = gone.set
            await gone.wait()
    return not driver.connections()


_alive: weakref.WeakSet[Stack] = weakref.WeakSet()


def _after_fork() -> None:
    for stack in list(_alive):
        stack.close_in_child()


os.register_at_fork(after_in_child=_after_fork)
