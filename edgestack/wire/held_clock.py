"""An autojumping test clock stands still while threads work (design: engine, rule 13).

    on_thread(function, …)    work on one of trio's threads; the only way to it, outside of tests
    in_time(wait, …)          wait for something that may never come, on a thread or here, for so long
    HeldThreads(threads)      stands before the application threads, in tests only
    work_here()               for who knows himself when others work: begin() and end(); None where no clock jumps
    Resting(rest)             the selector of a loop on another thread, which tells when that has nothing to run

`trio.testing.MockClock` jumps to the next deadline as soon as every task waits. It cannot know that a thread is about
to answer, and would run all timeouts out meanwhile. With any other clock nothing is held, and production pays nothing.
"""

from __future__ import annotations

import math
import selectors
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import trio

__all__ = ["HeldThreads", "Resting", "Threads", "Work", "in_time", "jumps_by_itself", "on_thread", "work_here"]

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

    @property
    def busy(self) -> bool:
        """Whether something is not done."""
        return self._jobs > 0

    @property
    def threshold(self) -> float:
        """Real seconds of silence after which the clock jumps when all is done; infinite where the test moves it."""
        return self._threshold if self._jobs else float(self._clock.autojump_threshold)

    @threshold.setter
    def threshold(self, seconds: float) -> None:
        if self._jobs:
            self._threshold = seconds
        else:
            self._clock.autojump_threshold = seconds

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


def work_here() -> Work | None:
    """What holds the clock of this run; None where it never jumps by itself."""
    clock = trio.lowlevel.current_clock()
    return _work_of(clock) if jumps_by_itself(clock) else None


@contextmanager
def _held() -> Iterator[None]:
    """A test clock does not jump within."""
    work = work_here()
    if work is None:
        yield
        return
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
    work = work_here()
    if work is None or (not threaded and work.threshold < math.inf):
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


class Resting(selectors.DefaultSelector):
    """Tells before it waits."""

    def __init__(self, rest: Callable[[], None]) -> None:
        """:param rest: on the thread of who selects."""
        super().__init__()
        self._rest = rest

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See `selectors`."""
        if timeout is None or timeout > 0:
            self._rest()
        return super().select(timeout)
