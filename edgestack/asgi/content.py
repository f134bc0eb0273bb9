"""ASGI applications as content: a Handler that makes a call of each exchange.

    Asgi(application, prefix)(exchange) -> AsgiErrand     awaited by the task that holds the connection
      http        -> HttpCall.answer() -> Response            whole, or a stream
      websocket   -> WebsocketCall.answer() -> 101, and a conversation; or what was answered instead

What the application does wrong ends here: before an answer has begun it is a 500 through the chain's error pages, with
its traceback in the log under the request's id, and for clients on this machine on the page in development mode; after
that the connection is broken (F11). A client that leaves, by halves too, is told to the application.
"""

from __future__ import annotations

import logging
import math
import traceback
from types import TracebackType
from typing import Any, TypeAlias

import trio

from edgestack.asgi.application import AsgiApplication
from edgestack.asgi.http_call import HttpCall
from edgestack.asgi.loops import caused_by, insists_on_asyncio
from edgestack.asgi.messages import ClientLeft
from edgestack.asgi.scope import Scopes
from edgestack.asgi.websocket import WebsocketCall, wants_websocket
from edgestack.errors import AppError, ClientError
from edgestack.http.forwarding import is_loopback
from edgestack.http.messages import Errand, Exchange, Response

__all__ = ["Asgi"]

BODY_LIMIT = 100 * 1000 * 1000
"""Bytes of a request body accepted by default: `config.model.Limits.body`."""

Call: TypeAlias = "HttpCall | WebsocketCall"

log = logging.getLogger("edgestack.error")


class Asgi:
    """One mounted application: a Handler."""

    def __init__(
        self,
        application: AsgiApplication,
        prefix: str = "",
        *,
        limit: int = BODY_LIMIT,
        dev: bool = False,
        timeout: float = 0.0,
    ) -> None:
        """
        :param prefix: where it is mounted, decoded; becomes `root_path` without a trailing slash.
        :param limit: bytes of a request body; beyond it 413.
        :param dev: give the error page the traceback, for clients on this machine.
        :param timeout: seconds until the answer must have begun, beyond it 504; 0 for no limit.
        """
        self.application = application
        self.limit = limit
        self.dev = dev
        self.timeout = timeout
        self.scopes = Scopes(prefix)

    def __call__(self, exchange: Exchange) -> AsgiErrand:
        """The errand; nothing is begun.

        :raises ClientError: 413 for an announced body that is too large, 400 for a path that the mount does not cover
            in the form that applications see.
        """
        request = exchange.request
        if not self.scopes.fits(request.path.path_info) and request.target != "*":
            raise ClientError("The path has two readings.", 400)
        body = request.body
        if body is not None and body.length is not None and body.length > self.limit:
            raise ClientError(f"The request body is larger than {self.limit} bytes.", 413)
        return AsgiErrand(exchange, self)


class AsgiErrand(Errand):
    """One call of the application."""

    __slots__ = ("asgi",)

    def __init__(self, exchange: Exchange, asgi: Asgi) -> None:
        super().__init__(exchange)
        self.asgi = asgi

    async def fetch(self) -> Response:
        """The answer, on a task; cancelled when the client leaves.

        :raises EdgeError: there is none.
        """
        await self.asgi.application.begun()
        exchange, asgi = self.exchange, self.asgi
        state = asgi.application.state
        if not wants_websocket(exchange.request):
            call = HttpCall(exchange, asgi.limit, asgi.application.run)
            return await self._answer(call, asgi.scopes.http(exchange, state))
        talk = WebsocketCall(exchange, asgi.application)
        return await self._answer(talk, asgi.scopes.websocket(exchange, state, talk.subprotocols))

    async def _answer(self, call: Call, scope: dict[str, Any]) -> Response:
        """What the application answers, within the time it has."""
        application, seconds = self.asgi.application, self.asgi.timeout or math.inf
        running = application.begin(scope, call.receive, call.send, lambda error: self._ended(call, error))
        try:
            with trio.move_on_after(seconds):
                return await call.answer()
        except BaseException:  # Cancelled above all: the client left
            call.gone()
            raise
        call.gone()
        application.give_up(running)
        detail = f"the application began no answer within {seconds:g} s"
        raise AppError("The application took too long.", 504, detail=detail)

    # -- the application's end -----------------------------------------------------------------------------------------

    def _ended(self, call: Call, error: BaseException | None) -> None:
        """It returned, or raised: what that means for the answer, and what the log says of it."""
        failure: AppError | None = None
        if error is not None:
            failure = None if call.left and caused_by(error, ClientLeft) else self._failure(error)
        elif not call.left:
            failure = call.unfinished()
        if call.unread:
            self.asgi.application.run(call.close)
        if not call.ended(failure) and failure is not None and not isinstance(error, trio.Cancelled):
            log.error("%s: %s", self._named(), failure, extra={"request_id": self.exchange.request_id})

    def _failure(self, error: BaseException) -> AppError:
        """What the application raised, with its traceback."""
        text = _traceback(error)
        why = f"the application raised {type(error).__name__}: {error}"
        if insists_on_asyncio(error):
            why += ' (it needs asyncio: set asgi_loop = "asyncio")'
        failure = AppError("", detail=f"{why}\n{text.rstrip()}")
        if self.asgi.dev and is_loopback(self.exchange.facts.remote_addr):
            failure.traceback_text = text
        return failure

    def _named(self) -> str:
        request = self.exchange.request
        return f"{self.exchange.request_id}: {request.method} {request.target}"


def _traceback(error: BaseException) -> str:
    """The traceback as text, from the first frame on that is not ours."""
    start: TracebackType | None = error.__traceback__
    inner = start
    while inner is not None and inner.tb_frame.f_globals.get("__name__", "").startswith("edgestack.asgi."):
        inner = inner.tb_next
    return "".join(traceback.format_exception(type(error), error, inner or start))
