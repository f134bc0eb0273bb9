"""D5: work that several wait for is done once; who is cancelled, or fails, takes nothing from the others."""

from __future__ import annotations

import threading

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from edgestack.wire.shared_work import SharedWork


class Job:
    """Work on a thread that ends when the test says so."""

    def __init__(self) -> None:
        self.runs = 0
        self.go = threading.Event()
        self.fails = False

    def __call__(self) -> int:
        self.runs += 1
        assert self.go.wait(20)
        if self.fails:
            self.fails = False
            raise ValueError("the first one's")
        return self.runs


async def test_one_run_for_all_who_wait() -> None:
    shared: SharedWork[int] = SharedWork()
    job, found = Job(), []

    async def ask() -> None:
        found.append(await shared.result("page", job))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        job.go.set()
    assert found == [1] * 5
    assert await shared.result("page", job) == 2  # nothing is kept here


async def test_a_cancelled_first_one_leaves_its_work_to_the_others() -> None:
    shared: SharedWork[int] = SharedWork()
    job, found, scope = Job(), [], trio.CancelScope()

    async def first() -> None:
        with scope:
            await shared.result("page", job)

    async def second() -> None:
        found.append(await shared.result("page", job))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        await wait_all_tasks_blocked()
        nursery.start_soon(second)
        await wait_all_tasks_blocked()
        scope.cancel()
        job.go.set()
    assert found == [1]


async def test_a_failure_is_the_first_ones_alone() -> None:
    shared: SharedWork[int] = SharedWork()
    job, found = Job(), []
    job.fails = True

    async def first() -> None:
        with pytest.raises(ValueError):
            await shared.result("page", job)

    async def second() -> None:
        found.append(await shared.result("page", job))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        await wait_all_tasks_blocked()
        nursery.start_soon(second)
        await wait_all_tasks_blocked()
        job.go.set()
    assert found == [2]
