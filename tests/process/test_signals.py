"""Signals as orders (issue 2, §6; E10), as a conversation over a stream of numbers and virtual time."""

from __future__ import annotations

import math
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
import trio
from trio.testing import MockClock

from edgestack.process.signals import leave, signals_to_receive, wait_for_order


class Reopened:
    times = 0

    def __call__(self) -> None:
        self.times += 1


class Stream(AsyncIterator[int]):
    """Signals, a second apart; then nothing more."""

    def __init__(self, *numbers: signal.Signals) -> None:
        self.numbers = list(numbers)

    async def __anext__(self) -> int:
        await trio.sleep(1 if self.numbers else math.inf)
        return self.numbers.pop(0)


@pytest.mark.parametrize(
    ("numbers", "terminal", "seconds", "reopened"),
    [
        ([signal.SIGTERM], False, 1, 0),
        ([signal.SIGINT], False, 1, 0),
        ([signal.SIGUSR1, signal.SIGUSR1, signal.SIGTERM], False, 3, 2),
        ([signal.SIGHUP], True, 1, 0),
        ([signal.SIGHUP, signal.SIGTERM], False, 2, 0),
    ],
)
async def test_waiting_for_the_order_to_stop(
    autojump_clock: MockClock, numbers: list[signal.Signals], terminal: bool, seconds: float, reopened: int
) -> None:
    reopen = Reopened()
    await wait_for_order(Stream(*numbers), reopen, terminal=terminal)
    assert trio.current_time() == seconds
    assert reopen.times == reopened


async def test_sighup_without_a_terminal_is_told(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    await wait_for_order(Stream(signal.SIGHUP, signal.SIGTERM), Reopened(), terminal=False)
    assert caplog.text.count("SIGHUP") == 1


@pytest.mark.parametrize("terminal", [False, True])
async def test_sighup_reloads_where_there_is_a_file(autojump_clock: MockClock, terminal: bool) -> None:
    reopen, reload = Reopened(), Reopened()
    order = Stream(signal.SIGHUP, signal.SIGHUP, signal.SIGTERM)
    await wait_for_order(order, reopen, terminal=terminal, reload=reload)
    assert (trio.current_time(), reload.times, reopen.times) == (3, 2, 0)


@pytest.mark.parametrize(
    ("numbers", "status", "seconds", "reopened"),
    [
        ([], 0, 5, 0),
        ([signal.SIGINT], 130, 1, 0),
        ([signal.SIGTERM, signal.SIGTERM], 0, 5, 0),
        ([signal.SIGTERM, signal.SIGINT], 130, 2, 0),
        ([signal.SIGUSR1, signal.SIGHUP], 0, 5, 1),
    ],
)
async def test_leaving(
    autojump_clock: MockClock, numbers: list[signal.Signals], status: int, seconds: float, reopened: int
) -> None:
    """E10: a drain is waited for; a SIGINT during it stops at once."""
    reopen = Reopened()

    async def drain() -> list[str]:
        await trio.sleep(5)
        return ["thread 1"]

    assert await leave(Stream(*numbers), drain, reopen) == (status, [] if status else ["thread 1"])
    assert trio.current_time() == seconds
    assert reopen.times == reopened


@pytest.fixture
def ignored_hangup() -> Iterator[None]:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("ignored_hangup")
def test_nohup_is_respected() -> None:
    assert signal.SIGHUP not in signals_to_receive()


def test_what_is_received() -> None:
    assert {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1} <= set(signals_to_receive())
