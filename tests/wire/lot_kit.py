"""A lot of its own, without listeners, and plain clients on socket pairs; and threads that are led step by step."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

import trio
from trio.testing import wait_all_tasks_blocked

from edgestack.config.model import Limits, Timeouts
from edgestack.content.threads import AppThreads
from edgestack.errors import EdgeError
from edgestack.http.bodies import Outlet
from edgestack.http.facts import Facts
from edgestack.http.messages import AppCall, Exchange, Response
from edgestack.wire.connection import Connection, Door
from edgestack.wire.lot import Lot

__all__ = ["PATIENCE", "Call", "Client", "Kit", "Sequence", "open_lot"]

PATIENCE = 10.0
"""Real seconds for what should happen at once."""
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Call(AppCall):
    """An application call that is a function over the outlet."""

    __slots__ = ("discarded", "script")

    def __init__(self, exchange: Exchange, script: Callable[[Outlet], None]) -> None:
        super().__init__(exchange)
        self.script = script
        self.discarded = False

    def run(self, outlet: Outlet) -> None:
        self.script(outlet)

    def discard(self) -> None:
        self.discarded = True


def say(outlet: Outlet, data: bytes = b"hello") -> None:
    """A whole answer."""
    outlet.whole(Response(200, (), b"", len(data)), data)


class Finished(NamedTuple):
    """What the log would say of an exchange."""

    status: int
    bytes_out: int


class Client:
    """The other end of a connection."""

    def __init__(self, sock: socket.socket, connection: Connection) -> None:
        self.sock = sock
        self.connection = connection
        self.received = b""

    async def read(self, size: int = 1) -> bytes:
        """At least `size` bytes, or what came before the end."""
        with trio.fail_after(PATIENCE):
            while len(self.received) < size:
                await trio.lowlevel.wait_readable(self.sock)
                try:
                    data = self.sock.recv(65536)
                except ConnectionResetError:
                    data = b""
                if not data:
                    break
                self.received += data
        data, self.received = self.received[:size] if size > 1 else self.received, b""
        return data

    async def answer(self, body: bytes = b"hello") -> None:
        """A whole 200 with this body."""
        said = b""
        while not said.endswith(body):
            piece = await self.read()
            assert piece, f"the server closed after {said[-200:]!r}"
            said += piece
        assert said.startswith(b"HTTP/1.1 200 OK\r\n")

    async def ended(self) -> bool:
        """Whether the server closes now."""
        return await self.read() == b""


class Kit:
    """The lot and what surrounds it."""

    def __init__(self, lot: Lot, threads: AppThreads, door: Door) -> None:
        self.lot = lot
        self.threads = threads
        self.door = door
        self.finished: list[Finished] = []
        self.clients: list[Client] = []

    def connect(self, send_buffer: int = 0) -> Client:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        if send_buffer:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        client = Client(ours, self.lot.admit(theirs, Facts(), self.door))
        self.clients.append(client)
        return client

    async def quiet(self) -> None:
        """Until no thread works and no task can go on."""
        limit = time.monotonic() + PATIENCE
        while self.threads.busy() or self.threads.statistics().waiting:
            assert time.monotonic() < limit, self.threads.still_running()
            await wait_all_tasks_blocked(0.001)  # real time, in which threads work
        await wait_all_tasks_blocked()


@asynccontextmanager
async def open_lot(
    handle: Callable[[Exchange], Any],
    *,
    timeouts: Timeouts | None = None,
    limits: Limits | None = None,
    threads: int = 2,
    queue: int = 100,
) -> AsyncIterator[Kit]:
    """A lot that runs.

    :param handle: as `Door.handle`; a function over an outlet may be given back in place of an AppCall.
    """
    pool = AppThreads(threads, queue)

    def errors(exchange: Exchange, error: EdgeError) -> Response:
        return Response(error.status, (), str(error.status).encode())

    def answer(exchange: Exchange) -> Any:
        exchange.chain = SimpleNamespace(errors=errors, filters=())
        exchange.ends = door.ends
        given = handle(exchange)
        return Call(exchange, given) if callable(given) else given

    finished: list[Finished] = []
    door = Door(answer, errors, (lambda exchange: finished.append(Finished(exchange.status, exchange.bytes_out)),))
    try:
        async with trio.open_nursery() as nursery:
            clock = trio.lowlevel.current_clock().current_time
            lot = Lot(limits or Limits(), timeouts or Timeouts(), pool, clock, nursery)
            kit = Kit(lot, pool, door)
            kit.finished = finished
            nursery.start_soon(lot.run)
            nursery.start_soon(lot.deadlines.run)
            yield kit
            nursery.cancel_scope.cancel()
    finally:
        lot.stop()
        lot.dispose()
        for client in kit.clients:
            client.sock.close()
        assert pool.stop(PATIENCE), pool.still_running()


class Sequence:
    """Leads two threads through named steps in a given order. A thread that is not led passes.

    Each actor calls `step(name)` before it does what the name stands for; it waits until that is the next step. Once
    the order is used up everybody passes.
    """

    def __init__(self, order: str) -> None:
        self.order = order.split()
        self._at = 0
        self._turned = threading.Condition()
        self.armed = False
        self.failed = ""

    def arm(self) -> None:
        """Begin."""
        with self._turned:
            self.armed = True
            self._turned.notify_all()

    def step(self, name: str) -> None:
        """Wait for this step's turn."""
        with self._turned:
            if name not in self.order[self._at :]:
                return
            ready = self._turned.wait_for(lambda: self.armed and self.order[self._at] == name, PATIENCE)
            if not ready:
                self.failed = f"{name} waited for {self.order[self._at]}"
                self._at = len(self.order)
            else:
                self._at += 1
            self._turned.notify_all()

    def done(self) -> bool:
        return self._at == len(self.order) and not self.failed
