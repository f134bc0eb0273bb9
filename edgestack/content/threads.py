"""The threads that application code runs on: a fixed pool over one deque of jobs (design.md §4.5, F14).

    loop    queue(job), queue(job), …, go()  ->  deque  ->  thread    job() in a fresh contextvars.Context

A job that hangs cannot be ended, but it can be given up (`lose`): another thread takes its slot, and its own one ends
when it comes back.

A job ends by itself and answers by itself: nothing is handed back to the loop, and nobody waits for a result. Threads
start one by one, when a job finds all of those there are taken; they are daemons, so that one which never ends cannot
keep the process. How many jobs are waiting or running is jobs queued minus jobs done, each counted by one thread
only, so that no lock is needed. Knows neither WSGI nor HTTP beyond the `Refused` it raises.

Who is woken. Two threads that want the interpreter lock cost more in switches than a short job takes; so `go` wakes one
thread for a whole batch and gives way to it, for as long as jobs come to their ends. A batch that is done by then has
cost two switches, however many jobs it had. Where it is not, the applications are slow ones: then, and for the next
second, each thread that takes a job while others wait wakes another one, and the loop gives way no more.
"""

from __future__ import annotations

import contextvars
import logging
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import NamedTuple, TypeAlias

import trio

from edgestack.errors import Refused

__all__ = ["AppThreads", "ThreadStatistics"]

Job: TypeAlias = "Callable[[], None]"

RETRY_AFTER = 1
"""Seconds that a refused client is told to wait. Our number: the queue of a healthy pool is empty again by then."""
STUCK_AFTER = 10.0
"""Seconds without any job coming to its end, while requests wait, until the log says so, and again after as long."""

WAY = 0.0005
"""Seconds that the loop gives way to quick jobs before it asks whether any has ended: one switch interval."""
WAYS = 4
"""Times it goes on giving way, while jobs do end; a batch of 64 answers of 20 µs needs three."""
SLOW_FOR = 1.0
"""Seconds for which applications count as slow after they did not end in time: a thousandth of it is lost by asking."""

_log = logging.getLogger("edgestack.error")


class ThreadStatistics(NamedTuple):
    """A look at the pool."""

    threads: int
    """Threads that may run."""
    started: int
    """Threads that do run, busy or idle."""
    busy: int
    """Jobs running."""
    waiting: int
    """Jobs that no thread has taken yet."""
    done: int
    """Jobs that came to their end."""
    refused: int
    """Jobs refused because too many were waiting."""


class AppThreads:
    """A fixed number of threads for application code."""

    def __init__(
        self,
        threads: int,
        queue: int,
        name: str = "app",
        *,
        clock: Callable[[], float] = time.monotonic,
        stuck_after: float = STUCK_AFTER,
        crowded: Callable[[int], None] | None = None,
    ) -> None:
        """
        :param threads: how many, at least 1.
        :param queue: jobs that may wait while all threads are taken; beyond it `submit` refuses.
        :param name: the threads are called `name-1`, `name-2` and so on.
        :param clock: seconds; asked only while all threads are taken.
        :param stuck_after: see STUCK_AFTER.
        :param crowded: told, on the loop, that so many threads are lost, each time another poolful of them is.
        """
        self._threads = threads
        self._capacity = threads + queue
        self._name = name
        self._clock = clock
        self._stuck_after = stuck_after
        self._waiting: deque[Job] = deque()
        self._started: list[threading.Thread] = []
        self._asleep: list[threading.Lock] = []
        self._jobs: list[Job | None] = [None] * threads
        self._done = [0] * threads
        self._submitted = 0
        self._refused = 0
        self._seen_done = -1
        self._quiet_until = 0.0
        self._stopped = False
        self._tell: Callable[[], None] | None = None
        self._rested = threading.Lock()
        self._rested.acquire()
        self._giving_way = False
        self._slow_until = 0.0
        self._starting = threading.Lock()
        """Guards which thread has which place: `_started`, `_given_up`, `_free`, `_live`, `lost`."""
        self._crowded = crowded
        self._live = 0
        """Threads that were started and not given up."""
        self.lost = 0
        """Threads that were given up, and still run."""
        self._given_up: set[int] = set()
        self._free: list[int] = []
        """Places of threads that were given up and have ended."""

    def submit(self, job: Job) -> None:
        """`queue` and wake a thread, without giving way. From the loop only.

        :raises Refused: as `queue` does.
        """
        self.queue(job)
        self._wake()

    def queue(self, job: Job) -> None:
        """Let `job` wait for the next `go`. From the loop only.

        :raises Refused: 503 with Retry-After: too many wait already, or the pool is stopping.
        """
        done = sum(self._done)
        unfinished = self._submitted - done - self.lost
        if unfinished >= self._threads:
            self._watch(done)
            if unfinished >= self._capacity:
                self._refused += 1
                raise Refused("The server is busy.", retry_after=RETRY_AFTER, detail="the queue for threads is full")
        if self._stopped:
            raise Refused("The server is stopping.", retry_after=RETRY_AFTER)
        self._submitted += 1
        self._waiting.append(job)

    def go(self) -> None:
        """Have what was queued run. Gives way to quick jobs, for some milliseconds at the most; from the loop only."""
        if not self._waiting:
            return
        if time.monotonic() < self._slow_until:
            self._wake()
            return
        self._rested.acquire(blocking=False)  # a signal left over from the time before
        self._giving_way = True
        self._wake()
        done = -1
        for _ in range(WAYS):
            if self._rested.acquire(timeout=WAY):
                return
            before, done = done, sum(self._done)
            if done == before:
                break
        self._giving_way = False
        self._slow_until = time.monotonic() + SLOW_FOR
        if self._waiting:
            self._wake()

    def _wake(self) -> None:
        """One more thread: one that sleeps, or a new one where all that were started are taken. On any thread."""
        try:
            self._asleep.pop().release()
        except IndexError:
            with self._starting:
                taken = self._submitted - sum(self._done) - self.lost > self._live
                if taken and self._live < self._threads and not self._stopped:
                    self._start()

    def _start(self) -> None:
        place = self._free.pop() if self._free else len(self._started)
        thread = threading.Thread(target=self._work, args=(place,), name=f"{self._name}-{place + 1}", daemon=True)
        if place == len(self._started):
            self._started.append(thread)
            if place == len(self._jobs):
                self._jobs.append(None)
                self._done.append(0)
        else:
            self._started[place] = thread
        self._live += 1
        thread.start()

    def _work(self, place: int) -> None:
        """Take jobs until the pool stops. Whatever a job raises, even SystemExit, the thread goes on."""
        waiting, jobs, done, context = self._waiting, self._jobs, self._done, contextvars.Context
        bed = threading.Lock()
        bed.acquire()
        while True:
            try:
                job = waiting.popleft()
            except IndexError:
                if self._stopped:
                    return
                self._sleep(bed)
                continue
            if waiting and not self._giving_way:
                self._wake()
            jobs[place] = job
            try:
                context().run(job)
            except BaseException:
                _log.exception("a job on %s failed", threading.current_thread().name)
            jobs[place] = job = None  # type: ignore[assignment] # not kept until the next one comes
            done[place] += 1
            if self.lost and self._was_given_up(place):
                return
            tell = self._tell  # read after the count was written: see `idle`
            if tell is not None:
                tell()

    def lose(self, job: Job) -> str:
        """Give up a job that hangs: its thread's slot is another one's from now on. On the loop.

        :returns: where it runs, as `still_running` says it; "" where no thread has it.
        """
        with self._starting:
            place = next((at for at, one in enumerate(self._jobs) if one == job and at not in self._given_up), None)
            if place is None:
                return ""
            self._given_up.add(place)
            self._live -= 1
            self.lost += 1
        report = self._told(place, sys._current_frames())
        if self._waiting:
            self._wake()
        if self._crowded is not None and self.lost % self._threads == 0:
            self._crowded(self.lost)
        return report

    def _was_given_up(self, place: int) -> bool:
        """Whether another one has this thread's slot: then it ends. On its thread, its job done."""
        with self._starting:
            if place not in self._given_up:
                return False
            self._given_up.discard(place)
            self.lost -= 1
            self._free.append(place)
        tell = self._tell
        if tell is not None:
            tell()
        return True

    def _sleep(self, bed: threading.Lock) -> None:
        """Wait to be woken. First lie down, then look once more: a job that came in between is seen, or wakes."""
        self._asleep.append(bed)
        if self._waiting or self._stopped:
            try:
                self._asleep.remove(bed)
                return
            except ValueError:
                pass  # woken in between; the signal is taken below
        elif self._giving_way:
            self._giving_way = False
            try:
                self._rested.release()
            except RuntimeError:
                pass  # another thread ran dry at the same moment and said so
        bed.acquire()

    def _watch(self, done: int) -> None:
        """All threads are taken. When none comes free for long, say so, once in a while (F14)."""
        now = self._clock()
        if done != self._seen_done:
            self._seen_done = done
            self._quiet_until = now + self._stuck_after
        elif now >= self._quiet_until:
            self._quiet_until = now + self._stuck_after
            _log.warning(
                "all %d application threads have been taken for more than %g s and %d requests wait; they run:\n%s",
                self._threads, self._stuck_after, self._submitted - done - self._threads + 1,
                "\n".join(self.still_running()),
            )  # fmt: skip

    async def idle(self) -> None:
        """Wait until no job runs and none waits; on the loop, for a drain. One caller at a time."""
        token, came_free = trio.lowlevel.current_trio_token(), trio.Event()

        def tell() -> None:
            try:
                token.run_sync_soon(came_free.set)
            except trio.RunFinishedError:  # the loop has gone on without this thread
                pass

        self._tell = tell  # first say who listens, then look: a job that ends in between is seen or heard
        try:
            while self._submitted > sum(self._done):
                await came_free.wait()
                came_free = trio.Event()
        finally:
            self._tell = None

    def busy(self) -> int:
        """Jobs that are running now."""
        return len(self._jobs) - self._jobs.count(None) - self.lost

    def still_running(self) -> list[str]:
        """For each running job the name of its thread and its stack, innermost call last; for the report of a drain."""
        frames = sys._current_frames()
        told = [self._told(place, frames) for place in range(len(self._started)) if self._jobs[place] is not None]
        return [report for report in told if report]

    def _told(self, place: int, frames: dict[int, FrameType]) -> str:
        """One thread and its stack; "" when it has just ended."""
        thread = self._started[place]
        frame = frames.get(thread.ident or 0)
        if frame is None:
            return ""
        stack = [line for line in traceback.extract_stack(frame) if line.filename not in _OWN_FILES]
        inner = f" in {stack[-1].name} ({stack[-1].filename}:{stack[-1].lineno})" if stack else ""
        return f"{thread.name}{inner}\n{''.join(traceback.format_list(stack))}".rstrip()

    def statistics(self) -> ThreadStatistics:
        """Counters and gauges, from any thread; each of them exact, all together only roughly of one moment."""
        done, busy = sum(self._done), self.busy()
        waiting = max(0, self._submitted - done - busy - self.lost)
        running = self._live + self.lost
        return ThreadStatistics(self._threads, running, busy, waiting, done, self._refused)

    def stop(self, wait: float = 0.0) -> bool:
        """Let every thread end once the queue is empty, and refuse new jobs.

        :param wait: seconds to wait for that, in all; 0 does not wait.
        :returns: whether all threads have ended.
        """
        if not self._stopped:
            self._stopped = True
            while self._asleep:
                self._wake()
        until = time.monotonic() + wait
        for thread in self._started:
            if wait:
                thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._started)


_OWN_FILES = frozenset((__file__, threading.__file__))
