"""A server behind the edge, played by the test, on the kind of link that the driver under test would have.

    upstream = Upstream(edge)     errand(exchange): begun by callbacks on the lot, awaited elsewhere (or by `task=True`)
    await upstream.say(b"…")      the first bytes make the answer, as `answer` says; what follows is its body

Nothing of `upstream/` takes part: what is judged here is what the drivers do with any errand.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import trio
from contract_kit import Edge
from trio.testing import memory_stream_pair

from edgestack.config.peer_addresses import PeerAddress
from edgestack.errors import EdgeError, UpstreamError
from edgestack.http.messages import Errand, Exchange, Response
from edgestack.wire.h1_client_bodies import Body, ByLength, Chunked, UntilClose
from edgestack.wire.link import Link, StreamLink
from edgestack.wire.lot import Lot
from edgestack.wire.relay import Relay
from edgestack.wire.tunnel import Tunnel

__all__ = ["CHUNKED", "ROADS", "UNTIL_CLOSE", "Upstream", "relaying", "tunnelling"]

CHUNKED, UNTIL_CLOSE = -1, -2
ROADS = ("callback", "task")
PEER = PeerAddress("127.0.0.1", 9)
Answering = Callable[["Upstream", bytes], Any]


class Upstream:
    """The server, and the link that leads to it."""

    def __init__(self, driver: str, road: str, answer: Answering, *, buffer: int = 0) -> None:
        self.edge: Edge | None = None
        self.road = road
        self.answer = answer
        self.ended: list[EdgeError | None] = []
        self.gave_up = 0
        """How often it was told, or cancelled, that nobody waits for the answer."""
        self.stream: Any
        self.link: Link | StreamLink
        if driver == "portable":
            self.stream, theirs = memory_stream_pair()
            self.link = StreamLink(theirs, PEER)
        else:
            ours, far = socket.socketpair()
            far.setblocking(False)
            if buffer:
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
                far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
            self.stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
            self.link = Link(far, PEER)

    def handle(self, exchange: Exchange) -> Errand:
        return Asked(exchange, self)

    async def say(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def hear(self, size: int) -> bytes:
        heard = b""
        while len(heard) < size and (data := bytes(await self.stream.receive_some(65536))):
            heard += data
        return heard

    def over(self, body: Relay | Tunnel, error: EdgeError | None) -> None:
        """The link's owner: it is not used again."""
        self.ended.append(error)
        self.close()

    def close(self) -> None:
        assert self.edge is not None
        driver = self.edge.stack._driver
        if isinstance(driver, Lot) and isinstance(self.link, Link):
            driver.close(self.link)
        else:
            self.link.close()

    async def leave(self) -> None:
        """After a test."""
        self.link.close()
        await trio.aclose_forcefully(self.stream)


class Asked(Errand):
    """An errand to it."""

    __slots__ = ("_done", "_upstream")

    def __init__(self, exchange: Exchange, upstream: Upstream) -> None:
        super().__init__(exchange)
        self._upstream = upstream

    def begin(self, done: Callable[[Any], None]) -> bool:
        upstream = self._upstream
        assert upstream.edge is not None
        driver = upstream.edge.stack._driver
        awaited = upstream.road == "task" or self.exchange.request.body is not None
        if awaited or not isinstance(driver, Lot) or not isinstance(upstream.link, Link):
            return False
        self._done = done
        upstream.link.holder = self
        driver.take_up(upstream.link)
        return True

    def left(self) -> None:
        self._upstream.gave_up += 1
        self._upstream.close()

    def event(self, link: Link, mask: int) -> None:
        data = link.receive_nowait()
        if data is not None:
            try:
                self._done(self._upstream.answer(self._upstream, data))
            except EdgeError as error:
                self._done(error)

    def expire(self, link: Link, now: float) -> None:
        """It has none."""

    def stop(self, link: Link) -> bool:
        return True

    def failed(self, link: Link, error: Exception) -> None:
        self._done(error)

    async def fetch(self) -> Response:
        try:
            body = self.exchange.request.body
            if body is not None:
                (await body.spooled(1 << 20)).close()
            data = await self._upstream.link.receive()
        except trio.Cancelled:
            self._upstream.gave_up += 1
            self._upstream.close()
            raise
        response: Response = self._upstream.answer(self._upstream, data)
        return response


def relaying(length: int, **more: Any) -> Answering:
    """200 with a body of `length` bytes, or CHUNKED, or UNTIL_CLOSE."""

    def answer(upstream: Upstream, data: bytes) -> Response:
        body: Body = Chunked() if length == CHUNKED else UntilClose() if length == UNTIL_CLOSE else ByLength(length)
        relay = Relay(upstream.link, body, upstream.over, first=body.feed(data), **more)
        return Response(200, (), relay, length if length >= 0 else None)

    return answer


def tunnelling(**more: Any) -> Answering:
    """101; what was said behind "!" belongs to the tunnel already."""

    def answer(upstream: Upstream, data: bytes) -> Response:
        fields = (("Upgrade", "echo"), ("Connection", "Upgrade"))
        return Response(101, fields, Tunnel(upstream.link, upstream.over, first=data[1:], **more))

    return answer


def failing(upstream: Upstream, data: bytes) -> Any:
    """502."""
    raise UpstreamError("The server behind this one broke off.", detail="a test")
