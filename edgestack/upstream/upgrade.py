"""Upgrades: WebSocket, and whatever else both sides agree on (criteria B16, B17; RFC 9110 §7.8, RFC 6455 §4).

    client asks: Connection: keep-alive, Upgrade + Upgrade: websocket    -> the same two fields, written anew
    upstream answers 101 with one of the protocols asked for             -> a tunnel
                     101 unasked, or with another protocol               -> 502: nobody knows what follows
                     anything else                                       -> an answer like any other

`h2c` is never asked for: requests within it would pass by every rule of this server. Pure.
"""

from __future__ import annotations

from edgestack.errors import UpstreamError
from edgestack.http.fields import tokens
from edgestack.http.messages import Request

__all__ = ["agreed", "asked_for", "upgrade_fields"]

REFUSED = frozenset(("h2c", "http", "http/2.0", "tls"))
"""Protocols that would carry requests, or TLS, past us."""


def asked_for(request: Request) -> str:
    """The protocols that the client asks for, as they are passed on; "" for none."""
    wanted = request.fields.get("upgrade")
    if not wanted or request.version != "HTTP/1.1" or request.body is not None:
        return ""
    if "upgrade" not in tokens(request.fields.get("connection", "")):
        return ""
    offered = [part.strip(" \t") for part in wanted.split(",")]
    return ", ".join(name for name in offered if name and name.lower().partition("/")[0] not in REFUSED)


def upgrade_fields(wanted: str) -> bytes:
    """The two fields of a request that asks for it."""
    return f"Connection: upgrade\r\nUpgrade: {wanted}\r\n".encode("latin-1")


def agreed(wanted: str, fields: dict[str, str]) -> str:
    """The protocol that the upstream changes to.

    :param wanted: what was asked for; "" for nothing.
    :param fields: of its 101, folded.
    :raises UpstreamError: it was not asked for.
    """
    chosen = fields.get("upgrade", "")
    asked = tokens(wanted)
    if not chosen or not asked or not set(tokens(chosen)) <= set(asked):
        detail = f"101 to {chosen or 'nothing'!r} where {wanted or 'nothing'!r} was asked for"
        raise UpstreamError(
            "The server behind this one sent an answer that is not understood.", detail=detail,
            condition="invalid_header",
        )  # fmt: skip
    return chosen
