"""The server of this house in a hosting process: the very stack that serves at the edge, for one application.

    X-Edgestack-Hop -> facts, mount, request id -> the application mounted there -> its answer

SIGTERM drains it; SIGUSR2, before that, has WebSockets say goodbye while requests still come; SIGUSR1 reopens the log.
There are no routes, rules or logs of access: the edge has been through all that. Whether the application is WSGI or
ASGI is seen here as it is there. What it raises goes into the same error log, under the same request id.
"""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from edgestack.asgi import Asgi, AsgiApplication
from edgestack.asgi.lives import refusal
from edgestack.compose import Plan, Resources, compose
from edgestack.config.model import App, Config, Limits, Listener, Route, Server, Timeouts
from edgestack.config.processes import Processes
from edgestack.content.wsgi import Wsgi
from edgestack.errors import ClientError
from edgestack.hosting.channel import Channel
from edgestack.hosting.crowd import Crowd
from edgestack.hosting.failing import FailurePages
from edgestack.hosting.order import LONGEST_LINE, MOST_FIELDS, Order
from edgestack.http.hop import FACTS, TARGET, read
from edgestack.http.messages import Answer, Exchange
from edgestack.neighbours import Neighbours
from edgestack.process.logs import open_error_log
from edgestack.process.tuning import collected, tuned
from edgestack.routing import Chain, run
from edgestack.stack import Stack
from edgestack.wire.connection import Door

__all__ = ["serve"]

UNBOUNDED = 1 << 62
"""Bytes: the edge has its own limits, and what has passed them passes here."""
LIMITS = Limits(request_line=LONGEST_LINE, head=4 << 20, fields=MOST_FIELDS, body=UNBOUNDED, body_rate=0)
TIMES = {"head": 3600.0, "body_gap": 3600.0, "send_gap": 86400.0, "keepalive": 75.0}
"""Seconds: a slow client is the edge's to judge."""

log = logging.getLogger("edgestack.error")


def serve(order: Order, load: Callable[[], Any], listener: int, channel: Channel) -> bool:
    """Load, serve, and return: True when told to stop, False when too many threads hang.

    :raises ConfigError: the application cannot be loaded, or says that it cannot start.
    """
    app = App(order.target, Path(order.folder) if order.folder else None)
    config = _config(order, app)
    error_log = open_error_log(order.log())
    tuned()
    Exchange.prefix = order.request_ids
    crowd = Crowd(order.graceful)
    plan = HostPlan(config, compose(config).sites, order)
    stack = Stack(plan, {app: load()}, neighbours=Neighbours(crowded=crowd))
    sock = socket.socket(fileno=listener)
    sock.setblocking(False)
    collected()
    try:
        trio.run(_live, stack, (config.listeners[0], sock), order, crowd, channel, error_log.reopen)
    except ExceptionGroup as error:
        raise refusal(error) or error from None
    return not crowd.came


def _config(order: Order, app: App) -> Config:
    worker_class = "asgi" if order.asgi else "gthread"
    server = Server(
        threads=order.threads, queue=order.queue, dev=order.dev, limits=LIMITS,
        timeouts=Timeouts(graceful=order.graceful, **TIMES),
        log=order.log(),
        processes=Processes(
            worker_class=worker_class, asgi_loop=order.asgi_loop, timeout=order.timeout,
            websocket_compression=order.websocket_compression,
        ),
    )  # fmt: skip
    return Config(server=server, routes=(Route(app=app),), listeners=(Listener(path=f"hosting {order.target}"),))


async def _live(
    stack: Stack, place: tuple[Listener, socket.socket], order: Order, crowd: Crowd, channel: Channel,
    reopen: Callable[[], None],
) -> None:  # fmt: skip
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2) as signals:
        async with trio.open_nursery() as nursery:
            await nursery.start(stack.serve, [place])
            channel.ready()
            nursery.start_soon(_beat, channel, order.beat)
            async for number in signals:
                if number == signal.SIGTERM:
                    break
                if number == signal.SIGUSR1:
                    reopen()
                else:
                    stack.lives.drain()
            for running in await stack.drain(crowd.grace):
                log.warning("this application thread still ran and was left behind: %s", running)
            nursery.cancel_scope.cancel()


async def _beat(channel: Channel, pause: float) -> None:
    while True:
        await trio.sleep(pause)
        channel.alive()


@dataclass(frozen=True, slots=True)
class HostPlan(Plan):
    """A plan whose every listener leads to the application, mounted where the edge says."""

    order: Order

    def assemble(self, resources: Resources) -> Callable[[Listener], Door]:
        """See `Plan`."""
        mounted = Mounted(self, resources)
        return lambda listener: Door(mounted.handle, mounted.errors)


class Mounted:
    """One application at each of its mounts."""

    def __init__(self, plan: HostPlan, resources: Resources) -> None:
        (self._app,) = plan.applications
        self._found = resources.applications[self._app]
        self._server = plan.config.server
        self._order = plan.order
        self._chains: dict[str, Chain] = {}
        self.errors = FailurePages(dev=self._server.dev)

    def handle(self, exchange: Exchange) -> Answer:
        """Who asks is who the edge says."""
        request = exchange.request
        fields = request.fields
        try:
            hop = read(fields.get(FACTS, ""))
        except ClientError as error:
            return self.errors(exchange, error)
        exchange.facts, exchange.serial = hop.facts, hop.serial
        request.target = fields.get(TARGET, request.target)
        request.replace_fields((FACTS, TARGET), ())
        return run(exchange, self._chains.get(hop.mount) or self._mount(hop.mount))

    def _mount(self, mount: str) -> Chain:
        server, order = self._server, self._order
        if isinstance(self._found, AsgiApplication):
            content: Any = Asgi(
                self._found, mount, limit=UNBOUNDED, dev=server.dev, timeout=server.processes.timeout
            )  # fmt: skip
        else:
            assert callable(self._found)
            content = Wsgi(
                self._found, mount, limit=UNBOUNDED, dev=server.dev, multithread=server.threads > 1,
                multiprocess=order.multiprocess,
            )  # fmt: skip
        made = self._chains[mount] = Chain("/", content, self.errors)
        return made
