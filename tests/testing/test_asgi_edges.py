"""ASGI applications in test edges: they begin before the first request, end with the edge, and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from edgestack.asgi import application as application_module
from edgestack.testing import AsyncSite, Edge
from edgestack.testing.fixtures import AsyncEdges


class Lived:
    """An application with a lifespan, which notes what happens to it."""

    def __init__(self, library: Any, *, hangs: bool = False) -> None:
        """:param library: whose sleep it uses; asyncio's works on asyncio's loop alone."""
        self.notes: list[str] = []
        self.library = library
        self.hangs = hangs

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        await self.library.sleep(0)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"hello"})

    async def live(self, receive: Any, send: Any) -> None:
        await self.library.sleep(0)
        for word in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{word}"
            if word == "shutdown" and self.hangs:
                try:
                    await self.library.sleep(3600)
                finally:
                    self.notes.append("cancelled")
            self.notes.append(word)
            await send({"type": f"lifespan.{word}.complete"})


LIBRARIES = pytest.mark.parametrize("library", [trio, asyncio], ids=["trio", "asyncio"])


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "asgi"]


@LIBRARIES
def test_it_ends_with_the_block(library: Any) -> None:
    app = Lived(library)
    with Edge(app=app) as site:
        assert site.get("/").body == b"hello"
        assert app.notes == ["startup"]
    assert app.notes == ["startup", "shutdown"]
    assert threads() == []


@LIBRARIES
async def test_it_ends_with_the_block_of_a_task(library: Any) -> None:
    app = Lived(library)
    async with Edge(app=app) as site:
        assert (await site.get("/")).body == b"hello"
    assert app.notes == ["startup", "shutdown"]
    assert threads() == []


@LIBRARIES
@pytest.mark.parametrize("jumps", [True, False], ids=["autojump", "held"])
async def test_it_ends_in_memory(library: Any, jumps: bool, mock_clock: MockClock) -> None:
    """Whatever the clock of the test does: a thread of asyncio's lives in the machine's time."""
    if jumps:
        mock_clock.autojump_threshold = 0
    app = Lived(library)
    async with Edge(app=app, memory=True) as site:
        assert (await site.get("/")).body == b"hello"
    assert app.notes == ["startup", "shutdown"]
    assert threads() == []


@LIBRARIES
@pytest.mark.parametrize("jumps", [True, False], ids=["autojump", "held"])
async def test_one_that_will_not_end(
    library: Any, jumps: bool, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """It is told of, cancelled, and waited for no longer."""
    monkeypatch.setattr(application_module, "GOODBYE", 0.05)
    if jumps:
        mock_clock.autojump_threshold = 0
    app = Lived(library, hangs=True)
    async with Edge(app=app, memory=True):
        pass
    assert app.notes == ["startup", "cancelled"]
    assert "did not end its lifespan within 0.05 s" in caplog.text
    assert threads() == []


@LIBRARIES
def test_fixtures_end_it(library: Any, edge: Any) -> None:
    """The guard of threads finds nothing at the end of this test."""
    site = edge(app=Lived(library))
    assert site.get("/").body == b"hello"


@LIBRARIES
async def test_asynchronous_fixtures_end_it(library: Any, edge_trio: AsyncEdges) -> None:
    site = await edge_trio(app=Lived(library))
    assert (await site.get("/")).body == b"hello"


def test_starlette_cleans_up() -> None:
    """Its lifespan is a context manager, whose end is the end of the edge."""
    applications = pytest.importorskip("starlette.applications")
    responses, routing = pytest.importorskip("starlette.responses"), pytest.importorskip("starlette.routing")
    notes = []

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        await asyncio.sleep(0)
        notes.append("open")
        yield
        await asyncio.sleep(0)
        notes.append("closed")

    async def hello(request: Any) -> Any:
        return responses.PlainTextResponse("hello")

    with Edge(app=applications.Starlette(routes=[routing.Route("/", hello)], lifespan=lifespan)) as site:
        assert site.get("/").text == "hello"
        assert notes == ["open"]
    assert notes == ["open", "closed"]


# --- the clock of a test ----------------------------------------------------------------------------------------------


def computes() -> int:
    """Some hundredths of a second of real time, in which every task of trio's waits."""
    return sum(range(1_000_000))


async def answers(send: Any, body: bytes = b"done") -> None:
    await asyncio.sleep(0)  # asyncio's works on asyncio's loop alone
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": body})


async def on_asyncio(edge_memory: AsyncEdges, app: Any) -> AsyncSite:
    async def http(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http", "no lifespan"
        await app(scope, receive, send)

    return await edge_memory(app=http, asgi_loop="asyncio")


async def test_asyncio_holds_the_clock(edge_memory: AsyncEdges, autojump_clock: MockClock) -> None:
    """What computes, or waits for something real, is not overtaken by a clock that jumps by itself."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        computes()
        await asyncio.get_running_loop().run_in_executor(None, computes)
        await answers(send)

    site = await on_asyncio(edge_memory, app)
    with trio.move_on_after(60) as scope:
        assert (await site.get("/")).text == "done"
    assert not scope.cancelled_caught
    assert trio.current_time() < 1


async def test_looking_out_for_a_client_that_leaves(edge_memory: AsyncEdges, autojump_clock: MockClock) -> None:
    """Frameworks do so in a task of its own, while another one works: the clock is held for the work."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        looks_out = asyncio.create_task(receive())
        await asyncio.sleep(0)
        await asyncio.get_running_loop().run_in_executor(None, computes)
        await answers(send)
        looks_out.cancel()

    site = await on_asyncio(edge_memory, app)
    with trio.move_on_after(60) as scope:
        assert (await site.get("/")).text == "done"
    assert not scope.cancelled_caught
    assert trio.current_time() < 1


async def test_what_it_waits_for_may_take_its_time(edge_memory: AsyncEdges, autojump_clock: MockClock) -> None:
    """A body that comes slowly comes in the time of the test: the clock is not held meanwhile, or it never came."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        await answers(send, body)

    site = await on_asyncio(edge_memory, app)
    connection = await site.connect()
    await connection.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n")
    for byte in (b"a", b"b", b"c"):
        await trio.sleep(1)
        await connection.send(byte)
    assert (await connection.receive()).endswith(b"abc")
    assert 3 <= trio.current_time() < 4


async def test_a_call_that_is_cancelled_before_it_begins(autojump_clock: MockClock) -> None:
    """It ends all the same: who waits for it is told, and the clock is let go."""
    from edgestack.asgi.asyncio_loop import AsyncioLoop

    async def unused(*_: Any) -> Any:
        raise AssertionError("it has not begun")

    came: list[BaseException | None] = []
    told = trio.Event()

    def ended(error: BaseException | None) -> None:
        came.append(error)
        told.set()

    async with trio.open_nursery() as nursery:
        loop = AsyncioLoop(nursery, "asgi")
        reached, goes_on = threading.Event(), threading.Event()

        def waits() -> None:
            reached.set()
            goes_on.wait(5)

        loop._loop.call_soon_threadsafe(waits)
        reached.wait(5)
        loop.cancel(loop.begin(unused, {"type": "http"}, unused, unused, ended))
        goes_on.set()
        with trio.fail_after(5):
            await told.wait()
        await loop.close()
    assert [type(one) for one in came] == [TimeoutError]
    await trio.sleep(100)
    assert trio.current_time() >= 100


async def test_a_clock_that_jumps_goes_on_while_asyncio_waits_for_the_client(autojump_clock: MockClock) -> None:
    """Half of a body has come, and the rest never does."""
    heard: list[str] = []

    async def hears(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        while scope["type"] == "http":
            message = await receive()
            heard.append(message["type"])
            if message["type"] == "http.disconnect":
                return

    async with Edge(app=hears, memory=True, asgi_loop="asyncio", timeout=600) as site:
        client = await site.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab")
        assert b" 408 " in await client.receive()
        assert trio.current_time() > 20
    assert heard[-1] == "http.disconnect"
