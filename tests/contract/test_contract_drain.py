"""The end: a graceful stop, and what is left behind when the time is up (criterion E10; design §5)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio
from contract_kit import ON_SOCKETS, Edge

Serving = Callable[..., AbstractAsyncContextManager[Edge]]
PATIENCE = 20.0


class Gated:
    """An application that stops at its gate until the test opens it."""

    def __init__(self) -> None:
        self.arrived = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.called = 0
        self.closed = 0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.called += 1
        start_response("200 OK", [])
        streams = {"/stream": self.stream, "/long": self.long}
        return streams.get(environ["PATH_INFO"], lambda: [self.wait()])()

    def wait(self) -> bytes:
        self.arrived.release()
        assert self.gate.acquire(timeout=PATIENCE)
        return b"done"

    def stream(self) -> Iterator[bytes]:
        try:
            yield b"first"
            while True:
                yield self.wait()
        finally:
            self.closed += 1

    def long(self) -> Iterator[bytes]:
        yield b"first"
        yield self.wait()

    async def reached(self) -> None:
        assert await trio.to_thread.run_sync(self.arrived.acquire, True, PATIENCE)


class Drain:
    """A drain under way."""

    def __init__(self, edge: Edge, grace: float) -> None:
        self.edge = edge
        self.grace = grace
        self.left: list[str] | None = None

    async def run(self) -> None:
        self.left = await self.edge.stack.drain(self.grace)


async def start(edge: Edge, nursery: trio.Nursery, grace: float = 30.0) -> Drain:
    await edge.settle(threads=False)
    drain = Drain(edge, grace)
    nursery.start_soon(drain.run)
    await edge.settle(threads=False)
    return drain


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "page.txt").write_text("a page\n")
    return tmp_path


async def test_idle_connections_are_closed_after_a_short_grace(serving: Serving, site: Path) -> None:
    """E10: 0.25 s, in which a request that is on its way is still answered, and told that it was the last."""
    async with serving(site=site) as edge, trio.open_nursery() as nursery:
        idle, quick = await edge.connect(), await edge.connect()
        await edge.settle()
        drain = await start(edge, nursery)
        await edge.talk("""
            >> GET /page.txt HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 200 OK
            << {any}Connection: close
            << {end}
            <| a page\\n
            <!
        """, quick)  # fmt: skip
        assert drain.left is None
        await edge.advance(0.2, threads=False)
        assert drain.left is None
        await edge.advance(0.1, threads=False)
        assert await idle.end() == b""
        await quick.close()
        await edge.settle()
        assert drain.left == []


@pytest.mark.parametrize("driver", ON_SOCKETS, indirect=True)
async def test_no_connection_is_accepted_any_more(serving: Serving, site: Path) -> None:
    """E10."""
    async with serving(site=site) as edge, trio.open_nursery() as nursery:
        await edge.connect()
        await edge.settle()
        address = edge.sockets[0].getsockname()
        drain = await start(edge, nursery)
        with socket.socket() as sock, pytest.raises(ConnectionRefusedError):
            sock.connect(address)
        await edge.advance(1)
        assert drain.left == []


async def test_what_is_in_flight_is_finished(serving: Serving) -> None:
    """E10: an answer of the application, and a request whose head has begun."""
    gated = Gated()
    async with serving(app=gated) as edge, trio.open_nursery() as nursery:
        working, begun = await edge.connect(), await edge.connect()
        await working.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await begun.send(b"GET / HT")
        await gated.reached()
        drain = await start(edge, nursery)
        await edge.advance(5, threads=False)
        assert drain.left is None
        gated.gate.release()
        answer = await working.answer()
        assert (answer.body, answer.fields["connection"]) == (b"done", "close")
        gated.gate.release()
        await begun.send(b"TP/1.1\r\nHost: a\r\n\r\n")
        answer = await begun.answer()
        assert (answer.body, answer.fields["connection"]) == (b"done", "close")
        assert await working.end() == await begun.end() == b""
        await working.close()
        await begun.close()
        await edge.settle()
        assert drain.left == []


async def test_an_upload_in_flight_is_finished(serving: Serving) -> None:
    """E10: a task that waits for its client."""
    gated = Gated()
    gated.gate.release()
    async with serving(app=gated) as edge, trio.open_nursery() as nursery:
        client = await edge.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
        drain = await start(edge, nursery)
        await edge.advance(5, threads=False)
        await client.send(b"llo")
        answer = await client.answer()
        assert (answer.body, answer.fields["connection"]) == (b"done", "close")
        await client.close()
        await edge.settle()
        assert drain.left == []


@pytest.mark.parametrize("pipelined", [1, 20])
async def test_a_keep_alive_answer_was_promised_when_the_drain_began(serving: Serving, pipelined: int) -> None:
    """E10: the head that says keep-alive has left: the connection closes after it, or with its next answer."""
    gated = Gated()
    async with serving(app=gated) as edge, trio.open_nursery() as nursery:
        client = await edge.connect()
        more = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * (pipelined - 1)
        await client.send(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n" + more)
        await client.until(rb"HTTP/1.1 200 OK(?s:.*?)\r\n\r\n5\r\nfirst\r\n")
        drain = await start(edge, nursery)
        await gated.reached()
        gated.gate.release()
        await client.until(b"4\r\ndone\r\n")
        await edge.advance(31, threads=False)
        gated.gate.release()
        await client.end()
        await edge.advance(2)
        assert drain.left == []
        assert gated.closed == 1


@pytest.mark.parametrize("asks", [True, False])
async def test_a_promise_is_kept_however_long_the_answer_took(serving: Serving, asks: bool) -> None:
    """RFC 9112 §9.3.1: an answer that said keep-alive ends long after the drain began; its client may ask once more."""
    gated = Gated()
    async with serving(app=gated) as edge, trio.open_nursery() as nursery:
        client = await edge.connect()
        await client.send(b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.until(rb"HTTP/1.1 200 OK(?s:.*?)\r\n\r\n5\r\nfirst\r\n")
        await gated.reached()
        drain = await start(edge, nursery)
        await edge.advance(5, threads=False)
        gated.gate.release()
        await client.until(b"4\r\ndone\r\n0\r\n\r\n")
        await edge.settle()
        await edge.advance(0.2)
        if asks:
            gated.gate.release()
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = await client.answer()
            assert (answer.body, answer.fields["connection"]) == (b"done", "close")
        else:
            assert drain.left is None
            await edge.advance(0.1)  # it is spared once
            await edge.advance(0.3)
        assert await client.end() == b""
        await client.close()
        await edge.settle()
        assert drain.left == []


async def test_the_grace_is_over(serving: Serving) -> None:
    """E10: an upload is cancelled, a call that has not answered loses its ticket, a stream its connection."""
    gated = Gated()
    async with serving(app=gated, threads=2) as edge, trio.open_nursery() as nursery:
        upload, call, stream = [await edge.connect() for _ in range(3)]
        await upload.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhe")
        await call.send(b"GET /call HTTP/1.1\r\nHost: a\r\n\r\n")
        await gated.reached()
        await stream.send(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        await gated.reached()
        await stream.until(rb"HTTP/1.1 200 OK(?s:.*?)\r\n\r\n5\r\nfirst\r\n")
        drain = await start(edge, nursery, grace=10)
        await edge.advance(9, threads=False)
        assert drain.left is None
        assert edge.stack.statistics()["connections"] == 3
        await edge.advance(2, threads=False)
        for client in (upload, call, stream):
            assert await client.end() in (b"", b"<reset>")
        gated.gate.release()
        gated.gate.release()
        await edge.settle()
        assert drain.left == []
        assert gated.closed == 1
        assert sorted((line.target, line.status) for line in edge.records) == [
            ("/", 503), ("/call", 503), ("/stream", 200),
        ]  # fmt: skip


async def test_a_thread_that_never_ends_is_named(serving: Serving) -> None:
    """E10, design §5: after the last second the drain returns and says where the thread stands."""
    gated = Gated()
    async with serving(app=gated, threads=1) as edge, trio.open_nursery() as nursery:
        stuck, waiting = await edge.connect(), await edge.connect()
        await stuck.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await gated.reached()
        await waiting.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await edge.settle(threads=False)
        drain = await start(edge, nursery, grace=10)
        await edge.advance(11, threads=False)
        assert await stuck.end() in (b"", b"<reset>")
        assert await waiting.end() in (b"", b"<reset>")
        await edge.advance(1.1, threads=False)
        assert drain.left is not None
        assert len(drain.left) == 1
        assert "in wait (" in drain.left[0]
        assert "test_contract_drain.py" in drain.left[0]
        gated.gate.release()
        gated.gate.release()
        assert edge.stack.threads.stop(PATIENCE)
        assert gated.called == 1  # whoever waited for a thread has been told; the application was not called for it
        assert [line.status for line in edge.records] == [503, 503]
        assert [line.completion for line in edge.records] == ["", ""]


async def test_a_streaming_thread_that_outlives_the_loop(serving: Serving) -> None:
    """Rule 6: nobody closes a descriptor beneath a thread; whoever holds the connection last closes it."""
    gated = Gated()
    async with serving(app=gated, threads=1) as edge, trio.open_nursery() as nursery:
        client = await edge.connect()
        await client.send(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.until(rb"HTTP/1.1 200 OK(?s:.*?)\r\n\r\n5\r\nfirst\r\n")
        await gated.reached()
        drain = await start(edge, nursery, grace=1)
        await edge.advance(1.1, threads=False)
        assert await client.end() in (b"", b"<reset>")
        await edge.advance(1.1, threads=False)
        assert drain.left is not None
        assert len(drain.left) == 1
        gated.gate.release()
        assert edge.stack.threads.stop(PATIENCE)
        assert gated.closed == 1


@pytest.mark.parametrize("state", ["idle", "head", "upload", "call", "linger"])
async def test_a_server_that_is_cancelled_leaves_nothing(serving: Serving, site: Path, state: str) -> None:
    """`serve` runs until cancelled: connections, listeners and pollers are closed then, without a drain."""
    gated = Gated()
    data = {
        "idle": b"",
        "head": b"GET / HT",
        "upload": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhe",
        "call": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "linger": b"BROKEN\r\n\r\n",
    }[state]
    async with serving(app=gated, ends_with_connections=True) as edge:
        client = await edge.connect()
        await client.send(data)
        await edge.settle(threads=False)
        if state == "call":
            await gated.reached()
        gated.gate.release()


async def test_draining_twice_and_with_nothing_to_do(serving: Serving, site: Path) -> None:
    async with serving(site=site) as edge:
        assert await edge.stack.drain(10) == []
        assert await edge.stack.drain(10) == []
