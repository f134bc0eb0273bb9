"""Calls on threads, as a loop of asyncio's sees them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from edgestack.content.threads import AppThreads
from edgestack.errors import Refused
from edgestack.hosting.on_threads import OnThreads

PATIENCE = 10.0


@contextmanager
def threads(slots: int = 1, queue: int = 8, crowded: Callable[[int], None] | None = None) -> Iterator[OnThreads]:
    pool = AppThreads(slots, queue, crowded=crowded)
    try:
        yield OnThreads(pool)
    finally:
        assert pool.stop(PATIENCE)


def test_what_it_raises_is_raised() -> None:
    def fails() -> None:
        raise OSError("as it was asked to")

    async def live() -> None:
        with threads() as pool:
            await pool.call(lambda: None).done
            with pytest.raises(OSError, match="as it was asked to"):
                await pool.call(fails).done

    asyncio.run(live())


def test_one_that_hangs_loses_its_slot() -> None:
    """The only one there is: what waits behind it is called, and a crowd is told of."""
    released, crowds = threading.Event(), list[int]()

    async def live() -> None:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def hangs() -> None:
            loop.call_soon_threadsafe(begun.set)
            released.wait(PATIENCE)

        with threads(crowded=crowds.append) as pool:
            stuck, behind = pool.call(hangs), pool.call(lambda: None)
            try:
                async with asyncio.timeout(PATIENCE):
                    await begun.wait()
                    assert "in hangs" in stuck.lose()
                    await behind.done
            finally:
                released.set()
            assert stuck.done.cancelled()

    asyncio.run(live())
    assert crowds == [1]


def test_one_that_waits_is_not_called_any_more() -> None:
    released, called = threading.Event(), list[str]()

    async def live() -> None:
        with threads() as pool:
            first, second = pool.call(lambda: released.wait(PATIENCE)), pool.call(lambda: called.append("second"))
            assert second.lose() == ""
            released.set()
            await first.done
            await pool.call(lambda: called.append("last")).done

    asyncio.run(live())
    assert called == ["last"]


def test_who_comes_when_too_many_wait_is_refused() -> None:
    released = threading.Event()

    async def live() -> None:
        with threads(queue=1) as pool:
            both = [pool.call(lambda: released.wait(PATIENCE)) for _ in range(2)]
            with pytest.raises(Refused):
                pool.call(lambda: None)
            released.set()
            for call in both:
                await call.done

    asyncio.run(live())
