"""From the head of an upstream's answer to the answer that the client gets.

    X-Accel-Redirect    another place inside the server answers, with a few fields of this one (`Elsewhere`)
    101                 a tunnel, if the client asked for that protocol (B16, B17)
    a page of our own   where `errors` names one, with `intercept_errors`
    all of it is here   bytes; the link is free
    else                a Relay; the link is free when it has been read to its end (B15)

nginx: ngx_http_upstream_process_headers, ngx_http_upstream_send_response.
"""

from __future__ import annotations

from typing import IO

from edgestack.errors import ClientError, EdgeError, UpstreamError
from edgestack.http.jumps import Jump
from edgestack.http.messages import Exchange, FieldPairs, Flow, Response
from edgestack.http.target import read_path
from edgestack.upstream.attempting import Attempting
from edgestack.upstream.response_head import NO_ORDERS, Orders
from edgestack.upstream.talk import Ahead
from edgestack.upstream.upgrade import agreed, asked_for
from edgestack.wire.h1_answer import encode
from edgestack.wire.h1_client import ResponseReader, UpstreamHead
from edgestack.wire.relay import Relay
from edgestack.wire.tunnel import Tunnel

__all__ = ["Elsewhere", "respond", "respond_whole"]

KEPT_BEYOND = frozenset(
    ("accept-ranges", "cache-control", "content-disposition", "content-type", "expires", "set-cookie")
)
"""Fields that are lent to the other answer (nginx: those with `redirect` in ngx_http_upstream_headers_in)."""

EVENTS = "text/event-stream"


class Elsewhere:
    """X-Accel-Redirect: who answers instead, and the fields that this answer lends to it."""

    __slots__ = ("fields", "jump")

    def __init__(self, jump: Jump, fields: FieldPairs) -> None:
        self.jump = jump
        self.fields = fields

    def lend(self, response: Response) -> Response:
        """The other answer with these fields, instead of its own of the same names."""
        if not self.fields:
            return response
        names = {name.lower() for name, _ in self.fields}
        own = tuple(pair for pair in response.fields if pair[0].lower() not in names)
        return response.with_(fields=(*own, *self.fields))


def respond_whole(trying: Attempting, head: UpstreamHead, data: bytes) -> Response | Elsewhere:
    """The answer, when its whole body is here, and its status is no reason to ask anybody else; the link is free. On
    the loop, in a turn.

    :raises EdgeError: a page of the user's own is wanted.
    """
    exchange, peer, group = trying.exchange, trying.peer, trying.backend.group
    now = trying.backend.keeper.now
    trying.answered(head, now)
    assert peer is not None
    if peer.fails:
        group.succeeded(peer, now)
    made = trying.way.answer.read(exchange, head)
    fields, orders = made.fields, made.orders
    if group.sticky is not None:
        fields = _with_cookie(trying, fields)
    trying.over(now, reusable=True)
    if orders is not NO_ORDERS:
        if orders.redirect:
            return _elsewhere(orders, fields)
        if orders.rate:
            _pace(exchange, orders.rate)
    if trying.way.intercepted and trying.way.intercepts(head):
        raise trying.way.instead(head, trying.attempt.address)
    response = Response(head.status, fields, data, None, head.known.reason)
    if fields is made.fields:
        if not made.encoded:
            made.encoded = encode(response)
        response.encoded = made.encoded
    return response


def respond(
    trying: Attempting, head: UpstreamHead, reader: ResponseReader, ahead: IO[bytes] | None = None
) -> Response | Elsewhere:
    """The answer.

    :param reader: has read the head.
    :param ahead: the beginning of the body, where it was collected.
    :raises UpstreamError: 502, a 101 that nobody asked for.
    :raises EdgeError: a page of the user's own is wanted.
    """
    if head.status == 101:
        return _tunnelled(trying, head, reader)
    trying.judge(head, trying.now())
    exchange, way = trying.exchange, trying.way
    made = way.answer.read(exchange, head)
    fields, orders = made.fields, made.orders
    fields = _with_cookie(trying, fields)
    if orders.redirect or way.intercepts(head):
        if ahead is not None:
            ahead.close()
        trying.over(trying.now(), reusable=reader.reusable)
        if orders.redirect:
            return _elsewhere(orders, fields)
        raise way.instead(head, trying.attempt.address)
    if orders.rate:
        _pace(exchange, orders.rate)
    body = reader.body
    assert body is not None
    length = None if head.known.chunked else head.length
    if body.complete and ahead is None:
        trying.over(trying.now(), reusable=reader.reusable)
        response = Response(head.status, fields, reader.first, None, head.reason)
        if exchange.request.method == "HEAD":  # what GET would have; nothing, where that is not known
            response.length, response.at_once = length, False
        return response
    buffering = orders.buffering
    if buffering is None:
        buffering = way.buffering and not head.fields.get("content-type", "").startswith(EVENTS)
    link = trying.link
    assert link is not None

    def ended(relay: Relay, error: EdgeError | None) -> None:
        trying.attempt.bytes_received += relay.received
        trying.over(trying.now(), reusable=error is None and reader.reusable)

    relay = Relay(link, body, ended, first=reader.first, gap=way.gap, buffering=buffering)
    return Response(
        head.status, fields, Ahead(ahead, relay) if ahead is not None else relay, length, head.reason
    )  # fmt: skip


def _tunnelled(trying: Attempting, head: UpstreamHead, reader: ResponseReader) -> Response:
    """101, and what follows it."""
    exchange, link = trying.exchange, trying.link
    assert link is not None
    chosen = agreed(asked_for(exchange.request), head.fields)
    trying.judge(head, trying.now())
    fields = trying.way.answer.read(exchange, head).fields

    def ended(tunnel: Tunnel, error: EdgeError | None) -> None:
        trying.over(trying.now(), reusable=False)

    body = Tunnel(link, ended, first=reader.buffer, gap=trying.way.gap)
    return Response(
        101, (("Connection", "upgrade"), ("Upgrade", chosen), *_with_cookie(trying, fields)), body, None, head.reason
    )  # fmt: skip


def _with_cookie(trying: Attempting, fields: FieldPairs) -> FieldPairs:
    """The sticky cookie, where one is due."""
    assert trying.peer is not None
    cookie = trying.backend.group.sticky_cookie(trying.exchange, trying.peer)
    return (*fields, ("Set-Cookie", cookie)) if cookie else fields


def _elsewhere(orders: Orders, fields: FieldPairs) -> Elsewhere:
    """:raises UpstreamError: 502, the field leads nowhere."""
    target = orders.redirect
    lent = tuple(pair for pair in fields if pair[0].lower() in KEPT_BEYOND)
    if target.startswith("@"):
        return Elsewhere(Jump(target[1:]), lent)
    path, _, query = target.partition("?")
    try:
        return Elsewhere(Jump(read_path(path), query), lent)
    except ClientError as error:
        raise UpstreamError(detail=f"X-Accel-Redirect leads nowhere: {target[:80]!r}: {error}") from None


def _pace(exchange: Exchange, rate: int) -> None:
    """X-Accel-Limit-Rate."""
    gap = exchange.flow.send_gap if hasattr(exchange, "flow") else 0.0
    exchange.flow = Flow(rate, gap)
