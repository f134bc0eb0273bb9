"""nginx's $connection, $connection_requests and $request_completion: which connection, which of its requests, and
whether the whole answer left (ngx_http_core_module).

Where answers are broken off in other ways, the tests of those ways look at `completion` too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio
from contract_kit import Edge

from edgestack.errors import ClientError
from edgestack.http.forwarding import ForwardedFacts
from edgestack.http.jumps import Jump
from edgestack.http.messages import Exchange, Response
from edgestack.http.target import read_path
from edgestack.wire.statistics import Statistics

Serving = Callable[..., AbstractAsyncContextManager[Edge]]
GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


class Broken:
    """An application that fails behind its first piece."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        return iter(self)

    def __iter__(self) -> Iterator[bytes]:
        yield b"first"
        raise OSError("no second piece")


def over(edge: Edge) -> list[str]:
    return [line.connection for line in edge.records]


def completion(edge: Edge) -> list[tuple[int, str]]:
    return [(line.status, line.completion) for line in edge.records]


async def asked(edge: Edge, text: str, *statuses: int) -> None:
    """One connection, with these requests sent at once."""
    client = await edge.connect()
    await client.send(text.encode())
    for status in statuses:
        assert (await client.answer("HEAD" if text.startswith("HEAD") else "GET")).status == status
    await edge.settle()


@pytest.mark.parametrize("content", [{"app": app}, {"handlers": {"/": lambda exchange: Response(200, (), b"hello")}}])
async def test_requests_are_counted_by_connection(serving: Serving, content: dict[str, Any]) -> None:
    """Kept alive and asked one by one; then pipelined; each connection has the next number."""
    async with serving(**content) as edge:
        client = await edge.connect()
        for _ in range(3):
            await client.send(GET.encode())
            assert (await client.answer()).status == 200
        await edge.settle()
        await asked(edge, GET * 20, *[200] * 20)
        await asked(edge, GET, 200)
        assert over(edge) == ["1 1", "1 2", "1 3", *(f"2 {number}" for number in range(1, 21)), "3 1"]
        assert {line.completion for line in edge.records} == {"OK"}


async def test_a_request_that_cannot_be_read_counts(serving: Serving) -> None:
    """It is logged, and what it was told left whole."""
    async with serving(app=app) as edge:
        await asked(edge, GET + "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 200, 400)
        assert over(edge) == ["1 1", "1 2"]
        assert completion(edge) == [(200, "OK"), (400, "OK")]


async def test_a_jump_inside_the_server_is_no_request(serving: Serving) -> None:
    """ngx_http_core_module: an internal redirect is the same request."""

    def handle(exchange: Exchange) -> Response | Jump:
        return Jump(read_path("/")) if exchange.journey is None else Response(200, (), b"there")

    async with serving(handlers={"/": handle, "/jump": handle}) as edge:
        await asked(edge, GET.replace("/ ", "/jump ", 1) + GET, 200, 200)
        assert over(edge) == ["1 1", "1 2"]


async def test_behind_a_proxy_it_is_the_proxy_s_connection(serving: Serving) -> None:
    """Facts that a trusted proxy tells are made for each request; the connection stays what it is."""
    told: list[ForwardedFacts] = []

    def handle(exchange: Exchange) -> Response:
        exchange.facts = forwarded = ForwardedFacts(exchange.facts, "198.51.100.9", 7, "https", "", 443)
        told.append(forwarded)
        return Response(200, (), b"hello")

    async with serving(handlers={"/": handle}) as edge:
        await asked(edge, GET * 3, 200, 200, 200)
        await asked(edge, GET, 200)
        assert over(edge) == ["1 1", "1 2", "1 3", "2 1"]
        assert [(facts.connection, facts.requests) for facts in told] == [(1, 1), (1, 2), (1, 3), (2, 1)]


async def test_a_process_may_have_numbers_of_its_own(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers number behind their pids (process/worker.py)."""
    monkeypatch.setattr(Statistics, "before", 4711 * 10**9)
    async with serving(app=app) as edge:
        await asked(edge, GET, 200)
        assert over(edge) == ["4711000000001 1"]


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("GET /none HTTP/1.1\r\nHost: a\r\n\r\n", 304),
        ("GET /refused HTTP/1.1\r\nHost: a\r\n\r\n", 403),
        ("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", 200),
    ],
)
async def test_answers_of_every_kind_are_complete(serving: Serving, text: str, status: int) -> None:
    async def pieces() -> Any:
        yield b"one"
        await trio.lowlevel.checkpoint()
        yield b"two"

    def refuse(exchange: Exchange) -> Response:
        raise ClientError("Not here.", 403)

    there: Any = {
        "/": lambda exchange: Response(200, (), b"hello"),
        "/none": lambda exchange: Response(304),
        "/refused": refuse,
        "/stream": lambda exchange: Response(200, (), pieces()),
    }
    async with serving(handlers=there) as edge:
        await asked(edge, text, status)
        assert completion(edge) == [(status, "OK")]


async def test_a_stream_that_fails_is_not_complete(serving: Serving) -> None:
    """The client sees the truncation, and so does the log."""

    async def pieces() -> Any:
        yield b"one"
        raise OSError("no second piece")

    there = {"/": lambda exchange: Response(200, (), pieces())}
    async with serving(handlers=there) as edge:
        client = await edge.connect()
        await client.send(GET.encode())
        await client.end()
        await edge.settle()
        assert completion(edge) == [(200, "")]


async def test_an_application_that_fails_midway_is_not_complete(serving: Serving) -> None:
    """F11: the connection is broken behind its first piece."""
    async with serving(app=Broken()) as edge:
        client = await edge.connect()
        await client.send(GET.encode())
        await client.end()
        await edge.settle()
        assert completion(edge) == [(200, "")]


async def test_a_client_that_left_is_not_complete(serving: Serving) -> None:
    """499: it was told nothing."""
    reached = trio.Event()

    async def later(exchange: Exchange) -> Response:
        reached.set()
        await trio.sleep_forever()
        raise AssertionError("it was awaited to its end")

    async with serving(handlers={"/": later}) as edge:
        client = await edge.connect()
        await client.send(GET.encode())
        await reached.wait()
        await client.reset()
        await edge.settle()
        assert completion(edge) == [(499, "")]
        await asked(edge, GET.replace("/ ", "/none ", 1), 404)
        assert completion(edge)[1] == (404, "OK")
