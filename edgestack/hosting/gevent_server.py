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

from edgestack.hosting.bounded import bounded  # noqa: E402
from edgestack.hosting.channel import Channel  # noqa: E402
from edgestack.hosting.order import Order  # noqa: E402
from edgestack.hosting.records import opened  # noqa: E402
from edgestack.hosting.restored import Restored  # noqa: E402

__all__ = ["serve"]


class Handler(WSGIHandler):  # type: ignore[misc] # gevent has no types
    """Tells the request-target, too."""

    def get_environ(self) -> dict[str, Any]:
        """See gevent."""
        environ: dict[str, Any] = super().get_environ()
        return environ | {"RAW_URI": self.path}


def serve(order: Order, load: Callable[[], Any], listener: int, channel: Channel) -> bool:
    """Load, serve, and return True when told to stop.

    :raises ConfigError: the application cannot be loaded.
    """
    error_log = opened(order)
    found = bounded(load(), order, gevent.Timeout.start_new)
    application = Restored(found, order.request_ids, multiprocess=order.multiprocess)
    server = WSGIServer(socket.socket(fileno=listener), application, log=None, handler_class=Handler)
    gevent.signal_handler(signal.SIGTERM, server.stop, order.graceful)
    gevent.signal_handler(signal.SIGUSR1, error_log.reopen)
    server.start()
    channel.ready()
    if order.timeout:
        gevent.spawn(_sign, channel, order.sign_every)
    server.serve_forever()
    return True


def _sign(channel: Channel, seconds: float) -> None:
    while True:
        gevent.sleep(seconds)
        channel.sign()
