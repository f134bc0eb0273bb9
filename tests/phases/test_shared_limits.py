"""Limits in shared memory: the same numbers as in one process, whoever counts; and nobody waits for the dead."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phases_kit import coming, refusal

from edgestack.config.model import Limit, Rate
from edgestack.phases.arena import Arena
from edgestack.phases.connection_limit import Counts, connection_limit
from edgestack.phases.rate_limit import Buckets, rate_limit
from edgestack.phases.shared_buckets import WAYS, SharedBuckets
from edgestack.phases.shared_counts import SharedCounts


@pytest.fixture
def fd() -> Iterator[int]:
    fd = os.memfd_create("test")
    yield fd
    os.close(fd)


def arenas(fd: int, count: int) -> list[Arena]:
    """As so many processes have it."""
    return [Arena(fd, number, lambda: count) for number in range(count)]


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abc"), st.integers(0, 400)), max_size=40))
def test_the_numbers_are_those_of_one_process(asked: list[tuple[int, str, int]]) -> None:
    """Property: whoever of three counts, each excess is what one table in one process has."""
    fd = os.memfd_create("test")
    try:
        rate = Rate(10, 1)
        shared = []
        for arena in arenas(fd, 3):
            zone = arena.zone("rate", ("a", rate))
            assert zone is not None
            shared.append(SharedBuckets(rate, zone))
        alone, now = Buckets(rate), 1_000_000
        for who, key, later in asked:
            now += later
            excess = alone.excess(key, now)
            assert shared[who].excess(key, now) == excess
            alone.count(key, excess, now)
            shared[who].count(key, excess, now)
    finally:
        os.close(fd)


def test_a_full_set_forgets_who_was_seen_longest_ago(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgestack.phases.shared_buckets.SETS", 1)
    (arena,) = arenas(fd, 1)
    zone = arena.zone("rate", "x")
    assert zone is not None
    buckets = SharedBuckets(Rate(1, 60), zone)
    for number in range(WAYS + 1):
        buckets.count(str(number), 60_000, 1000 + number)
    known = [number for number in range(WAYS + 1) if buckets.excess(str(number), 2000)]
    assert known == list(range(1, WAYS + 1))


def test_an_entry_from_the_future_is_none(fd: int) -> None:
    """What a worker killed in mid-air may leave; and a machine that was started anew has another clock."""
    (arena,) = arenas(fd, 1)
    zone = arena.zone("rate", "x")
    assert zone is not None
    buckets = SharedBuckets(Rate(1, 60), zone)
    buckets.count("a", 10**9, 10**15)
    assert buckets.excess("a", 1000) == 0


def test_a_rate_of_two_processes(fd: int) -> None:
    limit = Limit(Rate(1, 3600), burst=3, delay=3)
    made = [rate_limit([limit], arena=arena) for arena in arenas(fd, 2)]
    assert made[0] is not None
    assert made[1] is not None
    errors = [refusal(made[number % 2].take, coming()) for number in range(6)]  # type: ignore[union-attr]
    assert [error.status if error else 0 for error in errors] == [0, 0, 0, 0, 429, 429]


def test_counts_of_the_dead_are_wiped(fd: int) -> None:
    mine, theirs = arenas(fd, 2)
    limit = Limit(connections=2)
    checks = [connection_limit([limit], arena=arena) for arena in (mine, theirs)]
    exchanges = [coming(), coming(), coming()]
    assert checks[0] is not None
    assert checks[1] is not None
    checks[0](exchanges[0])
    checks[1](exchanges[1])
    refused = refusal(checks[0], exchanges[2])
    assert refused is not None
    assert refused.status == 429
    mine.wipe(1)
    assert refusal(checks[0], exchanges[2]) is None
    for exchange in (exchanges[0], exchanges[2]):
        for end in exchange.ends:
            end(exchange)
    assert isinstance(checks[0]._bounds[0].counts, SharedCounts)
    assert checks[0]._bounds[0].counts.of("192.0.2.1") == 0


def test_a_client_without_room_is_counted_by_its_own_worker(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgestack.phases.shared_counts.SETS", 1)
    mine, theirs = arenas(fd, 2)
    zones = [arena.zone("counts", "x") for arena in (mine, theirs)]
    assert zones[0] is not None
    assert zones[1] is not None
    here, there = SharedCounts(mine, zones[0]), SharedCounts(theirs, zones[1])
    for number in range(WAYS + 1):
        here.add(str(number))
    assert [here.of(str(number)) for number in range(WAYS + 1)] == [1] * (WAYS + 1)
    assert sum(there.of(str(number)) for number in range(WAYS + 1)) == WAYS


def test_nobody_waits_for_the_dead(fd: int) -> None:
    """A process that is killed while it counts holds no lock any more (fcntl(2))."""
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        with Arena(fd, 0, lambda: 2).together():
            os.write(tell, b"x")
            signal.pause()
        os._exit(1)
    assert os.read(told, 1) == b"x"
    os.close(told)
    os.close(tell)
    os.kill(pid, signal.SIGKILL)
    with Arena(fd, 1, lambda: 2).together():
        pass
    os.waitpid(pid, 0)


def test_when_there_is_no_more_room_each_counts_alone(
    fd: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edgestack.phases.arena.ZONES", 2)
    (arena,) = arenas(fd, 1)
    assert arena.zone("rate", 1) is arena.zone("rate", 1) is not None
    assert arena.zone("counts", 1) is not None
    check = connection_limit([Limit(connections=1)], arena=arena)
    assert check is not None
    assert type(check._bounds[0].counts) is Counts
    assert "no more room" in caplog.text
