"""An application that other processes of ours host, as a route sees it: a group of servers on private unix sockets.

    Hosted.upstream     the group, by its sockets; another generation of processes has other sockets
    Hosted.under_way    requests that were let in and have not ended
    Hosted.replace      another process in the place of one: no request goes to that one any more
    Hosted.broken       what newer code, that cannot be loaded, ended in: development mode shows it in the browser
    Hosted.down         no process is there just now, and the next one is not begun before a while

Who starts the processes, and watches them, writes these; `process/hosts.py`. On the loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path

from edgestack.config.peer_addresses import ServerAddress
from edgestack.config.upstreams import Upstream, UpstreamServer
from edgestack.errors import AppError, Refused
from edgestack.http.forwarding import is_loopback
from edgestack.http.messages import Answer, Exchange, Response
from edgestack.upstream.group import Group
from edgestack.upstream.peers import Peer
from edgestack.upstream.proxy import Proxy

__all__ = ["Hosted", "HostedContent"]

IDLE_LINKS = 256
"""Kept connections to the processes together: each costs a descriptor on both sides, and no more."""
IDLE_FOR = 50.0
"""Seconds that one is kept: less than the hosting servers' own 75, so that they never close first."""
RETRY_AFTER = 1
"""Seconds that a client is told to wait while an application is begun again."""
BROKEN = "The code as it is now cannot be loaded. This page asks again by itself until it can."
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
        self._servers = {path: _server(path) for path in sockets}
        self.upstream = Upstream(
            tuple(self._servers.values()), balance="least_conn", keepalive=IDLE_LINKS, keepalive_timeout=IDLE_FOR,
            keepalive_requests=1 << 31, name=name,
        )  # fmt: skip
        self.group: Group | None = None
        """The upstream as it is asked; None until a route leads there."""
        self.broken = ""
        self.down = False
        self.under_way = 0
        self.asked = 0
        """Requests so far, of all processes."""
        self.most = math.inf
        """Of those, when `worn` is called."""
        self.worn: Callable[[], None] = _nobody

    def came(self, exchange: Exchange) -> None:
        """A request is let in."""
        self.asked += 1
        self.under_way += 1
        exchange.ends = (*exchange.ends, self._ended)
        if self.asked > self.most:
            self.most = math.inf
            self.worn()

    def _ended(self, exchange: Exchange) -> None:
        self.under_way -= 1

    def requests(self, path: Path) -> int:
        """How many the process at that socket was asked."""
        assert self.group is not None
        server = self._servers[path].to
        return sum(peer.requests for peer in self.group.peers() if peer.server == server)

    def replace(self, path: Path, other: Path) -> tuple[Peer, ...]:
        """Ask the process at another socket in the place of one; gives what answers the rest of that one's requests."""
        assert self.group is not None
        server = self._servers[other] = _server(other)
        return self.group.replace(self._servers.pop(path), server)

    def forget(self, peers: tuple[Peer, ...]) -> None:
        """They have answered all that they were asked: close the links that came back since they were replaced."""
        assert self.group is not None
        self.group.forget(peers)


def _server(path: Path) -> UpstreamServer:
    return UpstreamServer(ServerAddress(path=str(path), text=f"unix:{path}"), max_fails=0)


def _nobody() -> None:
    """Nobody counts."""


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
            error = AppError(BROKEN, fields=(("Refresh", REFRESH),))
            error.traceback_text = hosted.broken
            shown: Response = exchange.chain.errors(exchange, error)  # the log was told when it was seen, and once
            return shown
        if hosted.down:
            raise Refused("The application is being started again.", retry_after=RETRY_AFTER,
                          detail=f"no process of {hosted.name} is running")  # fmt: skip
        hosted.came(exchange)
        return self.proxy(exchange)


def _is_page(exchange: Exchange) -> bool:
    """Whether a browser on this machine asks for a page; what its scripts ask for gets the last good answer."""
    request = exchange.request
    mode = request.fields.get("sec-fetch-mode", "navigate")
    asks = request.method == "GET" and mode == "navigate" and "text/html" in request.fields.get("accept", "")
    return asks and is_loopback(exchange.facts.remote_addr)
