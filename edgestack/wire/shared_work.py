"""Work on a thread that several wait for, done once (criterion D5).

    first:   result(key, work) -> a thread does it ---+-> what it gives
    others:  result(key, work) -> wait ---------------+

When the work fails, its failure is the first one's alone; the next one in line begins anew. A waiter that is cancelled
takes nothing from the others: work that has begun is done to its end. On the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import trio

from edgestack.wire.held_clock import on_thread

__all__ = ["SharedWork"]

T = TypeVar("T")


class Run(Generic[T]):
    """One piece of work under way."""

    __slots__ = ("done", "over", "value")

    value: T

    def __init__(self) -> None:
        self.over = trio.Event()
        self.done = False


class SharedWork(Generic[T]):
    """Pieces of work under way, by what they are."""

    __slots__ = ("_running",)

    def __init__(self) -> None:
        self._running: dict[Hashable, Run[T]] = {}

    async def result(self, key: Hashable, work: Callable[[], T]) -> T:
        """What `work` gives, or what the same work gives that began before.

        :param key: equal for equal work.
        """
        while (running := self._running.get(key)) is not None:
            await running.over.wait()
            if running.done:
                return running.value
        running = self._running[key] = Run()
        try:
            running.value = await on_thread(work)
            running.done = True
        finally:
            del self._running[key]
            running.over.set()
        return running.value
