"""A WSGI application as an ASGI one, so that the same tables judge both: each of its pieces leaves by itself.

No thread is in it: on trio's loop, what a test waits for comes in the loop's own time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import trio

__all__ = ["AsAsgi"]


class AsAsgi:
    """See the top of this file."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        """:param application: waits for nobody."""
        self._application = application

    async def called(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """What it answers."""
        return self._application(environ, start_response)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError("it has none")
        while (await receive()).get("more_body"):
            pass
        head: dict[str, Any] = {}

        def start_response(status: str, fields: list[tuple[str, str]]) -> None:
            headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
            head.update(type="http.response.start", status=int(status[:3]), headers=headers)

        body = await self.called(environ_of(scope), start_response)
        begun = False
        try:
            for piece in body:
                if not begun:
                    await send(head)
                begun = True
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                await turn()
            if not begun:
                await send(head)
            await send({"type": "http.response.body"})
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()


async def turn() -> None:
    """Whoever takes the piece has his turn; an application on asyncio's loop has waited for that already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        await trio.lowlevel.checkpoint()


def environ_of(scope: dict[str, Any]) -> dict[str, Any]:
    """As much of it as the applications here look at."""
    query = scope["query_string"].decode("latin-1")
    found = {"REQUEST_METHOD": scope["method"], "PATH_INFO": scope["path"], "QUERY_STRING": query}
    for name, value in scope["headers"]:
        found["HTTP_" + name.decode().upper().replace("-", "_")] = value.decode("latin-1")
    return found
