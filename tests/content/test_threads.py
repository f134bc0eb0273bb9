"""The pool of application threads (F14): bounded, started on demand, not to be ended by a job."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest
import trio

from edgestack.content.threads import AppThreads
from edgestack.errors import Refused

PATIENCE = 10.0
"""Seconds a test waits for a thread at most; none waits at all when the code is right."""


class Gate:
    """A job that says when it began, and goes on when told."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.go = threading.Event()
        self.ended = threading.Event()

    def __call__(self) -> None:
        self.began.set()
        self.go.wait(PATIENCE)
        self.ended.set()


class Pools:
    def __init__(self) -> None:
        self.gates: list[Gate] = []
        self.made: list[AppThreads] = []

    def pool(self, threads: int, queue: int = 8, **options: object) -> AppThreads:
        self.made.append(AppThreads(threads, queue, **options))  # type: ignore[arg-type]
        return self.made[-1]

    def gate(self) -> Gate:
        self.gates.append(Gate())
        return self.gates[-1]


@pytest.fixture
def pools() -> Iterator[Pools]:
    pools = Pools()
    yield pools
    for gate in pools.gates:
        gate.go.set()
    for pool in pools.made:
        assert pool.stop(PATIENCE)


def test_threads_start_one_by_one_as_needed(pools: Pools) -> None:
    """F14, design.md §4.5: none at first, one more only when all are taken, never more than allowed."""
    pool = pools.pool(2)
    assert pool.statistics().started == 0
    started = []
    for number in range(4):
        gate = pools.gate()
        pool.submit(gate)
        if number < 2:
            assert gate.began.wait(PATIENCE)
        started.append(pool.statistics().started)
    assert started == [1, 2, 2, 2]
    assert pool.statistics()[:4] == (2, 2, 2, 2)
    assert pool.busy() == 2


async def test_an_idle_thread_is_used_again(pools: Pools) -> None:
    """F14."""
    pool = pools.pool(4)
    for _ in range(3):
        gate = pools.gate()
        gate.go.set()
        pool.submit(gate)
        await pool.idle()
    assert pool.statistics() == (4, 1, 0, 0, 3, 0)


def test_a_burst_is_no_reason_to_refuse(pools: Pools) -> None:
    """F14: jobs that idle threads are about to take do not count as waiting."""
    pool = pools.pool(4, queue=0)
    for _ in range(4):
        pool.submit(pools.gate())
    with pytest.raises(Refused):
        pool.submit(pools.gate())


@pytest.mark.parametrize("queue", [0, 1, 3])
def test_the_queue_is_bounded(pools: Pools, queue: int) -> None:
    """F14: at n-1 and n jobs wait, at n+1 it is 503 with Retry-After; when there is room again they wait again."""
    pool = pools.pool(1, queue)
    first = pools.gate()
    pool.submit(first)
    assert first.began.wait(PATIENCE)
    waiting = [pools.gate() for _ in range(queue)]
    for gate in waiting:
        pool.submit(gate)
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            pool.submit(pools.gate())
    assert caught.value.status == 503
    assert caught.value.fields == (("Retry-After", "1"),)
    assert pool.statistics()[2:] == (1, queue, 0, 2)
    first.go.set()
    assert first.ended.wait(PATIENCE)
    trio.run(until_done, pool, 1)
    pool.submit(pools.gate())


async def until_done(pool: AppThreads, jobs: int) -> None:
    """A job says `ended` a moment before it counts as done."""
    while pool.statistics().done < jobs:
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_no_job_ends_a_thread(pools: Pools, error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """F14, F11: what escapes a job is logged, and the same thread takes the next one."""
    pool = pools.pool(1)
    names: SimpleQueue[str] = SimpleQueue()

    def bad() -> None:
        names.put(threading.current_thread().name)
        raise error

    pool.submit(bad)
    pool.submit(lambda: names.put(threading.current_thread().name))
    assert [names.get(timeout=PATIENCE), names.get(timeout=PATIENCE)] == ["app-1", "app-1"]
    assert "a job on app-1 failed" in caplog.text


def test_each_job_has_a_fresh_context(pools: Pools) -> None:
    """design.md §4.5: neither the loop's context variables nor the last request's."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="fresh")
    seen: SimpleQueue[str] = SimpleQueue()

    def job() -> None:
        seen.put(variable.get())
        variable.set("used")

    pool = pools.pool(1)
    variable.set("the loop's")
    pool.submit(job)
    pool.submit(job)
    assert [seen.get(timeout=PATIENCE), seen.get(timeout=PATIENCE)] == ["fresh", "fresh"]


def test_threads_are_daemons_with_names(pools: Pools) -> None:
    """F14: a thread that never ends must not keep the process."""
    seen: SimpleQueue[threading.Thread] = SimpleQueue()
    pools.pool(1, name="wsgi").submit(lambda: seen.put(threading.current_thread()))
    thread = seen.get(timeout=PATIENCE)
    assert thread.daemon
    assert thread.name == "wsgi-1"


def test_what_still_runs_is_named_with_its_stack(pools: Pools) -> None:
    """design.md §5: the drain's report shows the application's own frames."""
    pool = pools.pool(2)
    assert pool.still_running() == []
    gate = pools.gate()

    def stuck_in_the_application() -> None:
        gate()

    pool.submit(stuck_in_the_application)
    assert gate.began.wait(PATIENCE)
    (report,) = pool.still_running()
    assert report.startswith("app-1 in ")
    assert "stuck_in_the_application" in report
    assert "content/threads.py" not in report


def test_the_log_says_when_all_threads_are_taken_for_long(pools: Pools, caplog: pytest.LogCaptureFixture) -> None:
    """F14: at n-1 seconds nothing, at n one line, then silence for as long; a job that ends starts it afresh."""
    now = 100.0
    pool = pools.pool(1, 100, clock=lambda: now, stuck_after=10.0)
    first = pools.gate()
    pool.submit(first)
    assert first.began.wait(PATIENCE)

    def lines_at(moment: float) -> int:
        nonlocal now
        now = moment
        pool.submit(pools.gate())
        return len([record for record in caplog.records if "application threads have been taken" in record.message])

    with caplog.at_level(logging.WARNING):
        assert [lines_at(moment) for moment in (100, 109.9, 110, 110.1, 119.9, 120)] == [0, 0, 1, 1, 1, 2]
        first.go.set()
        trio.run(until_done, pool, 1)
        assert pools.gates[1].began.wait(PATIENCE)
        assert [lines_at(moment) for moment in (200, 209, 210)] == [2, 2, 3]
    assert "all 1 application threads" in caplog.text
    assert "test_threads.py" in caplog.text


async def test_waiting_for_idle(pools: Pools) -> None:
    """For a drain: at once when nothing runs; else when the last job, waiting ones included, has ended."""
    pool = pools.pool(1)
    await pool.idle()
    first, second = pools.gate(), pools.gate()
    pool.submit(first)
    pool.submit(second)
    with trio.move_on_after(0):
        await pool.idle()
        pytest.fail("two jobs are not done")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pool.idle)
        first.go.set()
        second.go.set()
    assert pool.statistics().done == 2


def test_stop_lets_what_waits_run_and_refuses_the_rest(pools: Pools) -> None:
    """F14; it never waits for ever."""
    pool = pools.pool(1)
    assert pool.stop()
    pool = pools.pool(1)
    first, second = pools.gate(), pools.gate()
    pool.submit(first)
    pool.submit(second)
    assert not pool.stop()
    with pytest.raises(Refused):
        pool.submit(pools.gate())
    first.go.set()
    second.go.set()
    assert pool.stop(PATIENCE)
    assert second.ended.is_set()
