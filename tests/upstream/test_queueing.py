"""Waiting for a peer: first in, first out, 502 at the timeout; on a clock that jumps."""

from __future__ import annotations

import pytest
import trio
from groups import ask, exchange, group, server
from trio.testing import MockClock, wait_all_tasks_blocked

from edgestack.config.upstreams import Queue
from edgestack.errors import UpstreamError
from edgestack.upstream.group import Group
from edgestack.upstream.peers import Peer, Tried


def busy(size: int = 10, timeout: float = 60.0) -> tuple[Group, Peer]:
    """A group whose only room is taken."""
    found = group(server("127.0.0.1:1", max_conns=1), queue=Queue(size, timeout))
    return found, found.pick(exchange(), Tried(), 0.0)


class Waiters:
    """Requests that wait, and the order in which they were served."""

    def __init__(self, found: Group, nursery: trio.Nursery) -> None:
        self.found = found
        self.nursery = nursery
        self.served: list[int] = []
        self.refused: list[tuple[int, float, str]] = []
        self.scopes: dict[int, trio.CancelScope] = {}

    async def come(self, *names: int) -> None:
        """They come, one after the other."""
        for name in names:
            self.nursery.start_soon(self._wait, name)
            await wait_all_tasks_blocked()

    async def _wait(self, name: int) -> None:
        with trio.CancelScope() as self.scopes[name]:
            try:
                await self.found.wait(exchange(), Tried())
            except UpstreamError as error:
                self.refused.append((name, trio.current_time(), f"{error.status} {error}"))
            else:
                self.served.append(name)


async def test_first_in_first_out(autojump_clock: MockClock) -> None:
    found, peer = busy()
    async with trio.open_nursery() as nursery:
        waiters = Waiters(found, nursery)
        await waiters.come(1, 2, 3)
        assert found.statistics(0.0).waiting == 3
        for turn in (1, 2, 3):
            found.release(peer)
            await wait_all_tasks_blocked()
            assert waiters.served == [1, 2, 3][:turn]
    assert found.statistics(0.0).waiting == 0
    assert peer.conns == 1


async def test_nobody_passes_those_who_wait(autojump_clock: MockClock) -> None:
    """A request that asks in the moment of a release stands behind; one that has tried others already does not."""
    found, peer = busy()
    async with trio.open_nursery() as nursery:
        waiters = Waiters(found, nursery)
        await waiters.come(1)
        found.release(peer)
        with pytest.raises(UpstreamError, match="requests wait for one already"):
            found.pick(exchange(), Tried(), 0.0)
        await waiters.come(2)
        assert waiters.served == [1]
        found.release(peer)


async def test_without_need_nobody_waits(autojump_clock: MockClock) -> None:
    found, peer = busy()
    found.release(peer)
    assert await found.wait(exchange(), Tried()) is peer


async def test_a9_without_a_queue_nobody_waits(autojump_clock: MockClock) -> None:
    """A9: waiting is an option of its own."""
    found = group(server("127.0.0.1:1", max_conns=1))
    assert await found.wait(exchange(), Tried()) is found.peers()[0]
    with pytest.raises(UpstreamError, match="no live upstreams"):
        await found.wait(exchange(), Tried())
    assert trio.current_time() == 0.0


async def test_the_timeout(autojump_clock: MockClock) -> None:
    """502 after it, each for itself; whoever comes later is served."""
    found, peer = busy(timeout=10.0)
    async with trio.open_nursery() as nursery:
        waiters = Waiters(found, nursery)
        await waiters.come(1)
        await trio.sleep(4)
        await waiters.come(2)
        await trio.sleep(8)
        found.release(peer)
    assert waiters.refused == [(1, 10.0, '502 no live upstreams in "backend": 10 s in its queue')]
    assert waiters.served == [2]


@pytest.mark.parametrize("size", [1, 2, 3])
async def test_a_full_queue(size: int, autojump_clock: MockClock) -> None:
    """At its size they wait; one more is refused at once."""
    found, peer = busy(size=size)
    async with trio.open_nursery() as nursery:
        waiters = Waiters(found, nursery)
        await waiters.come(*range(size + 1))
        assert waiters.refused == [(size, 0.0, '502 no live upstreams in "backend": its queue is full')]
        for _ in range(size):
            found.release(peer)
            await wait_all_tasks_blocked()
        assert waiters.served == list(range(size))


@pytest.mark.parametrize("woken", [False, True])
async def test_one_who_leaves_takes_nothing_along(woken: bool, autojump_clock: MockClock) -> None:
    """A client that left while it was the first: the room is the next one's; woken already, it has the peer."""
    found, peer = busy()
    async with trio.open_nursery() as nursery:
        waiters = Waiters(found, nursery)
        await waiters.come(1, 2)
        if woken:
            found.release(peer)
        waiters.scopes[1].cancel()
        await wait_all_tasks_blocked()
        if woken:
            assert waiters.served == [1]
        found.release(peer)
        await wait_all_tasks_blocked()
        assert waiters.served[-1] == 2
        assert peer.conns == 1


async def test_the_end_of_a_ban_lets_one_pass(autojump_clock: MockClock) -> None:
    """A4: the probe; its success lets the others pass."""
    found = group("127.0.0.1:1", "127.0.0.1:2", queue=Queue(10, 60.0))
    for peer in found.peers():
        found.failed(peer, 0.0)
    async with trio.open_nursery() as nursery:
        waiters = Waiters(found, nursery)
        await waiters.come(1, 2, 3)
        await trio.sleep(10.0)
        assert waiters.served == []
        await trio.sleep(0.01)
        assert waiters.served == [1, 2]
        found.succeeded(found.peers()[0], trio.current_time())
        await wait_all_tasks_blocked()
        assert waiters.served == [1, 2, 3]


async def test_each_look_is_a_new_one(autojump_clock: MockClock) -> None:
    """A primary that was out at the first look, which so came to the backups, is asked once it is back."""
    found = group("127.0.0.1:1", server("127.0.0.1:2", backup=True, down=True), queue=Queue(10, 60.0))
    found.set_health(found.peers()[0], "ill", 0.0)
    async with trio.open_nursery() as nursery:
        waiters = Waiters(found, nursery)
        await waiters.come(1)
        for ill in ("still", "still", ""):
            found.set_health(found.peers()[0], ill, 0.0)
            await wait_all_tasks_blocked()
        assert waiters.served == [1]


async def test_a_peer_that_is_well_again_or_found_lets_them_pass(autojump_clock: MockClock) -> None:
    found = group("app.internal", queue=Queue(10, 60.0))
    async with trio.open_nursery() as nursery:
        waiters = Waiters(found, nursery)
        await waiters.come(1)
        found.found(found.names()[0], ["10.0.0.1"])
        await wait_all_tasks_blocked()
        assert waiters.served == [1]
        found.set_health(found.peers()[0], "ill", 0.0)
        await waiters.come(2)
        found.set_health(found.peers()[0], "", 0.0)
        await wait_all_tasks_blocked()
        assert waiters.served == [1, 2]
    assert ask(found)
