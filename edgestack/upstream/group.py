"""A group of servers: which of its peers is asked, what became of it, and who waits for one.

    peer = group.lone(now)                         nothing to choose, or None: then
    tried = Tried()                                one for each request
    peer = group.pick(exchange, tried, now)        at once, or UpstreamError 502, "no live upstreams"
    peer = await group.wait(exchange, tried)       the same, in the queue where there is one
    group.failed(peer, now)                        it broke off, was silent, or gave a listed status (A16)
    group.succeeded(peer, now)                     it answered: 403 and 404 are answers too
    peer.timed(seconds)                            the head of its answer came
    group.release(peer)                            once for each pick, whatever became of it

Who left early says neither failed nor succeeded, but releases. What is wanted of a response's fields: `sticky_cookie`.
Pure but for `wait`: `now` is the serving clock in seconds. Accounting is by peers.py, choosing by balancing/.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from random import Random
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import trio

from edgestack.config.peer_addresses import PeerAddress
from edgestack.errors import UpstreamError
from edgestack.upstream.balancing import balancing
from edgestack.upstream.balancing.hashing import address_key
from edgestack.upstream.peers import Peer, Peers, PeerStatistics, Tried
from edgestack.upstream.queueing import Waiting
from edgestack.upstream.sticky import Stickiness

if TYPE_CHECKING:
    from edgestack.config.upstreams import Upstream, UpstreamServer
    from edgestack.http.messages import Exchange

__all__ = ["Group", "GroupStatistics", "no_live_peer"]

log = logging.getLogger("edgestack.error")

Key: TypeAlias = "Callable[[Exchange], str]"

FEW = 4
"""Peers that the error of a group tells of."""


class GroupStatistics(NamedTuple):
    """What is known of a group at one moment."""

    name: str
    peers: tuple[PeerStatistics, ...]
    unresolved: tuple[str, ...]
    """Names that have no address yet."""
    waiting: int
    """Requests in the queue."""


class Group:
    """The peers of one `[upstream.NAME]`, or of one server that a route names itself."""

    def __init__(
        self,
        upstream: Upstream,
        key: Key | None = None,
        *,
        random: Random | None = None,
        secret: bytes = b"",
    ) -> None:
        """
        :param key: the compiled template of `upstream.hash`, where there is one.
        :param secret: what the sticky cookie is signed with; empty for one of this group's own.
        """
        self.upstream = upstream
        self.name = upstream.name
        self.random = random or Random()
        self.when_gone: list[Callable[[Peer], None]] = []
        """Called with each peer that is gone, by those who keep something for it (idle links)."""
        self._key = key
        self._balancing = balancing(upstream, self.random)
        self._found: dict[UpstreamServer, tuple[Peer, ...]] = {}
        for server in upstream.servers:
            self._found[server] = () if server.to.is_name else (self._peer(server, server.to.at()),)
        self.sticky = Stickiness(upstream.sticky, upstream.name, secret) if upstream.sticky is not None else None
        self._waiting = Waiting(upstream.queue) if upstream.queue is not None else None
        self._settle()

    # --- choosing -------------------------------------------------------------------------------------------------

    def lone(self, now: float) -> Peer | None:
        """What `pick` gives for a request that has tried nobody, where there is nothing to choose; else None."""
        only = self._only
        if only is None or only.ill or only.max_conns:
            return None
        only.picked(now)
        return only

    def pick(self, exchange: Exchange, tried: Tried, now: float) -> Peer:
        """The peer that is asked next; it counts as busy until `release`.

        :raises UpstreamError: 502, there is none (A9), or others wait for one already.
        """
        waiting = self._waiting
        if waiting is not None and waiting and not tried.peers:
            raise no_live_peer(self.name, "requests wait for one already")
        return self._pick(exchange, tried, now)

    async def wait(self, exchange: Exchange, tried: Tried) -> Peer:
        """The same; where there is a queue, it waits there for its turn.

        :raises UpstreamError: 502, at once without a queue or when that is full, else at its timeout.
        """
        waiting = self._waiting
        if waiting is None or tried.peers:
            return self._pick(exchange, tried, trio.current_time())
        return await waiting.turn(lambda: self._looked(exchange, tried), self._next_opening, self.name)

    def _pick(self, exchange: Exchange, tried: Tried, now: float) -> Peer:
        peer = self._choose(exchange, tried, now)
        if peer is None:
            raise no_live_peer(self.name, self._why(now))
        return peer

    def _why(self, now: float) -> str:
        """Why peers that were not tried are not asked; of many the first."""
        known = self.statistics(now)
        told = [f"{name} has no address" for name in known.unresolved]
        told += [f"{peer.address}: {peer.out}" for peer in known.peers if peer.out]
        return ", ".join(told[:FEW]) + (", …" if len(told) > FEW else "")

    def _looked(self, exchange: Exchange, tried: Tried) -> Peer | None:
        """One look of a request that waits; what an earlier look found out holds no more."""
        tried.forget()
        return self._choose(exchange, tried, trio.current_time())

    def _choose(self, exchange: Exchange, tried: Tried, now: float) -> Peer | None:
        """One that can be asked: the client's own, by balance, or a backup (A8)."""
        peer = self._own(exchange, tried, now) if self.sticky is not None else None
        if peer is None:
            if tried.key is None:
                tried.key = self._hashed(exchange)
            if not tried.backups:
                peer = self._balancing.pick(self.primaries, now, tried) if self.primaries.list else None
                tried.backups = peer is None and bool(self.backups.list)
            if tried.backups:
                peer = self._balancing.pick(self.backups, now, tried)
        if peer is not None:
            tried.peers = (*tried.peers, peer)
            peer.picked(now)
        return peer

    def _own(self, exchange: Exchange, tried: Tried, now: float) -> Peer | None:
        """The peer that the client's cookie names, where it can be asked."""
        assert self.sticky is not None
        peer = self.sticky.asked(exchange)
        return peer if peer is not None and peer not in tried.peers and self._usable(peer, now) else None

    def _usable(self, peer: Peer, now: float) -> bool:
        return peer.usable_alone() if self._alone else peer.usable(now)

    def _hashed(self, exchange: Exchange) -> bytes:
        """What the way of balancing needs of a request."""
        hashes = self._balancing.hashes
        if hashes == "key" and self._key is not None:
            return self._key(exchange).encode("utf-8", "surrogateescape")  # as `$uri` was decoded
        return address_key(exchange.facts.remote_addr) if hashes == "address" else b""

    def tries(self) -> int:
        """How many peers one request may try: those that are not down, backups too (A15)."""
        return self.primaries.tries + self.backups.tries

    # --- what became of it ----------------------------------------------------------------------------------------

    def failed(self, peer: Peer, now: float) -> None:
        """It was asked and failed; of a peer that is alone nothing is held against it (A6)."""
        if self._alone:
            peer.failures += 1
            return
        peer.failed(now)
        if peer.max_fails and peer.fails == peer.max_fails:
            log.warning('upstream "%s": %s is left alone: %s', self.name, peer.address, peer.out(now))

    def succeeded(self, peer: Peer, now: float) -> None:
        """It was asked and answered."""
        if peer.fails:
            peer.succeeded(now)
            self._wake()

    def release(self, peer: Peer) -> None:
        """The request that picked it is done with it."""
        peer.conns -= 1
        if self._waiting is not None:
            self._waiting.wake()

    def sticky_cookie(self, exchange: Exchange, peer: Peer) -> str:
        """The Set-Cookie that keeps a client with its peer; "" where it is not wanted or there already."""
        return self.sticky.cookie(exchange, peer) if self.sticky is not None else ""

    # --- who they are ---------------------------------------------------------------------------------------------

    def peers(self) -> tuple[Peer, ...]:
        """All of them, backups last."""
        return (*self.primaries.list, *self.backups.list)

    def names(self) -> tuple[UpstreamServer, ...]:
        """The servers whose names are to be resolved."""
        return tuple(server for server in self._found if server.to.is_name)

    def found(self, server: UpstreamServer, hosts: Iterable[str]) -> None:
        """A server's name has these addresses (A7); a peer that had one before keeps its state.

        :param hosts: IP addresses; none for a name that has no address any more.
        """
        known = {peer.address: peer for peer in self._found[server]}
        addresses = dict.fromkeys(server.to.at(host) for host in hosts)
        self._found[server] = tuple(known.pop(one) if one in known else self._peer(server, one) for one in addresses)
        self._settle()
        self.forget(known.values())

    def replace(self, server: UpstreamServer, other: UpstreamServer) -> tuple[Peer, ...]:
        """Ask another server in the place of one, which is written with an address; who asked that one already may end.

        :returns: the peers that are gone; their `conns` tell how many requests they are still answering.
        """
        gone = self._found.pop(server)
        self._found[other] = (self._peer(other, other.to.at()),)
        self._settle()
        self.forget(gone)
        return gone

    def forget(self, peers: Iterable[Peer]) -> None:
        """They are gone: what is kept for them is not, idle links above all."""
        for peer in peers:
            for call in self.when_gone:
                call(peer)

    def set_health(self, peer: Peer, ill: str, now: float) -> None:
        """What active checks have found.

        :param ill: why it is not well; "" when it is.
        """
        if peer.ill and not ill:
            peer.recovered(now)
        peer.ill = ill
        self._wake()

    def statistics(self, now: float) -> GroupStatistics:
        """What is known of the group, and why peers are out."""
        peers = tuple(peer.statistics(now, alone=self._alone) for peer in self.peers())
        unresolved = tuple(server.to.text for server, found in self._found.items() if not found)
        return GroupStatistics(self.name, peers, unresolved, len(self._waiting) if self._waiting is not None else 0)

    def _peer(self, server: UpstreamServer, address: PeerAddress) -> Peer:
        group = self.upstream
        return Peer(
            address,
            server.to,
            weight=server.weight,
            max_conns=server.max_conns,
            max_fails=group.max_fails if server.max_fails is None else server.max_fails,
            fail_timeout=group.fail_timeout if server.fail_timeout is None else server.fail_timeout,
            slow_start=group.slow_start if server.slow_start is None else server.slow_start,
            backup=server.backup,
            down=server.down,
        )

    def _settle(self) -> None:
        """Take the peers up as they are now."""
        every = [peer for found in self._found.values() for peer in found]
        self._alone = len(every) == 1
        self.primaries = Peers((peer for peer in every if not peer.backup), single=self._alone)
        self.backups = Peers((peer for peer in every if peer.backup), single=self._alone)
        plain = self.sticky is None and self._waiting is None and self._alone and not every[0].down
        self._only = every[0] if plain else None
        """The peer that is asked whatever the balance, where there is no other, no cookie and no queue."""
        if self.sticky is not None:
            self.sticky.know(self.primaries.list)
        self._wake()

    def _wake(self) -> None:
        """Somebody may be served who waits."""
        if self._waiting is not None:
            self._waiting.wake()

    def _next_opening(self) -> float:
        """When the next peer may be asked again that is left alone now; infinite where none is."""
        now = trio.current_time()
        return min((one.checked + one.fail_timeout for one in self.peers() if one.banned(now)), default=float("inf"))


def no_live_peer(name: str, why: str = "") -> UpstreamError:
    """The 502 of a group none of whose peers can be asked (A9)."""
    told = f": {why}" if why else ""
    return UpstreamError("The server behind this one is not available.", detail=f'no live upstreams in "{name}"{told}')
