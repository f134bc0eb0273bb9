"""eventlet's own server (worker class `eventlet`): a green thread for each request, the standard library patched.

Its resolver of names is left out unless the environment asks for it (EVENTLET_NO_GREENDNS=no): dnspython, which it is
made of, can bring in a library that does not bear the patch. Its limits for heads are lifted, as those of gevent are.
"""

from __future__ import annotations

import os
import warnings

os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")  # whoever asks for it knows
_write = os.write

import eventlet  # noqa: E402 - after that

eventlet.monkey_patch()

import http.client  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
from collections.abc import Callable, Iterable  # noqa: E402
from typing import Any  # noqa: E402

from eventlet import hubs, wsgi  # noqa: E402
from eventlet.support.greenlets import GreenletExit  # noqa: E402

from edgestack.errors import Disconnected  # noqa: E402
from edgestack.hosting.answered import Broken  # noqa: E402
from edgestack.hosting.bounded import Bound  # noqa: E402
from edgestack.hosting.channel import Channel  # noqa: E402
from edgestack.hosting.order import LONGEST_LINE, MOST_FIELDS, Order  # noqa: E402
from edgestack.hosting.restored import Environ, Restored, StartResponse  # noqa: E402
from edgestack.process.logs import open_error_log  # noqa: E402

__all__ = ["serve"]

wsgi.MAX_HEADER_LINE = LONGEST_LINE
wsgi.MAX_TOTAL_HEADER_SIZE = 4 * LONGEST_LINE
http.client._MAXHEADERS = MOST_FIELDS  # type: ignore[attr-defined]


class Hosted:
    """An application beside eventlet's own habits: a type that no client named, and answers that were given by hand."""

    def __init__(self, application: Callable[..., Iterable[bytes]], order: Order) -> None:
        def by_hand(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            result = application(environ, start_response)
            if wsgi.WSGI_LOCAL.already_handled:  # a WebSocket was held, and is over
                raise Disconnected
            return result

        self._restored = Restored(by_hand, order, Bound(order, eventlet.Timeout))

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """See PEP 3333."""
        if not any(name.lower() == "content-type" for name, _ in environ["headers_raw"]):
            environ.pop("CONTENT_TYPE", None)
        try:
            return self._restored(environ, start_response)
        except Broken:
            if wsgi.WSGI_LOCAL.already_handled:
                return ()
            raise


def serve(order: Order, load: Callable[[], Any], listener: int, channel: Channel) -> bool:
    """Load, serve, and return True when told to stop.

    :raises ConfigError: the application cannot be loaded.
    """
    if order.forked:
        hubs.use_hub()  # one of this process's own
    error_log = open_error_log(order.log())
    application = Hosted(load(), order)
    told, tell = os.pipe()
    signal.signal(signal.SIGTERM, lambda *_: _write(tell, b"."))  # only a descriptor wakes the hub
    signal.signal(signal.SIGUSR1, lambda *_: error_log.reopen())
    pool = eventlet.GreenPool(10_000)
    server = eventlet.spawn(
        wsgi.server, socket.socket(fileno=listener), application, custom_pool=pool, log_output=False,
        url_length_limit=LONGEST_LINE, minimum_chunk_size=1,  # each piece leaves when it is given (PEP 3333)
    )  # fmt: skip
    channel.ready()
    eventlet.spawn(_beat, channel, order.beat)
    hubs.trampoline(told, read=True)
    server.kill()
    with eventlet.Timeout(order.graceful, False):
        try:
            server.wait()
        except GreenletExit:
            pool.waitall()
    return True


def _beat(channel: Channel, pause: float) -> None:
    while True:
        eventlet.sleep(pause)
        channel.alive()
