"""Groups and exchanges for the tests of upstream/: as a configuration says them, without sockets."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from edgestack.config.peer_addresses import parse_server
from edgestack.config.upstreams import Upstream, UpstreamServer
from edgestack.http.facts import Facts
from edgestack.http.messages import Exchange, Request
from edgestack.http.target import read_path
from edgestack.upstream.group import Group
from edgestack.upstream.peers import Peer, Tried


def server(to: str, **said: Any) -> UpstreamServer:
    """One server."""
    return UpstreamServer(parse_server(to), **said)


def group(*servers: str | UpstreamServer, key: Callable[[Exchange], str] | None = None, **said: Any) -> Group:
    """A group named "backend"."""
    made = tuple(server(one) if isinstance(one, str) else one for one in servers)
    return Group(Upstream(made, name="backend", **said), key, random=Random(1))


def exchange(cookie: str = "", addr: str = "127.0.0.1", scheme: str = "http") -> Exchange:
    """A request for /."""
    fields = {"cookie": cookie} if cookie else {}
    request = Request("GET", "/", "HTTP/1.1", list(fields.items()), fields, read_path("/"), "", "x", True)
    return Exchange(Facts(remote_addr=addr, scheme=scheme), request, 1, 0.0)


def ask(of: Group, now: float = 0.0, tried: Tried | None = None) -> Peer:
    """One request that is answered at once."""
    peer = of.pick(exchange(), tried or Tried(), now)
    of.succeeded(peer, now)
    of.release(peer)
    return peer


def fail(of: Group, now: float = 0.0, tried: Tried | None = None) -> Peer:
    """One request that fails."""
    peer = of.pick(exchange(), tried or Tried(), now)
    of.failed(peer, now)
    of.release(peer)
    return peer


def names(of: Group, count: int, now: float = 0.0) -> str:
    """Who answers the next requests: the last letter of each address."""
    return "".join(str(ask(of, now).address)[-1] for _ in range(count))
