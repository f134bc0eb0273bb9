"""tornado's own server (worker class `tornado`): its applications on its loop, WSGI ones on threads beside it.

An application of tornado's own (`tornado.web.Application`) learns who asks from X-Real-IP and X-Scheme, which the edge
writes and no client can (`xheaders`).
"""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from typing import Any

from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest, ResponseStartLine
from tornado.iostream import StreamClosedError
from tornado.web import Application
from tornado.wsgi import WSGIContainer

from edgestack.content.threads import AppThreads
from edgestack.errors import Refused
from edgestack.hosting.channel import Channel
from edgestack.hosting.crowd import Crowd
from edgestack.hosting.failing import MARK
from edgestack.hosting.on_threads import Call, OnThreads
from edgestack.hosting.order import LONGEST_LINE, Order
from edgestack.hosting.restored import Restored
from edgestack.http.pages import reason
from edgestack.process.logs import open_error_log

__all__ = ["serve"]

UNBOUNDED = 1 << 40
"""Bytes: the edge has a limit of its own."""
EMPTY = ("Content-Length", "0")

log = logging.getLogger("edgestack.error")


class Container(WSGIContainer):
    """Tells the request-target, too; and lets each request have one thread, whose pieces leave as they come."""

    def __init__(self, restored: Restored, threads: AppThreads, seconds: float) -> None:
        """:param seconds: from a request to the beginning of its answer."""
        super().__init__(restored)
        self._restored = restored
        self._threads = OnThreads(threads)
        self._seconds = seconds if seconds < math.inf else None

    def environ(self, request: HTTPServerRequest) -> dict[str, Any]:
        """See tornado."""
        return super().environ(request) | {"RAW_URI": request.uri or "/"}

    async def handle_request(self, request: HTTPServerRequest) -> None:
        """See tornado."""
        assert isinstance(request.connection, HTTP1Connection)
        try:
            await self._answer(request, Reply(request.connection))
        except OSError:  # the edge has left, or is to see that the answer is not whole
            request.connection.close()

    async def _answer(self, request: HTTPServerRequest, reply: Reply) -> None:
        """:raises OSError: the connection is to be closed."""
        try:
            call = self._threads.call(partial(self._restored, self.environ(request), reply.start_response))
        except Refused as error:
            reply.start_response(f"{error.status} {reason(error.status)}", (*error.fields, *MARK, EMPTY))
        else:
            either: list[asyncio.Future[None]] = [call.done, reply.begun]
            await asyncio.wait(either, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
            if not any(one.done() for one in either):
                self._give_up(call, request)
            await call.done
        await reply.finish()

    def _give_up(self, call: Call, request: HTTPServerRequest) -> None:
        """By now the edge has answered.

        :raises TimeoutError: always; it is an OSError.
        """
        where = call.lose()
        told = f"it runs on {where}" if where else "no thread had come free for it"
        log.error("%s %s: the application gave no answer within %g s; %s", request.method, request.uri,
                  self._seconds, told)  # fmt: skip
        raise TimeoutError


class Reply:
    """An answer on its way from an application's thread: each piece waits until the one before has left."""

    def __init__(self, connection: HTTP1Connection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._head: tuple[ResponseStartLine, HTTPHeaders] | None = None
        self._left = asyncio.Event()
        self.begun: asyncio.Future[None] = self._loop.create_future()
        """Its first bytes leave."""
        connection.set_close_callback(self._left.set)

    def start_response(self, status: str, fields: Iterable[tuple[str, str]]) -> Callable[[bytes], Any]:
        """On the application's thread; nothing is sent yet."""
        code, _, reason = status.partition(" ")
        headers = HTTPHeaders()
        for name, value in fields:
            headers.add(name, value)
        self._head = ResponseStartLine("HTTP/1.1", int(code), reason), headers
        return self._write

    def _write(self, data: bytes) -> None:
        """On the application's thread.

        :raises OSError: the edge has left.
        """
        sent: Future[None] = Future()

        def begin() -> None:  # here: a coroutine made on the thread would be warned of where the loop ends before
            asyncio.ensure_future(self._send(data)).add_done_callback(told)

        def told(sending: asyncio.Future[None]) -> None:
            error = StreamClosedError() if sending.cancelled() else sending.exception()
            sent.set_exception(error) if error is not None else sent.set_result(None)

        self._loop.call_soon_threadsafe(begin)
        sent.result()

    async def _send(self, data: bytes) -> None:
        if self._left.is_set():
            raise StreamClosedError
        head, self._head = self._head, None
        if not self.begun.done():
            self.begun.set_result(None)
        sent = self._connection.write(data) if head is None else self._connection.write_headers(*head, data)
        left = asyncio.ensure_future(self._left.wait())
        either: list[asyncio.Future[Any]] = [sent, left]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        left.cancel()

    async def finish(self) -> None:
        """The answer is whole.

        :raises OSError: the edge has left.
        """
        if self._head is not None:
            await self._send(b"")
        self._connection.finish()


class Server(HTTPServer):
    """Knows when the last of its connections has gone."""

    def initialize(self, *args: Any, **more: Any) -> None:
        """See tornado."""
        super().initialize(*args, **more)
        self.open: set[object] = set()
        self.deserted = asyncio.Event()
        self.deserted.set()

    def start_request(self, server_conn: object, request_conn: Any) -> Any:
        """See tornado."""
        self.open.add(server_conn)
        self.deserted.clear()
        return super().start_request(server_conn, request_conn)

    def on_close(self, server_conn: object) -> None:
        """See tornado."""
        self.open.discard(server_conn)
        if not self.open:
            self.deserted.set()
        super().on_close(server_conn)


def serve(order: Order, load: Callable[[], Any], listener: int, channel: Channel) -> bool:
    """Load, serve, and return: True when told to stop, False when too many threads hang.

    :raises ConfigError: the application cannot be loaded.
    """
    crowd = Crowd(order.graceful)
    asyncio.run(_live(order, load, listener, channel, crowd))
    return not crowd.came


async def _live(order: Order, load: Callable[[], Any], listener: int, channel: Channel, crowd: Crowd) -> None:
    logging.getLogger("tornado.access").setLevel(logging.CRITICAL)  # the edge has a log of that
    stop = asyncio.Event()
    error_log = open_error_log(order.log())
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, error_log.reopen)
    found = load()
    if not isinstance(found, Application):
        threads = AppThreads(order.threads, order.queue, crowded=crowd)
        found = Container(Restored(found, order), threads, order.patience)
    server = Server(
        found, xheaders=True, max_header_size=4 * LONGEST_LINE, max_body_size=UNBOUNDED, max_buffer_size=UNBOUNDED
    )
    sock = socket.socket(fileno=listener)
    sock.setblocking(False)
    server.add_socket(sock)
    channel.ready()
    beating = asyncio.create_task(_beat(channel, order.beat))
    await stop.wait()
    server.stop()
    try:
        async with asyncio.timeout(crowd.grace):
            await server.deserted.wait()  # the edge closes what it has no more use for
    except TimeoutError:
        await server.close_all_connections()
    beating.cancel()


async def _beat(channel: Channel, pause: float) -> None:
    while True:
        await asyncio.sleep(pause)
        channel.alive()
