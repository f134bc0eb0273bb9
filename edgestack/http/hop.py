"""What a process of ours that hosts an application must know beyond the request itself: who asks, and what for.

    edge    told(exchange, mount)          -> X-Edgestack-Hop: serial, and the facts of the client's connection as JSON
            asked(exchange)                -> X-Edgestack-Target: the request-target, where the client's own was another
    host    read(text)                     -> serial, mount, facts
            FAILED on an answer            the application has failed: the edge has a page for that

Between the two is a unix socket in a folder that nobody else may enter: there, and only there, the fields are believed.
A client that sends them is not heard: the edge writes them anew. With them the application sees the very environ that
it sees in the edge's own process: REMOTE_ADDR, the scheme, both ports, the client's certificate, what trusted proxies
wrote, SCRIPT_NAME, the request's id. Pure.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import NamedTuple

from edgestack.errors import ClientError
from edgestack.http.facts import Facts, TlsFacts
from edgestack.http.forwarding import DEFAULT_PORTS, ForwardedFacts
from edgestack.http.messages import Exchange

__all__ = ["FACTS", "FAILED", "TARGET", "Hop", "asked", "place", "read", "told"]

FACTS = "x-edgestack-hop"
TARGET = "x-edgestack-target"
FAILED = "x-edgestack-failed"

KEPT = 1024
"""Connections whose facts are remembered; each is asked about again and again."""


class Hop(NamedTuple):
    """What was told."""

    serial: int
    """Of the exchange at the edge: with the prefix that both share it makes the request's id."""
    mount: str
    """Where the application is mounted, decoded, without a slash at its end."""
    facts: Facts


def told(exchange: Exchange, mount: str) -> str:
    """The value of X-Edgestack-Hop: ASCII, and no control characters."""
    facts = exchange.facts
    forwarded = [facts.host, facts.told] if type(facts) is ForwardedFacts else None
    said = json.dumps([
        mount, facts.remote_addr, facts.remote_port, facts.local_addr, facts.local_port, facts.scheme, facts.sni,
        facts.client_certificate, facts.tls, forwarded,
    ])  # fmt: skip
    return f"{exchange.serial:x} {said}"


def asked(exchange: Exchange, sent: str) -> str:
    """The value of X-Edgestack-Target; "" where the request-target that is `sent` is the client's own."""
    target = exchange.request.target
    return "" if target == sent else target


def place(facts: Facts) -> tuple[str, str]:
    """SERVER_NAME and SERVER_PORT, as `content/environ.py` has them."""
    name = facts.local_addr
    if ":" in name:
        name = f"[{name}]"  # RFC 3875 §4.1.14
    elif not name or name[0] in "/@\0":
        name = "localhost"
    return name, str(facts.local_port or DEFAULT_PORTS.get(facts.scheme, 80))


def read(text: str) -> Hop:
    """What `told` said.

    :raises ClientError: 400, it is not that: somebody else speaks here.
    """
    serial, _, said = text.partition(" ")
    try:
        mount, facts = _facts(said)
        return Hop(int(serial, 16), mount, facts)
    except (ValueError, TypeError):
        raise ClientError("This socket is between two parts of one server.", 400) from None


@lru_cache(KEPT)
def _facts(said: str) -> tuple[str, Facts]:
    mount, remote, port, local, local_port, scheme, sni, certificate, tls, forwarded = json.loads(said)
    facts = Facts(
        remote, port, local, local_port, scheme, sni, certificate, TlsFacts(*tls) if tls is not None else None
    )  # fmt: skip
    if forwarded is not None:
        host, fields = forwarded
        facts = through = ForwardedFacts(facts, remote, port, scheme, host, local_port)
        through.told = fields
    return mount, facts
