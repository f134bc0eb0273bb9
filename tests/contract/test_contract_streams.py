"""Bodies that are made on the loop: each piece as it comes, bounded by length and by the client (rule 8, B13)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio
from contract_kit import ON_SOCKETS, Edge

from edgestack.http.messages import Exchange, Response

Serving = Callable[..., AbstractAsyncContextManager[Edge]]
PATIENCE = 20.0


class Feed:
    """A stream on the loop that gives what the test puts in."""

    def __init__(self, length: int | None = None) -> None:
        self.put, self._taken = trio.open_memory_channel[bytes](100)
        self.length = length
        self.closed = 0

    def __call__(self, exchange: Exchange) -> Any:
        return self.later()

    async def later(self) -> Response:
        await trio.lowlevel.checkpoint()
        return Response(200, (), self.pieces(), self.length)

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._taken:
                yield piece
        finally:
            self.closed += 1


async def test_a_stream_made_on_the_loop(serving: Serving) -> None:
    """Each piece leaves as it comes (B13); an empty one is none; the connection goes on."""
    feed = Feed()
    async with serving(handlers={"/feed": feed}) as edge:
        client = await edge.talk("""
            >> GET /feed HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 200 OK
            << Server: edgestack
            << Transfer-Encoding: chunked
            << {end}
        """)
        for piece in (b"one", b"", b"two"):
            await feed.put.send(piece)
            await edge.settle()
        await edge.talk("""
            << 3
            << one
            << 3
            << two
            <-
        """, client)  # fmt: skip
        await edge.advance(100)
        feed.put.close()
        await edge.talk("""
            << 0
            <<
            >> HEAD /feed HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 200 OK
            << Server: edgestack
            << {end}
            <-
            == 70
            <-
            == 10
            <!
        """, client)  # fmt: skip
        assert [(line.status, line.bytes_out) for line in edge.records] == [(200, 6), (200, 0)]
        assert feed.closed == 1


@pytest.mark.parametrize(("length", "whole"), [(5, True), (6, True), (7, False)])
async def test_a_stream_with_a_length(serving: Serving, length: int, whole: bool) -> None:
    """Never more than announced; fewer bytes break the connection, so that the client sees it (RFC 9112 §8)."""
    feed = Feed(length)
    await feed.put.send(b"abc")
    await feed.put.send(b"def")
    feed.put.close()
    async with serving(handlers={"/feed": feed}) as edge:
        client = await edge.talk(f"""
            >> GET /feed HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 200 OK
            << Server: edgestack
            << Content-Length: {length}
            << {{end}}
            <| {"abcdef"[:length]}
        """)
        await edge.settle()
        assert client.received == b""
        assert edge.stack.statistics()["connections"] == whole


@pytest.mark.parametrize("how", ["half-close", "reset"])
async def test_who_leaves_a_stream_ends_it(serving: Serving, how: str) -> None:
    """Rule 8: a stream that waits for its next piece notices."""
    feed = Feed()
    async with serving(handlers={"/feed": feed}) as edge:
        client = await edge.talk("""
            >> GET /feed HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 200 OK
            << {any}
            << {end}
        """)
        await edge.settle()
        await (client.half_close() if how == "half-close" else client.reset())
        await edge.settle()
        assert edge.stack.statistics()["connections"] == 0
        assert feed.closed == 1
        assert [line.status for line in edge.records] == [200]


@pytest.mark.parametrize("driver", ON_SOCKETS, indirect=True)
async def test_a_slow_reader_holds_the_source_back(serving: Serving) -> None:
    """Backpressure is one rule: a mover that would block stops reading its source."""
    given = 0

    async def flood() -> AsyncIterator[bytes]:
        nonlocal given
        for _ in range(500):
            given += 1
            yield b"x" * 10_000

    async def later() -> Response:
        return Response(200, (), flood())

    async with serving(handlers={"/flood": lambda exchange: later()}, send_buffer=8192) as edge:
        client = await edge.connect(receive_buffer=8192)
        await client.send(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
        await edge.settle()
        assert given < 250
        assert len((await client.answer()).body) == 5_000_000
