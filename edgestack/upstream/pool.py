"""Idle links: kept for the next exchange with the same peer, watched, and closed in time.

    pool.take(key) ── the link of that peer that was idle for the shortest time, or None: dial
    pool.put(link) ── it stands idle: an event or its deadline drops it          keepalive = 0: it is closed

nginx's `keepalive`, `keepalive_timeout`, `keepalive_requests` and `keepalive_time` of a group (criterion B7). When more
are idle than are to be kept, the one that was idle for the longest time goes. What becomes readable while idle, at its
end or with bytes that nobody asked for, is dropped before anybody can take it (A21); one that dies in the very moment
in which it is taken is found out by its exchange, which is then tried on a fresh link (A20: `link.reused`).

One pool belongs to one group and one way to speak TLS. No HTTP: whether a response left the link in order (B15) is
asked before `put`. On the loop only.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Hashable

from edgestack.errors import UpstreamError
from edgestack.wire.link import AnyLink, Keeper, Link
from edgestack.wire.tls_client import ClientTls

__all__ = ["Pool"]

log = logging.getLogger("edgestack.error")


class Pool:
    """The idle links of one group; it holds each of them (`LinkHolder`)."""

    __slots__ = ("_age", "_by_key", "_idle", "_keeper", "_most", "_requests", "_timeout", "_tls")

    def __init__(
        self,
        keeper: Keeper,
        most: int = 32,
        timeout: float = 60.0,
        requests: int = 1000,
        age: float = 3600.0,
        tls: ClientTls | None = None,
    ) -> None:
        """
        :param keeper: watches over the links: the lot, or a `LinkWatch`.
        :param most: links that may be idle, for all peers together; 0 keeps none.
        :param timeout: seconds that one may be idle.
        :param requests: exchanges after which one is closed.
        :param age: seconds since it was connected after which one is closed.
        :param tls: how its links speak; others are not kept.
        """
        self._keeper = keeper
        self._most = most
        self._timeout = timeout
        self._requests = requests if most else 0
        self._age = age
        self._tls = tls
        self._idle: dict[AnyLink, None] = {}  # the one that is idle for the longest time first
        self._by_key: defaultdict[Hashable, list[AnyLink]] = defaultdict(list)

    def __len__(self) -> int:
        """How many are idle."""
        return len(self._idle)

    def take(self, key: Hashable, *, waiting: bool = False) -> AnyLink | None:
        """An idle link, which its taker holds from now on.

        :param key: the `link.key` of the peer.
        :param waiting: whether a task is going to wait on it; otherwise it stays registered where it is, and the taker
            sets holder and deadline at once.
        """
        found = self._by_key.get(key)
        if not found:
            return None
        link = found.pop()
        del self._idle[link]
        link.pending = False
        if waiting:
            link.holder = None
            link.deadline = math.inf
            self._keeper.let_go(link)
        return link

    def put(self, link: AnyLink, now: float | None = None) -> None:
        """An exchange is over, and has left the link in order: keep it for another one, or close it.

        :param now: the serving clock, where it was read already.
        """
        link.requests += 1
        if now is None:
            now = self._keeper.clock()
        if (
            link.requests >= self._requests
            or link.closed
            or not link.lasting
            or now - link.made >= self._age
            or link.tls_by is not self._tls
        ):
            self._keeper.close(link)
            return
        if not link.reused:
            self._first_time(link)
        idle = self._idle
        if len(idle) >= self._most:
            self._drop(next(iter(idle)))
        self._by_key[link.key].append(link)
        idle[link] = None
        link.holder = self
        link.deadline = now + self._timeout
        self._keeper.take_up(link)

    def close(self) -> None:
        """Close what is idle, and keep nothing any more: its group is gone."""
        self._requests = 0
        while self._idle:
            self._drop(next(iter(self._idle)))

    def forget(self, key: Hashable) -> None:
        """Close what is idle of one peer: it is no longer in its group."""
        for link in list(self._by_key.pop(key, ())):
            self._drop(link)

    # -- the holder of what is idle ----------------------------------------------------------------------------------

    def event(self, link: AnyLink, mask: int) -> None:
        """It ended, broke, or said what nobody asked for. On TLS it may have been a ticket for the next session."""
        if isinstance(link, Link) and link.tls and _is_quiet(link):
            return
        self._drop(link)

    def expire(self, link: AnyLink, now: float) -> None:
        """It was idle for long enough."""
        self._drop(link)

    def stop(self, link: AnyLink) -> bool:
        """The server stops."""
        self._forget(link)
        return True

    def failed(self, link: AnyLink, error: Exception) -> None:
        """A bug; the link is closed already."""
        self._forget(link)
        log.error("an idle connection to %s failed", link.peer, exc_info=error)

    # ----------------------------------------------------------------------------------------------------------------

    def _first_time(self, link: AnyLink) -> None:
        link.reused = True
        if isinstance(link, Link) and link.tls:
            link.keep_session()

    def _drop(self, link: AnyLink) -> None:
        self._forget(link)
        self._keeper.close(link)

    def _forget(self, link: AnyLink) -> None:
        self._idle.pop(link, None)
        found = self._by_key.get(link.key)
        if found is not None and link in found:
            found.remove(link)
            if not found:
                del self._by_key[link.key]


def _is_quiet(link: Link) -> bool:
    try:
        return link.receive_nowait(1) is None
    except UpstreamError:
        return False
