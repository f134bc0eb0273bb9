"""What one exchange tried upstream, for its log line: `$upstream_addr`, `$upstream_status`, the times and the bytes.

    Attempts     one list an exchange: Attempt, Attempt, …      and whom it was proxied to
    Attempt      one peer that was asked, or none that could be (nginx: r->upstream_states)

Written by upstream/, read by the variables; values, and seconds on the serving clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from edgestack.http.messages import Exchange

__all__ = ["Attempt", "Attempts", "Known", "listed", "proxied", "seconds", "upstream_field"]


class Head(Protocol):
    """The head of an answer."""

    @property
    def pairs(self) -> Sequence[tuple[str, str]]:
        """Its fields, names in lower case."""


class Attempt:
    """One request that was sent to one peer, or was to be. Made for each; what is not known yet stands in the class."""

    address: object = ""
    """Of the peer; a value that becomes its text."""
    status = 0
    """0 where no answer came."""
    connect_time = -1.0
    """Seconds; 0 on a kept connection, -1 where there was none."""
    header_time = -1.0
    response_time = -1.0
    error = ""
    """Why it failed, for the log and the page of development mode."""
    bytes_received = 0
    bytes_sent = 0


class Attempts(list[Attempt]):
    """All of them, in order."""

    host = ""
    """nginx's `$proxy_host`."""
    port = 0
    """nginx's `$proxy_port`."""
    head: Head | None = None
    """Of the last answer."""


Known = Callable[[Exchange], "str | None"]


def listed(write: Callable[[Attempt], str]) -> Known:
    """A variable that has a value for each attempt, separated as nginx does it."""

    def read(exchange: Exchange) -> str | None:
        return ", ".join([write(attempt) for attempt in exchange.attempts]) if exchange.attempts else None

    return read


def seconds(attribute: str) -> Known:
    """A variable of times, in seconds with milliseconds; "-" for those that are not known."""

    def write(attempt: Attempt) -> str:
        value: float = getattr(attempt, attribute)
        return f"{value:.3f}" if value >= 0 else "-"

    return listed(write)


def proxied(read: Callable[[Attempts], str]) -> Known:
    """A variable of what is proxied to."""
    return lambda exchange: read(exchange.attempts) if type(exchange.attempts) is Attempts else None


def upstream_field(name: str) -> Known:
    """The first field of that name in the last answer of an upstream."""

    def read(exchange: Exchange) -> str | None:
        attempts = exchange.attempts
        if type(attempts) is not Attempts or attempts.head is None:
            return None
        return next((value for key, value in attempts.head.pairs if key == name), None)

    return read
