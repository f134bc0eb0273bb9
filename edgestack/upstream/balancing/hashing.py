"""By a hash: of the client's address (A12) or of a key (A13), modulo the total weight; nginx's ip_hash and hash.

    address   h = 89; for each byte h = (h * 113 + byte) % 6271; IPv4 the first three bytes, IPv6 all sixteen
    key       the sum of (crc32([n] key) >> 16) & 0x7fff over n = "", 1, 2 …

A peer that cannot be asked is passed by hashing again; after 20 of those, round robin chooses. The weights of peers
that are down count too, so that taking one away for a while moves no other's clients.
"""

from __future__ import annotations

from ipaddress import ip_address
from zlib import crc32

from edgestack.upstream.balancing import round_robin
from edgestack.upstream.peers import Peer, Peers, Tried

__all__ = ["MISSES", "address_key", "pick", "pick_by_address"]

MISSES = 20
"""ngx_http_upstream_ip_hash_module.c, ngx_http_upstream_hash_module.c: `tries > 20`."""

NO_ADDRESS = bytes(3)
"""Of a client on a unix socket: nginx's `ngx_http_upstream_ip_hash_pseudo_addr`."""


def address_key(text: str) -> bytes:
    """What ip_hash makes of a client's address."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return NO_ADDRESS
    return address.packed[:3] if address.version == 4 else address.packed


def pick_by_address(peers: Peers, now: float, tried: Tried) -> Peer | None:
    """ip_hash; `tried.key` holds what `address_key` gave."""
    if peers.single or not peers.total_weight:
        return round_robin.pick(peers, now, tried)
    key = tried.key or NO_ADDRESS
    if tried.hash < 0:
        tried.hash = 89
    value = tried.hash
    while tried.misses <= MISSES:
        for byte in key:
            value = (value * 113 + byte) % 6271
        peer = at_weight(peers, value)
        if peer not in tried.peers and peer.usable(now):
            tried.hash = value
            return peer
        tried.misses += 1
    return round_robin.pick(peers, now, tried)


def pick(peers: Peers, now: float, tried: Tried) -> Peer | None:
    """hash; `tried.key` holds the key, and an empty one means round robin."""
    if peers.single or not tried.key or not peers.total_weight:
        return round_robin.pick(peers, now, tried)
    if tried.hash < 0:
        tried.hash = 0
    while tried.misses <= MISSES:
        salted = b"%d%b" % (tried.rehash, tried.key) if tried.rehash else tried.key
        tried.hash += (crc32(salted) >> 16) & 0x7FFF
        tried.rehash += 1
        peer = at_weight(peers, tried.hash)
        if peer not in tried.peers and peer.usable(now):
            return peer
        tried.misses += 1
    return round_robin.pick(peers, now, tried)


def at_weight(peers: Peers, value: int) -> Peer:
    """The peer in whose part of the total weight a value falls."""
    rest = value % peers.total_weight
    for peer in peers.list:
        if rest < peer.weight:
            return peer
        rest -= peer.weight
    raise AssertionError("the total weight is the sum of the weights")
