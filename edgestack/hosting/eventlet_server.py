"""eventlet's own server (worker class `eventlet`): a green thread for each request, the standard library patched.

Its resolver of names is left out unless the environment asks for it (EVENTLET_NO_GREENDNS=no): dnspython, which it is
made of, can bring in a library that does not bear the patch.
"""

from __future__ import annotations

import os
import warnings

os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")  # whoever asks for it knows
_write = os.write

import eventlet  # noqa: E402 - after that

eventlet.monkey_patch()

import signal  # noqa: E402
import socket  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

from eventlet import hubs, wsgi  # noqa: E402
from eventlet.support.greenlets import GreenletExit  # noqa: E402

from edgestack.hosting.channel import Channel  # noqa: E402
from edgestack.hosting.order import Order  # noqa: E402
from edgestack.hosting.restored import Restored  # noqa: E402

__all__ = ["serve"]

LONGEST_TARGET = 1 << 20
"""Bytes: the edge has a limit of its own."""


def serve(order: Order, load: Callable[[], Any], listener: int, channel: Channel) -> None:
    """Load, serve, and return when told to stop.

    :raises ConfigError: the application cannot be loaded.
    """
    if order.forked:
        hubs.use_hub()  # one of this process's own
    application = Restored(load(), order.request_ids, multiprocess=order.multiprocess)
    told, tell = os.pipe()
    signal.signal(signal.SIGTERM, lambda *_: _write(tell, b"."))  # only a descriptor wakes the hub
    pool = eventlet.GreenPool(10_000)
    server = eventlet.spawn(
        wsgi.server, socket.socket(fileno=listener), application, custom_pool=pool, log_output=False, debug=order.dev,
        url_length_limit=LONGEST_TARGET,
    )  # fmt: skip
    channel.ready()
    hubs.trampoline(told, read=True)
    server.kill()
    with eventlet.Timeout(order.graceful, False):
        try:
            server.wait()
        except GreenletExit:
            pool.waitall()
