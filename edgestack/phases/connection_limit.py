"""How many requests of one client are answered at the same time (nginx: ngx_http_limit_conn_module).

    check: the client's count + 1, or 429 where it is full        end: the count - 1, once, however the exchange ends

With several limits a request is counted by all or by none. One that jumps to a second route inside the server is
asked there only by limits that the first one does not have: who is refused by one can still be shown a page. Counting
is on the loop, giving back on any thread. Where several workers count together, the counts are `shared_counts.py`'s.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from edgestack.config.model import Limit
from edgestack.errors import Refused
from edgestack.http.jumps import Journey
from edgestack.http.messages import Exchange
from edgestack.http.variables import Scope, Template, compile_template
from edgestack.kept import Keep, anew
from edgestack.phases.arena import COUNTS, Arena
from edgestack.phases.rate_limit import bounded_key
from edgestack.phases.subrequest import Subrequest

__all__ = ["ConnectionLimit", "Counts", "connection_limit"]

RETRY_AFTER = 1
"""Seconds: nobody knows when one of the client's other requests ends; soon, as a rule."""


class Counts:
    """How many requests of each client are being answered. Outlives a reload. Safe on any thread.

    It is as large as what is in flight: a client without a request has no entry.
    """

    __slots__ = ("_lock", "_table")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._table: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._table)

    def of(self, key: str) -> int:
        """The client's requests."""
        return self._table.get(key, 0)

    def add(self, key: str) -> None:
        """One more."""
        with self._lock:
            self._table[key] = count = self._table.get(key, 0) + 1
            self.changed(key, count)

    def take(self, key: str) -> None:
        """One less."""
        with self._lock:
            left = self._table[key] - 1
            self.changed(key, left)
            if left:
                self._table[key] = left
            else:
                del self._table[key]

    def changed(self, key: str, count: int) -> None:
        """For those who show it to others."""


class Place:
    """One request's place in the counts: an end, which gives it back once."""

    __slots__ = ("_counts", "_held")

    def __init__(self, counts: Counts, key: str) -> None:
        counts.add(key)
        self._counts = counts
        self._held = [key]

    def __call__(self, exchange: Exchange) -> None:
        """Give it back; a second time does nothing, on whatever thread."""
        try:
            key = self._held.pop()
        except IndexError:
            return
        self._counts.take(key)

    def describe(self, exchange: Exchange) -> str:
        """What is given back."""
        return f"the place of {self._held[0]!r} among the requests at once is given back"


class Bound(NamedTuple):
    """One limit, ready."""

    most: int
    limit: Limit
    key: Template
    counts: Counts


class ConnectionLimit:
    """The check for all limits of a route."""

    __slots__ = ("_bounds",)

    def __init__(self, bounds: Sequence[Bound]) -> None:
        self._bounds = tuple(bounds)

    def __call__(self, exchange: Exchange) -> None:
        """:raises Refused: 429."""
        if isinstance(exchange, Subrequest):
            return
        taken = []
        for most, limit, key_of, counts in self._bounds if exchange.journey is None else self._left(exchange.journey):
            key = bounded_key(key_of(exchange))
            if not key:
                continue
            if counts.of(key) >= most:
                raise Refused(
                    "Too many of your requests are being answered at the same time.", 429, retry_after=RETRY_AFTER,
                    detail=f"more than {most} at once by {key!r} ({limit.by})",
                )  # fmt: skip
            taken.append((counts, key))
        exchange.ends = (*exchange.ends, *(Place(counts, key) for counts, key in taken))

    def _left(self, journey: Journey) -> list[Bound]:
        """Those that no route before this one has."""
        links = [link for link in journey.met if isinstance(link, ConnectionLimit)]
        met = {(bound.limit.zone, bound.limit.by) for link in links for bound in link._bounds}
        return [bound for bound in self._bounds if (bound.limit.zone, bound.limit.by) not in met]

    def describe(self, exchange: Exchange) -> str:
        """Where the client stands with each limit."""
        if exchange.journey is not None and not self._left(exchange.journey):
            return "counted before the jump"
        told = [f"{counts.of(bounded_key(key(exchange)))} of {most} at once" for most, _, key, counts in self._bounds]
        return "; ".join(told)


def connection_limit(
    limits: Sequence[Limit], scope: Scope | None = None, keep: Keep = anew, arena: Arena | None = None
) -> ConnectionLimit | None:
    """The check for the limits that have `connections`; None where none has.

    :param arena: of the workers that count together.
    """
    bounds = [
        Bound(
            limit.connections, limit, compile_template(limit.by, "request", scope),
            keep(("connections", limit.zone, limit.by), _counts(arena, limit)),
        )
        for limit in limits
        if limit.connections is not None
    ]  # fmt: skip
    if not bounds:
        return None
    if arena is not None:
        from edgestack.phases.shared_counts import SharedConnectionLimit

        return SharedConnectionLimit(bounds, arena)
    return ConnectionLimit(bounds)


def _counts(arena: Arena | None, limit: Limit) -> Callable[[], Counts]:
    def make() -> Counts:
        zone = arena.zone(COUNTS, (limit.zone, limit.by)) if arena is not None else None
        if arena is None or zone is None:
            return Counts()
        from edgestack.phases.shared_counts import SharedCounts

        return SharedCounts(arena, zone)

    return make
