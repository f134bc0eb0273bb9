"""A client stays with its peer: the cookie, and whom it names.

    Set-Cookie: edgestack_NAME=<HMAC-SHA256 of group and address, 32 hex digits>; Path=/; HttpOnly; SameSite=Lax

The value is looked up, never taken apart: it tells nobody where a peer is, and cannot be guessed without the secret. A
value that names nobody (a peer that is gone, another secret, a forgery) is as good as none: balance decides, and the
answer brings a new cookie.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from edgestack.upstream.peers import Peer

if TYPE_CHECKING:
    from edgestack.config.upstreams import Sticky
    from edgestack.http.messages import Exchange

__all__ = ["Stickiness"]

DIGITS = 32
"""Of the HMAC: 128 bits."""


class Stickiness:
    """The cookies of one group."""

    __slots__ = ("_attributes", "_name", "_peers", "_scope", "_secret", "_values")

    def __init__(self, sticky: Sticky, group: str, secret: bytes = b"") -> None:
        """
        :param group: its name, so that two groups do not take each other's cookies.
        :param secret: the key of the HMAC; empty for one that this process makes.
        """
        self._name = sticky.cookie or f"edgestack_{group}"
        self._scope = group.encode()
        self._secret = secret or os.urandom(32)
        age = f"; Max-Age={int(sticky.expires)}" if sticky.expires else ""
        self._attributes = f"; Path={sticky.path}{age}; HttpOnly; SameSite=Lax"
        self._peers: dict[str, Peer] = {}
        self._values: dict[Peer, str] = {}

    def know(self, peers: Iterable[Peer]) -> None:
        """These are the peers that clients stay with; backups are not among them, since nobody is to stay there."""
        self._values = {peer: self._value(peer) for peer in peers}
        self._peers = {value: peer for peer, value in self._values.items()}

    def asked(self, exchange: Exchange) -> Peer | None:
        """The peer that the client's cookie names."""
        return self._peers.get(self._brought(exchange))

    def cookie(self, exchange: Exchange, peer: Peer) -> str:
        """The Set-Cookie for the peer that answers; "" where the client has it already, or nobody stays there."""
        value = self._values.get(peer, "")
        if not value or value == self._brought(exchange):
            return ""
        secure = "; Secure" if exchange.facts.scheme == "https" else ""
        return f"{self._name}={value}{self._attributes}{secure}"

    def _value(self, peer: Peer) -> str:
        told = self._scope + b"\0" + str(peer.address).encode()
        return hmac.new(self._secret, told, hashlib.sha256).hexdigest()[:DIGITS]

    def _brought(self, exchange: Exchange) -> str:
        """The cookie's value in the request (RFC 6265 §5.4); "" without one."""
        for pair in exchange.request.fields.get("cookie", "").split(";"):
            name, _, value = pair.partition("=")
            if name.strip() == self._name:
                return value.strip()
        return ""
