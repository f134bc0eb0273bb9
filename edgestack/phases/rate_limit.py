"""How often one client may ask: nginx's leaky bucket (ngx_http_limit_req_module), number for number.

    excess = max(0, excess - rate * time since the last + 1), 0 for a newcomer
    excess > burst -> 429 with Retry-After | excess > delay -> wait (excess - delay) / rate | else on at once

A request that is refused is not counted; with several limits it is counted by all or by none. One that jumps to a
second route inside the server meets there only limits that the first one does not have; in nginx it would meet none at
all (r->main->limit_req_status). Numbers are exact: time in whole milliseconds, excess in units of 1/(1000 * seconds) of
a request, so that "10/s" lets one in each 100 ms. Clients are told apart by a template; an empty key is not limited.
The table is bounded: who was seen longest ago goes first. Time is `Exchange.started`, the serving clock. Everything
here runs on the loop. Where several workers count together, the table is `shared_buckets.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from hashlib import blake2b
from typing import NamedTuple

import trio

from edgestack.config.model import Limit, Rate
from edgestack.errors import Refused
from edgestack.http.jumps import Journey, Jump
from edgestack.http.messages import Answer, AppCall, Exchange, Handler, Response, settled
from edgestack.http.variables import Scope, Template, compile_template
from edgestack.kept import Keep, anew
from edgestack.phases.arena import Arena
from edgestack.phases.subrequest import Subrequest

__all__ = ["Buckets", "RateLimit", "rate_limit"]

MOST = 65536
"""Clients in one table: some 16 MiB, the number that 4 MiB hold in nginx."""
LONGEST_KEY = 64
"""Characters of a key that is kept as it is; of a longer one a hash is kept."""
IDLE = 60_000
"""Milliseconds after which a client without excess may be forgotten (nginx: ngx_http_limit_req_expire)."""


class Buckets:
    """How much each client of one limit has asked for. Outlives a reload."""

    __slots__ = ("_amount", "_most", "_one", "_table")

    def __init__(self, rate: Rate, most: int = MOST) -> None:
        """:param most: clients that are remembered."""
        self._amount = rate.amount
        self._one = 1000 * rate.seconds
        self._most = most
        self._table: dict[str, tuple[int, int]] = {}
        """Key -> excess, and when (ms); who was seen longest ago stands first."""

    def __len__(self) -> int:
        return len(self._table)

    def excess(self, key: str, now: int) -> int:
        """What the client would have asked for too much, with one more request, in parts of `one`."""
        known = self._table.get(key)
        if known is None:
            return 0
        return max(0, known[0] - self._amount * max(0, now - known[1]) + self._one)

    def count(self, key: str, excess: int, now: int) -> None:
        """Take the request in."""
        table = self._table
        known = table.pop(key, None)
        if known is None:
            self._make_room(now)
        else:
            now = max(now, known[1])
        table[key] = (excess, now)

    def _make_room(self, now: int) -> None:
        """Forget one when the table is full, and up to two who were idle for long."""
        table = self._table
        if len(table) >= self._most:
            del table[next(iter(table))]
        for _ in range(2):
            oldest = next(iter(table), None)
            if oldest is None:
                return
            excess, last = table[oldest]
            if now - last < IDLE or excess > self._amount * (now - last):
                return
            del table[oldest]

    def seconds(self, excess: int, allowed: int) -> float:
        """How long it takes until no more than `allowed` requests are left of `excess`."""
        return max(0, excess - allowed * self._one) / self._amount / 1000

    def over(self, excess: int, allowed: int) -> bool:
        """Whether `excess` is more than `allowed` requests."""
        return excess > allowed * self._one

    def requests(self, excess: int) -> float:
        """`excess` in requests."""
        return excess / self._one


class Bound(NamedTuple):
    """One limit, ready."""

    limit: Limit
    key: Template
    buckets: Buckets
    zone: Hashable
    """What the buckets are kept under: limits of several routes that share it count together."""


class Judged(NamedTuple):
    """What one limit says of a request."""

    bound: Bound
    key: str
    excess: int


class RateLimit:
    """The wrap for all rates of a route."""

    __slots__ = ("_bounds",)

    def __init__(self, bounds: Sequence[Bound]) -> None:
        self._bounds = tuple(bounds)

    def __call__(self, handler: Handler) -> Handler:
        """The handler behind the limits."""

        def limited(exchange: Exchange) -> Answer:
            if isinstance(exchange, Subrequest):
                return handler(exchange)  # counted already, as the request that it is asked for
            delay = self.take(exchange)
            return _later(delay, handler, exchange) if delay else handler(exchange)

        return limited

    def take(self, exchange: Exchange) -> float:
        """Count the request. Returns the seconds that it must wait.

        :raises Refused: 429.
        """
        return self.take_at(exchange, round(exchange.started * 1000))

    def take_at(self, exchange: Exchange, now: int) -> float:
        """The same.

        :param now: milliseconds, of the clock that the buckets have.
        """
        judged = self._judge(exchange, now)
        for bound, key, excess in judged:
            if bound.buckets.over(excess, bound.limit.burst):
                seconds = bound.buckets.seconds(excess, bound.limit.burst)
                raise Refused(
                    "You ask too often.", 429, retry_after=max(1, -int(-seconds // 1)),
                    detail=f"more than {bound.limit.rate} by {key!r} ({bound.limit.by})",
                )  # fmt: skip
        delay = 0.0
        for bound, key, excess in judged:
            bound.buckets.count(key, excess, now)
            delay = max(delay, bound.buckets.seconds(excess, bound.limit.delay))
        return delay

    def _judge(self, exchange: Exchange, now: int) -> list[Judged]:
        bounds = self._bounds if exchange.journey is None else self._left(exchange.journey)
        keys = [(bound, bounded_key(bound.key(exchange))) for bound in bounds]
        return [Judged(bound, key, bound.buckets.excess(key, now)) for bound, key in keys if key]

    def _left(self, journey: Journey) -> list[Bound]:
        """Those that no route before this one has."""
        met = {bound.zone for link in journey.met if isinstance(link, RateLimit) for bound in link._bounds}
        return [bound for bound in self._bounds if bound.zone not in met]

    def describe(self, exchange: Exchange) -> str:
        """Where the client stands with each limit."""
        if exchange.journey is not None and not self._left(exchange.journey):
            return "counted before the jump"
        return "; ".join(map(_told, self._judge(exchange, round(exchange.started * 1000)))) or "no key: not limited"


def rate_limit(
    limits: Sequence[Limit], scope: Scope | None = None, keep: Keep = anew, arena: Arena | None = None
) -> RateLimit | None:
    """The wrap for the limits that have a rate; None where none has.

    :param arena: of the workers that count together.
    """
    bounds = []
    for limit in limits:
        rate = limit.rate
        if rate is not None:
            key = compile_template(limit.by, "request", scope)
            zone = ("rate", limit.zone, limit.by, rate)
            bounds.append(Bound(limit, key, keep(zone, _buckets(rate, arena, zone)), zone))
    if not bounds:
        return None
    if arena is not None:
        from edgestack.phases.shared_buckets import SharedRateLimit

        return SharedRateLimit(bounds, arena)
    return RateLimit(bounds)


def bounded_key(key: str) -> str:
    """A key that takes little room: long ones as their hash."""
    if len(key) <= LONGEST_KEY:
        return key
    return blake2b(key.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def _buckets(rate: Rate, arena: Arena | None, zone: Hashable) -> Callable[[], Buckets]:
    def make() -> Buckets:
        shared = arena.zone("rate", zone) if arena is not None else None
        if shared is None:
            return Buckets(rate)
        from edgestack.phases.shared_buckets import SharedBuckets

        return SharedBuckets(rate, shared)

    return make


async def _later(delay: float, handler: Handler, exchange: Exchange) -> Response | AppCall | Jump:
    await trio.sleep(delay)
    return await settled(handler(exchange))


def _told(judged: Judged) -> str:
    (limit, _, buckets, _), key, excess = judged
    used = f"{limit.rate} by {key!r}: {buckets.requests(excess):g} of burst {limit.burst} used"
    if buckets.over(excess, limit.burst):
        return f"{used}, refused with 429"
    wait = buckets.seconds(excess, limit.delay)
    return f"{used}, waits {wait:.3f} s" if wait else f"{used}, passes"
