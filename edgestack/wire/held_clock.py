"""An autojumping test clock stands still while application threads work (design: engine, rule 13).

`trio.testing.MockClock` jumps to the next deadline as soon as every task waits. It cannot know that a thread is about
to answer, and would run all timeouts out meanwhile. `HeldThreads` stands before the real ones, in tests only: with any
other clock nobody makes one, and production pays nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import trio

__all__ = ["HeldThreads", "Threads", "jumps_by_itself"]


class Threads(Protocol):
    """What a driver wants of the pool of application threads."""

    def queue(self, job: Callable[[], None]) -> None:
        """Take a job. :raises Refused: there are too many."""

    def go(self) -> None:
        """Run what was queued."""


def jumps_by_itself(clock: object) -> bool:
    """Whether this is a test clock that may jump."""
    return hasattr(clock, "autojump_threshold")


class HeldThreads:
    """Application threads, and a clock that does not jump while any of their jobs is not done."""

    def __init__(self, threads: Threads, clock: Any) -> None:
        self._threads = threads
        self._clock = clock
        self._token = trio.lowlevel.current_trio_token()
        self._jobs = 0
        self._threshold = math.inf

    def use(self, threads: Threads) -> None:
        """Stand before other threads from now on."""
        self._threads = threads

    def queue(self, job: Callable[[], None]) -> None:
        """Take a job, and hold the clock until it is done."""

        def held() -> None:
            try:
                job()
            finally:
                try:
                    self._token.run_sync_soon(self._release)
                except trio.RunFinishedError:
                    pass  # so has the clock

        self._threads.queue(held)
        if not self._jobs:
            self._threshold, self._clock.autojump_threshold = self._clock.autojump_threshold, math.inf
        self._jobs += 1

    def go(self) -> None:
        """Run what was queued."""
        self._threads.go()

    def _release(self) -> None:
        self._jobs -= 1
        if not self._jobs:
            self._clock.autojump_threshold = self._threshold
