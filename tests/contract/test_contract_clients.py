"""Clients that leave, half-close, read late or reset: what they get, and what the log says of them (rules 6, 8, E8)."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio
from contract_kit import NOT_TLS, ON_SOCKETS, Client, Edge

from edgestack.http.bodies import RequestBody
from edgestack.http.messages import Exchange, Response

Serving = Callable[..., AbstractAsyncContextManager[Edge]]
PATIENCE = 20.0


class Gated:
    """An application that stops at its gate until the test opens it."""

    def __init__(self) -> None:
        self.arrived = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.closed = 0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        if environ["PATH_INFO"] == "/stream":
            return Pieces(self)
        self.wait()
        return [b"done"]

    def wait(self) -> None:
        self.arrived.release()
        assert self.gate.acquire(timeout=PATIENCE)

    async def reached(self) -> None:
        """Until the application stands at its gate."""
        assert await trio.to_thread.run_sync(self.arrived.acquire, True, PATIENCE)


class Pieces:
    """An endless iterable that waits before each piece but the first."""

    def __init__(self, gated: Gated) -> None:
        self.gated = gated
        self.given = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self.given:
            self.gated.wait()
        self.given += 1
        return b"piece %d;" % self.given

    def close(self) -> None:
        self.gated.closed += 1


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "page.txt").write_text("a page\n")
    (tmp_path / "long.bin").write_bytes(os.urandom(6_000_000))
    return tmp_path


# -- half-closed: legal, and answered ----------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/page.txt", "/long.bin", "/app"])
async def test_a_half_closed_client_gets_its_answer(serving: Serving, site: Path, target: str) -> None:
    """Rule 8: static files and applications answer a client that has said all it wanted to say."""
    gated = Gated()
    async with serving(app=gated, site=site) as edge:
        client = await edge.connect()
        await client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target.encode())
        await client.half_close()
        if target == "/app":
            await gated.reached()
            await edge.settle(threads=False)
            gated.gate.release()
        answer = await client.answer()
        assert answer.body == (b"done" if target == "/app" else (site / target[1:]).read_bytes())
        assert await client.end() == b""
        assert [line.status for line in edge.records] == [200]


@pytest.mark.parametrize("count", [2, 40])
@pytest.mark.parametrize("target", ["/page.txt", "/app"])
async def test_a_pipeline_and_a_half_close(serving: Serving, site: Path, target: str, count: int) -> None:
    """Rule 8, E4: all that was asked before the end is answered, and nothing is taken for half a head."""
    gated = Gated()
    async with serving(app=gated, site=site) as edge:
        client = await edge.connect()
        await client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target.encode() * count)
        await client.half_close()
        for _ in range(count):
            gated.gate.release()
            assert (await client.answer()).status == 200
        assert await client.end() == b""
        assert [line.status for line in edge.records] == [200] * count


@pytest.mark.parametrize("driver", NOT_TLS, indirect=True)
async def test_a_half_closed_client_with_half_a_head(serving: Serving) -> None:
    async with serving() as edge:
        await edge.talk("""
            >| GET / HT
            >!
            <~ 400
            <!
        """)


# -- resets, at each phase ---------------------------------------------------------------------------------------------


async def send_and_settle(edge: Edge, client: Client, data: bytes) -> None:
    await client.send(data)
    await edge.settle(threads=False)


@pytest.mark.parametrize("data", [b"", b"GET / HT", b"GET /page.txt HTTP/1.1\r\nHost: a\r\n\r\n"])
async def test_a_reset_between_and_within_heads(serving: Serving, site: Path, data: bytes) -> None:
    async with serving(site=site) as edge:
        client = await edge.connect()
        await send_and_settle(edge, client, data)
        await client.reset()
        await edge.settle()
        stats = edge.stack.statistics()
        assert (stats["connections"], stats["failures"]) == (0, 0)
        await edge.talk("""
            >> GET /page.txt HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """)


async def test_a_reset_within_a_body(serving: Serving) -> None:
    async with serving(app=Gated()) as edge:
        client = await edge.connect()
        await send_and_settle(edge, client, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhel")
        await client.reset()
        await edge.settle()
        assert edge.stack.statistics()["connections"] == 0
        assert [(line.status, line.bytes_out) for line in edge.records] == [(499, 0)]
        assert [line.completion for line in edge.records] == [""]


async def test_a_reset_while_the_application_works(serving: Serving) -> None:
    """Rule 8, F8: the answer is dropped, the log says 499, the next request is served."""
    gated = Gated()
    async with serving(app=gated, threads=1) as edge:
        client = await edge.connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await gated.reached()
        await client.reset()
        await edge.settle(threads=False)
        gated.gate.release()
        await edge.settle()
        assert edge.stack.statistics()["connections"] == 0
        assert [(line.status, line.bytes_out) for line in edge.records] == [(499, 0)]
        assert [line.completion for line in edge.records] == [""]
        gated.gate.release()
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """)


async def test_a_reset_while_the_application_streams(serving: Serving) -> None:
    """F8: close() is called, once; the log tells what has left."""
    gated = Gated()
    async with serving(app=gated, threads=1) as edge:
        client = await edge.connect()
        await client.send(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.until(rb"HTTP/1.1 200 OK(?s:.*?)\r\n\r\n8\r\npiece 1;\r\n")
        await gated.reached()
        await client.reset()
        await edge.settle(threads=False)
        for _ in range(50):
            gated.gate.release()
            if not await trio.to_thread.run_sync(gated.arrived.acquire, True, 0.1):
                break
        await edge.settle()
        assert gated.closed == 1
        assert edge.stack.statistics()["connections"] == 0
        assert [line.status for line in edge.records] == [200]
        assert [line.completion for line in edge.records] == [""]
        assert edge.records[0].bytes_out < 9 * 52


async def test_a_reset_is_noticed_before_the_next_piece(serving: Serving) -> None:
    """Rule 8, F8: the first piece after a reset is refused to the application."""
    gated = Gated()
    async with serving(app=gated, threads=1) as edge:
        client = await edge.connect()
        await client.send(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.until(rb"HTTP/1.1 200 OK(?s:.*?)\r\n\r\n8\r\npiece 1;\r\n")
        await gated.reached()
        await edge.settle(threads=False)
        await client.reset()
        await edge.settle(threads=False)
        gated.gate.release()
        await edge.settle()
        assert gated.closed == 1
        assert edge.stack.statistics()["connections"] == 0
        assert [(line.status, line.bytes_out) for line in edge.records] == [(200, 8)]
        assert [line.completion for line in edge.records] == [""]


class Waiting:
    """A handler that waits for the test, and says how it was left; then, if asked to, it reads the body."""

    def __init__(self) -> None:
        self.go = trio.Event()
        self.ended: list[str] = []

    def __call__(self, exchange: Exchange) -> Any:
        return self.later(exchange)

    async def later(self, exchange: Exchange) -> Response:
        try:
            await self.go.wait()
        except trio.Cancelled:
            self.ended.append("cancelled")
            raise
        self.ended.append("went on")
        if exchange.request.body is None:
            return Response(200, (), b"read")
        with await exchange.request.body.spooled(1000) as spool:
            return Response(200, (), b"read " + spool.read())


@pytest.mark.parametrize("sent", [b"", b"hel"])
async def test_a_reset_while_an_answer_is_awaited(serving: Serving, sent: bytes) -> None:
    """Rule 8: nobody waits for it any more: the wait is cancelled at once, and the log says 499."""
    waiting = Waiting()
    head = (
        b"POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
        if sent
        else b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    async with serving(handlers={"/wait": waiting}) as edge:
        client = await edge.connect()
        await send_and_settle(edge, client, head + sent)
        await client.reset()
        await edge.settle()
        assert waiting.ended == ["cancelled"]
        assert edge.stack.statistics()["connections"] == 0
        assert [(line.status, line.bytes_out) for line in edge.records] == [(499, 0)]
        assert [line.completion for line in edge.records] == [""]


async def test_a_half_closed_client_waits_for_its_answer(serving: Serving) -> None:
    """Rule 8: legal, whoever makes the answer."""
    waiting = Waiting()
    async with serving(handlers={"/wait": waiting}) as edge:
        client = await edge.connect()
        await client.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        await edge.settle()
        await client.half_close()
        await edge.settle()
        waiting.go.set()
        assert (await client.answer()).body == b"read"
        assert await client.end() == b""
        assert [line.status for line in edge.records] == [200]
        assert [line.completion for line in edge.records] == ["OK"]


@pytest.mark.parametrize("before", [0, 2, 5, 40])
async def test_a_body_that_is_wanted_after_a_wait(serving: Serving, before: int) -> None:
    """Rule 8, E4: looking whether the client leaves takes nothing from the body, nor from the next request."""
    waiting = Waiting()
    body_and_next = b"helloGET /wait HTTP/1.1\r\nHost: a\r\n\r\n"
    async with serving(handlers={"/wait": waiting}) as edge:
        client = await edge.connect()
        await client.send(b"POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        await edge.settle()
        if before:
            await send_and_settle(edge, client, body_and_next[:before])
        waiting.go.set()
        await edge.settle()
        if body_and_next[before:]:
            await client.send(body_and_next[before:])
        assert (await client.answer()).body == b"read hello"
        assert (await client.answer()).body == b"read"


async def test_a_stream_made_of_the_body(serving: Serving) -> None:
    """Rule 8: whoever reads the body sees the client's end there; looking for it stands in nobody's way."""

    async def doubled(body: RequestBody) -> AsyncIterator[bytes]:
        async for piece in body:
            yield piece * 2

    async def double(exchange: Exchange) -> Response:
        assert exchange.request.body is not None
        return Response(200, (), doubled(exchange.request.body))

    async with serving(handlers={"/double": double}) as edge:
        client = await edge.connect()
        await client.send(b"POST /double HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n")
        await edge.settle()
        for piece in (b"one", b"two"):
            await send_and_settle(edge, client, piece)
        answer = await client.answer()
        assert answer.body == b"oneonetwotwo"


async def test_a_reset_while_a_file_is_sent(serving: Serving, site: Path) -> None:
    async with serving(site=site) as edge:
        client = await edge.connect()
        await client.send(b"GET /long.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.until(rb"HTTP/1.1 200 OK")
        await edge.settle()
        await client.reset()
        await edge.settle()
        stats = edge.stack.statistics()
        assert (stats["connections"], stats["failures"]) == (0, 0)
        line = edge.records[0]
        assert line.status == 200
        if edge.on_sockets:
            assert 0 < line.bytes_out < 6_000_000


async def test_a_reset_while_the_close_lingers(serving: Serving) -> None:
    async with serving(app=Gated()) as edge:
        client = await edge.talk("""
            >> BROKEN
            >>
            <~ 400
        """)
        await client.reset()
        await edge.settle()
        stats = edge.stack.statistics()
        assert (stats["connections"], stats["failures"]) == (0, 0)


# -- an early answer is seen -------------------------------------------------------------------------------------------


async def test_an_early_answer_reaches_a_client_that_is_still_sending(serving: Serving) -> None:
    """E8: 413 while 200 KB are on their way: an answer and an end, not a reset that destroys it."""
    async with serving(app=Gated(), limits={"body": 1000}) as edge:
        client = await edge.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n")
        for _ in range(20):
            await client.send(b"x" * 10_000)
        await edge.settle()
        answer = await client.answer()
        assert answer.status == 413
        assert await client.end() == b""


# -- clients that read late --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(100, 700_000, 3), (400_000,) * 5, (131_072, 131_073, 131_071) * 3])
@pytest.mark.parametrize("announced", [False, True], ids=["chunks", "length"])
async def test_an_application_writes_more_than_the_client_takes(
    serving: Serving, sizes: tuple[int, ...], announced: bool
) -> None:
    """Rules 5 and 9: what is not taken at once passes to the loop; the thread is free; every byte arrives in order."""
    pieces = [os.urandom(size) for size in sizes]

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", str(sum(sizes)))] if announced else [])
        return iter(pieces)

    async with serving(app=app, send_buffer=8192) as edge:
        client = await edge.connect(receive_buffer=8192)
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await edge.settle()  # the thread is free although nobody has read a byte
        for _ in range(2):
            assert (await client.answer()).body == b"".join(pieces)
        await edge.settle()
        assert [(line.status, line.bytes_out) for line in edge.records] == [(200, sum(sizes))] * 2


async def test_a_list_of_one_large_element_and_a_late_client(serving: Serving) -> None:
    body = os.urandom(1_000_000)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [body[: int(environ["QUERY_STRING"])]]

    async with serving(app=app, send_buffer=8192) as edge:
        for size in (20_000, 131_000, 131_072, 131_073, 1_000_000):
            client = await edge.connect(receive_buffer=8192)
            await client.send(b"GET /?%d HTTP/1.1\r\nHost: a\r\n\r\n" % size)
            await edge.settle()
            assert (await client.answer()).body == body[:size]


async def test_files_and_a_late_client(serving: Serving, tmp_path: Path) -> None:
    body = os.urandom(1_000_000)
    sizes = (20_000, 131_000, 131_072, 131_073, 1_000_000)
    for size in sizes:
        (tmp_path / f"{size}.bin").write_bytes(body[:size])
    async with serving(site=tmp_path, send_buffer=8192) as edge:
        for size in sizes:
            client = await edge.connect(receive_buffer=8192)
            await client.send(b"GET /%d.bin HTTP/1.1\r\nHost: a\r\n\r\n" % size * 2)
            await edge.settle()
            for _ in range(2):
                assert (await client.answer()).body == body[:size]


@pytest.mark.parametrize("driver", ON_SOCKETS, indirect=True)
async def test_a_client_that_takes_nothing_for_the_send_gap(serving: Serving, site: Path) -> None:
    """Timeouts.send_gap: 60 s without any progress; the log tells what had left."""
    async with serving(site=site) as edge:
        client = await edge.connect()
        await client.send(b"GET /long.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        await edge.advance(59)
        assert edge.stack.statistics()["connections"] == 1
        await edge.advance(2)
        await edge.advance(59)  # a busy kernel moves the last bytes between two buffers later, and the gap begins anew
        assert edge.stack.statistics()["connections"] == 0
        assert edge.records[0].status == 200
        assert edge.records[0].bytes_out < 6_000_000
        assert [line.completion for line in edge.records] == [""]
