"""An application whose answers a test writes, and which counts what it is asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

PATIENCE = 20.0


class App:
    """A WSGI application."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.status = "200 OK"
        self.fields: list[tuple[str, str]] = []
        self.pieces: list[bytes] = []
        self.gate = threading.Event()
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
        if self.fails:
            raise RuntimeError("it fails")
        etag = next((value for name, value in self.fields if name == "ETag"), None)
        if etag is not None and environ.get("HTTP_IF_NONE_MATCH") == etag:
            start_response("304 Not Modified", [pair for pair in self.fields if pair[0] != "Content-Type"])
            return []
        typed = any(name == "Content-Type" for name, _ in self.fields)
        start_response(self.status, [*self.fields, *([] if typed else [("Content-Type", "text/plain")])])
        return self.pieces or [f"{environ['PATH_INFO']} {number}".encode()]


app = App()
