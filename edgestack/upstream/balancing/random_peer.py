"""One at random, by weight; or of two at random the one with fewer requests for its weight (A14).

As nginx's `random` and `random two least_conn`: a draw that cannot be asked is drawn again, and after 20 of those round
robin chooses. The weights of peers that are down count in the draw.
"""

from __future__ import annotations

from random import Random

from edgestack.upstream.balancing import round_robin
from edgestack.upstream.balancing.hashing import MISSES, at_weight
from edgestack.upstream.peers import Peer, Peers, Tried

__all__ = ["RandomPeer"]


class RandomPeer:
    """Both ways, with the source of their chance."""

    __slots__ = ("_random",)

    def __init__(self, random: Random) -> None:
        self._random = random

    def pick(self, peers: Peers, now: float, tried: Tried) -> Peer | None:
        """Any peer."""
        while not peers.single and peers.total_weight and tried.misses <= MISSES:
            peer = self._drawn(peers)
            if peer not in tried.peers and peer.usable(now):
                return peer
            tried.misses += 1
        return round_robin.pick(peers, now, tried)

    def pick_of_two(self, peers: Peers, now: float, tried: Tried) -> Peer | None:
        """The one with less to do of any two."""
        first: Peer | None = None
        while not peers.single and peers.total_weight and tried.misses <= MISSES:
            peer = self._drawn(peers)
            if peer is not first and peer not in tried.peers and peer.usable(now):
                if first is None:
                    first = peer
                else:
                    return first if peer.conns * first.weight > first.conns * peer.weight else peer
            tried.misses += 1
        return round_robin.pick(peers, now, tried)

    def _drawn(self, peers: Peers) -> Peer:
        return at_weight(peers, self._random.randrange(peers.total_weight))
