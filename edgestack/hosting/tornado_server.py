"""tornado's own server (worker class `tornado`): its applications on its loop, WSGI ones on threads beside it.

An application of tornado's own (`tornado.web.Application`) learns who asks from X-Real-IP and X-Scheme, which the edge
writes and no client can (`xheaders`).
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.web import Application
from tornado.wsgi import WSGIContainer

from edgestack.hosting.channel import Channel
from edgestack.hosting.order import Order
from edgestack.hosting.restored import Restored

__all__ = ["serve"]

UNBOUNDED = 1 << 40
"""Bytes: the edge has a limit of its own."""


class Container(WSGIContainer):
    """Tells the request-target, too."""

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


def serve(order: Order, load: Callable[[], Any], listener: int, channel: Channel) -> None:
    """Load, serve, and return when told to stop.

    :raises ConfigError: the application cannot be loaded.
    """
    asyncio.run(_live(order, load, listener, channel))


async def _live(order: Order, load: Callable[[], Any], listener: int, channel: Channel) -> None:
    logging.getLogger("tornado.access").setLevel(logging.CRITICAL)  # the edge has a log of that
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    found = load()
    if not isinstance(found, Application):
        restored = Restored(found, order.request_ids, multiprocess=order.multiprocess)
        found = Container(restored, ThreadPoolExecutor(order.threads))
    server = Server(found, xheaders=True, max_body_size=UNBOUNDED, max_buffer_size=UNBOUNDED)
    sock = socket.socket(fileno=listener)
    sock.setblocking(False)
    server.add_socket(sock)
    channel.ready()
    await stop.wait()
    server.stop()
    try:
        async with asyncio.timeout(order.graceful):
            await server.deserted.wait()  # the edge closes what it has no more use for
    except TimeoutError:
        await server.close_all_connections()
