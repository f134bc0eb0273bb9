"""How the peers of one group are reached for one kind of target: what is asked for when one was chosen.

    backend.group            which peer is asked
    backend.idle(peer)       a kept link, or None
    await backend.dial(…)    a new one, within the connect timeout
    backend.give_back(…)     kept, where that may be (B15), else closed

TLS is spoken where the target says https, or the server itself does; the name that is asked for, and that must be in
the certificate, is the server's own unless `ssl_name` says otherwise (B18). It must not know requests.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from edgestack.upstream.group import Group
from edgestack.upstream.peers import Peer
from edgestack.upstream.pool import Pool
from edgestack.upstream.talk import too_slow
from edgestack.wire.dialing import Dialer
from edgestack.wire.link import AnyLink, Keeper
from edgestack.wire.tls_client import ClientTls

__all__ = ["Backend"]

CLOSE = b"Connection: close\r\n"

NAMES = 64
"""Server names that links are kept for, each with TLS settings and a pool of its own: as many as a large group has."""


class Backend:
    """One group as one kind of target reaches it."""

    __slots__ = (
        "_by_name", "_dialer", "_keeps", "_plain", "_secure", "_tls", "connection", "group", "keeper", "unresolved",
    )  # fmt: skip

    def __init__(
        self, group: Group, keeper: Keeper, dialer: Dialer, tls: Callable[[], ClientTls], *, secure: bool, keeps: bool,
        ready: trio.Event | None = None,
    ) -> None:  # fmt: skip
        """
        :param keeper: watches over idle links.
        :param tls: how TLS is spoken; asked for when it first is, since its files are read then.
        :param secure: every peer speaks TLS; otherwise those that say so themselves.
        :param keeps: links may be kept; not behind a PROXY header, which speaks for one client.
        :param ready: set when the names of the group were looked up for the first time.
        """
        self.group = group
        self.unresolved = ready
        """None once every name was looked up."""
        self.keeper = keeper
        self._dialer = dialer
        self._tls = tls
        self._secure = secure
        self._keeps = keeps and group.upstream.keepalive > 0
        self.connection = b"" if self._keeps else CLOSE
        """What a request says of the link: `Connection: close`, where links are not kept (B7)."""
        self._plain = self._pool(None)
        self._by_name: dict[str, tuple[ClientTls, Pool]] = {}

    def ready(self) -> bool:
        """Whether every name was looked up, so that who can be asked is known."""
        if self.unresolved is not None and self.unresolved.is_set():
            self.unresolved = None
        return self.unresolved is None

    async def resolved(self) -> None:
        """Until that is so."""
        if not self.ready():
            assert self.unresolved is not None
            await self.unresolved.wait()

    def idle(self, peer: Peer, *, waiting: bool = False) -> AnyLink | None:
        """A kept link to the peer.

        :param waiting: whether a task is going to wait on it.
        """
        pool = self._way(peer)[1] if self._secure or peer.server.tls else self._plain
        return pool.take(peer, waiting=waiting)

    async def dial(self, peer: Peer, preface: bytes, timeout: float) -> AnyLink:
        """A new link.

        :raises UpstreamError: 502; 504 after `timeout` seconds.
        """
        tls = self._way(peer)[0] if self._secure or peer.server.tls else None
        with trio.move_on_after(timeout):
            link = await self._dialer.dial(peer.address, tls, preface)
            link.key = peer
            return link
        raise too_slow(f"{peer.address}: no connection within {timeout:g} s")

    def give_back(self, link: AnyLink, peer: Peer, now: float, *, reusable: bool) -> None:
        """An exchange is done with it."""
        if not reusable:
            self.keeper.close(link)
        elif link.tls_by is None:
            self._plain.put(link, now)
        else:
            self._way(peer)[1].put(link, now)

    def forget(self, peer: Peer) -> None:
        """A peer is gone: its idle links are closed."""
        for pool in (self._plain, *(pool for _, pool in self._by_name.values())):
            pool.forget(peer)

    def close(self) -> None:
        """Keep nothing any more."""
        for pool in (self._plain, *(pool for _, pool in self._by_name.values())):
            pool.close()

    def _way(self, peer: Peer) -> tuple[ClientTls, Pool]:
        """TLS and pool for the peer's name."""
        name = peer.server.host
        way = self._by_name.get(name)
        if way is None:
            if len(self._by_name) >= NAMES:
                self._by_name.pop(next(iter(self._by_name)))[1].close()
            general = self._tls()
            tls = general if general.name else general.named(name)
            way = self._by_name[name] = (tls, self._pool(tls))
        return way

    def _pool(self, tls: ClientTls | None) -> Pool:
        upstream = self.group.upstream
        return Pool(
            self.keeper, upstream.keepalive if self._keeps else 0, upstream.keepalive_timeout,
            upstream.keepalive_requests, upstream.keepalive_time, tls,
        )  # fmt: skip
