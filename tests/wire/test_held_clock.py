"""A test clock that jumps stands still while threads work (design: engine, rule 13), whoever gave them the work."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from edgestack.wire.held_clock import HeldThreads, on_thread

ROUNDS = 100_000
"""Some 50 ms of work: by then, a clock that is not held has jumped."""
PATIENCE = 20.0


def work(secret: bytes) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", secret, b"salt", ROUNDS)


class Threads:
    """A thread for each job."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], None]] = []

    def queue(self, job: Callable[[], None]) -> None:
        self.jobs.append(job)

    def go(self) -> None:
        for job in self.jobs:
            threading.Thread(target=job, daemon=True).start()


async def test_no_timeout_runs_out_while_a_thread_works(autojump_clock: MockClock) -> None:
    started = trio.current_time()
    with trio.fail_after(0.001):
        assert await on_thread(work, b"one") == work(b"one")
    assert trio.current_time() == started
    await trio.sleep(1000)  # and afterwards it jumps again


async def test_it_is_held_until_the_last_one_is_done(autojump_clock: MockClock) -> None:
    """Work and application calls together: one count, and the threshold of before."""
    gates = [threading.Event() for _ in range(3)]
    application = Threads()
    threads = HeldThreads(application, autojump_clock)
    async with trio.open_nursery() as nursery:
        for gate in gates[:2]:
            nursery.start_soon(on_thread, gate.wait, PATIENCE)
        await trio.testing.wait_all_tasks_blocked()
        threads.queue(lambda: assert_set(gates[2]))
        threads.go()
        assert autojump_clock.autojump_threshold == math.inf
        for gate in gates:
            assert autojump_clock.autojump_threshold == math.inf
            gate.set()
            await trio.testing.wait_all_tasks_blocked(0.01)
    while autojump_clock.autojump_threshold:
        await trio.testing.wait_all_tasks_blocked(0.001)
    await trio.sleep(1000)


def assert_set(gate: threading.Event) -> None:
    assert gate.wait(PATIENCE)


async def test_a_wait_that_is_cancelled_lets_it_go(autojump_clock: MockClock) -> None:
    gate = threading.Event()
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            await on_thread(gate.wait, PATIENCE, abandon_on_cancel=True)

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert autojump_clock.autojump_threshold == math.inf
        nursery.cancel_scope.cancel()
    assert autojump_clock.autojump_threshold == 0
    gate.set()


async def test_what_the_work_raises_comes_back(autojump_clock: MockClock) -> None:
    def fail() -> None:
        raise KeyError("why")

    with pytest.raises(KeyError, match="why"):
        await on_thread(fail)
    assert autojump_clock.autojump_threshold == 0


def test_any_other_clock_is_left_alone() -> None:
    assert trio.run(on_thread, work, b"one") == work(b"one")
