"""What application threads wait for, and what not (criterion F14)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from contract_kit import ON_SOCKETS, Edge

Serving = Callable[..., AbstractAsyncContextManager[Edge]]
PATIENCE = 20.0


async def test_no_thread_waits_for_a_slow_upload(serving: Serving) -> None:
    """F14: with one thread, a slow body lets others pass."""
    order = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.input"].read()
        order.append(environ["PATH_INFO"])
        start_response("200 OK", [])
        return [b"x"]

    async with serving(app=app, threads=1) as edge:
        slow = await edge.talk("""
            >> POST /slow HTTP/1.1
            >> Host: a
            >> Content-Length: 10
            >>
            >| hello
            <-
        """)
        await edge.talk("""
            >> GET /fast HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """)
        await edge.talk("""
            >| world
            <~ 200
        """, slow)  # fmt: skip
        assert order == ["/fast", "/slow"]


@pytest.mark.parametrize("queue", [1, 2])
async def test_the_queue_for_threads_is_bounded(serving: Serving, queue: int) -> None:
    """F14: past it, 503 with Retry-After at once; at n it still waits; and a refused client may ask again."""
    gate, arrived = threading.Semaphore(0), threading.Semaphore(0)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        arrived.release()
        assert gate.acquire(timeout=PATIENCE)
        start_response("200 OK", [])
        return [b"x"]

    async with serving(app=app, threads=1, queue=queue) as edge:
        clients = [await edge.connect() for _ in range(queue + 2)]
        for client in clients:
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await edge.settle(threads=False)
        refused = await clients[-1].answer()
        assert (refused.status, refused.fields["retry-after"]) == (503, "1")
        for _ in range(queue + 1):
            gate.release()
        for client in clients[:-1]:
            assert (await client.answer()).status == 200
        await edge.settle()
        gate.release()
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """, clients[-1])  # fmt: skip


@pytest.mark.parametrize("driver", ON_SOCKETS, indirect=True)
async def test_a_full_spool_holds_the_thread_no_longer_than_the_send_gap(serving: Serving) -> None:
    """F14: bounded buffer, spool, deadline: a client that reads nothing costs a thread at most the gap."""
    size = 3_000_000

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", str(20 * size))])
        for _ in range(20):
            yield b"x" * size

    async with serving(
        app=app, threads=1, send_buffer=8192, limits={"spool": 2 * size}, timeouts={"send_gap": 0.2}
    ) as edge:
        client = await edge.connect(receive_buffer=8192)
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await edge.settle()  # the thread came free by itself: its waits are in real time
        await edge.advance(3)
        assert edge.stack.statistics()["connections"] == 0
        assert edge.records[0].bytes_out < 20 * size


async def test_a_client_that_reads_slowly_gets_it_all_through_a_small_spool(serving: Serving) -> None:
    """F14: the thread waits for room and goes on; nothing is lost, nothing is taken for a client that stopped."""
    pieces = [os.urandom(size) for size in (200_000, 10_000, 1000, 70_000, 300_000, 5) * 4]

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        return iter(pieces)

    async with serving(app=app, threads=1, send_buffer=8192, limits={"spool": 100_000}) as edge:
        client = await edge.connect(receive_buffer=8192)
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer()).body == b"".join(pieces)


async def test_the_spools_of_all_answers_together_are_bounded(serving: Serving) -> None:
    """F14: Limits.spools; who finds nothing left waits for its own client, and gets on when that reads."""
    body = [os.urandom(50_000) for _ in range(20)]

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        return iter(body)

    async with serving(app=app, threads=2, send_buffer=8192, limits={"spools": 1_200_000}) as edge:
        clients = [await edge.connect(receive_buffer=8192) for _ in range(2)]
        for client in clients:
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await edge.settle(threads=False)
        for client in reversed(clients):
            assert (await client.answer()).body == b"".join(body)
        driver = edge.stack._driver
        assert driver is not None
        assert driver.spools.held == 0
