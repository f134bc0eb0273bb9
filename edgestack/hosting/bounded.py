"""A WSGI application on another library's server, whose failures are told as in this house, and take no longer.

    Restored(bounded(application, order, begin))(environ, start_response)

What it raises before its answer has begun goes into the error log under the request's id, and is marked, so that the
edge answers with its own page for it. On green threads a call must begin its answer in time or is ended where it is:
`begin(seconds)` is the library's own timeout, which is raised in the green thread that began it. It is no `Exception`,
in gevent and in eventlet, so that an application which catches those does not swallow it. By then the edge has answered
504; what is said here goes to nobody. An answer has begun with its first piece that is not empty, and is never cut, as
in the edge's own process. Code that never waits cannot be ended this way: the edge listens to signs of life.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from edgestack.hosting.order import Order
from edgestack.http.forwarding import is_loopback
from edgestack.http.hop import FAILED

__all__ = ["bounded"]

log = logging.getLogger("edgestack.error")


class Timer(Protocol):
    """What both libraries' timeouts are, beside exceptions."""

    def cancel(self) -> None:
        """It is not to be raised any more."""


def bounded(
    application: Callable[..., Iterable[bytes]], order: Order, begin: Callable[[float], Timer] | None = None
) -> Bounded:
    """The application within the time that the order gives it.

    :param begin: starts a timer, which is raised in the green thread that calls this; None where there are none.
    """
    return Bounded(application, order, begin if begin and order.timeout else Endless)


class Endless:
    """No timer."""

    def __init__(self, seconds: float) -> None:
        """It does not begin."""

    def cancel(self) -> None:
        """It does not end."""


class Bounded:
    """See the top of this file."""

    def __init__(
        self, application: Callable[..., Iterable[bytes]], order: Order, begin: Callable[[float], Timer]
    ) -> None:
        self._application = application
        self._seconds = order.patience
        self._dev = order.dev
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
            if error is own:
                status, why = "504 Gateway Timeout", f"gave no answer within {self._seconds:g} s and was ended:"
            elif isinstance(error, Exception):
                status, why = "500 Internal Server Error", f"raised {type(error).__name__}: {error}"
            else:
                raise error
            text = _tell(environ, why, error)
            shown = (
                text.encode("utf-8", "backslashreplace") if self._dev and is_loopback(environ["REMOTE_ADDR"]) else b""
            )
            mark = [] if shown else [(FAILED, "1")]
            fields = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(shown))), *mark]
            start_response(status, fields, sys.exc_info())
            return shown

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
        except StopIteration:
            self._over = True
            self._timer.cancel()
            raise
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


def _tell(environ: dict[str, Any], why: str, error: BaseException) -> str:
    """Have the log told, with the traceback: that."""
    request_id, inner = environ["edgestack.request_id"], error.__traceback__
    while inner is not None and inner.tb_next is not None and inner.tb_frame.f_code.co_filename == __file__:
        inner = inner.tb_next
    text = "".join(traceback.format_exception(type(error), error, inner)).rstrip()
    log.error("%s: %s %s: the application %s\n%s", request_id, environ["REQUEST_METHOD"], environ["REQUEST_URI"], why,
              text, extra={"request_id": request_id})  # fmt: skip
    return text
