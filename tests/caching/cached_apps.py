"""An application whose answers a test writes, and which counts what it is asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import trio.testing
from as_asgi import AsAsgi

PATIENCE = 20.0


class Gate(threading.Event):
    """For tasks of trio's, too: it is opened on their loop."""

    def __init__(self) -> None:
        super().__init__()
        self._tasks: list[trio.Event] = []

    def set(self) -> None:
        super().set()
        while self._tasks:
            self._tasks.pop().set()

    async def opened(self) -> None:
        if not self.is_set():
            self._tasks.append(trio.Event())
            await self._tasks[-1].wait()


class App:
    """A WSGI application."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.status = "200 OK"
        self.fields: list[tuple[str, str]] = []
        self.pieces: list[bytes] = []
        self.gate = Gate()
        self.gate.set()
        self.fails = False
        self.instead: Callable[..., Iterable[bytes]] | None = None
        """Another application that answers."""

    def reset(self) -> None:
        self.__init__()  # type: ignore[misc]

    def says(self, *fields: str, status: str = "200 OK", pieces: Iterable[bytes] = ()) -> None:
        self.status = status
        self.fields = [(name, value) for name, _, value in (field.partition(": ") for field in fields)]
        self.pieces = list(pieces)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.asked.append(environ)
        if self.instead is not None:
            return self.instead(environ, start_response)
        number = len(self.asked)
        assert self.gate.wait(PATIENCE)
        return self.answers(number, environ, start_response)

    def answers(self, number: int, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self.fails:
            raise RuntimeError("it fails")
        etag = next((value for name, value in self.fields if name == "ETag"), None)
        if etag is not None and environ.get("HTTP_IF_NONE_MATCH") == etag:
            start_response("304 Not Modified", [pair for pair in self.fields if pair[0] != "Content-Type"])
            return []
        typed = any(name == "Content-Type" for name, _ in self.fields)
        start_response(self.status, [*self.fields, *([] if typed else [("Content-Type", "text/plain")])])
        return self.pieces or [f"{environ['PATH_INFO']} {number}".encode()]


class AsgiApp(AsAsgi):
    """The same as an ASGI application."""

    async def called(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        app.asked.append(environ)
        if app.instead is not None:
            return app.instead(environ, start_response)
        number = len(app.asked)
        await app.gate.opened()
        return app.answers(number, environ, start_response)


class Halves:
    """An ASGI application whose answers come in two halves, the second of the first one when the test says so.

    On trio's loop.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.half = trio.Event()
        self.goes_on = trio.Event()
        self.fails = False
        self.told: list[str] = []
        self.first: Callable[[], None] = lambda: None
        """Called before it begins to answer."""

    def reset(self) -> None:
        self.__init__()  # type: ignore[misc]

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError("it has none")
        self.asked.append(scope)
        number = len(self.asked)
        headers = [(b"content-type", b"text/plain"), (b"cache-control", b"max-age=60"), (b"etag", b'"v1"')]
        self.first()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"one %d " % number, "more_body": True})
        self.half.set()
        await trio.testing.wait_all_tasks_blocked()  # it has left
        if number == 1:
            await self.goes_on.wait()
        if self.fails and number == 1:
            raise RuntimeError("it fails")
        try:
            await send({"type": "http.response.body", "body": b"two", "more_body": True})
            await send({"type": "http.response.body"})
        except OSError:
            self.told.append("the client has left")


app = App()
asgi = AsgiApp(app)
halves = Halves()
