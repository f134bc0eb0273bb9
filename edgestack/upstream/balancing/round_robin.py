"""Smooth weighted round robin (A1, A2), as nginx's `ngx_http_upstream_get_peer`: with weights 5, 1, 1: a a b a c a a.

Each round adds its effective weight to every peer that can be asked, takes the largest (the first wins ties), and
subtracts the total from it.
"""

from __future__ import annotations

from collections.abc import Iterable

from edgestack.upstream.peers import Peer, Peers, Tried

__all__ = ["pick", "turn"]


def pick(peers: Peers, now: float, tried: Tried) -> Peer | None:
    """The peer whose turn it is."""
    if peers.single:
        only = peers.list[0]
        return only if only.usable_alone() and only not in tried.peers else None
    return turn((peer for peer in peers.list if peer.usable(now) and peer not in tried.peers), now)


def turn(peers: Iterable[Peer], now: float) -> Peer | None:
    """One round among peers that can all be asked."""
    best: Peer | None = None
    total = 0.0
    for peer in peers:
        total += peer.advance(now)
        if best is None or peer.current_weight > best.current_weight:
            best = peer
    if best is not None:
        best.current_weight -= total
    return best
