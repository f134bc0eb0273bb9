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
from edgestack.testing import Edge
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


async def works(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Works in its loop, and on a thread beside it; then answers in pieces, with work between them."""
    if scope["type"] == "lifespan":
        return
    for piece in range(3):
        for _ in range(20):
            await asyncio.sleep(0)
        await asyncio.get_running_loop().run_in_executor(None, sum, range(300_000))
        if not piece:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % piece, "more_body": piece < 2})


async def test_a_clock_that_jumps_stands_still_while_asyncio_works(autojump_clock: MockClock) -> None:
    async with Edge(app=works, memory=True, asgi_loop="asyncio") as site:
        began = trio.current_time()
        for _ in range(5):
            answer = await site.get("/")
            assert (answer.status, answer.body) == (200, b"012")
        assert trio.current_time() - began < 1


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
