"""A WSGI application on another library's server answers by the rules that hold at the edge (PEP 3333; criteria F).

    answered(application, environ, exchange, start_response)      calls it: `content/wsgi.py` has the rules
      └ Replies                                                   an Outlet: the server's start_response, its write()

What these libraries do with an application that breaks a rule differs: one hangs, one withholds what is short, one
refuses a HEAD. So none of them is shown it: heads are checked, bodies measured, what has no body gets none, failures
are logged under the request's id and answered with the edge's own page (`failing.py`), and on green threads so is what
takes too long (`bounded.py`). Pieces leave as they come. Blocking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from edgestack.content.app_streams import ErrorStream
from edgestack.content.response_writer import ResponseWriter
from edgestack.content.wsgi import Wsgi, WsgiCall
from edgestack.errors import Disconnected
from edgestack.hosting.bounded import Bound, Limit
from edgestack.hosting.failing import FailurePages
from edgestack.http.bodies import FileSegment
from edgestack.http.messages import Exchange, Response
from edgestack.http.pages import reason

__all__ = ["Broken", "Pages", "answered"]

PIECE = 1 << 18
"""Bytes of a file that are read at a time: as much as a turn of the edge sends by TLS."""

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class Broken(ConnectionAbortedError):
    """The answer cannot be completed: the server is to close the connection, so that the edge sees the truncation."""


class Pages(NamedTuple):
    """The end of a chain of routes, as a call of an application asks for it."""

    errors: FailurePages
    on_threads: tuple[()] = ()
    recover: None = None


def answered(
    application: Callable[..., Iterable[bytes]],
    environ: Environ,
    exchange: Exchange,
    start_response: StartResponse,
    bound: Bound,
) -> None:
    """Call the application, and give its answer to the server.

    :param exchange: with `Pages` as its chain.
    :param bound: of how long it may take to begin.
    :raises Broken: the answer is not whole.
    """
    limit = bound.begin(environ)
    replies = Replies(start_response, limit, bare=exchange.request.method == "HEAD")
    try:
        _Call(exchange, Wsgi(application, dev=exchange.chain.errors.dev), environ, limit).run(replies)
    finally:
        limit.cancel()
    if replies.why is not None:
        raise Broken(replies.why)


class _Call(WsgiCall):
    """A call with an environ that another server has made."""

    __slots__ = ("_environ", "_limit")

    def __init__(self, exchange: Exchange, wsgi: Wsgi, environ: Environ, limit: Limit) -> None:
        super().__init__(exchange, wsgi, None)
        self._environ = environ
        self._limit = limit

    def environ(self, errors: ErrorStream) -> Environ:
        """See `WsgiCall`."""
        self._environ["wsgi.errors"] = errors
        return self._environ

    def _failed(self, error: BaseException, writer: ResponseWriter, errors: ErrorStream) -> None:
        """See `WsgiCall`."""
        self._limit.cancel()
        super()._failed(self._limit.named(error), writer, errors)


class Replies:
    """An Outlet that writes to another library's server."""

    def __init__(self, start_response: StartResponse, limit: Limit, *, bare: bool) -> None:
        """
        :param limit: until the answer begins.
        :param bare: nothing but heads: HEAD was asked.
        """
        self.begun = False
        self.why: str | None = None
        """What the answer was broken off for."""
        self._start_response = start_response
        self._limit = limit
        self._bare = bare
        self._response: Response | None = None
        self._write: Callable[[bytes], Any] = _nothing

    def head(self, response: Response) -> None:
        """See `Outlet`."""
        self._response = response

    def piece(self, data: bytes) -> None:
        """See `Outlet`."""
        if data:
            self._put(data)

    def file(self, segment: FileSegment) -> None:
        """See `Outlet`."""
        done = 0
        while data := segment.read(done, PIECE):
            done += len(data)
            self.piece(bytes(data))

    def whole(self, response: Response, data: bytes) -> None:
        """See `Outlet`."""
        self.head(response)
        if not self._bare:
            self.piece(data)
        self.finish()

    def finish(self) -> None:
        """See `Outlet`."""
        body = self._response.body if self._response is not None and not self.begun else b""
        if isinstance(body, bytes) and not self._bare:
            self.piece(body)
        self._put(b"")  # the head leaves, if it has not; and where pieces were written, eventlet's last chunk

    def broken(self, why: str = "") -> None:
        """See `Outlet`."""
        self.why = why

    def left(self) -> bool:
        """See `Outlet`: it is seen when something is written."""
        return False

    def _put(self, data: bytes) -> None:
        """:raises Disconnected: the edge has left."""
        if not self.begun:
            self._begin()
        try:
            self._write(data)
        except OSError as error:
            raise Disconnected from error

    def _begin(self) -> None:
        response = self._response
        assert response is not None
        self.begun = True
        self._limit.cancel()
        fields = list(response.fields)
        if response.length is not None and response.status != 204:
            fields.append(("Content-Length", str(response.length)))
        self._write = self._start_response(f"{response.status} {response.reason or reason(response.status)}", fields)


def _nothing(data: bytes) -> None:
    """No head, no body."""
