"""What would be asked upstream, and of whom, in words: for `edgestack explain`. Nothing is sent, nobody is resolved.

    content     GET /v1/x of http://backend
    upstream    backend: least_conn, 3 servers
    peer        127.0.0.1:8001, weight 5: would be asked first
    request     - Connection: close, + Host: backend, …
    response    what becomes of its fields

A group here is as new: what a running server knows of its peers is not known to `explain`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from edgestack.config.positions import Origin
from edgestack.config.proxy_targets import Target
from edgestack.errors import UpstreamError
from edgestack.http.bodies import within
from edgestack.http.messages import Exchange
from edgestack.upstream.group import Group
from edgestack.upstream.peers import Peer, PeerStatistics, Tried
from edgestack.upstream.upgrade import asked_for, upgrade_fields
from edgestack.upstream.way import Way

__all__ = ["Telling", "told"]

Telling: TypeAlias = "tuple[str, str, Origin | None]"

AT_RANDOM = ("random", "random two")


def told(exchange: Exchange, way: Way, target: Target, uri: str, group: Group | None = None) -> Iterator[Telling]:
    """A name, a sentence, and where that is written, if it is not the route's `proxy`.

    :param uri: the request-target that would be sent.
    :param group: whom it would go to; what is picked here counts as busy, so it must be nobody else's.
    :raises ClientError: 413, it would not be sent.
    """
    body = exchange.request.body
    if body is not None:
        within(body.length or 0, way.limit)
    yield "content", f"{exchange.request.method} {uri} of {target.scheme}://{target.server}", None
    if group is not None:
        yield from _peers(exchange, target, group)
    yield "request", _sent(exchange, way, target, uri), None
    answer = _mapped(exchange, way)
    if answer:
        yield "response", answer, None


def _peers(exchange: Exchange, target: Target, group: Group) -> Iterator[Telling]:
    upstream = group.upstream
    before = group.statistics(0.0)
    if upstream.name != target.address:  # else it is that one server
        balance = "hash" if upstream.hash else upstream.balance
        count = len(upstream.servers)
        yield "upstream", f"{upstream.name}: {balance}, {count} server{'s' * (count != 1)}", upstream.origin
    try:
        first: Peer | None = group.pick(exchange, Tried(), 0.0)
    except UpstreamError:
        first = None
    for peer, known in zip(group.peers(), before.peers, strict=True):
        yield "peer", f"{_named(known)}: {_state(known, upstream.balance, first=peer is first)}", None
    for name in before.unresolved:
        yield "peer", f"{name}: a name, looked up when the server starts and again and again", None
    if first is None and not before.unresolved:
        yield "peer", "nobody can be asked: 502", None


def _named(peer: PeerStatistics) -> str:
    weight = f", weight {peer.weight}" if peer.weight != 1 else ""
    return f"{peer.server}{weight}{', backup' if peer.backup else ''}"


def _state(peer: PeerStatistics, balance: str, *, first: bool) -> str:
    if peer.out:
        return peer.out
    if balance in AT_RANDOM:
        return "may be asked, as chance has it"
    if first:
        return "would be asked first"
    return "is asked when no other can be" if peer.backup else "can be asked"


def _sent(exchange: Exchange, way: Way, target: Target, uri: str) -> str:
    """What differs in the request that is sent from the one that came."""
    request = exchange.request
    wanted = asked_for(request)
    head = way.head.encode(exchange, uri, target.host, b"", upgrade_fields(wanted) if wanted else b"")
    lines = head.decode("latin-1").split("\r\n")[1:-2]
    sent = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    stays = {(name.lower(), value) for name, value in sent}
    came = set(request.pairs)
    gone = [f"- {name}: {value}" for name, value in request.pairs if (name, value) not in stays]
    new = [f"+ {name}: {value}" for name, value in sent if (name.lower(), value) not in came]
    return ", ".join((*gone, *new)) or "goes on as it came"


def _mapped(exchange: Exchange, way: Way) -> str:
    """What becomes of the fields of the answer, beside those that never leave."""
    rules = [f"Location {begins}… becomes {put(exchange)}…" for begins, put in way.answer.redirects]
    return "; ".join((*rules, *(f"{name} is hidden" for name in way.section.hide_headers)))
