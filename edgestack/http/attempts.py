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
    """One request that was sent to one peer, or was to be."""

    __slots__ = (
        "address", "bytes_received", "bytes_sent", "connect_time", "error", "header_time", "response_time", "status",
    )  # fmt: skip

    def __init__(self, address: object = "") -> None:
        """:param address: of the peer; a value that becomes its text."""
        self.address = address
        self.status = 0
        """0 where no answer came."""
        self.connect_time = self.header_time = self.response_time = -1.0
        """Seconds; to connect 0 on a kept connection; -1 for what there was not."""
        self.error = ""
        """Why it failed, for the log and the page of development mode."""
        self.bytes_received = self.bytes_sent = 0


class Attempts(list[Attempt]):
    """All of them, in order."""

    __slots__ = ("head", "host", "port")

    def __init__(self, host: str = "", port: int = 0) -> None:
        """:param host, port: nginx's `$proxy_host` and `$proxy_port`."""
        self.host = host
        self.port = port
        self.head: Head | None = None
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
