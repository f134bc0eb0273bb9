"""What another server answers, on every driver and both roads: settled, relayed, tunnelled, given up (rules 7, 8)."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import trio
from contract_kit import Client, Edge
from contract_upstream import CHUNKED, ROADS, UNTIL_CLOSE, Answering, Upstream, failing, relaying, tunnelling

from edgestack.errors import Disconnected, UpstreamError
from edgestack.http.messages import Response

Serving = Callable[..., AbstractAsyncContextManager[Edge]]
Asking = Callable[..., AbstractAsyncContextManager[tuple[Edge, Upstream, Client]]]
BIG = os.urandom(2_000_000)
GET = b"GET /up HTTP/1.1\r\nHost: a\r\n\r\n"
UPGRADE = b"GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
NEXT = """
    >> GET / HTTP/1.1
    >> Host: a
    >>
    <~ 200
"""


@pytest.fixture(params=ROADS)
def road(request: pytest.FixtureRequest, driver: str) -> str:
    if request.param == "callback" and driver.startswith("portable"):
        pytest.skip("the portable driver has one road")
    return str(request.param)


@pytest.fixture
def asking(serving: Serving, driver: str, road: str) -> Asking:
    """An edge with a client that has asked, and the upstream that it asked."""

    @asynccontextmanager
    async def opened(
        answer: Answering, request: bytes = GET, buffer: int = 0, **more: Any
    ) -> AsyncIterator[tuple[Edge, Upstream, Client]]:
        upstream = Upstream(driver, road, answer, buffer=buffer)
        handlers = {"/up": upstream.handle, "/": lambda exchange: Response(200, (), b"hello")}
        try:
            async with serving(handlers=handlers, **more) as edge:
                upstream.edge = edge
                client = await edge.connect()
                if request:
                    await client.send(request)
                    await edge.settle()
                yield edge, upstream, client
                await upstream.leave()
        finally:
            await upstream.leave()

    return opened


async def test_a_whole_answer(asking: Asking) -> None:
    async with asking(lambda upstream, data: Response(200, (("X-Up", "1"),), data)) as (edge, upstream, client):
        await upstream.say(b"hello")
        answer = await client.answer()
        assert (answer.status, answer.body, answer.fields["x-up"]) == (200, b"hello", "1")
        await edge.talk(NEXT, client)
        assert [line.status for line in edge.records] == [200, 200]


async def test_an_error_gets_its_page(asking: Asking) -> None:
    """A22; the connection goes on."""
    async with asking(failing) as (edge, upstream, client):
        await upstream.say(b"x")
        assert (await client.answer()).status == 502
        await edge.talk(NEXT, client)
        assert [line.status for line in edge.records] == [502, 200]
        assert [line.completion for line in edge.records] == ["OK", "OK"]


@pytest.mark.parametrize("buffering", [True, False])
@pytest.mark.parametrize("length", [len(BIG), CHUNKED, UNTIL_CLOSE], ids=["length", "chunked", "until close"])
async def test_a_body_is_relayed(asking: Asking, length: int, buffering: bool) -> None:
    async with asking(relaying(length, buffering=buffering)) as (edge, upstream, client):

        async def speak() -> None:
            if length == CHUNKED:
                await upstream.say(b"%x\r\n" % len(BIG) + BIG + b"\r\n0\r\n\r\n")
            else:
                await upstream.say(BIG)
            if length == UNTIL_CLOSE:
                await upstream.stream.send_eof()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(speak)
            answer = await client.answer()
        assert answer.body == BIG
        assert answer.fields.get("content-length") == (str(len(BIG)) if length >= 0 else None)
        await edge.settle()
        assert upstream.ended == [None]
        assert [(line.status, line.bytes_out) for line in edge.records] == [(200, len(BIG))]
        assert [line.completion for line in edge.records] == ["OK"]
        await edge.talk(NEXT, client)


async def test_pieces_leave_as_they_come(asking: Asking) -> None:
    """B13, B14."""
    async with asking(relaying(CHUNKED)) as (_, upstream, client):
        await upstream.say(b"3\r\none\r\n")
        await client.until(rb"HTTP/1.1 200 (?s:.*)\r\n\r\n3\r\none\r\n")
        await upstream.say(b"3\r\ntwo\r\n")
        await client.until(rb"3\r\ntwo\r\n")
        await upstream.say(b"0\r\n\r\n")
        await client.until(rb"0\r\n\r\n")


@pytest.mark.parametrize("length", [100, CHUNKED])
async def test_the_client_sees_the_truncation(
    asking: Asking, length: int, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    async with asking(relaying(length)) as (edge, upstream, client):
        await upstream.say(b"4\r\nsome\r\n" if length == CHUNKED else b"some")
        await edge.settle()
        await upstream.stream.send_eof()
        said = (await client.end()).removesuffix(b"<reset>")
        assert said.endswith(b"4\r\nsome\r\n" if length == CHUNKED else b"some")
        await edge.settle()
        assert isinstance(upstream.ended[0], UpstreamError)
        assert [(line.status, line.bytes_out) for line in edge.records] == [(200, 4)]
        assert [line.completion for line in edge.records] == [""]
        assert edge.stack.statistics()["failures"] == 0
        assert edge.records[0].request_id in caplog.text


async def test_a_server_that_pauses_for_too_long(asking: Asking) -> None:
    """A23."""
    async with asking(relaying(100, gap=5.0)) as (edge, upstream, client):
        await upstream.say(b"some")
        await edge.advance(4)
        await upstream.say(b"more")
        await edge.advance(4)
        assert not upstream.ended
        await edge.advance(2.1)
        assert (await client.end()).removesuffix(b"<reset>").endswith(b"somemore")
        await edge.settle()
        assert isinstance(upstream.ended[0], UpstreamError)
        assert upstream.ended[0].status == 504


@pytest.mark.parametrize("how", ["half_close", "close", "reset"])
async def test_a_client_that_leaves_before_the_answer(asking: Asking, how: str) -> None:
    """Rule 8, A22: 499, and the errand is given up."""
    async with asking(relaying(100)) as (edge, upstream, client):
        await getattr(client, how)()
        await edge.deserted()
        assert upstream.gave_up == 1
        assert [line.status for line in edge.records] == [499]
        assert [line.completion for line in edge.records] == [""]
        assert edge.stack.statistics()["failures"] == 0


@pytest.mark.parametrize("how", ["half_close", "close"])
async def test_a_client_that_leaves_after_its_upload(asking: Asking, how: str) -> None:
    """Rule 8: also where its body was read by the task that waits now."""
    async with asking(relaying(100), GET.replace(b"GET", b"POST")[:-2] + b"Content-Length: 8\r\n\r\nhalf") as (
        edge,
        upstream,
        client,
    ):
        await client.send(b"rest")
        await edge.settle()
        assert edge.stack.statistics()["connections"] == 1
        await getattr(client, how)()
        await edge.deserted()
        assert upstream.gave_up == 1
        assert [line.status for line in edge.records] == [499]
        assert [line.completion for line in edge.records] == [""]


async def test_an_upload_and_its_answer(asking: Asking) -> None:
    """The connection goes on behind it."""
    post = GET.replace(b"GET", b"POST")[:-2] + b"Content-Length: 8\r\n\r\nhalf"
    async with asking(relaying(4), post) as (edge, upstream, client):
        await client.send(b"rest")
        await upstream.say(b"so")
        await edge.settle()
        await upstream.say(b"me")
        assert (await client.answer()).body == b"some"
        await edge.talk(NEXT, client)


@pytest.mark.parametrize("how", ["half_close", "close", "reset"])
@pytest.mark.parametrize("buffering", [True, False])
async def test_a_client_that_leaves_within_the_answer(asking: Asking, how: str, buffering: bool) -> None:
    """Rule 8: the server behind us is not kept busy for nobody."""
    async with asking(relaying(100, buffering=buffering)) as (edge, upstream, client):
        await upstream.say(b"some")
        await client.until(rb"HTTP/1.1 200 (?s:.*)\r\n\r\nsome")
        await getattr(client, how)()
        await edge.deserted()
        assert len(upstream.ended) == 1
        assert isinstance(upstream.ended[0], Disconnected)
        assert [(line.status, line.bytes_out) for line in edge.records] == [(200, 4)]
        assert [line.completion for line in edge.records] == [""]


async def test_a_slow_client_does_not_hold_the_server(asking: Asking) -> None:
    """B14: with buffering on."""
    async with asking(relaying(len(BIG)), send_buffer=4096) as (edge, upstream, client):
        with trio.fail_after(10):  # the clock is virtual: this only ends by itself
            await upstream.say(BIG)
        await edge.settle()
        assert upstream.ended == [None]
        assert (await client.answer()).body == BIG


async def test_a_pipeline_behind_it(asking: Asking) -> None:
    """E4."""
    async with asking(relaying(4), GET + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2) as (edge, upstream, client):
        await upstream.say(b"so")
        await edge.settle()
        await upstream.say(b"me")
        for body in (b"some", b"hello", b"hello"):
            assert (await client.answer()).body == body


async def test_an_answer_to_head(asking: Asking) -> None:
    """E5: the fields, and no body; the link is not waited for."""
    async with asking(relaying(100), GET.replace(b"GET", b"HEAD")) as (edge, upstream, client):
        await upstream.say(b"some")
        answer = await client.answer("HEAD")
        assert answer.fields["content-length"] == "100"
        await edge.talk(NEXT, client)
        assert len(upstream.ended) == 1


async def test_a_drain_waits_for_the_answer(asking: Asking) -> None:
    """E10."""
    async with asking(relaying(8)) as (edge, upstream, client):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(edge.stack.drain, 10.0)
            await edge.advance(1)
            await upstream.say(b"some")
            await edge.settle()
            await upstream.say(b"more")
            answer = await client.answer()
            assert answer.body == b"somemore"
            assert await client.end() == b""
            await client.close()
        assert [line.status for line in edge.records] == [200]
        assert [line.completion for line in edge.records] == ["OK"]


@pytest.mark.parametrize("begun", [False, True])
async def test_a_drain_ends_it_after_the_grace(asking: Asking, begun: bool) -> None:
    """E10: nothing is left of it, and its line is written."""
    async with asking(relaying(8)) as (edge, upstream, client):
        if begun:
            await upstream.say(b"some")
            await edge.settle()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(edge.stack.drain, 2.0)
            await edge.advance(1)
            await edge.advance(1.5)
            await client.end()
        assert [line.status for line in edge.records] == [200 if begun else 503]
        assert [line.completion for line in edge.records] == [""]
        assert (len(upstream.ended), upstream.gave_up) == ((1, 0) if begun else (0, 1))


def bug(*_: object) -> Any:
    raise RuntimeError("a bug")


@pytest.mark.parametrize("where", ["answer", "body"])
async def test_a_bug_costs_its_own_connection(
    asking: Asking, where: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 7: counted once, logged with its request id; the link is not left behind."""
    caplog.set_level(logging.ERROR)
    async with asking(bug if where == "answer" else relaying(CHUNKED)) as (edge, upstream, client):
        other = await edge.connect()
        if where == "answer":
            await upstream.say(b"x")
        else:
            await upstream.say(b"4\r\nsome\r\n")
            await edge.settle()
            monkeypatch.setattr("edgestack.wire.h1_client_bodies.Chunked.feed", bug)
            await upstream.say(b"x")
        rest = (await client.end()).removesuffix(b"<reset>")
        assert rest.endswith(b"4\r\nsome\r\n") if where == "body" else rest == b""
        await edge.settle()
        assert edge.stack.statistics()["failures"] == 1
        assert edge.stack.statistics()["connections"] == 1
        assert [line.status for line in edge.records] == [200 if where == "body" else 500]
        assert [line.completion for line in edge.records] == [""]
        assert edge.records[0].request_id in caplog.text
        assert len(upstream.ended) == (where == "body")
        await edge.talk(NEXT, other)


# -- tunnels -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tunnel(asking: Asking) -> Asking:
    """A client that has changed over."""

    @asynccontextmanager
    async def opened(early: bytes = b"", first: bytes = b"", **more: Any) -> AsyncIterator[Any]:
        async with asking(tunnelling(**more), UPGRADE + early) as (edge, upstream, client):
            await upstream.say(b"!" + first)
            head = (await client.until(rb"HTTP/1.1 101 (?s:.*?)\r\n\r\n"))[0]
            assert b"\r\nUpgrade: echo\r\nConnection: Upgrade\r\n" in head
            assert b"Content-Length" not in head
            assert b"close" not in head
            yield edge, upstream, client

    return opened


async def test_a_tunnel_both_ways(tunnel: Asking) -> None:
    """B17: what came too early first."""
    async with tunnel(early=b"early", first=b"first") as (edge, upstream, client):
        assert await client.exactly(5) == b"first"
        assert await upstream.hear(5) == b"early"
        for _ in range(3):
            await client.send(b"x" * 64)
            assert await upstream.hear(64) == b"x" * 64
            await upstream.say(b"y" * 64)
            assert await client.exactly(64) == b"y" * 64
        await client.half_close()
        await trio.aclose_forcefully(upstream.stream)
        await edge.deserted()
        assert [(line.status, line.bytes_out) for line in edge.records] == [(101, 5 + 3 * 64)]
        assert [line.completion for line in edge.records] == ["OK"]


async def test_half_close_passes(tunnel: Asking, driver: str) -> None:
    """B17; TLS streams of trio cannot be closed by halves: there the tunnel ends with its first side."""
    async with tunnel() as (edge, upstream, client):
        await upstream.say(b"last")
        await upstream.stream.send_eof()
        assert await client.exactly(4) == b"last"
        assert await client.end() == b""
        if driver != "portable-tls":
            await client.send(b"and me")
            assert await upstream.hear(6) == b"and me"
        await client.close()
        await edge.deserted()
        assert len(upstream.ended) == 1


@pytest.mark.parametrize("side", ["client", "server"])
async def test_either_side_resets_the_idle_time(tunnel: Asking, side: str) -> None:
    """B17."""
    async with tunnel(gap=10.0) as (edge, upstream, client):
        for _ in range(3):
            await edge.advance(8)
            if side == "client":
                await client.send(b"x")
                await upstream.hear(1)
            else:
                await upstream.say(b"x")
                await client.exactly(1)
        await edge.advance(11.1)
        assert (await client.end()).removesuffix(b"<reset>") == b""
        await edge.deserted()
        assert isinstance(upstream.ended[0], Disconnected)
        assert len(edge.records) == 1
        assert [line.completion for line in edge.records] == [""]


async def test_a_drain_ends_a_tunnel_after_the_grace(tunnel: Asking) -> None:
    """E10, B17."""
    async with tunnel() as (edge, upstream, client):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(edge.stack.drain, 2.0)
            await edge.advance(1)
            await client.send(b"still here")
            assert await upstream.hear(10) == b"still here"
            await edge.advance(1.5)
            await client.end()
        assert len(upstream.ended) == 1
        assert [line.status for line in edge.records] == [101]


async def test_a_reload_leaves_a_tunnel_alone(tunnel: Asking) -> None:
    """B17."""
    async with tunnel() as (edge, upstream, client):
        edge.stack.adopt(edge.stack._plan)
        await edge.settle()
        await client.send(b"still here")
        assert await upstream.hear(10) == b"still here"
        await upstream.say(b"so am I")
        assert await client.exactly(7) == b"so am I"
