"""An application that other processes of ours host, as a route sees it: a group of servers on private unix sockets.

    Hosted.upstream     the group, by its sockets; another generation of processes has other sockets
    Hosted.broken       what newer code, that cannot be loaded, ended in: development mode shows it in the browser
    Hosted.down         no process is there just now, and the next one is not begun before a while

Who starts the processes, and watches them, writes these; `process/hosts.py`. On the loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edgestack.config.peer_addresses import ServerAddress
from edgestack.config.upstreams import Upstream, UpstreamServer
from edgestack.errors import AppError, Refused
from edgestack.http.forwarding import is_loopback
from edgestack.http.messages import Answer, Exchange, Response
from edgestack.upstream.proxy import Proxy

__all__ = ["Hosted", "HostedContent"]

IDLE_LINKS = 256
"""Kept connections to the processes together: each costs a descriptor on both sides, and no more."""
IDLE_FOR = 50.0
"""Seconds that one is kept: less than the hosting servers' own 75, so that they never close first."""
RETRY_AFTER = 1
"""Seconds that a client is told to wait while an application is begun again."""
REFRESH = "1"
"""Seconds after which a browser asks again for a page that broken code has made impossible."""


class Hosted:
    """See the top of this file."""

    def __init__(self, name: str, sockets: Iterable[Path], kind: str = "process") -> None:
        """
        :param name: the application's, as the user wrote it.
        :param sockets: one for each process.
        :param kind: the worker class.
        """
        self.name = name
        self.kind = kind
        self.upstream = Upstream(
            tuple(UpstreamServer(ServerAddress(path=str(path), text=f"unix:{path}"), max_fails=0) for path in sockets),
            balance="least_conn", keepalive=IDLE_LINKS, keepalive_timeout=IDLE_FOR, keepalive_requests=1 << 31,
            name=name,
        )  # fmt: skip
        self.broken = ""
        self.down = False


class HostedContent:
    """The content of a route whose application is hosted: a Handler."""

    def __init__(self, hosted: Hosted, proxy: Proxy, *, dev: bool) -> None:
        """
        :param proxy: leads to its processes.
        :param dev: show broken code in the browser.
        """
        self.hosted = hosted
        self.proxy = proxy
        self.target = hosted.name
        self._dev = dev

    def __call__(self, exchange: Exchange) -> Answer:
        """What a process answers; or why the newest code is broken, to somebody who works on it and wants a page.

        :raises Refused: 503, none is there just now.
        """
        hosted = self.hosted
        if hosted.broken and self._dev and _is_page(exchange):
            error = AppError("The application cannot be loaded.", fields=(("Refresh", REFRESH),))
            error.traceback_text = hosted.broken
            shown: Response = exchange.chain.errors(exchange, error)  # the log was told when it was seen, and once
            return shown
        if hosted.down:
            raise Refused("The application is being started again.", retry_after=RETRY_AFTER,
                          detail=f"no process of {hosted.name} is running")  # fmt: skip
        return self.proxy(exchange)


def _is_page(exchange: Exchange) -> bool:
    """Whether a browser on this machine asks for a page; what its scripts ask for gets the last good answer."""
    request = exchange.request
    mode = request.fields.get("sec-fetch-mode", "navigate")
    asks = request.method == "GET" and mode == "navigate" and "text/html" in request.fields.get("accept", "")
    return asks and is_loopback(exchange.facts.remote_addr)
