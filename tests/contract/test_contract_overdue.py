"""Applications that do not begin their answers in time (`[server] timeout`): 504 by whoever takes the ticket first."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from contract_kit import Edge

Serving = Callable[..., AbstractAsyncContextManager[Edge]]
PATIENCE = 20.0
TIMEOUT = 30.0
"""Seconds: the default."""
GET = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"


class Gated:
    """An application that hangs at /hang until it is let go, before or after its first piece."""

    def __init__(self, *, begun: bool = False) -> None:
        self.gate, self.arrived = threading.Semaphore(0), threading.Semaphore(0)
        self.closed = 0
        self.begun = begun

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Pieces(self, environ["PATH_INFO"] == "/hang")

    def pieces(self, hang: bool) -> Iterable[bytes]:
        if self.begun:
            yield b"first "
        if hang:
            self.arrived.release()
            assert self.gate.acquire(timeout=PATIENCE)
        yield b"late" if hang else b"quick"

    async def begun_by(self, edge: Edge) -> None:
        """Until a thread hangs."""
        await edge.settle(threads=False)
        assert self.arrived.acquire(timeout=PATIENCE)


async def none_lost(edge: Edge) -> None:
    """Until the threads that were given up have ended."""
    limit = time.monotonic() + PATIENCE
    while edge.stack.threads.lost:
        assert time.monotonic() < limit
        await edge.settle()


class Pieces:
    def __init__(self, app: Gated, hang: bool) -> None:
        self.app, self.pieces = app, app.pieces(hang)

    def __iter__(self) -> Any:
        return iter(self.pieces)

    def close(self) -> None:
        self.app.closed += 1


async def test_its_slot_is_another_threads_and_its_answer_is_dropped(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    """Design 4.4: the thread that comes back finds the ticket gone, closes the result, and ends."""
    app = Gated()
    async with serving(app=app, threads=1) as edge:
        client = await edge.connect()
        await client.send(GET % b"/hang")
        await app.begun_by(edge)
        await edge.advance(TIMEOUT - 2, threads=False)
        await edge.advance(4, threads=False)
        late = await client.answer()
        assert late.status == 504
        assert b"took too long" in late.body
        assert edge.stack.threads.lost == 1
        await client.send(GET % b"/")
        assert (await client.answer()).body == b"quick"
        app.gate.release()
        await none_lost(edge)
        assert app.closed == 2
        await client.send(GET % b"/")
        assert (await client.answer()).body == b"quick"
        await edge.settle()
        assert [line.status for line in edge.records] == [504, 200, 200]
        assert [line.completion for line in edge.records] == ["OK"] * 3
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 1
    assert "GET /hang: the application gave no answer within 30 s: 504; it runs on app-1 in pieces" in told[0]
    assert "self.gate.acquire" in told[0]


async def test_it_may_wait_for_a_thread_no_longer(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody has begun it: it is never called."""
    app = Gated()
    async with serving(app=app, threads=1) as edge:
        first, second = await edge.connect(), await edge.connect()
        await first.send(GET % b"/hang")
        await app.begun_by(edge)
        await edge.advance(10, threads=False)
        await second.send(GET % b"/")
        await edge.settle(threads=False)
        await edge.advance(TIMEOUT - 8, threads=False)
        assert (await first.answer()).status == 504
        assert (await second.answer()).body == b"quick"  # the slot is another thread's, at once
        app.gate.release()
        await none_lost(edge)
        assert edge.stack.threads.statistics().waiting == 0


async def test_an_answer_that_has_begun_is_never_cut(serving: Serving) -> None:
    """Server-sent events, long polls: after the first byte there is no limit but the client's."""
    app = Gated(begun=True)
    async with serving(app=app, threads=1) as edge:
        client = await edge.connect()
        await client.send(GET % b"/hang")
        await app.begun_by(edge)
        await client.until(rb"(?s).*first ")
        await edge.advance(10 * TIMEOUT, threads=False)
        assert edge.stack.threads.lost == 0
        app.gate.release()
        await client.until(rb"(?s).*late")
        await edge.settle()
        assert [line.status for line in edge.records] == [200]


async def test_the_timeout_is_that_of_each_request(serving: Serving) -> None:
    """A kept connection's second request has all of it, whatever the first one took."""
    app = Gated()
    async with serving(app=app, threads=1) as edge:
        client = await edge.connect()
        for _ in range(3):
            await client.send(GET % b"/hang")
            await app.begun_by(edge)
            await edge.advance(TIMEOUT - 5, threads=False)
            app.gate.release()
            assert (await client.answer()).body == b"late"
        await edge.settle()
        assert [line.status for line in edge.records] == [200] * 3
