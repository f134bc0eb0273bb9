"""A Starlette application as its users write one: routes, a lifespan, a sync endpoint on a thread, a WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sniffio
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

DONE: list[str] = []


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
    yield {"greeting": "hello"}
    print("the lifespan has ended", flush=True)  # noqa: T201 - a test waits for it


@asynccontextmanager
async def on_asyncio(app: Starlette) -> AsyncIterator[dict[str, str]]:
    """What a pool of connections of asyncio's does at its start."""
    asyncio.get_running_loop()
    yield {"greeting": "hello from asyncio"}


@asynccontextmanager
async def broken(app: Starlette) -> AsyncIterator[None]:
    raise LookupError("the database is not there")
    yield


async def home(request: Request) -> Response:
    return PlainTextResponse(f"{request.state.greeting} {sniffio.current_async_library()} {request.url.path}")


def on_a_thread(request: Request) -> Response:
    return PlainTextResponse("from a thread")


async def form(request: Request) -> Response:
    return JSONResponse(await request.json(), background=BackgroundTask(DONE.append, "after the answer"))


async def done(request: Request) -> Response:
    return JSONResponse(DONE)


async def numbers(request: Request) -> Response:
    async def pieces() -> AsyncIterator[str]:
        for number in range(1000):
            yield f"{number}\n"

    return StreamingResponse(pieces(), media_type="text/plain")


async def needs_asyncio(request: Request) -> Response:
    await asyncio.sleep(0)
    asyncio.get_running_loop()
    return PlainTextResponse("asyncio")


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def denied(websocket: WebSocket) -> None:
    await websocket.send_denial_response(PlainTextResponse("not you", 401))


ROUTES = [
    Route("/", home),
    Route("/thread", on_a_thread),
    Route("/form", form, methods=["POST"]),
    Route("/done", done),
    Route("/numbers", numbers),
    Route("/asyncio", needs_asyncio),
    WebSocketRoute("/ws", echo),
    WebSocketRoute("/denied", denied),
    Mount("/inner", routes=[Route("/page", home)]),
]
app = Starlette(routes=ROUTES, lifespan=lifespan)
insisting = Starlette(routes=ROUTES, lifespan=on_asyncio)
failing = Starlette(routes=ROUTES, lifespan=broken)
