"""Active checks: intervals with jitter, fails and passes in a row, and what they expect; on a clock that jumps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
from groups import ask, group, names, server
from trio.testing import MockClock

from edgestack.config.upstreams import Health
from edgestack.errors import UpstreamError
from edgestack.upstream.group import Group
from edgestack.upstream.health import keep_checked
from edgestack.upstream.peers import Peer


class Servers:
    """What each server says, by the last digit of its address; and when it was asked."""

    def __init__(self) -> None:
        self.says: dict[int, int | BaseException] = {}
        self.asked: list[tuple[int, float]] = []

    async def fetch(self, peer: Peer, health: Health) -> int:
        """One check."""
        self.asked.append((peer.address.port, trio.current_time()))
        said = self.says.get(peer.address.port, 200)
        if isinstance(said, BaseException):
            raise said
        if said == SILENT:
            await trio.sleep_forever()
        return said

    def times(self, port: int) -> list[float]:
        return [when for which, when in self.asked if which == port]


SILENT = 0


class NoChance(Random):
    """Always the least, or always the same."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = value

    def random(self) -> float:
        return self.value


@asynccontextmanager
async def checking(of: Group, servers: Servers, chance: float = 0.0) -> AsyncIterator[None]:
    """The checks run."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: keep_checked(of, servers.fetch, NoChance(chance)))
        yield
        nursery.cancel_scope.cancel()


def two(**said: object) -> Group:
    return group("127.0.0.1:1", "127.0.0.1:2", health=Health(**said))  # type: ignore[arg-type]


async def test_a_failed_check_takes_a_peer_out_and_a_passed_one_back_in(autojump_clock: MockClock) -> None:
    found, servers = two(), Servers()
    async with checking(found, servers):
        await trio.sleep(1)
        assert names(found, 2, 1.0) == "12"
        servers.says[1] = 500
        await trio.sleep(5)
        assert names(found, 3, 6.0) == "222"
        assert found.statistics(6.0).peers[0].out == "unhealthy: status 500 to a health check"
        servers.says[1] = 204
        await trio.sleep(5)
        assert "1" in names(found, 3, 11.0)
    assert servers.times(1) == [0.0, 5.0, 10.0]


async def test_fails_and_passes_in_a_row(autojump_clock: MockClock) -> None:
    """n-1 change nothing, and one of the other kind begins anew."""
    found, servers = two(fails=3, passes=2, interval=1.0), Servers()
    peer = found.peers()[0]
    told = []
    async with checking(found, servers):
        await trio.sleep(0.5)
        for said in (500, 500, 200, 500, 500, 500, 200, 500, 200, 200, 500):
            servers.says[1] = said
            await trio.sleep(1)
            told.append("." if not peer.ill else "x")
    assert "".join(told) == ".....xxxx.."


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (UpstreamError("…", detail="127.0.0.1:1: refused"), "a health check failed: 127.0.0.1:1: refused"),
        (SILENT, "no answer to a health check within 2 s"),
        (RuntimeError("a bug"), "a health check broke"),
        (199, "status 199 to a health check"),
        (400, "status 400 to a health check"),
        (200, ""),
        (399, ""),
    ],
)  # fmt: skip
async def test_what_is_no_health(said: int | BaseException, why: str, autojump_clock: MockClock) -> None:
    found, servers = two(timeout=2.0), Servers()
    servers.says[1] = said
    async with checking(found, servers):
        await trio.sleep(4)
        assert found.peers()[0].ill == why
        assert found.peers()[1].ill == "", "one check stops no other"


@pytest.mark.parametrize(("status", "well"), [(200, True), (204, False), (301, True), (303, True), (304, False)])
async def test_what_is_expected(status: int, well: bool, autojump_clock: MockClock) -> None:
    found, servers = two(expect=((200, 200), (301, 303))), Servers()
    servers.says[1] = status
    async with checking(found, servers):
        await trio.sleep(1)
        assert (found.peers()[0].ill == "") is well


async def test_the_jitter(autojump_clock: MockClock) -> None:
    """Each check is put off by a part of it; by default it is a tenth of the interval."""
    for said, chance, late in (
        ({"jitter": 3.0}, 0.5, 1.5),
        ({"interval": 20.0}, 1.0, 2.0),
        ({"jitter": 0.0}, 0.9, 0.0),
    ):
        start = trio.current_time()
        found, servers = two(**said), Servers()
        async with checking(found, servers, chance):
            await trio.sleep(3)
        assert servers.times(1) == [start + late]


async def test_slow_answers_do_not_put_off_the_next_round_of_others(autojump_clock: MockClock) -> None:
    """A round is over when its last check is; then the next begins, without the pause."""
    found, servers = two(interval=1.0, timeout=2.5), Servers()
    servers.says[1] = SILENT
    async with checking(found, servers):
        await trio.sleep(6)
    assert servers.times(2) == [0.0, 2.5, 5.0]


async def test_a_peer_that_is_down_is_not_asked_and_a_new_one_is(autojump_clock: MockClock) -> None:
    found = group(server("127.0.0.1:1", down=True), "app.internal:2", health=Health())
    servers = Servers()
    async with checking(found, servers):
        await trio.sleep(1)
        assert servers.asked == []
        found.found(found.names()[0], ["10.0.0.1"])
        await trio.sleep(5)
        assert servers.asked == [(2, 5.0)]


async def test_recovery_begins_a_slow_start(autojump_clock: MockClock) -> None:
    found, servers = group("127.0.0.1:1", "127.0.0.1:2", slow_start=100.0, health=Health()), Servers()
    servers.says[1] = 500
    async with checking(found, servers):
        await trio.sleep(1)
        servers.says[1] = 200
        await trio.sleep(6)
    assert found.peers()[0].grown(5.0) == 0.0
    assert names(found, 10, 15.0).count("1") == 1


async def test_what_changes_is_told_in_the_log(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    """Once, and not at each check."""
    found, servers = two(interval=1.0), Servers()
    servers.says[1] = 500
    async with checking(found, servers):
        await trio.sleep(3.5)
        servers.says[1] = 200
        await trio.sleep(3)
    assert [record.getMessage() for record in caplog.records] == [
        'upstream "backend": 127.0.0.1:1 is left alone: status 500 to a health check',
        'upstream "backend": 127.0.0.1:1 is well again',
    ]


async def test_a_group_without_checks_is_not_checked() -> None:
    found = group("127.0.0.1:1")
    await keep_checked(found, Servers().fetch)
    assert ask(found)
