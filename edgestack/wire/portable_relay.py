"""A Relay and a Tunnel on the portable driver: two tasks each, over streams. See `pump.py` and `tunnel.py` for the law.

    relay    reader: link -> decode -> outbox (memory, then a spool file)      writer: outbox -> (chunk) -> client
    tunnel   client -> link, link -> client, until both have ended or nothing passed for the gap

A relay that is not to be read ahead needs no second task: it is iterated like any stream, and the client's pace is the
server's.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Protocol, TypeAlias

import trio

from edgestack.errors import Disconnected, EdgeError, UpstreamError
from edgestack.wire.connection import RECEIVE
from edgestack.wire.link import AnyLink, Link
from edgestack.wire.outbox import Budget, Outbox
from edgestack.wire.relay import Relay
from edgestack.wire.tunnel import Tunnel, say_the_end

__all__ = ["Ahead", "Client", "beside", "pass_both_ways"]


class Ahead:
    """The body of a relay, read ahead of whoever iterates this."""

    __slots__ = ("_error", "_moved", "_outbox", "_relay")

    def __init__(self, relay: Relay, limit: int, budget: Budget) -> None:
        """:param limit: bytes that may wait on disk."""
        self._relay = relay
        self._outbox = Outbox(limit=limit, budget=budget)
        self._outbox.open(_nobody)
        self._moved = trio.Event()
        self._error: EdgeError | None = None

    async def read(self) -> None:
        """Fill the outbox; ends when the body has, and is a task of its own."""
        try:
            async with aclosing(self._relay.__aiter__()) as pieces:
                async for piece in pieces:
                    while not self._outbox.offer(piece):
                        self._stir()
                        await self._moved.wait()
                    self._stir()
        except UpstreamError as error:
            self._error = error
        self._outbox.close()
        self._stir()

    def _stir(self) -> None:
        self._moved.set()
        self._moved = trio.Event()

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        """:raises UpstreamError: the body was broken off; what had come was given."""
        try:
            while True:
                moved = self._moved
                piece = self._outbox.take()
                if piece is not None:
                    assert isinstance(piece, bytes)
                    self._stir()
                    yield piece
                elif self._outbox.finished:
                    break
                else:
                    await moved.wait()
        finally:
            self._outbox.abandon()
            self._relay.close()
        if self._error is not None:
            raise self._error


async def beside(work: Callable[[], Awaitable[None]], other: Callable[[], Awaitable[None]]) -> None:
    """Do both at the same time, until `work` is done; what one of them raises comes out as it is, not in a group."""
    failed: Exception | None = None

    async def guarded(job: Callable[[], Awaitable[None]]) -> None:
        nonlocal failed
        try:
            await job()
        except Exception as error:
            failed = failed or error
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(guarded, other)
        await guarded(work)
        nursery.cancel_scope.cancel()
    if failed is not None:
        raise failed


class Client(Protocol):
    """The client's side of a tunnel."""

    async def receive(self) -> bytes:
        """Some bytes; b"" at the end. :raises Disconnected: broken."""

    async def send(self, data: bytes) -> None:
        """All of it. :raises Disconnected: broken."""

    async def send_eof(self) -> bool:
        """Say that nothing more is sent; whether reading can go on."""


async def pass_both_ways(client: Client, early: bytes, tunnel: Tunnel, count: Callable[[int], None]) -> None:
    """Let a tunnel flow to its end; its head has been sent.

    :param early: what the client sent before it knew that this is a tunnel.
    :param count: is told how many bytes went to the client.
    :raises Disconnected: a side broke, or nothing passed for the gap.
    """
    link = tunnel.link
    server = _ServersEnd(link)
    failed: Disconnected | None = None

    async def copy(
        first: bytes, receive: Receive, send: Send, send_eof: Callable[[], Awaitable[bool]], counts: bool
    ) -> None:
        nonlocal failed
        try:
            data = first or await receive()
            while data:
                await send(data)
                if counts:
                    count(len(data))
                idle.deadline = trio.current_time() + tunnel.gap
                data = await receive()
            if not await send_eof():
                nursery.cancel_scope.cancel()
        except (Disconnected, UpstreamError, OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            failed = Disconnected(detail=str(error))
            nursery.cancel_scope.cancel()

    error: EdgeError | None = Disconnected(detail="the tunnel was broken off")
    try:
        with trio.CancelScope(deadline=trio.current_time() + tunnel.gap) as idle:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(copy, early, client.receive, link.send, server.send_eof, False)
                nursery.start_soon(copy, tunnel.first, server.receive, client.send, client.send_eof, True)
        if idle.cancelled_caught:
            failed = Disconnected(detail=f"nothing passed for {tunnel.gap:g} s")
        if failed is not None:
            raise failed
        error = None
    finally:
        tunnel.end(error)


class _ServersEnd:
    """The server's side of a tunnel. That nothing more comes it is told, on TLS, by whoever reads, once nothing is
    unread: OpenSSL would throw that away (`tunnel.py`).
    """

    __slots__ = ("_due", "_ended", "_link", "_reading")

    def __init__(self, link: AnyLink) -> None:
        self._link = link
        self._due = False
        """It is to be told that nothing more comes."""
        self._ended = False
        """It sends no more itself."""
        self._reading = trio.CancelScope()

    async def receive(self) -> bytes:
        """Some bytes; b"" at the end. :raises UpstreamError, OSError: broken."""
        link, data = self._link, None
        while data is None:
            with trio.CancelScope() as self._reading:
                if not self._due:
                    data = await link.receive(RECEIVE)
            if data is None:
                assert isinstance(link, Link)
                data = link.receive_nowait(RECEIVE)
                if data is None and not self._tell():
                    await trio.lowlevel.wait_writable(link.sock)
        if not data:
            self._ended = True
            if self._due:
                self._tell()
        return data

    async def send_eof(self) -> bool:
        """False: its stream cannot say that by halves, and it goes. :raises OSError: broken."""
        link = self._link
        if isinstance(link, Link):
            self._due = True
            if link.tls and not self._ended:
                self._reading.cancel()
            else:
                self._tell()
            return True
        if not isinstance(link.stream, trio.abc.HalfCloseableStream):
            return False
        await link.stream.send_eof()
        return True

    def _tell(self) -> bool:
        """False: the socket is full. When it has ended itself nobody waits for that."""
        assert isinstance(self._link, Link)
        self._due = not say_the_end(self._link.sock)
        return not self._due


def _nobody() -> None:
    """The taker waits for an event of its own."""


Receive: TypeAlias = "Callable[[], Awaitable[bytes]]"
Send: TypeAlias = "Callable[[bytes], Awaitable[None]]"
