"""What runs: a Stack serves a Plan, takes another one in its place, and drains.

    stack = Stack(plan, applications)
    async with trio.open_nursery() as nursery:
        addresses = await nursery.start(stack.serve)     # a driver, and an acceptor per listener
        stack.adopt(other_plan)                          # new exchanges take it; those in flight keep theirs
        still_running = await stack.drain(30)            # stop accepting, finish, then let go

There are two drivers: the lot, and the portable one where the system has no epoll, or where that is asked for. The
command line, the workers and the tests all enter here. What outlives a plan (application threads, certificates,
applications) is kept under the value of its config section: an unchanged section keeps its object.
"""

from __future__ import annotations

import math
import os
import resource
import select
import socket
import sys
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import trio

from edgestack.compose import Plan, Resources
from edgestack.config.model import App, Listener
from edgestack.content.files import PrivateFiles
from edgestack.content.loading import load
from edgestack.content.threads import AppThreads
from edgestack.http.messages import Facts
from edgestack.phases.access_log import FLUSH_DELAY, AccessLog
from edgestack.wire.accepting import LotAcceptor
from edgestack.wire.connection import Door
from edgestack.wire.held_clock import HeldThreads, jumps_by_itself
from edgestack.wire.listening import bind, resolve
from edgestack.wire.lot import Lot
from edgestack.wire.portable import Portable
from edgestack.wire.portable_accepting import PortableAcceptor
from edgestack.wire.tls import Certificates

__all__ = ["Stack"]

Sockets = list[tuple[Listener, socket.socket]]
IDLE_GRACE = 0.25
"""Seconds that idle connections stay open once the drain has begun: a request already on its way is answered (E10)."""
LAST_CALL = 1.0
"""Seconds that application threads get after the grace, shielded, before they are named and left behind."""
CONNECTIONS_SHARE = 0.9
"""Of RLIMIT_NOFILE; the rest is for files, logs and the application's own sockets (E11)."""


class Stack:
    """One running edge."""

    def __init__(
        self,
        plan: Plan,
        applications: Mapping[App, Callable[..., Any]] | None = None,
        access_log: AccessLog | None = None,
        unknown_host: Callable[[str], bool] | None = None,
        *,
        portable: bool | None = None,
    ) -> None:
        """
        :param applications: loaded already, by section; what is missing is loaded by name.
        :param access_log: opened already; its lines are flushed by this stack.
        :param unknown_host: asked when a TLS client names a host that no certificate bears; True: they were renewed.
        :param portable: use the portable driver; without a word, where the system has no epoll.
        :raises ConfigError: an application cannot be loaded, a certificate cannot be used.
        """
        self._plan = plan
        self._applications = dict(applications or {})
        self._access_log = access_log
        self._portable = not hasattr(select, "epoll") if portable is None else portable
        self._driver: Lot | Portable | None = None
        self._held: Sockets = []
        self._listening: trio.CancelScope = trio.CancelScope()
        self._serving: trio.CancelScope = trio.CancelScope()
        self._doors: dict[Listener, tuple[Door, Door]] = {}
        """For each listener where its connections lead, and where plain HTTP does if it speaks TLS."""
        self._flush: trio.CancelScope = trio.CancelScope()
        server = plan.config.server
        self.threads = AppThreads(server.threads, server.queue)
        pairs = plan.config.tls.certificates
        self.certificates = Certificates(pairs, unknown=unknown_host) if pairs else None
        self._resources = self._gather(plan)

    def _gather(self, plan: Plan) -> Resources:
        for app in plan.applications:
            if app not in self._applications:
                self._applications[app] = load(app.target)
        ends = (self._access_log.end,) if self._access_log is not None else ()
        private = [path for pair in plan.config.tls.certificates for path in pair]
        return Resources(self._applications, ends, PrivateFiles([*private, *plan.config.server.private_paths]))

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
        """
        try:
            self._held = _bind(self._plan.config.listeners) if sockets is None else list(sockets)
            with self._serving:
                async with trio.open_nursery() as nursery:
                    self._begin(nursery)
                    task_status.started([_url(listener, sock) for listener, sock in self._held])
        finally:
            self._end()

    async def serve_stream(
        self, stream: trio.abc.Stream, facts: Facts | None = None, listener: Listener | None = None
    ) -> None:
        """Serve one connection over any stream until it closes; on the portable driver, while `serve` runs.

        :param facts: what is known of the client.
        :param listener: what it would have come through.
        """
        assert isinstance(self._driver, Portable)
        listener = listener or Listener()
        if listener not in self._doors:
            self._open_doors([listener])
        await self._driver.serve(stream, facts or Facts(), self._doors[listener][0])

    def _begin(self, nursery: trio.Nursery) -> None:
        """Make the driver and set everything going."""
        server = self._plan.config.server
        clock: Any = trio.lowlevel.current_clock()
        threads = HeldThreads(self.threads, clock) if jumps_by_itself(clock) else self.threads
        if self._portable:
            self._driver = Portable(server.limits, server.timeouts, threads, nursery)
        else:
            self._driver = lot = Lot(server.limits, server.timeouts, threads, clock.current_time, nursery)
            nursery.start_soon(lot.run)
            nursery.start_soon(lot.deadlines.run)
        _alive.add(self)
        if self._access_log is not None:
            self._access_log.bind(clock.current_time, self._wake_log)
        nursery.start_soon(self._flush_log)
        self._open_doors([listener for listener, _ in self._held])
        nursery.start_soon(self._accept, server.limits.connections or _most_connections())

    def _end(self) -> None:
        if self._access_log is not None:
            self._access_log.unbind()
        if self._driver is not None:
            self._driver.stop()
            self._driver.dispose()
        self.threads.stop()
        for _, sock in self._held:
            sock.close()
        if self._access_log is not None:
            self._access_log.flush()
        _alive.discard(self)

    def _open_doors(self, listeners: Iterable[Listener]) -> None:
        """Lead listeners to the plan; the handlers behind them are made once for all."""
        lead, plain = self._plan.assemble(self._resources), self._plan.assemble_plain(self._resources)
        for listener in listeners:
            self._doors[listener] = lead(listener), plain(listener)

    async def _accept(self, most: int) -> None:
        with self._listening:
            async with trio.open_nursery() as nursery:
                for listener, sock in self._held:
                    nursery.start_soon(self._acceptor(listener, sock, most).run)
                if not self._held:
                    await trio.sleep_forever()
        for _, sock in self._held:
            sock.close()

    def _acceptor(self, listener: Listener, sock: socket.socket, most: int) -> LotAcceptor | PortableAcceptor:
        driver, (door, plain) = self._driver, self._doors[listener]
        certificates = self.certificates if listener.tls else None
        if isinstance(driver, Lot):
            return LotAcceptor(driver, listener, sock, door, certificates=certificates, plain_door=plain, most=most)
        assert driver is not None
        return PortableAcceptor(driver, listener, sock, door, certificates=certificates, plain_door=plain, most=most)

    # -- the access log ------------------------------------------------------------------------------------------------

    def _wake_log(self) -> None:
        assert self._driver is not None
        self._driver.post(self._arm_log)

    def _arm_log(self) -> None:
        self._flush.deadline = trio.current_time() + FLUSH_DELAY

    async def _flush_log(self) -> None:
        """Sleep until a line wants to be written: an idle process makes no system calls."""
        while self._access_log is not None:
            with trio.CancelScope(deadline=math.inf) as self._flush:
                await trio.sleep_forever()
            self._access_log.flush()

    # -- change and end ------------------------------------------------------------------------------------------------

    def adopt(self, plan: Plan) -> None:
        """New exchanges take `plan`; those in flight keep theirs. On the loop; on an error nothing has changed.

        Listeners and threads are those the stack was started with.
        """
        resources = self._gather(plan)
        lead, plain = plan.assemble(resources), plan.assemble_plain(resources)
        for listener, (door, plain_door) in self._doors.items():
            _lead(door, lead(listener))
            _lead(plain_door, plain(listener))
        self._plan, self._resources = plan, resources

    async def drain(self, grace: float) -> list[str]:
        """Stop: no new connections, finish what is in flight, close idle ones after a short grace, then let go (E10).

        :param grace: seconds until what still runs is cancelled.
        :returns: the application threads that still ran after that, each with its stack.
        """
        driver = self._driver
        assert driver is not None
        self._listening.cancel()
        driver.drain()
        deserted = trio.Event()
        driver.deserted = deserted.set
        if driver.table:
            with trio.move_on_after(grace):
                with trio.move_on_after(IDLE_GRACE):
                    await deserted.wait()
                driver.close_idle()
                await deserted.wait()
        driver.stop()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + LAST_CALL):
            await self.threads.idle()
        self._serving.cancel()
        return self.threads.still_running()

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
        }

    def close_in_child(self) -> None:
        """After a fork by the application: the child lets go of our listeners, connections and pollers."""
        if self._driver is not None:
            self._driver.close_in_child()
        for _, sock in self._held:
            if sock.fileno() >= 0:
                os.close(sock.detach())


def _bind(listeners: Iterable[Listener]) -> Sockets:
    """Bind them all, or none."""
    bound: Sockets = []
    try:
        for listener in listeners:
            bound += [(one, bind(one)) for one in resolve(listener)]
    except BaseException:
        for _, sock in bound:
            sock.close()
        raise
    return bound


def _most_connections() -> int:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return sys.maxsize
    taken = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    return max(1, int((soft - taken) * CONNECTIONS_SHARE))


def _lead(door: Door, other: Door) -> None:
    door.handle, door.errors, door.ends = other.handle, other.errors, other.ends


def _url(listener: Listener, sock: socket.socket) -> str:
    """The address as a client would write it."""
    scheme = "https" if listener.tls else "http"
    if sock.family == socket.AF_UNIX:
        return f"unix:{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


_alive: weakref.WeakSet[Stack] = weakref.WeakSet()


def _after_fork() -> None:
    for stack in list(_alive):
        stack.close_in_child()


os.register_at_fork(after_in_child=_after_fork)
