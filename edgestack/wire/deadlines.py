"""Deadlines in buckets of a second: what they cost follows what is due, not what is held (design: engine, rule 13).

Whoever holds a connection writes `connection.deadline`, a plain attribute, from any thread. The connection stands in
one bucket, at or before that time; when the bucket is due, a connection whose deadline has moved on is put into a later
one. So the usual case, "75 seconds from now on" after each answer, is one assignment. Only an *earlier* deadline needs
`watch`, on the loop. With nothing held nothing is slept for: an idle process makes no system calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import trio

__all__ = ["Deadlines", "Timed"]


class Timed(Protocol):
    """What can be watched: the two attributes belong to this file, but for writing a later `deadline`."""

    deadline: float
    """Seconds on the serving clock; `math.inf` for none."""
    bucket: int
    """The second whose bucket holds it; 0 for none."""


class Deadlines:
    """Calls `expire(timed, now)` on the loop, within a second after a deadline has passed."""

    def __init__(self, expire: Callable[[Timed, float], None], clock: Callable[[], float]) -> None:
        self._expire = expire
        self._clock = clock
        self._buckets: dict[int, set[Timed]] = {}
        self._scope: trio.CancelScope | None = None

    def watch(self, timed: Timed, deadline: float) -> None:
        """Set a deadline that may be earlier than the one before. Costs nothing when its bucket is early enough."""
        timed.deadline = deadline
        bucket = int(deadline) + 1 if deadline < math.inf else 0
        if bucket and not 0 < timed.bucket <= bucket:
            self._place(timed, bucket)

    def _place(self, timed: Timed, bucket: int) -> None:
        self.forget(timed)
        timed.bucket = bucket
        self._buckets.setdefault(bucket, set()).add(timed)
        if self._scope is not None and bucket < self._scope.deadline:
            self._scope.deadline = bucket

    def forget(self, timed: Timed) -> None:
        """It needs no deadline any more."""
        if timed.bucket:
            held = self._buckets.get(timed.bucket)
            if held is not None:
                held.discard(timed)
                if not held:
                    del self._buckets[timed.bucket]  # nothing is slept for that nobody waits for
            timed.bucket = 0

    async def run(self) -> None:
        """Sleep to the next due bucket, for ever."""
        while True:
            with trio.CancelScope(deadline=min(self._buckets, default=math.inf)) as self._scope:
                await trio.sleep_forever()
            self._scope = None
            self.sweep(self._clock())

    def sweep(self, now: float) -> None:
        """Expire what is due at `now`, and move what was prolonged."""
        for bucket in [bucket for bucket in self._buckets if bucket <= now]:
            for timed in self._buckets.pop(bucket, ()):
                timed.bucket = 0  # before the deadline is read: a thread that writes a later one reads this 0
                deadline = timed.deadline
                if deadline <= now:
                    self._expire(timed, now)
                elif deadline < math.inf:
                    self._place(timed, int(deadline) + 1)
