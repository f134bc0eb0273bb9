"""An autojumping test clock stands still while threads work (design: engine, rule 13).

    on_thread(function, …)    work on one of trio's threads; the only way to it, outside of tests
    in_time(wait, …)          wait for something that may never come, on a thread or here, for so long
    HeldThreads(threads)      stands before the application threads, in tests only

`trio.testing.MockClock` jumps to the next deadline as soon as every task waits. It cannot know that a thread is about
to answer, and would run all timeouts out meanwhile. With any other clock nothing is held, and production pays nothing.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import trio

__all__ = ["HeldThreads", "Threads", "in_time", "jumps_by_itself", "on_thread"]

T = TypeVar("T")
_work: trio.lowlevel.RunVar[Work] = trio.lowlevel.RunVar("work on threads")


class Threads(Protocol):
    """What a driver wants of the pool of application threads."""

    def queue(self, job: Callable[[], None]) -> None:
        """Take a job. :raises Refused: there are too many."""

    def go(self) -> None:
        """Run what was queued."""

    def lose(self, job: Callable[[], None]) -> str:
        """Give up a job that was taken: where it runs; "" where no thread has it."""


def jumps_by_itself(clock: object) -> bool:
    """Whether this is a test clock that may jump."""
    return hasattr(clock, "autojump_threshold")


class Work:
    """What threads have to do in one run of trio, and the clock that is held until it is done. On the loop."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._jobs = 0
        self._threshold = math.inf

    def begin(self) -> None:
        """One more."""
        if not self._jobs:
            self._threshold, self._clock.autojump_threshold = self._clock.autojump_threshold, math.inf
        self._jobs += 1

    def end(self) -> None:
        """One is done."""
        self._jobs -= 1
        if not self._jobs:
            self._clock.autojump_threshold = self._threshold


def _work_of(clock: object) -> Work:
    """That of this run."""
    try:
        return _work.get()
    except LookupError:
        work = Work(clock)
        _work.set(work)
        return work


@contextmanager
def _held() -> Iterator[None]:
    """A test clock does not jump within."""
    clock = trio.lowlevel.current_clock()
    if not jumps_by_itself(clock):
        yield
        return
    work = _work_of(clock)
    work.begin()
    try:
        yield
    finally:
        work.end()


async def on_thread(
    function: Callable[..., T],
    *arguments: object,
    abandon_on_cancel: bool = False,
    limiter: trio.CapacityLimiter | None = None,
) -> T:
    """What `function(*arguments)` gives, on a thread: for what would hold the loop up (see `trio.to_thread.run_sync`).

    :param abandon_on_cancel: a cancelled wait ends at once, and the thread goes on for nobody.
    """
    with _held():
        return await trio.to_thread.run_sync(function, *arguments, abandon_on_cancel=abandon_on_cancel, limiter=limiter)


async def in_time(wait: Callable[[], Awaitable[None]], seconds: float, *, threaded: bool) -> bool:
    """Whether `wait()` came to its end within so many seconds: of the machine, under a test clock that nobody moves.

    :param threaded: it is another thread that is waited for, which knows no other time; a test clock is held.
    """
    clock: Any = trio.lowlevel.current_clock()
    if not jumps_by_itself(clock) or (not threaded and clock.autojump_threshold < math.inf):
        with trio.move_on_after(seconds) as scope:
            await wait()
        return not scope.cancelled_caught
    over = threading.Event()
    ended = False
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            await on_thread(over.wait, seconds)
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch)
        try:
            await wait()
            ended = True
        finally:
            over.set()
    return ended


class HeldThreads:
    """Application threads, and a clock that does not jump while any of their jobs is not done."""

    def __init__(self, threads: Threads, clock: Any) -> None:
        self._threads = threads
        self._work = _work_of(clock)
        self._token = trio.lowlevel.current_trio_token()
        self._held: dict[Callable[[], None], Callable[[], None]] = {}

    def use(self, threads: Threads) -> None:
        """Stand before other threads from now on."""
        self._threads = threads

    def queue(self, job: Callable[[], None]) -> None:
        """Take a job, and hold the clock until it is done."""

        def held() -> None:
            try:
                job()
            finally:
                self._held.pop(job, None)
                try:
                    self._token.run_sync_soon(self._work.end)
                except trio.RunFinishedError:
                    pass  # so has the clock

        self._held[job] = held
        try:
            self._threads.queue(held)
        except BaseException:
            del self._held[job]
            raise
        self._work.begin()

    def lose(self, job: Callable[[], None]) -> str:
        """Give a job up; the clock is held until it is done, all the same."""
        held = self._held.get(job)
        return self._threads.lose(held) if held is not None else ""

    def go(self) -> None:
        """Run what was queued."""
        self._threads.go()
