"""Stand-ins for what surrounds a WSGI application, for tests: an Outlet that remembers, a body, a chain, and `call`.

    told = call(application, get("/x"))     told.status, told.fields, told.body, told.log

Nothing here shares code with what it judges: the outlet checks the rules of the protocol's docstring by itself.
"""

from __future__ import annotations

import io
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable
from typing import IO, Any

from edgestack.content.wsgi import Wsgi
from edgestack.errors import Disconnected, EdgeError
from edgestack.http.bodies import FileSegment
from edgestack.http.facts import Facts
from edgestack.http.messages import AppCall, Exchange, Request, Response
from edgestack.http.target import ASTERISK, read_path

LOOPBACK = Facts("127.0.0.1", 50000, "127.0.0.1", 8443, "https")


class FakeOutlet:
    """An Outlet that keeps what it is told, and insists on the order of calls.

    :param leaves_after: bytes after which the client is gone: the next piece raises Disconnected.
    """

    def __init__(self, leaves_after: int | None = None) -> None:
        self.response: Response | None = None
        self.pieces: list[bytes] = []
        self.files: list[tuple[int, int]] = []
        self.end = ""
        self.leaves_after = leaves_after
        self.calls: list[str] = []
        self.threads: set[int] = set()

    def _note(self, call: str) -> None:
        assert not self.end, f"{call} after {self.end}"
        self.calls.append(call)
        self.threads.add(threading.get_ident())

    @property
    def begun(self) -> bool:
        return bool(self.pieces or self.files)

    @property
    def body(self) -> bytes:
        assert self.response is not None
        first = self.response.body if isinstance(self.response.body, bytes) else b""
        return first + b"".join(self.pieces)

    def head(self, response: Response) -> None:
        self._note("head")
        assert not self.begun, "the head was replaced after bytes left"
        self.response = response

    def piece(self, data: bytes) -> None:
        self._note("piece")
        assert self.response is not None, "a piece before the head"
        assert type(data) is bytes
        if self.leaves_after is not None and len(self.body) >= self.leaves_after:
            raise Disconnected
        if data:
            self.pieces.append(data)

    def file(self, segment: FileSegment) -> None:
        self._note("file")
        assert self.response is not None, "a file before the head"
        self.files.append((segment.offset, segment.length))
        self.pieces.append(os.pread(segment.fd, segment.length, segment.offset))

    def whole(self, response: Response, data: bytes) -> None:
        assert data
        self.head(response)
        self.piece(data)
        self.finish()

    def finish(self) -> None:
        self._note("finish")
        assert self.response is not None, "an end without a head"
        self.end = "finish"

    def broken(self, why: str = "") -> None:
        self._note("broken")
        self.end = "broken"

    def left(self) -> bool:
        return self.leaves_after is not None and len(self.body) >= self.leaves_after


class FakeBody:
    """A request body that is here, or will be.

    :param here: whether `spooled_nowait` finds it.
    :param announced: Content-Length; None for a chunked body.
    """

    def __init__(self, data: bytes, here: bool = True, announced: bool = True) -> None:
        self.data = data
        self.here = here
        self.length = len(data) if announced else None
        self.asked: list[str] = []
        self.file: IO[bytes] = io.BytesIO(data)

    def spooled_nowait(self, limit: int) -> IO[bytes] | None:
        self.asked.append("nowait")
        return self.file if self.here else None

    async def spooled(self, limit: int) -> IO[bytes]:
        self.asked.append("wait")
        return self.file

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.data


class FakeChain:
    """Error pages that say the status and what a stranger may know, and filters."""

    def __init__(self, *filters: Callable[[Exchange, Response], Response]) -> None:
        self.filters = filters
        self.recover = None
        self.shown: list[EdgeError] = []

    @property
    def on_threads(self) -> tuple[Callable[[Exchange, Response], Response], ...]:
        return self.filters

    def errors(self, exchange: Exchange, error: EdgeError) -> Response:
        self.shown.append(error)
        text = f"{error.status} {error.public}\n{error.traceback_text}"
        return Response(error.status, (("Content-Type", "text/plain"), *error.fields), text.encode())


def get(target: str = "/", method: str = "GET", **more: Any) -> Exchange:
    """An exchange as the wire would make it.

    :param more: `fields` (dict, names in lower case), `body` (FakeBody or bytes), `facts`, `version`, `host`, `chain`.
    """
    raw, _, query = target.partition("?")
    if raw.startswith("http://"):
        raw = "/" + raw.removeprefix("http://").partition("/")[2]
    fields = {"host": "example.org", **more.get("fields", {})}
    body = more.get("body")
    if isinstance(body, bytes):
        body = FakeBody(body)
    if body is not None and body.length is not None:
        fields["content-length"] = str(body.length)
    path = ASTERISK if raw == "*" else read_path(raw)
    version = more.get("version", "HTTP/1.1")
    request = Request(
        method, target, version, list(fields.items()), fields, path, query, more.get("host", fields["host"]), True
    )
    request.body = body
    exchange = Exchange(more.get("facts", LOOPBACK), request, 7, 0.0)
    exchange.chain = more.get("chain") or FakeChain()
    return exchange


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Told:
    """What a client, and the log, were told."""

    def __init__(self, outlet: FakeOutlet, exchange: Exchange, log: str) -> None:
        self.outlet = outlet
        self.exchange = exchange
        self.log = log
        self.end = outlet.end
        self.body = outlet.body if outlet.response is not None else b""
        response = outlet.response or Response(0, (), ())
        self.status = response.status
        self.reason = response.reason
        self.length = response.length
        self.pairs = response.fields
        self.fields = {name.lower(): value for name, value in response.fields}
        self.shown: list[EdgeError] = exchange.chain.shown


def call(
    application: Callable[..., Any],
    exchange: Exchange | None = None,
    *,
    outlet: FakeOutlet | None = None,
    prefix: str = "",
    **options: Any,
) -> Told:
    """Call an application whose request body, if any, is here already, and tell what came of it."""
    exchange = exchange or get()
    outlet = outlet or FakeOutlet()
    answer = Wsgi(application, prefix, **options)(exchange)
    assert isinstance(answer, AppCall)
    lines, logger = _Lines(), logging.getLogger("edgestack.error")
    before, logger.propagate = logger.propagate, False
    logger.addHandler(lines)
    try:
        answer.run(outlet)
    finally:
        logger.removeHandler(lines)
        logger.propagate = before
    assert outlet.end, "neither finished nor broken"
    return Told(outlet, exchange, "\n".join(lines.lines))
