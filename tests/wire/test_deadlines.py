"""Deadlines in buckets: what expires when, and what sleeping costs (rule 13). Virtual time."""

from __future__ import annotations

import math

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from edgestack.wire.deadlines import Deadlines, Timed


class Thing:
    """Something that is timed."""

    def __init__(self) -> None:
        self.deadline = math.inf
        self.bucket = 0


class Watch:
    """Deadlines that run, what expired when, and how often they woke."""

    def __init__(self, clock: MockClock) -> None:
        self.clock = clock
        self.expired: list[tuple[Timed, float]] = []
        self.deadlines = Deadlines(lambda timed, now: self.expired.append((timed, now)), clock.current_time)
        self.sweeps = 0
        sweep = self.deadlines.sweep

        def counted(now: float) -> None:
            self.sweeps += 1
            sweep(now)

        self.deadlines.sweep = counted  # type: ignore[method-assign]

    async def advance(self, seconds: float) -> None:
        await wait_all_tasks_blocked()
        self.clock.jump(seconds)
        await wait_all_tasks_blocked()


@pytest.fixture
async def watch(mock_clock: MockClock, nursery: trio.Nursery) -> Watch:
    made = Watch(mock_clock)
    nursery.start_soon(made.deadlines.run)
    await wait_all_tasks_blocked()
    return made


@pytest.mark.parametrize("deadline", [0.0, 0.5, 3.0, 3.5, 3.999])
async def test_it_expires_within_a_second_and_never_early(mock_clock: MockClock, watch: Watch, deadline: float) -> None:
    thing = Thing()
    watch.deadlines.watch(thing, deadline)
    if deadline:
        await watch.advance(deadline - 0.001)
        assert watch.expired == []
    await watch.advance(1.001)
    assert [timed for timed, _ in watch.expired] == [thing]
    assert thing.bucket == 0


async def test_prolonging_is_an_assignment(mock_clock: MockClock, watch: Watch) -> None:
    """75 s from now on after each answer: the thing stays in its bucket until that is due, and then moves on."""
    thing = Thing()
    watch.deadlines.watch(thing, 75.0)
    for second in range(10, 200, 10):
        await watch.advance(10)
        thing.deadline = second + 75.0
    assert watch.expired == []
    assert watch.sweeps <= 4
    await watch.advance(74)
    assert watch.expired == []
    await watch.advance(2)
    assert len(watch.expired) == 1


async def test_an_earlier_deadline(mock_clock: MockClock, watch: Watch) -> None:
    thing = Thing()
    watch.deadlines.watch(thing, 75.0)
    await watch.advance(5)
    watch.deadlines.watch(thing, 15.0)
    await watch.advance(9.9)
    assert watch.expired == []
    await watch.advance(1.1)
    assert len(watch.expired) == 1


async def test_none_at_all(mock_clock: MockClock, watch: Watch) -> None:
    """`math.inf`: it leaves its bucket when that is due, and comes back when it is watched again."""
    thing = Thing()
    watch.deadlines.watch(thing, 10.0)
    thing.deadline = math.inf
    await watch.advance(100)
    assert (watch.expired, thing.bucket) == ([], 0)
    watch.deadlines.watch(thing, 110.0)
    await watch.advance(11)
    assert len(watch.expired) == 1


async def test_forgetting(mock_clock: MockClock, watch: Watch) -> None:
    thing, other = Thing(), Thing()
    watch.deadlines.watch(thing, 10.0)
    watch.deadlines.watch(other, 10.0)
    watch.deadlines.forget(thing)
    watch.deadlines.forget(thing)
    await watch.advance(11)
    assert [timed for timed, _ in watch.expired] == [other]


async def test_nothing_held_nothing_slept_for(mock_clock: MockClock, watch: Watch) -> None:
    thing = Thing()
    watch.deadlines.watch(thing, 10.0)
    watch.deadlines.forget(thing)
    await watch.advance(1000)
    before = watch.sweeps
    for _ in range(10):
        await watch.advance(1000)
    assert watch.sweeps == before


async def test_many_things_cost_what_is_due(mock_clock: MockClock, watch: Watch) -> None:
    things = [Thing() for _ in range(1000)]
    for number, thing in enumerate(things):
        watch.deadlines.watch(thing, 1.0 + number % 10)
    await watch.advance(20)
    assert len(watch.expired) == 1000
    assert watch.sweeps == 1


async def test_one_that_forgets_another_while_it_expires(mock_clock: MockClock, watch: Watch) -> None:
    """Whatever `expire` does to the buckets, the sweep goes on."""
    things = [Thing() for _ in range(10)]
    said: list[Timed] = []

    def expire(timed: Timed, now: float) -> None:
        said.append(timed)
        for thing in things:
            watch.deadlines.forget(thing)
        watch.deadlines.watch(timed, now + 1)

    watch.deadlines._expire = expire
    for thing in things:
        watch.deadlines.watch(thing, 1.5)
    await watch.advance(3)
    assert said
    assert set(map(id, said)) <= set(map(id, things))
