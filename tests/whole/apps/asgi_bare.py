"""A bare ASGI application that does everything the protocol has: for the tests of the whole, on either loop."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SEEN: list[str] = []
"""What became of earlier requests: who asks for /seen is told."""


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await live(scope, receive, send)
    elif scope["type"] == "websocket":
        await talk(scope, receive, send)
    else:
        await PAGES[scope["path"].removeprefix(scope["root_path"]).split("/")[1]](scope, receive, send)


async def live(scope: Message, receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "lifespan.startup"
    scope["state"]["begun"] = "begun"
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    print("the lifespan has ended", flush=True)  # noqa: T201 - a test waits for it
    await send({"type": "lifespan.shutdown.complete"})


async def answer(send: Send, body: bytes, status: int = 200, *fields: tuple[bytes, bytes]) -> None:
    await send(
        {"type": "http.response.start", "status": status, "headers": [(b"Content-Type", b"text/plain"), *fields]}
    )
    await send({"type": "http.response.body", "body": body})


async def show(scope: Message, receive: Receive, send: Send) -> None:
    """What the scope says."""
    told = {name: value for name, value in scope.items() if isinstance(value, str | list | tuple | dict | None)}
    told |= {name: value.decode("latin-1") for name, value in scope.items() if isinstance(value, bytes)}
    told["headers"] = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
    await answer(send, json.dumps(told).encode())


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    """Each piece of the body as it comes."""
    await send({"type": "http.response.start", "status": 200})
    more = True
    while more:
        message = await receive()
        more = message["more_body"]
        await send({"type": "http.response.body", "body": message["body"], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def impatient(scope: Message, receive: Receive, send: Send) -> None:
    """Gives up each second time that it asks, as who only looks whether the client is there; nothing may be lost."""
    body, more, asked = b"", True, 0
    while more:
        asked += 1
        message: Message = {}
        with anyio.CancelScope() as scope_of_asking:
            if asked % 2:
                scope_of_asking.cancel()
            message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", True)
    await answer(send, hashlib.sha256(body).hexdigest().encode())


async def large(scope: Message, receive: Receive, send: Send) -> None:
    """Ten MiB in pieces of 64 KiB."""
    await send({"type": "http.response.start", "status": 200})
    for _ in range(160):
        await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
    await send({"type": "http.response.body"})


async def endless(scope: Message, receive: Receive, send: Send) -> None:
    """A stream that ends when the client has left."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
    while (message := await receive())["type"] != "http.disconnect":
        pass
    try:
        await send({"type": "http.response.body", "body": b"data: 2\n\n", "more_body": True})
    except OSError as error:
        SEEN.append(f"{message['type']} {type(error).__name__}")


async def seen(scope: Message, receive: Receive, send: Send) -> None:
    await answer(send, " ".join(SEEN).encode())


async def fail(scope: Message, receive: Receive, send: Send) -> None:
    raise ValueError("as it was asked to")


async def half(scope: Message, receive: Receive, send: Send) -> None:
    """More than waits for a client: when `send` returns, some of it has left."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"200000")]})
    await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
    raise ValueError("in the middle")


async def silent(scope: Message, receive: Receive, send: Send) -> None:
    """Returns without a word."""


async def never(scope: Message, receive: Receive, send: Send) -> None:
    """No answer; what becomes of it is told to who asks for /seen."""
    try:
        await anyio.sleep_forever()
    finally:
        SEEN.append("given up")


async def block(scope: Message, receive: Receive, send: Send) -> None:
    """Its loop stands still, for as long as nothing comes through a pipe."""
    os.read(os.pipe()[0], 1)


PAGES = {
    "show": show, "echo": echo, "large": large, "endless": endless, "seen": seen, "fail": fail, "half": half,
    "silent": silent, "impatient": impatient, "never": never, "block": block,
}  # fmt: skip


async def talk(scope: Message, receive: Receive, send: Send) -> None:
    """Echo, until told to stop."""
    assert (await receive())["type"] == "websocket.connect"
    if scope["path"] == "/refuse":
        await send({"type": "websocket.close"})
        return
    offered = scope["subprotocols"]
    await send({"type": "websocket.accept", "subprotocol": offered[-1] if offered else None})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "close":
            await send({"type": "websocket.close", "code": 4001, "reason": "as asked"})
        elif message.get("text") == "chorus":
            async with anyio.create_task_group() as tasks:
                for at in range(40):
                    tasks.start_soon(send, {"type": "websocket.send", "text": f"{at} " * (at * 500 + 30)})
        elif message.get("text") == "raise":
            raise ValueError("within a talk")
        else:
            await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})
    SEEN.append(f"{message['type']} {message['code']}")
