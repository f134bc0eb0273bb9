"""How an answer leaves where its route says so: at a rate (nginx: limit_rate), within gaps of its own.

Each body that an answer may have, on every driver. Time is virtual, so "a second later" is exactly that. The head
counts as well, as in nginx.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from contract_kit import Client, Edge
from trio.testing import wait_all_tasks_blocked

from edgestack.config.model import Limit, RouteTimeouts
from edgestack.content.wsgi import Wsgi
from edgestack.http.bodies import FileSegment, OpenFile
from edgestack.http.messages import Exchange, Handler, Response
from edgestack.phases.bandwidth import bandwidth
from edgestack.phases.timeouts import route_timeouts

SIZE = 5000
BODY = bytes(range(250)) * (SIZE // 250)


def paced(handler: Handler, rate: int = 1000) -> Handler:
    wrap = bandwidth([Limit(bandwidth=2 * rate), Limit(bandwidth=rate), Limit(connections=1)])
    assert wrap is not None
    return wrap(handler)


async def arrived(client: Client) -> int:
    """Take what has come by now; how many bytes that are."""

    async def read() -> None:
        while data := bytes(await client.stream.receive_some(65536)):
            client.received += data
        client.ended = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked(0.005)
        nursery.cancel_scope.cancel()
    return len(client.received)


def body_of(client: Client) -> bytes:
    return client.received.partition(b"\r\n\r\n")[2]


async def by_the_second(edge: Edge, target: str) -> tuple[list[int], Client]:
    """Bytes that are there after 0, 1, 2 … seconds, until all are."""
    client = await edge.connect()
    await client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    await edge.settle()
    sizes = [await arrived(client)]
    while len(body_of(client)) < SIZE and len(sizes) < 12:
        await edge.advance(1)
        sizes.append(await arrived(client))
    return sizes, client


@pytest.fixture
def file(tmp_path: Path) -> Callable[[], OpenFile]:
    (tmp_path / "file").write_bytes(b"-" * 10 + BODY)
    return lambda: OpenFile(os.open(tmp_path / "file", os.O_RDONLY))


def app(environ: dict[str, Any], start_response: Any) -> Any:
    length = [] if environ["PATH_INFO"].endswith("chunked") else [("Content-Length", str(SIZE))]
    start_response("200 OK", length)
    if environ["PATH_INFO"].endswith("pieces"):
        return (BODY[at : at + 100] for at in range(0, SIZE, 100))
    return [BODY]


async def stream() -> AsyncIterator[bytes]:
    for at in range(0, SIZE, 500):
        yield BODY[at : at + 500]


def handlers(file: Callable[[], OpenFile]) -> dict[str, Handler]:
    shared = Response(200, (), BODY)

    async def later(exchange: Exchange) -> Response:
        await trio.lowlevel.checkpoint()
        return shared

    async def streamed(exchange: Exchange) -> Response:
        return Response(200, (), stream(), SIZE)

    kinds: dict[str, Handler] = {
        "/bytes": lambda exchange: shared,
        "/later": later,
        "/file": lambda exchange: Response(200, (), FileSegment(file(), 10, SIZE), SIZE),
        "/tuple": lambda exchange: Response(200, (), (BODY[:50], FileSegment(file(), 60, SIZE - 50)), SIZE),
        "/stream": streamed,
        "/app": Wsgi(app),
        "/app/pieces": Wsgi(app),
    }
    return {path: paced(handler) for path, handler in kinds.items()}


@pytest.mark.parametrize("kind", ["/bytes", "/later", "/file", "/tuple", "/stream", "/app", "/app/pieces"])
async def test_a_second_brings_a_seconds_worth(serving: Any, file: Any, kind: str) -> None:
    async with serving(handlers=handlers(file)) as edge:
        sizes, client = await by_the_second(edge, kind)
        assert body_of(client) == BODY
        assert sizes == [1000, 2000, 3000, 4000, 5000, len(client.received)]
        await edge.settle()
        client.received = b""
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer()).status == 404, "the connection goes on"


@pytest.mark.parametrize("off", [-1, 0, 1])
async def test_what_the_first_second_holds_leaves_at_once(serving: Any, off: int) -> None:
    rate = [0]

    def handle(exchange: Exchange) -> Any:
        answer = Response(200, (), BODY)
        return paced(lambda exchange: answer, rate[0])(exchange) if rate[0] else answer

    async with serving(handlers={"/": handle}) as edge:
        (whole,), _ = await by_the_second(edge, "/")
        rate[0] = whole + off
        sizes, _ = await by_the_second(edge, "/")
        assert sizes == ([whole] if off >= 0 else [whole - 1, whole])


async def test_a_chunked_answer_of_an_application(serving: Any) -> None:
    async with serving(handlers={"/chunked": paced(Wsgi(app))}) as edge:
        client = await edge.connect()
        await client.send(b"GET /chunked HTTP/1.1\r\nHost: a\r\n\r\n")
        await edge.settle()
        first = await arrived(client)
        assert first <= 1100
        for _ in range(6):
            await edge.advance(1)
            await arrived(client)
        assert (await client.answer()).body == BODY


async def test_head_and_small_answers_are_not_held_back(serving: Any) -> None:
    async with serving(handlers={"/": paced(lambda exchange: Response(200, (), b"hello"))}) as edge:
        await edge.talk("""
            >> HEAD / HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 200 OK
            << Server: edgestack
            << Content-Length: 5
            << {end}
            >> GET / HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 200 OK
            << Server: edgestack
            << Content-Length: 5
            << {end}
            <| hello
        """)


async def test_a_client_that_leaves_a_paced_answer(serving: Any) -> None:
    async with serving(handlers={"/": paced(lambda exchange: Response(200, (), BODY))}) as edge:
        client = await edge.connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await edge.settle()
        assert await arrived(client) == 1000
        await client.reset()
        for _ in range(6):
            await edge.advance(1)
        assert edge.stack.statistics()["connections"] == 0


async def test_a_send_gap_of_its_own(serving: Any, driver: str) -> None:
    """The route's 5 s in place of the server's 60 for a client that takes nothing."""
    if driver == "portable":
        pytest.skip("memory streams take everything")
    check = route_timeouts(RouteTimeouts(send_gap=5.0))
    assert check is not None

    def handle(exchange: Exchange) -> Response:
        check(exchange)
        return Response(200, (), b"x" * 8_000_000)

    async with serving(handlers={"/": handle}, send_buffer=4096) as edge:
        client = await edge.connect(receive_buffer=4096)
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await edge.settle()
        await edge.advance(4)
        assert edge.stack.statistics()["connections"] == 1
        await edge.advance(2)
        await edge.advance(4)  # a busy kernel moves the last bytes between two buffers later, and the gap begins anew
        assert edge.stack.statistics()["connections"] == 0


async def test_a_body_gap_of_its_own(serving: Any) -> None:
    """The route's 5 s in place of the server's 60 for a client that stops in the midst of its body."""
    check = route_timeouts(RouteTimeouts(body_gap=5.0))
    assert check is not None
    content = Wsgi(app)

    def handle(exchange: Exchange) -> Any:
        check(exchange)
        return content(exchange)

    async with serving(handlers={"/": handle}) as edge:
        await edge.talk("""
            >> POST / HTTP/1.1
            >> Host: a
            >> Content-Length: 10
            >>
            >| 12345
            == 4
            <-
            == 2
            <~ 408
        """)


def test_timeouts_that_are_the_servers_need_no_link() -> None:
    assert route_timeouts(RouteTimeouts()) is None
    assert bandwidth([Limit(connections=1)]) is None
