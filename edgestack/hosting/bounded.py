"""A WSGI application on green threads, whose every call must begin its answer in time or is ended where it is.

    Restored(bounded(application, order, begin))(environ, start_response)

`begin(seconds)` is the library's own timeout, which is raised in the green thread that began it: that of gevent, and
that of eventlet, is no `Exception`, so that an application which catches those does not swallow it. By then the edge
has answered 504; what is said here goes to nobody. An answer has begun with its first piece that is not empty, and is
never cut, as in the edge's own process. Code that never waits cannot be ended this way: the edge listens to signs of
life.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from edgestack.hosting.order import Order

__all__ = ["bounded"]

STATUS = "504 Gateway Timeout"

log = logging.getLogger("edgestack.error")


class Timer(Protocol):
    """What both libraries' timeouts are, beside exceptions."""

    def cancel(self) -> None:
        """It is not to be raised any more."""


def bounded(
    application: Callable[..., Iterable[bytes]], order: Order, begin: Callable[[float], Timer]
) -> Callable[..., Iterable[bytes]]:
    """The application within the time that the order gives it; as it is where that is for ever.

    :param begin: starts a timer, which is raised in the green thread that calls this.
    """
    return Bounded(application, order.patience, begin) if order.timeout else application


class Bounded:
    """See the top of this file."""

    def __init__(
        self, application: Callable[..., Iterable[bytes]], seconds: float, begin: Callable[[float], Timer]
    ) -> None:
        """:param seconds: until the answer must have begun."""
        self._application = application
        self._seconds = seconds
        self._begin = begin

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """What the application answers."""
        timer = self._begin(self._seconds)
        own: object = timer

        def started(*said: Any, **more: Any) -> Callable[[bytes], Any]:
            write = start_response(*said, **more)

            def written(data: bytes) -> Any:
                timer.cancel()
                return write(data)

            return written

        def given_up(error: BaseException) -> bytes:
            timer.cancel()
            if error is not own:
                raise error
            _tell(environ, self._seconds, error)
            start_response(STATUS, [("Content-Length", "0")], sys.exc_info())
            return b""

        try:
            made = self._application(environ, started)
        except BaseException as error:
            return [given_up(error)]
        if isinstance(made, list | tuple):
            timer.cancel()
            return made  # the library sees its length
        return _Pieces(made, timer, given_up)


class _Pieces:
    """An answer that is made piece by piece."""

    def __init__(self, made: Iterable[bytes], timer: Timer, given_up: Callable[[BaseException], bytes]) -> None:
        self._made = made
        self._pieces: Iterator[bytes] | None = None
        self._timer = timer
        self._given_up = given_up
        self._begun = False
        self._over = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._over:
            raise StopIteration
        if self._begun:
            assert self._pieces is not None
            return next(self._pieces)
        try:
            if self._pieces is None:
                self._pieces = iter(self._made)
            piece = next(self._pieces)
        except BaseException as error:
            self._over = True
            return self._given_up(error)
        if piece:
            self._begun = True
            self._timer.cancel()
        return piece

    def close(self) -> None:
        """PEP 3333: whoever has taken the pieces calls it."""
        self._timer.cancel()
        close = getattr(self._made, "close", None)
        if close is not None:
            close()


def _tell(environ: dict[str, Any], seconds: float, error: BaseException) -> None:
    request_id = environ["edgestack.request_id"]
    stack = "".join(traceback.format_tb(error.__traceback__)).rstrip()
    log.error("%s: %s %s: the application gave no answer within %g s and was ended:\n%s", request_id,
              environ["REQUEST_METHOD"], environ["REQUEST_URI"], seconds, stack,
              extra={"request_id": request_id})  # fmt: skip
