"""`python -m edgestack.hosting ORDER`: a process that hosts one application (see the docstring of this package).

SIGTERM stops it gracefully; SIGINT is the edge's to answer, and ignored; SIGABRT has the stacks of all threads written
before the end. It leaves with status 0, with 3 where the application cannot be loaded, which it has told the edge by
then, with 4 where its threads hang, and at once where the edge is gone.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from edgestack.errors import ConfigError
from edgestack.hosting.channel import Channel
from edgestack.hosting.order import Order

__all__ = ["NOT_LOADED", "main"]

NOT_LOADED = 3
CROWDED = 4
"""Exit status of a process that is of no more use: so many of its threads hang."""
SERVERS = {
    "process": "edgestack.hosting.own",
    "gevent": "edgestack.hosting.gevent_server",
    "eventlet": "edgestack.hosting.eventlet_server",
    "tornado": "edgestack.hosting.tornado_server",
}
"""Each has `serve(order, load, listener, channel)`, True where it was told to stop; imported first, since some must
patch what others import."""


def main(text: str) -> int:
    """Host what the order names, until told to stop; the exit status."""
    order = Order.read(text)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()  # at SIGABRT, from an edge that sees no sign of life, every thread's stack is written
    if order.preload:
        from edgestack.hosting.forking import run

        import_module(SERVERS[order.kind])
        return run(order, load, host)
    return host(order, lambda: load(order))


def host(order: Order, found: Callable[[], Any]) -> int:
    """Host an application until told to stop; the exit status."""
    os.set_inheritable(order.listen, False)  # what an application starts must not hold it
    path = "" if order.forked else order.path  # the fork server outlives it
    channel = Channel(order.channel, watch_imports=order.reload, path=path)
    try:
        serve: Callable[[Order, Callable[[], Any], int, Channel], bool]
        serve = import_module(SERVERS[order.kind]).serve
        return 0 if serve(order, found, order.listen, channel) else CROWDED
    except ConfigError as error:
        channel.failed(error)
        return NOT_LOADED


def load(order: Order) -> Any:
    """The application.

    :raises ConfigError: there is none.
    """
    from edgestack.content.loading import Kind
    from edgestack.content.loading import load as found

    folder = Path(order.folder) if order.folder else None
    kinds: dict[str, Kind] = {"process": "either", "tornado": "any"}
    return found(order.target, folder, kind=kinds.get(order.kind, "wsgi"))


if __name__ == "__main__":
    status = main(sys.argv[1])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # threads of the application must not keep it
