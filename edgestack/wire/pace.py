"""How fast an answer may leave where its route says so (nginx: limit_rate): how many bytes now, and how long to rest.

    allowed(now) -> bytes that may leave now        spend(n) what has left        turn(…) a task's wait for its bytes

A bucket of bytes: it holds the first second's worth at the beginning, as in nginx, fills at the rate, and never holds
more than two seconds' worth, so that an answer that pauses does not run afterwards. The clock is given.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from edgestack.config.model import Timeouts
from edgestack.http.messages import Exchange, Flow
from edgestack.wire.outbox import READ_BACK

__all__ = ["Pace", "pace_of", "patience", "send_gap"]

MOST = 2
"""Seconds whose bytes may be saved up: senders on the lot go on once a second, and may be late."""
STEP = 0.25
"""Seconds that a task rests at least: four small pieces a second, and not hundreds."""


class Pace:
    """The pace of one answer."""

    __slots__ = ("_at", "_level", "rate")

    def __init__(self, rate: int, now: float) -> None:
        """
        :param rate: bytes a second.
        :param now: seconds on the serving clock.
        """
        self.rate = rate
        self._level = float(rate)
        self._at = now

    def allowed(self, now: float) -> int:
        """Bytes that may leave now."""
        if now > self._at:
            self._level = min(self._level + self.rate * (now - self._at), float(self.rate * MOST))
            self._at = now
        return int(self._level)

    def spend(self, size: int) -> None:
        """So many have left."""
        self._level -= size

    async def turn(self, clock: Callable[[], float], most: int) -> int:
        """Rest until some bytes may leave; how many, up to `most`."""
        allowed = self.allowed(clock())
        if not allowed:
            await trio.sleep(max(STEP, (1 - self._level) / self.rate))
            allowed = max(1, self.allowed(clock()))
        return min(allowed, most)


def pace_of(exchange: Exchange, clock: Callable[[], float]) -> Pace | None:
    """The pace of an answer that begins now; None where nothing holds it back."""
    flow: Flow | None = getattr(exchange, "flow", None)
    return Pace(flow.rate, clock()) if flow is not None and flow.rate else None


def send_gap(exchange: Exchange, usual: float) -> float:
    """Seconds that may pass while the client takes nothing of this answer."""
    flow: Flow | None = getattr(exchange, "flow", None)
    return (flow.send_gap or usual) if flow is not None else usual


def patience(exchange: Exchange, timeouts: Timeouts) -> float:
    """Seconds that a producer waits for room: the send gap, and the time that one piece takes at a slow pace."""
    flow: Flow | None = getattr(exchange, "flow", None)
    if flow is None:
        return timeouts.send_gap
    return (flow.send_gap or timeouts.send_gap) + (MOST * READ_BACK / flow.rate if flow.rate else 0)
