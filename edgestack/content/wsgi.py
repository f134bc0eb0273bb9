"""WSGI applications as content (PEP 3333; criteria F).

    Wsgi(application, prefix)(exchange)      on the loop: the body is asked for, and spooled before a thread is taken
    (F14)
      -> WsgiCall(exchange, …).run(outlet)   on an application thread:
           environ      environ.py           made new
           application  called with a ResponseWriter's start_response
           result       response_writer.py   sent piece by piece, or as a file
           close()      exactly once, on the same thread, whatever happened (F8)

What the application does wrong ends here: before bytes have left it is a 500 through the chain's error pages, after
that the connection is broken so that the client sees the truncation (F11). The traceback goes to the error log under
the request's id; the client sees it in development mode only, and only on this machine. Neither a socket nor a thread
is named in this file: an Outlet is written to, whatever stands behind it.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from edgestack.content.app_head import refuse
from edgestack.content.app_streams import ErrorStream
from edgestack.content.environ import Environs
from edgestack.content.file_wrapper import FileWrapper, Offload, wrapped_segment
from edgestack.content.response_writer import ResponseWriter
from edgestack.errors import AppError, ClientError, Disconnected, EdgeError
from edgestack.http.bodies import FileSegment, Outlet, RequestBody
from edgestack.http.forwarding import is_loopback
from edgestack.http.messages import AppCall, Exchange

__all__ = ["Wsgi", "WsgiCall"]

BODY_LIMIT = 100 * 1000 * 1000
"""Bytes of a request body accepted by default: `config.model.Limits.body`."""

_log = logging.getLogger("edgestack.error")


class Wsgi:
    """One mounted application: a Handler."""

    def __init__(
        self,
        application: Callable[..., Iterable[bytes]],
        prefix: str = "",
        *,
        limit: int = BODY_LIMIT,
        dev: bool = False,
        multithread: bool = True,
        multiprocess: bool = False,
        keep_forwarded: bool = False,
        sendfile_roots: tuple[Path, ...] = (),
        accel: tuple[tuple[str, Path], ...] = (),
    ) -> None:
        """
        :param application: a WSGI callable.
        :param prefix: where it is mounted, decoded, e.g. "/api"; becomes SCRIPT_NAME without a trailing slash.
        :param limit: bytes of a request body; beyond it 413.
        :param dev: give the error page the traceback, for clients on this machine.
        :param multithread: for wsgi.multithread: more than one thread calls it.
        :param multiprocess: for wsgi.multiprocess: more than one process does.
        :param keep_forwarded: let X-Forwarded-* of untrusted clients through (`environ.py`).
        :param sendfile_roots: folders that X-Sendfile may name files in; without any the field is passed on untouched.
        :param accel: (URL prefix, folder) for X-Accel-Redirect; likewise.
        """
        self.application = application
        self.limit = limit
        self.dev = dev
        self.environs = Environs(
            prefix, multithread=multithread, multiprocess=multiprocess, keep_forwarded=keep_forwarded
        )
        self.offload = Offload(sendfile_roots, accel) if sendfile_roots or accel else None

    def __call__(self, exchange: Exchange) -> AppCall | Awaitable[AppCall]:
        """The call that will answer; at once, unless a body is still on its way.

        :raises ClientError: 413 for an announced body that is too large, before it is read or asked for (E8); 400 for
            a path that the mount does not cover in the form that applications see (`http/target.py`).
        """
        request = exchange.request
        if not self.environs.fits(request.path.path_info) and request.target != "*":
            raise ClientError("The path has two readings.", 400)
        body = request.body
        if body is None:
            return WsgiCall(exchange, self, None)
        if body.length is not None and body.length > self.limit:
            raise ClientError(f"The request body is larger than {self.limit} bytes.", 413)
        spool = body.spooled_nowait(self.limit)
        if spool is None:
            return self._when_spooled(exchange, body)
        return WsgiCall(exchange, self, spool)

    async def _when_spooled(self, exchange: Exchange, body: RequestBody) -> AppCall:
        return WsgiCall(exchange, self, await body.spooled(self.limit))


class WsgiCall(AppCall):
    """One call of the application."""

    __slots__ = ("spool", "wsgi")

    def __init__(self, exchange: Exchange, wsgi: Wsgi, spool: IO[bytes] | None) -> None:
        """:param spool: the body at its start; closed after the call."""
        self.exchange = exchange
        self.wsgi = wsgi
        self.spool = spool

    def run(self, outlet: Outlet) -> None:
        """Call the application and answer with what it gives. Raises nothing."""
        exchange, wsgi = self.exchange, self.wsgi
        writer = ResponseWriter(exchange, outlet)
        if wsgi.offload is not None:
            writer.offload = wsgi.offload
        errors = ErrorStream(exchange)
        try:
            environ = self.environ(errors)
            result = wsgi.application(environ, writer.start_response)
            if (type(result) is list or type(result) is tuple) and len(result) == 1:
                writer.whole(result[0])
            else:
                _deliver(result, writer)
            if errors.begun:
                errors.end()
        except BaseException as error:  # SystemExit too: an application must not take a thread of ours with it
            self._failed(error, writer, errors)
        if self.spool is not None:
            self.spool.close()

    def environ(self, errors: ErrorStream) -> dict[str, Any]:
        """What the application is called with."""
        return self.wsgi.environs.make(self.exchange, self.spool, errors)

    def discard(self) -> None:
        """Close the body of a call that is not run."""
        if self.spool is not None:
            self.spool.close()

    def _failed(self, error: BaseException, writer: ResponseWriter, errors: ErrorStream) -> None:
        """The application raised, or cannot be answered for; or the client left, which is nobody's fault."""
        errors.end()
        if isinstance(error, Disconnected):
            if not writer.ended:
                writer.outlet.broken()
            return
        text = _traceback(error)
        self._report(error, text)
        if writer.ended:
            return
        if writer.begun:
            writer.outlet.broken("the application failed")
            return
        try:
            self._answer(error, text, writer)
        except Disconnected:
            writer.outlet.broken()
        except Exception as second:
            self._report(second, _traceback(second))
            writer.outlet.broken("the error page failed")

    def _answer(self, error: BaseException, text: str, writer: ResponseWriter) -> None:
        """An error page in place of the answer: the user's own, which the loop finds, or one that is made here."""
        exchange, chain, outlet = self.exchange, self.exchange.chain, writer.outlet
        shown = error if isinstance(error, EdgeError) else AppError(detail=repr(error))
        if self.wsgi.dev and is_loopback(exchange.facts.remote_addr):
            shown.traceback_text = text
        elif chain.recover is not None and (page := chain.recover(exchange, shown)) is not None:
            if isinstance(page, AppCall):
                page.run(outlet)
                return
            outlet.head(page)
            if type(page.body) is FileSegment:
                outlet.file(page.body)
            outlet.finish()
            return
        elif exchange.journey is not None and exchange.journey.error is not None:
            shown = exchange.journey.error  # this was its page
        response = chain.errors(exchange, shown)
        for change in chain.on_threads:
            response = change(exchange, response)
        outlet.head(response)
        outlet.finish()

    def _report(self, error: BaseException, text: str) -> None:
        """One record in the error log: what was asked, what went wrong, and where."""
        request = self.exchange.request
        why = str(error) if isinstance(error, AppError) else f"the application raised {type(error).__name__}: {error}"
        _log.error(
            "%s: %s %s: %s\n%s", self.exchange.request_id, request.method, request.target, why, text.rstrip(),
            extra={"request_id": self.exchange.request_id},
        )  # fmt: skip


def _deliver(result: Any, writer: ResponseWriter) -> None:
    """Send what the application returned, and close it, once."""
    try:
        if type(result) is FileWrapper and not writer.begun and _send_wrapped(result, writer):
            return
        if isinstance(result, (str, bytes)) or not (hasattr(result, "__iter__") or hasattr(result, "__getitem__")):
            raise refuse(f"the application returned {type(result).__name__}: an iterable of bytes is asked for")
        writer.iterate(result)
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()


def _send_wrapped(result: FileWrapper, writer: ResponseWriter) -> bool:
    """Send a wrapped file by the road of static files, if it is one (F12)."""
    if writer.head is None or (writer.offload is not None and writer.head.offload):
        return False
    segment = wrapped_segment(result.filelike)
    if segment is None:
        return False
    writer.file(segment)
    return True


def _traceback(error: BaseException) -> str:
    """The traceback as text, from the first frame on that is not ours."""
    start: TracebackType | None = error.__traceback__
    inner = start
    while inner is not None and inner.tb_frame.f_globals.get("__name__", "").startswith("edgestack.content."):
        inner = inner.tb_next
    return "".join(traceback.format_exception(type(error), error, inner or start))
