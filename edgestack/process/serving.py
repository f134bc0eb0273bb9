"""One process that serves, whoever keeps it: from a generation to the end of its drain.

    Serving(outset, neighbours)                  the stack is made: certificates are loaded here
      .live()  trio.run: signals opened ─ stack.serve accepts ─ begun() ─ an order ─ leaving() ─ drain

`run.py` serves alone: its orders are signals, and it tells everybody that it is there. `worker.py` serves for a
supervisor: its orders come through a channel as well, and it tells that one. What both do, and in which order, stands
here; what they do not share are the four functions that they define.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any, NamedTuple, NoReturn

import trio

from edgestack import __version__
from edgestack.asgi.lives import refusal
from edgestack.neighbours import Neighbours
from edgestack.process.cache_orders import cache_order
from edgestack.process.control import Message
from edgestack.process.generation import Generation
from edgestack.process.hooks import Hooks, Worker
from edgestack.process.logs import ErrorLog
from edgestack.process.signals import leave, signals_to_receive
from edgestack.process.starting import Orders
from edgestack.process.tuning import collected, tuned
from edgestack.stack import Stack
from edgestack.upstream.hosted import Hosted

__all__ = ["Outset", "Serving", "collected", "end_process", "tuned"]

log = logging.getLogger("edgestack.error")


class Outset(NamedTuple):
    """What a process has when it begins to serve."""

    generation: Generation
    """Closed at the end, or when its stack cannot be made."""
    error_log: ErrorLog
    at_exit: ExitStack
    """What is to be done at the end."""
    orders: Orders
    """Those that came before the loop runs."""
    hooks: Hooks
    worker: Worker
    """This process, as hooks see it."""


class Serving(ABC):
    """What is served, and for how long."""

    def __init__(self, outset: Outset, neighbours: Neighbours) -> None:
        """:raises ConfigError: it cannot be served."""
        generation, self.error_log, self.at_exit, self.orders, hooks, worker = outset
        self.hooks, self.worker = hooks, worker
        unknown = generation.development.learn if generation.development else None
        try:
            asgi = generation.config.server.processes.worker_class == "asgi"
            applications = {app: hooks.around(one, worker, asgi=asgi) for app, one in generation.applications.items()}
            self.stack = Stack(
                generation.plan, applications, generation.access_log, unknown, neighbours=neighbours,
                certificates=generation.certificates,
            )  # fmt: skip
            worker.counted = lambda: self.stack.statistics().get("requests", 0)
            worker.wsgi = next((one for one in generation.applications.values() if not isinstance(one, Hosted)), None)
            hooks.call("post_worker_init", worker)
        except BaseException:
            generation.close()
            raise
        self._generation = generation
        self.started = time.time()

    @property
    def generation(self) -> Generation:
        """The one that is served."""
        return self._generation

    def live(self, running: list[str]) -> int:
        """Serve until told to stop; the exit status.

        :param running: gets the application threads that could not be ended.
        :raises ConfigError: an application says that it cannot start.
        :raises Stopped: told to stop before anything was served.
        """
        status, threads = 1, list[str]()
        try:
            status, threads = trio.run(self._live)
        except BaseException as error:
            if not self.orders.told:
                if not isinstance(error, Exception):
                    raise
                wrong = refusal(error)
                if wrong is not None:
                    raise wrong from None
                log.critical("the server broke", exc_info=True)
        self._obey()
        for thread in threads:
            log.warning("this application thread still ran and was left behind: %s", thread)
        running += threads
        return status

    def _obey(self) -> None:
        """An order that came while the loop began: its application, above all, which may have taken it for its own.

        :raises Stopped: there was one.
        """
        if self.orders.told and (named := self.stack.lives.starting):
            log.warning("told to stop while %s was starting: it is left as it is", named)
        self.orders.obey()

    async def _live(self) -> tuple[int, list[str]]:
        with trio.open_signal_receiver(*self.signals()) as signals:
            self.orders.obey()  # what came after this is for the receiver
            async with trio.open_nursery() as nursery:
                with trio.CancelScope() as starting, self.orders.on_the_loop(starting.cancel):
                    await nursery.start(self.stack.serve, self.generation.sockets.pairs)
                if self.orders.told:
                    nursery.cancel_scope.cancel()
                    return 0, []  # of an early stop `live` tells
                orders = self.begun(nursery, signals)
                last = await self.wait(orders, nursery)
                self.leaving()
                grace = self.generation.config.server.timeouts.graceful
                outcome = await leave(orders, lambda: self.stack.drain(grace), self.reopen_logs, last=last)
                nursery.cancel_scope.cancel()
        return outcome

    def signals(self) -> tuple[int, ...]:
        """Those that are orders."""
        return signals_to_receive()

    @abstractmethod
    def begun(self, nursery: trio.Nursery, signals: AsyncIterator[int]) -> AsyncIterator[int]:
        """Connections are accepted: tell whoever waits for that. Gives the orders, as numbers of signals."""

    @abstractmethod
    async def wait(self, orders: AsyncIterator[int], nursery: trio.Nursery) -> int:
        """Until one of them is to stop: that one."""

    @abstractmethod
    def leaving(self) -> None:
        """The end has begun."""

    def reopen_logs(self) -> None:
        """They were moved away."""
        self.error_log.reopen()
        self.stack.reopen_logs()
        log.info("logs reopened")

    # -- orders that want an answer ------------------------------------------------------------------------------------

    async def cache(self, request: Message) -> Message:
        """Look at what is stored, or let go of it."""
        return await cache_order(self.stack.caches, request)

    async def upstreams(self, request: Message) -> Message:
        """The servers behind, as this process knows them: another one may know better."""
        known = [
            {**group._asdict(), "peers": [peer._asdict() for peer in group.peers]} for group in self.stack.upstreams()
        ]
        return {"upstreams": {str(os.getpid()): known}}

    def statistics(self) -> dict[str, Any]:
        """What this process says of itself."""
        lost = {"lost_threads": self.stack.threads.lost}
        return {"pid": os.getpid(), "version": __version__, "started": self.started, **self.stack.statistics(), **lost}


def end_process(status: int) -> NoReturn:
    """Leave at once: the interpreter would wait for, or crash beside, endless threads."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
