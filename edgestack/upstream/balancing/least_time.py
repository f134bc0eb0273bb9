"""The shortest way to an answer: the moving average of the time to the head, times (requests + 1) / weight.

A peer that has not answered yet counts as the fastest of those that have, so that it is asked without being flooded.
Where several are equal, smooth round robin chooses among them alone. In nginx this is part of its commercial edition;
its formula is not told.
"""

from __future__ import annotations

from edgestack.upstream.balancing import round_robin
from edgestack.upstream.peers import Peer, Peers, Tried

__all__ = ["pick"]


def pick(peers: Peers, now: float, tried: Tried) -> Peer | None:
    """The peer that will answer first, by all that is known."""
    if peers.single:
        return round_robin.pick(peers, now, tried)
    usable = [peer for peer in peers.list if peer.usable(now) and peer not in tried.peers]
    if not usable:
        return None
    known = [peer.header_time for peer in usable if peer.header_time is not None]
    fastest = min(known, default=1.0)
    costs = [_cost(peer, fastest, now) for peer in usable]
    least = min(costs)
    return round_robin.turn((peer for peer, cost in zip(usable, costs, strict=True) if cost == least), now)


def _cost(peer: Peer, fastest: float, now: float) -> float:
    seconds = fastest if peer.header_time is None else peer.header_time
    share = peer.share(now)
    return seconds * (peer.conns + 1) / share if share else float("inf")
