"""By a hash of a key on a ring (A13): a server that comes or goes moves only the keys that were or become its own.

160 points for each unit of weight: crc32(HOST \\0 PORT PREVIOUS), where PREVIOUS is the point before as four bytes, the
lowest first; laid out by the servers as they are written, as nginx's `hash … consistent` and Cache::Memcached::Fast do.
Where a name has several addresses, smooth round robin chooses among its peers.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import groupby
from zlib import crc32

from edgestack.upstream.balancing import round_robin
from edgestack.upstream.balancing.hashing import MISSES
from edgestack.upstream.peers import Peer, Peers, Tried

__all__ = ["Ring", "pick"]

POINTS = 160
"""ngx_http_upstream_hash_module.c: `peer->weight * 160`."""


class Ring:
    """The points of a set of peers, in order, and the server of each."""

    __slots__ = ("points", "servers")

    def __init__(self, peers: Peers) -> None:
        found: list[tuple[int, int, str]] = []
        for peer in peers.list:
            base = crc32(_base(peer.server.text))
            point = 0
            for _ in range(peer.weight * POINTS):
                point = crc32(point.to_bytes(4, "little"), base)
                found.append((point, len(found), peer.server.text))
        found.sort()
        first = [next(same) for _, same in groupby(found, key=lambda one: one[0])]
        self.points = [point for point, _, _ in first]
        self.servers = [server for _, _, server in first]


def _base(server: str) -> bytes:
    """HOST \\0 PORT of a server as it is written; a unix socket's path has no port."""
    if server.startswith("unix:"):
        return server[5:].encode() + b"\0"
    host, colon, port = server.rpartition(":")
    if not colon or not all(letter in "0123456789" for letter in port):
        return server.encode() + b"\0"
    return host.encode() + b"\0" + port.encode()


def pick(peers: Peers, now: float, tried: Tried) -> Peer | None:
    """hash … consistent; `tried.key` holds the key, and an empty one means round robin."""
    if peers.single or not tried.key or not peers.total_weight:
        return round_robin.pick(peers, now, tried)
    ring = peers.ring
    if not isinstance(ring, Ring):
        ring = peers.ring = Ring(peers)
    if tried.hash < 0:
        tried.hash = bisect_left(ring.points, crc32(tried.key))
    while tried.misses <= MISSES:
        server = ring.servers[tried.hash % len(ring.servers)]
        usable = (
            peer for peer in peers.list
            if peer.server.text == server and peer.usable(now) and peer not in tried.peers
        )  # fmt: skip
        peer = round_robin.turn(usable, now)
        if peer is not None:
            return peer
        tried.hash += 1
        tried.misses += 1
    return round_robin.pick(peers, now, tried)
