"""The access log of a test edge, as records to assert on; it stands where the log's file would.

    records.lines      Record, Record, …       one for each finished exchange, in the order in which they finished
    records.attempts() [("a", 503), ("b", 200)]   every try of every exchange, upstreams by their names

A route whose log is off leaves no record, as it would leave no line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgestack.http.messages import Exchange

__all__ = ["Attempted", "Record", "Records"]

Attempted = tuple[str, int]
"""Who was asked, and the status that came of it: 502 and 504 where none was answered, 0 where nobody could be asked."""


@dataclass(frozen=True)
class Record:
    """What became of one request."""

    method: str
    target: str
    """As the client sent it."""
    host: str
    status: int
    """Of the answer; 499 for a client that left before it."""
    bytes_out: int
    """Of the body."""
    seconds: float
    """From the head of the request to the end of the answer, on the edge's clock."""
    route: str
    """What the route matches: "/api/"."""
    site: str
    cache: str
    """HIT, MISS, STALE, …; "" where no cache was asked."""
    attempts: tuple[Attempted, ...]
    remote_addr: str
    scheme: str
    request_id: str
    """As in `X-Request-Id` and in the error log."""


class Records:
    """Ends exchanges; called on any thread."""

    def __init__(self, watch: Callable[[Exchange], None]) -> None:
        """:param watch: sees each exchange after its record is made (a guard)."""
        self.lines: list[Record] = []
        self._watch = watch
        self._clock: Callable[[], float] = float

    def end(self, exchange: Exchange) -> None:
        """Note a finished exchange."""
        self.lines.append(self._record(exchange))
        self._watch(exchange)

    def _record(self, exchange: Exchange) -> Record:
        request, facts, chain = exchange.request, exchange.facts, exchange.chain
        attempts = tuple((str(one.address), one.status) for one in exchange.attempts or ())
        return Record(
            request.method, request.target, request.host, exchange.status, exchange.bytes_out,
            self._clock() - exchange.started, str(chain.match) if hasattr(chain, "match") else "",
            getattr(chain, "site", ""), exchange.cached[0] if hasattr(exchange, "cached") else "", attempts,
            facts.remote_addr, facts.scheme, exchange.request_id,
        )  # fmt: skip

    def attempts(self) -> list[Attempted]:
        """Every try, in order."""
        return [attempt for record in list(self.lines) for attempt in record.attempts]

    # -- what a log is asked for (phases/access_logs.py, compose/resources.py) -----------------------------------------

    def ending(self, name: str, formats: Mapping[str, str] | None = None, scope: object = None) -> Any:
        """A route's own form says nothing of what a record holds."""
        return self.end

    def bind(self, clock: Callable[[], float], wake: Callable[[], None]) -> None:
        """Take the serving clock."""
        self._clock = clock

    def unbind(self) -> None:
        """Nobody is woken."""

    def flush(self) -> None:
        """Nothing is written."""

    def reopen(self) -> None:
        """There is no file."""

    def close(self) -> None:
        """Nothing is open."""
