"""A WSGI application as an ASGI one, so that the same tables judge both: each of its pieces leaves by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

import trio

__all__ = ["AsAsgi", "at_once", "on_a_thread"]

Run: TypeAlias = "Callable[..., Awaitable[Any]]"


async def on_a_thread(function: Callable[..., Any], *of: Any) -> Any:
    """What the function gives, which may wait; on the loop that runs."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return await trio.to_thread.run_sync(function, *of, abandon_on_cancel=True)
    return await asyncio.to_thread(function, *of)


async def at_once(function: Callable[..., Any], *of: Any) -> Any:
    """The same, for one that does not wait; others have their turn first. On trio's loop."""
    await trio.lowlevel.checkpoint()
    return function(*of)


class AsAsgi:
    """See the top of this file."""

    def __init__(self, application: Callable[..., Iterable[bytes]], run: Run = on_a_thread) -> None:
        self._application = application
        self._run = run

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError("it has none")
        while (await receive()).get("more_body"):
            pass
        head: dict[str, Any] = {}

        def start_response(status: str, fields: list[tuple[str, str]]) -> None:
            headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
            head.update(type="http.response.start", status=int(status[:3]), headers=headers)

        body = await self._run(self._application, environ_of(scope), start_response)
        try:
            pieces = iter(body)
            piece = await self._run(next, pieces, None)
            await send(head)
            while piece is not None:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                piece = await self._run(next, pieces, None)
            await send({"type": "http.response.body"})
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()


def environ_of(scope: dict[str, Any]) -> dict[str, Any]:
    """As much of it as the applications here look at."""
    found = {
        "REQUEST_METHOD": scope["method"],
        "PATH_INFO": scope["path"],
        "QUERY_STRING": scope["query_string"].decode(),
    }
    for name, value in scope["headers"]:
        found["HTTP_" + name.decode().upper().replace("-", "_")] = value.decode("latin-1")
    return found
