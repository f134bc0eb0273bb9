"""A worker: a process that serves for a supervisor. `python -m edgestack.process.worker CHANNEL SPEC ROW AGE`.

    begin: the spec is read, applications are loaded, the stack is made      -> {"say": "failed", …} and the end
    live:  sockets of the supervisor are accepted from                       -> {"say": "ready"}
    then orders, by signals and through the channel:
        leave, SIGTERM    drain          quit, SIGQUIT    at once          reopen, SIGUSR1    logs
        ask               an order that wants an answer (status, cache)    the channel's end  the supervisor has gone
    it says itself that it wants to be replaced: after its requests, or when too many threads were lost to applications

The loop shows signs of life on the board. SIGINT and SIGHUP of a terminal concern the supervisor, which tells. A
preloader enters at `live_as`, in a child that it forked.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any, NoReturn

import trio

from edgestack.errors import ConfigError
from edgestack.neighbours import Neighbours
from edgestack.phases.arena import Arena
from edgestack.process.board import Board, Turns
from edgestack.process.channel import Channel
from edgestack.process.control import Message
from edgestack.process.generation import Generation, begin
from edgestack.process.hooks import Hooks, Server, Worker, hooks_of
from edgestack.process.identity import entitle, settle
from edgestack.process.logs import open_error_log
from edgestack.process.parent import ends_with_parent
from edgestack.process.serving import Outset, Serving, collected, end_process, tuned
from edgestack.process.signals import wait_for_order
from edgestack.process.sockets import Sockets
from edgestack.process.spec import Spec, read_spec
from edgestack.process.starting import Orders, Stopped
from edgestack.process.telling import told
from edgestack.wire.statistics import Statistics

__all__ = ["begun_generation", "failure", "live_as", "settled_signals"]

log = logging.getLogger("edgestack.error")

BEATS = 4
"""Signs of life within the time after which a worker without any is killed."""
SLOWEST = 5.0
"""Seconds between two of them at the most: `ctl status` shows their numbers."""
IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGWINCH)
"""What a terminal sends to everybody in it."""
BOOT_FAILED = 3
"""The exit status of a worker that could not begin (gunicorn's WORKER_BOOT_ERROR)."""
CONNECTIONS = 10**9
"""Numbers of connections that each worker has to itself, from its pid times this on. With Linux's largest pid, 2^22,
all of them are below 2^53, which readers of JSON take without loss."""


class Kept(Serving):
    """Serves for a supervisor."""

    def __init__(self, outset: Outset, spec: Spec, channel: Channel, row: int) -> None:
        """:param row: of this process on the board."""
        board = Board(spec.board)
        self._channel = channel
        self._turns = Turns(board, row)
        self._leaving = False
        processes = spec.config.server.processes
        self._beat = min(SLOWEST, processes.patience / BEATS)
        jitter = random.randint(0, processes.max_requests_jitter) if processes.max_requests else 0
        neighbours = Neighbours(
            self._turns, Arena(spec.arena, row, board.rows), spec.processes, spec.secret,
            requests=processes.max_requests + jitter, spent=self._spent, crowded=self._crowded,
        )  # fmt: skip
        super().__init__(outset, neighbours)

    def signals(self) -> tuple[int, ...]:
        """A terminal's are the supervisor's."""
        return (signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1)

    def begun(self, nursery: trio.Nursery, signals: AsyncIterator[int]) -> AsyncIterator[int]:
        """The supervisor is told, and its orders are taken."""
        told, orders = trio.open_memory_channel[int](16)
        nursery.start_soon(self._take_orders, told, nursery)
        nursery.start_soon(_forward, signals, told.clone())
        nursery.start_soon(self._live_on)
        self._alive()
        self._say(say="ready")
        return orders

    async def wait(self, orders: AsyncIterator[int], nursery: trio.Nursery) -> int:
        """A configuration is never read again here."""
        number = await wait_for_order(orders, self.reopen_logs, terminal=False)
        if number == signal.SIGQUIT:
            self.hooks.call("worker_int", self.worker)
        return number

    def leaving(self) -> None:
        """No more turns to accept."""
        self._leaving = True
        self.worker.alive = False
        self._alive()

    def _alive(self) -> None:
        stack = self.stack
        counted = stack.statistics()
        self._turns.live(
            pid=os.getpid(), connections=counted.get("connections", 0), lost=stack.threads.lost,
            requests=counted.get("requests", 0), accepts=not self._leaving,
        )  # fmt: skip

    async def _live_on(self) -> None:
        while True:
            await trio.sleep(self._beat)
            self._alive()

    # -- the channel ---------------------------------------------------------------------------------------------------

    def _say(self, **message: Any) -> None:
        if self._channel.send(**message) and self._channel.owed:
            trio.lowlevel.spawn_system_task(self._flush)

    async def _flush(self) -> None:
        channel = self._channel
        while channel.owed:
            await trio.lowlevel.wait_writable(channel.sock)
            if not channel.flush():
                return

    async def _take_orders(self, to: trio.MemorySendChannel[int], nursery: trio.Nursery) -> None:
        """Orders without an answer become the signals that mean the same."""
        meant = {"leave": signal.SIGTERM, "quit": signal.SIGQUIT, "reopen": signal.SIGUSR1}
        while True:
            await trio.lowlevel.wait_readable(self._channel.sock)
            orders = self._channel.receive()
            if orders is None:
                log.warning("the supervisor has gone: worker %d leaves", self.worker.age)
                await to.send(signal.SIGTERM)
                return
            for order in orders:
                if order["do"] == "ask":
                    nursery.start_soon(self._answer, order)
                else:
                    await to.send(meant[order["do"]])

    async def _answer(self, order: Message) -> None:
        request = order["request"]
        try:
            asked = {"cache": self.cache, "upstreams": self.upstreams}.get(request["verb"])
            if asked is not None:
                answer = {"ok": True, **await asked(request)}
            else:
                answer = {"ok": True, "age": self.worker.age, **self.statistics()}
        except ConfigError as error:
            answer = {"ok": False, "errors": told(error)}
        except Exception as error:
            log.exception("the order %r failed", request["verb"])
            answer = {"ok": False, "errors": [f"worker {self.worker.age} failed: {error}"]}
        self._say(say="answer", id=order["id"], answer=answer)

    def _spent(self) -> None:
        self._say(say="replace", why=f"it has answered {self.stack.statistics()['requests']} requests")

    def _crowded(self, lost: int) -> None:
        self._say(say="replace", why=f"{lost} of its application threads hang")


async def _forward(signals: AsyncIterator[int], to: trio.MemorySendChannel[int]) -> None:
    async for number in signals:
        await to.send(number)


def settled_signals(worker: Worker, hooks: Hooks) -> None:
    """What a worker does at signals before, and beside, its loop; they were blocked when it was started.

    SIGABRT, from a supervisor that sees no sign of life, has every thread's stack written before the end.
    """
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)

    def aborted(number: int, frame: FrameType | None) -> None:
        hooks.call("worker_abort", worker)
        end_process(1)

    signal.signal(signal.SIGABRT, aborted)
    faulthandler.enable()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def begun_generation(spec: Spec, orders: Orders, line: socket.socket) -> Generation:
    """Load what is served; the sockets are there already.

    :param line: to the supervisor.
    :raises ConfigError: it cannot be served.
    """
    sockets = Sockets.taken(spec.sockets, own=False)

    @contextmanager
    def importing() -> Iterator[None]:
        with ends_with_parent(line), orders.interruptible():
            yield

    return begin(spec.config, spec.options, importing=importing, handed=(sockets, spec.passed))


def failure(error: ConfigError) -> Message:
    """What the supervisor is told of an error; `children.py` makes one of it again."""
    said = {"why": error.why, "hint": error.hint, "key": error.key, "traceback": error.traceback_text}
    return {"say": "failed", **said}


def live_as(
    worker: Worker,
    hooks: Hooks,
    spec: Spec,
    channel: Channel,
    row: int,
    orders: Orders,
    begun: Callable[[], Generation],
) -> NoReturn:
    """Be this worker until its end, and end the process.

    :param begun: gives what is to be served.
    """
    running: list[str] = []
    status = 0
    settle(spec.config.server.processes)
    entitle("worker", spec.config)
    Statistics.before = os.getpid() * CONNECTIONS
    worker.ppid = os.getppid()
    server = Server(hooks.cfg, spec.processes, worker.ppid)
    with ExitStack() as at_exit:
        try:
            error_log = open_error_log(spec.config.server.log, spec.options)
            at_exit.callback(error_log.close)
            hooks.call("post_fork", server, worker)
            generation = begun()
            at_exit.callback(generation.close)
            kept = Kept(Outset(generation, error_log, at_exit, orders, hooks, worker), spec, channel, row)
            collected()
            status = kept.live(running)
        except ConfigError as error:
            channel.send(**failure(error))
            status = BOOT_FAILED
        except Stopped as order:
            status = order.status
        except Exception as error:
            log.exception("worker %d could not begin", worker.age)
            channel.send(**failure(ConfigError(f"a worker could not begin: {error!r}")))
            status = BOOT_FAILED
        hooks.call("worker_exit", server, worker)
    end_process(status)


def main(channel: int, spec_fd: int, row: int, age: int) -> NoReturn:
    """A fresh interpreter."""
    spec = read_spec(spec_fd)
    os.close(spec_fd)
    spec.keep(channel)
    hooks = hooks_of(spec.options)
    worker = Worker(age, hooks.cfg, os.getpid())
    with Orders() as orders:
        settled_signals(worker, hooks)
        tuned()
        end = Channel(socket.socket(fileno=channel))
        live_as(worker, hooks, spec, end, row, orders, lambda: begun_generation(spec, orders, end.sock))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:5]))
