"""Which peer is asked: one file for each way to choose. Pure: no I/O, no clock, no randomness of its own.

    method(peers, now, tried) -> Peer | None      None: no peer of this set can be asked

    round_robin.py  smooth weighted round robin, and what all others fall back on
    least_conn.py   the fewest requests for its weight
    least_time.py   the shortest time to the head, for its weight and what it is answering
    hashing.py      ip_hash; hash of a key
    ketama.py       hash of a key on a ring
    random_peer.py  one at random; the better one of two at random

A method changes the weights of round robin and the `Tried` that it is given, and nothing else: the group notes that the
peer is asked. All but least_time choose what nginx chooses, to the number (criteria A).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from edgestack.upstream.balancing import hashing, ketama, least_conn, least_time, random_peer, round_robin
from edgestack.upstream.peers import Peer, Peers, Tried

if TYPE_CHECKING:
    from edgestack.config.upstreams import Upstream

__all__ = ["Balancing", "Method", "balancing"]

Method: TypeAlias = "Callable[[Peers, float, Tried], Peer | None]"


class Balancing(NamedTuple):
    """One way to choose, and what it needs of a request."""

    pick: Method
    hashes: str = ""
    """What `Tried.key` holds: "key", "address" of the client, or "" for nothing."""


def balancing(upstream: Upstream, random: Random) -> Balancing:
    """The way that a group is told to choose in."""
    if upstream.hash:
        return Balancing(ketama.pick if upstream.consistent else hashing.pick, "key")
    match upstream.balance:
        case "ip_hash":
            return Balancing(hashing.pick_by_address, "address")
        case "least_conn":
            return Balancing(least_conn.pick)
        case "least_time":
            return Balancing(least_time.pick)
        case "random":
            return Balancing(random_peer.RandomPeer(random).pick)
        case "random two":
            return Balancing(random_peer.RandomPeer(random).pick_of_two)
    return Balancing(round_robin.pick)
