"""Many who connect at the same moment: limits hold exactly (E11), and a server that stops answers all of them (E10)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio
from contract_kit import ON_SOCKETS, ON_TLS, Answer, Edge

from edgestack.config.model import Listener
from edgestack.wire import accepting

Serving = Callable[..., AbstractAsyncContextManager[Edge]]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"

on_sockets = pytest.mark.parametrize("driver", ON_SOCKETS, indirect=True)


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"hello"]


async def asked(edge: Edge, raws: list[socket.socket]) -> list[Answer | None]:
    """What each of them is told, all asking at once; None for whoever is not let in."""
    answers: list[Answer | None] = [None] * len(raws)

    async def ask(at: int, raw: socket.socket) -> None:
        try:
            client = await edge.greet(raw)
            await client.send(GET)
            answers[at] = await client.answer()
        except trio.BrokenResourceError:
            return
        except AssertionError:
            assert client.ended

    async with trio.open_nursery() as nursery:
        for at, raw in enumerate(raws):
            nursery.start_soon(ask, at, raw)
    return answers


def statuses(answers: list[Answer | None]) -> list[int]:
    return [answer.status if answer is not None else 0 for answer in answers]


@on_sockets
@pytest.mark.parametrize("count", [2, 3, 4, 60])
@pytest.mark.parametrize("own", [False, True], ids=["all", "listener"])
async def test_a_burst_at_the_limit(serving: Serving, count: int, own: bool, driver: str) -> None:
    """E11 at n-1, n and n+1: the first three to connect are served, whoever shakes hands first; the others get 503."""
    listeners = (Listener("127.0.0.1", tls=driver.endswith("tls"), max_connections=3 * own),)
    limits = {} if own else {"connections": 3}
    async with serving(app=hello, limits=limits, listeners=listeners) as edge:
        raws = edge.knock(count)
        answers = await asked(edge, raws)
        assert statuses(answers) == [200] * min(count, 3) + [503] * (count - 3)


async def drained_while(edge: Edge, raws: list[socket.socket]) -> list[Answer | None]:
    """Stop, with these in the backlog of the kernel."""
    address = edge.sockets[0].getsockname()
    answers: list[Answer | None] = []
    left: list[list[str]] = []
    async with trio.open_nursery() as nursery:

        async def drain() -> None:
            left.append(await edge.stack.drain(30))

        async def ask() -> None:
            answers.extend(await asked(edge, raws))
            await edge.leave()

        nursery.start_soon(drain)
        await edge.settle()
        nursery.start_soon(ask)
        await edge.settle()
        with socket.socket() as late, pytest.raises(ConnectionRefusedError):
            late.connect(address)
    assert left == [[]]
    return answers


@on_sockets
async def test_who_has_connected_when_the_server_stops_is_answered(serving: Serving) -> None:
    """E10: they were accepted by the kernel, and know nothing of a backlog."""
    async with serving(app=hello, queue=200) as edge:
        answers = await drained_while(edge, edge.knock(150))
        assert statuses(answers) == [200] * 150
        assert {answer.fields["connection"] for answer in answers if answer is not None} == {"close"}


@on_sockets
async def test_a_stop_takes_in_no_more_than_a_backlog_holds(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """E10: a flood does not keep the server from stopping. Before the last 64, usual turns may have come."""
    monkeypatch.setattr(accepting, "BACKLOG", 64)
    async with serving(app=hello, queue=400) as edge:
        answers = await drained_while(edge, edge.knock(400))
        told = statuses(answers).count(200)
        assert told in (64, 128, 192)
        assert statuses(answers) == [200] * told + [0] * (400 - told)


@on_sockets
async def test_who_has_connected_and_says_nothing_is_let_go(serving: Serving, driver: str) -> None:
    """E10: who was taken in has the grace of idle connections in full; then that of handshakes."""
    left: list[list[str]] = []
    async with serving(app=hello) as edge, trio.open_nursery() as nursery:
        silent = [await edge.greet(raw, plain=True) for raw in edge.knock(3)]

        async def drain() -> None:
            left.append(await edge.stack.drain(30))

        nursery.start_soon(drain)
        await edge.advance(0.2)
        assert edge.stack.statistics()["connections"] == 3
        assert left == []
        await edge.advance(0.1)
        await edge.advance(0.3)
        if driver in ON_TLS:
            assert left == []
            await edge.advance(0.9)
        for client in silent:
            assert await client.end() in (b"", b"<reset>")
        await edge.leave()
        await edge.settle()
        assert left == [[]]


@pytest.mark.parametrize("driver", ON_TLS, indirect=True)
async def test_who_shakes_hands_late_is_still_heard(serving: Serving) -> None:
    """E10: a handshake that has begun may end, and its connection has the grace that all idle ones have."""
    left: list[list[str]] = []
    async with serving(app=hello) as edge, trio.open_nursery() as nursery:
        raws = edge.knock(2)

        async def drain() -> None:
            left.append(await edge.stack.drain(30))

        nursery.start_soon(drain)
        await edge.advance(1.2)
        client = await edge.greet(raws[0])
        await edge.advance(0.1)
        await client.send(GET)
        assert (await client.answer()).fields["connection"] == "close"
        await client.close()
        raws[1].close()
        await edge.advance(0.3)
        assert left == [[]]
