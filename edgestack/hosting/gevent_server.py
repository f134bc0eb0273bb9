"""gevent's own server (worker class `gevent`): a greenlet for each request, the standard library patched.

Its limits for heads are lifted: the edge has limits of its own, and what has passed them, and the fields of the hop
beside them, must pass here.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import http.client  # noqa: E402 - after the patch
import signal  # noqa: E402
import socket  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
from gevent import pywsgi  # noqa: E402

from edgestack.hosting.answered import Broken  # noqa: E402
from edgestack.hosting.bounded import Bound  # noqa: E402
from edgestack.hosting.channel import Channel  # noqa: E402
from edgestack.hosting.order import LONGEST_LINE, MOST_FIELDS, Order  # noqa: E402
from edgestack.hosting.restored import Restored  # noqa: E402
from edgestack.process.logs import open_error_log  # noqa: E402

__all__ = ["serve"]


pywsgi.MAX_REQUEST_LINE = LONGEST_LINE
http.client._MAXLINE = LONGEST_LINE  # type: ignore[attr-defined]
http.client._MAXHEADERS = MOST_FIELDS  # type: ignore[attr-defined]


class Handler(pywsgi.WSGIHandler):  # type: ignore[misc] # gevent has no types
    """Tells the request-target, too; ends no HEAD with a last chunk; and is silent on what the log has already."""

    def get_environ(self) -> dict[str, Any]:
        """See gevent."""
        environ: dict[str, Any] = super().get_environ()
        return environ | {"RAW_URI": self.path}

    def finalize_headers(self) -> None:
        """See gevent."""
        super().finalize_headers()
        if self.command == "HEAD":
            self.response_use_chunked = False

    def handle_error(self, kind: type[BaseException], *of: Any) -> None:
        """See gevent."""
        if issubclass(kind, Broken):
            self.close_connection = True
        else:
            super().handle_error(kind, *of)


def serve(order: Order, load: Callable[[], Any], listener: int, channel: Channel) -> bool:
    """Load, serve, and return True when told to stop.

    :raises ConfigError: the application cannot be loaded.
    """
    if order.forked:
        gevent.reinit()  # what the application made of the hub while it was loaded is of another process
    error_log = open_error_log(order.log())
    application = Restored(load(), order, Bound(order, gevent.Timeout.start_new))
    server = pywsgi.WSGIServer(socket.socket(fileno=listener), application, log=None, handler_class=Handler)
    gevent.signal_handler(signal.SIGTERM, server.stop, order.graceful)
    gevent.signal_handler(signal.SIGUSR1, error_log.reopen)
    server.start()
    channel.ready()
    gevent.spawn(_beat, channel, order.beat)
    server.serve_forever()
    return True


def _beat(channel: Channel, pause: float) -> None:
    while True:
        gevent.sleep(pause)
        channel.alive()
