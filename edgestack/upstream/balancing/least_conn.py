"""The fewest requests for its weight (A11), as nginx's `ngx_http_upstream_get_least_conn_peer`.

Ratios are compared by cross products, so that no rounding decides. Where several are equal, smooth round robin chooses
among them alone; one that is best alone takes no part in it.
"""

from __future__ import annotations

from edgestack.upstream.balancing import round_robin
from edgestack.upstream.peers import Peer, Peers, Tried

__all__ = ["pick"]


def pick(peers: Peers, now: float, tried: Tried) -> Peer | None:
    """The peer with the least to do."""
    if peers.single:
        return round_robin.pick(peers, now, tried)
    best: list[Peer] = []
    conns, share = 0, 1.0
    for peer in peers.list:
        if peer in tried.peers or not peer.usable(now):
            continue
        mine = peer.share(now)
        here, there = peer.conns * share, conns * mine
        if not best or here < there:
            best, conns, share = [peer], peer.conns, mine
        elif here == there:
            best.append(peer)
    return best[0] if len(best) == 1 else round_robin.turn(best, now)
