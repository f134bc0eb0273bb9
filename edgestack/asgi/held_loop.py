"""An autojumping test clock stands still while a loop of asyncio's works (design: engine, rule 13).

    trio's loop    hand(…) ──► a hold is taken ──► asyncio's thread does it … and comes to rest ──► the holds end

It rests when it waits for nothing but us: nothing is ready to run there, and each call waits for a message, or until
one has left; to look out for a client that leaves is not to wait. A call that waits for anything else (a timer, a
database, a thread) works, as application threads do in `time.sleep`: its time is the machine's. With any other clock
there is no such thing, and no loop of a kind of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from edgestack.wire.held_clock import Resting, Work

__all__ = ["HeldLoop"]


class HeldLoop:
    """What holds the clock for one loop of asyncio's."""

    def __init__(self, work: Work, post: Callable[..., None], works: Callable[[], bool]) -> None:
        """
        :param post: has a function called on trio's loop; safe on any thread.
        :param works: whether a call works, when nothing is ready to run. On asyncio's thread.
        """
        self._work = work
        self._post = post
        self._works = works
        self._open = 0  # holds that have not ended; on trio's loop
        self._taken = 0  # what was handed over and has been done since the last rest; on asyncio's thread

    def make(self) -> asyncio.AbstractEventLoop:
        """The loop. On its thread."""
        return asyncio.SelectorEventLoop(Resting(self._rest))

    def hand(self, loop: asyncio.AbstractEventLoop, function: Callable[..., object], *of: Any) -> None:
        """Have something done on asyncio's thread. On trio's loop."""
        loop.call_soon_threadsafe(self._do, function, *of)
        self._open += 1
        self._work.begin()

    def over(self) -> None:
        """The loop has ended, whatever was handed over to it. On its thread."""
        self._post(lambda: self._end(self._open))

    def _do(self, function: Callable[..., object], *of: Any) -> None:
        self._taken += 1
        function(*of)

    def _rest(self) -> None:
        """Nothing is ready to run."""
        if self._taken and not self._works():
            taken, self._taken = self._taken, 0
            self._post(self._end, taken)

    def _end(self, count: int) -> None:
        """So many holds are over. On trio's loop."""
        self._open -= count
        for _ in range(count):
            self._work.end()
