"""gevent's own server (worker class `gevent`): a greenlet for each request, the standard library patched."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import signal  # noqa: E402 - after the patch
import socket  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
from gevent.pywsgi import WSGIHandler, WSGIServer  # noqa: E402

from edgestack.hosting.channel import Channel  # noqa: E402
from edgestack.hosting.order import Order  # noqa: E402
from edgestack.hosting.restored import Restored  # noqa: E402

__all__ = ["serve"]


class Handler(WSGIHandler):  # type: ignore[misc] # gevent has no types
    """Tells the request-target, too."""

    def get_environ(self) -> dict[str, Any]:
        """See gevent."""
        environ: dict[str, Any] = super().get_environ()
        return environ | {"RAW_URI": self.path}


def serve(order: Order, load: Callable[[], Any], listener: int, channel: Channel) -> None:
    """Load, serve, and return when told to stop.

    :raises ConfigError: the application cannot be loaded.
    """
    if order.forked:
        gevent.reinit()  # what the application made of the hub while it was loaded is of another process
    application = Restored(load(), order.request_ids, multiprocess=order.multiprocess)
    server = WSGIServer(socket.socket(fileno=listener), application, log=None, handler_class=Handler)
    gevent.signal_handler(signal.SIGTERM, server.stop, order.graceful)
    server.start()
    channel.ready()
    server.serve_forever()
