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
from collections.abc import Callable
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.web import Application
from tornado.wsgi import WSGIContainer

from edgestack.content.threads import AppThreads
from edgestack.hosting.bounded import bounded
from edgestack.hosting.channel import Channel
from edgestack.hosting.crowd import Crowd
from edgestack.hosting.on_threads import OnThreads
from edgestack.hosting.order import Order
from edgestack.hosting.records import opened
from edgestack.hosting.restored import Restored

__all__ = ["serve"]

UNBOUNDED = 1 << 40
"""Bytes: the edge has a limit of its own."""

log = logging.getLogger("edgestack.error")


class Container(WSGIContainer):
    """Tells the request-target, too, and gives up calls that take too long: what tornado answers it answers whole."""

    def __init__(self, application: Callable[..., Any], threads: AppThreads, seconds: float) -> None:
        """:param seconds: from a request to its whole answer."""
        self._threads = OnThreads(threads)
        self._seconds = seconds
        super().__init__(application, self._threads)

    async def handle_request(self, request: HTTPServerRequest) -> None:
        """See tornado."""
        bound = asyncio.timeout(self._seconds if self._seconds < math.inf else None)
        with self._threads.calls() as jobs:
            try:
                async with bound:
                    await super().handle_request(request)
            except Exception:  # closing what a thread still runs raises instead, too
                if not bound.expired():
                    raise
                where = self._threads.lose(jobs)
                told = f"it runs on {where}" if where else "no thread had come free for it"
                log.error("%s %s: the application gave no answer within %g s; %s", request.method, request.uri,
                          self._seconds, told)  # fmt: skip

    def environ(self, request: HTTPServerRequest) -> dict[str, Any]:
        """See tornado."""
        return super().environ(request) | {"RAW_URI": request.uri or "/"}


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
    error_log = opened(order)
    logging.getLogger("tornado.access").setLevel(logging.CRITICAL)  # the edge has a log of that
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, error_log.reopen)
    found = load()
    if not isinstance(found, Application):
        restored = Restored(bounded(found, order), order.request_ids, multiprocess=order.multiprocess)
        found = Container(restored, AppThreads(order.threads, order.queue, crowded=crowd), order.patience)
    server = Server(found, xheaders=True, max_body_size=UNBOUNDED, max_buffer_size=UNBOUNDED)
    sock = socket.socket(fileno=listener)
    sock.setblocking(False)
    server.add_socket(sock)
    channel.ready()
    signs = loop.create_task(_sign(channel, order.sign_every)) if order.timeout else None
    await stop.wait()
    server.stop()
    try:
        async with asyncio.timeout(crowd.grace):
            await server.deserted.wait()  # the edge closes what it has no more use for
    except TimeoutError:
        await server.close_all_connections()
    if signs is not None:
        signs.cancel()


async def _sign(channel: Channel, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        channel.sign()
