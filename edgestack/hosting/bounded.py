"""On green threads: a call that does not begin its answer in time is ended where it waits.

    limit = Bound(order, start).begin(environ)     a call begins; `start(seconds)` is the library's own timeout
    limit.cancel()                                 its answer begins, with its first piece that is not empty
    limit.named(error)                             what it failed of: the timeout has a name of this house

The timeout is raised in the green thread that started it. It is no `Exception`, in gevent and in eventlet, so that an
application which catches those does not swallow it. By then the edge has answered 504: what is said here goes to
nobody. An answer that has begun is never cut, as in the edge's own process, and neither is a WebSocket, which some
libraries speak without any answer. Code that never waits cannot be ended this way: the edge listens to signs of life.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from edgestack.errors import AppError
from edgestack.hosting.order import Order

__all__ = ["Bound", "Limit"]


class Timer(Protocol):
    """What both libraries' timeouts are, beside exceptions."""

    def cancel(self) -> None:
        """It is not to be raised any more."""


class Bound:
    """Of all calls of one application."""

    def __init__(self, order: Order, start: Callable[[float], Timer] | None) -> None:
        """:param start: starts a timer, which is raised in the green thread that calls this; None where none are."""
        self._seconds = order.patience
        self._start = start if order.timeout else None

    def begin(self, environ: dict[str, Any]) -> Limit:
        """In the thread of the call."""
        if self._start is None or environ.get("HTTP_UPGRADE", "").lower() == "websocket":
            return Limit(self._seconds, None)
        return Limit(self._seconds, self._start(self._seconds))


class Limit:
    """Of one call."""

    __slots__ = ("_seconds", "_timer")

    def __init__(self, seconds: float, timer: Timer | None) -> None:
        self._seconds = seconds
        self._timer = timer

    def cancel(self) -> None:
        """It may take as long as it likes; any number of times."""
        if self._timer is not None:
            self._timer.cancel()

    def named(self, error: BaseException) -> BaseException:
        """What the log is told instead."""
        own: object = self._timer
        if error is not own:
            return error
        detail = f"the application gave no answer within {self._seconds:g} s and was ended:"
        return AppError("", 504, detail=detail).with_traceback(error.__traceback__)
