"""Application code that the server itself calls, for no client of its own: an auth_request, a refresh of the cache.

It takes its turn on the application threads like any other, and whoever asked for it waits on the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from edgestack.http.bodies import Outlet
from edgestack.http.messages import AppCall

__all__ = ["Pool", "take_turn"]


class Pool(Protocol):
    """Threads that run application code."""

    def queue(self, job: Callable[[], None]) -> None:
        """Take a job. :raises Refused: there are too many."""

    def go(self) -> None:
        """Run what was queued."""


async def take_turn(threads: Pool, call: AppCall, outlet: Outlet) -> None:
    """Have `call` write to `outlet`, and wait until it is done. The wait may be cancelled; the call goes on.

    :raises Refused: there are too many jobs; the call is discarded.
    """
    done, token = trio.Event(), trio.lowlevel.current_trio_token()

    def job() -> None:
        try:
            call.run(outlet)
        finally:
            try:
                token.run_sync_soon(done.set)
            except trio.RunFinishedError:
                pass  # the server has stopped: nobody waits

    try:
        threads.queue(job)
    except BaseException:
        call.discard()
        raise
    threads.go()
    await done.wait()
