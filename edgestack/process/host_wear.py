"""Hosted processes that have answered enough (`max_requests`): another one is ready first, and no request is lost.

    a process was asked for the last time ─ another one begins ─┬ ready ─ it is asked in the place of the first
                                                                │    the first answers what it was asked, and leaves
                                                                └ not ─ the first goes on; another try after a while

Requests are counted where they are given out. A process is told to leave only once nothing is under way to it: what is
sent to a server that closes its connections may be lost (RFC 9112 §9.3.1). On the loop.
"""

from __future__ import annotations

import logging
import math
import random
from typing import TYPE_CHECKING

import trio

from edgestack.config.server import Server
from edgestack.errors import ConfigError
from edgestack.process.host_process import HostProcess
from edgestack.upstream.peers import Peer
from edgestack.wire.held_clock import on_thread

if TYPE_CHECKING:
    from edgestack.process.host_group import HostGroup

__all__ = ["FAREWELL", "QUIET_LOOK", "Wear"]

AGAIN = 30.0
"""Seconds until another try, where the next process could not begin: as long as the longest pause after deaths."""
QUIET_LOOK = 0.1
"""Seconds between two looks whether a process that is to leave still answers somebody: it is gone soon enough."""
FAREWELL = 12.0
"""Seconds beyond the grace until a process that will not leave is killed: a lifespan's own ten, and room."""

log = logging.getLogger("edgestack.error")


class Wear:
    """Of the processes of one group."""

    def __init__(self, group: HostGroup, server: Server) -> None:
        self._group = group
        self._processes = server.processes
        self._grace = server.timeouts.graceful
        self._nursery: trio.Nursery | None = None

    def begin(self, nursery: trio.Nursery) -> None:
        """Count from now on; without `max_requests` nothing is counted."""
        self._nursery = nursery
        if self._processes.max_requests and self._group.hosted.group is not None:
            self._group.hosted.worn = self._look
            for process in self._group.processes:
                self._count(process)
            self._look()

    def begun_again(self, process: HostProcess) -> None:
        """It has died; the next one has its own count, unless another has its place already, or will have."""
        if process.most < math.inf:
            self._count(process)

    def _count(self, process: HostProcess) -> None:
        jitter = random.randint(0, self._processes.max_requests_jitter)
        process.most = self._group.hosted.requests(process.path) + self._processes.max_requests + jitter

    def _look(self) -> None:
        """Who has answered enough? The next look comes when one of the others can have."""
        hosted, least = self._group.hosted, math.inf
        for process in self._group.processes:
            left = process.most - hosted.requests(process.path)
            if left <= 0:
                process.most = math.inf
                assert self._nursery is not None
                self._nursery.start_soon(self._replace, process)
            else:
                least = min(least, left)
        hosted.most = hosted.asked + least

    async def _replace(self, worn: HostProcess) -> None:
        group = self._group
        log.info("a process of %s (%d) is replaced: it has answered %d requests",
                 group.app.target, worn.process.pid, group.hosted.requests(worn.path))  # fmt: skip
        successor = await self._successor()
        if successor is None:
            return
        group.processes[group.processes.index(worn)] = successor
        rest = group.hosted.replace(worn.path, successor.path)
        group.keep(successor)
        self._count(successor)
        self._look()
        await self._let_go(worn, rest)

    async def _successor(self) -> HostProcess | None:
        """Another one, ready; None when the group is retired by then."""
        group = self._group
        while not group.retired:
            successor = None
            try:
                successor = group.another()
                await on_thread(successor.report, abandon_on_cancel=True)
            except ConfigError as error:
                if successor is not None:
                    group.dismiss(successor)
                if not group.retired:
                    trace = f"\n{error.traceback_text.rstrip()}" if error.traceback_text else ""
                    log.error("%s; the process before goes on, another try in %g s%s", error, AGAIN, trace)
                    await trio.sleep(AGAIN)
            else:
                if not group.retired:
                    return successor
                group.dismiss(successor)
        return None

    async def _let_go(self, worn: HostProcess, rest: tuple[Peer, ...]) -> None:
        """It is not asked any more, and finishes what it was asked."""
        worn.leaving = True
        worn.say_goodbye()
        with trio.move_on_after(self._grace):
            while any(peer.conns for peer in rest):  # noqa: ASYNC110 - as in the group
                await trio.sleep(QUIET_LOOK)
        self._group.hosted.forget(rest)
        worn.stop()
        with trio.move_on_after(FAREWELL):
            await worn.gone.wait()
        if not worn.gone.is_set():
            self._group.tell_of_the_kill(worn, self._grace)
            worn.kill()
            await worn.gone.wait()  # until then somebody waits on its line
        self._group.dismiss(worn)
