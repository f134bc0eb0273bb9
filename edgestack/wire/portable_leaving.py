"""What takes its time on the portable driver, and a client that leaves meanwhile (design: engine, rule 8).

The task of a connection that waits for another server, or sends a stream, reads nothing: a second one does, and ends
the wait when the client is gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import trio

from edgestack.errors import Disconnected

__all__ = ["until_left"]

T = TypeVar("T")


class Leaver(Protocol):
    """The client, as far as it may leave."""

    async def leaving(self) -> bool:
        """Wait until it leaves. False: it sends something instead, and is no longer watched."""


async def until_left(
    client: Leaver, work: Callable[[], Awaitable[T]], beside: Callable[[], Awaitable[None]] | None = None
) -> T:
    """What `work` gives.

    :param beside: done at the same time, for as long as it takes.
    :raises Disconnected: the client left before.
    """
    done: list[T] = []
    failed: Exception | None = None

    async def watch() -> None:
        if await client.leaving():
            nursery.cancel_scope.cancel()

    async def guarded(job: Callable[[], Awaitable[object]]) -> None:
        nonlocal failed
        try:
            await job()
        except Exception as error:  # carried out of the nursery as it is, not in a group
            failed = failed or error
            nursery.cancel_scope.cancel()

    async def until_done() -> None:
        done.append(await work())
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        if beside is not None:
            nursery.start_soon(guarded, beside)
        await guarded(until_done)
    if failed is not None:
        raise failed
    if not done:
        raise Disconnected
    return done[0]
