"""An application's call that no client waits for: it takes its turn on the application threads like any other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from edgestack.http.messages import AppCall

__all__ = ["Pool", "call_for_nobody"]


class Pool(Protocol):
    """Threads that run application code."""

    def queue(self, job: Callable[[], None]) -> None:
        """Take a job. :raises Refused: there are too many."""

    def go(self) -> None:
        """Run what was queued."""


async def call_for_nobody(threads: Pool, call: AppCall, run: Callable[[], None]) -> None:
    """Run `run`, which runs `call`, and wait until it is done.

    :raises Refused: there are too many jobs; the call is discarded.
    """
    done, token = trio.Event(), trio.lowlevel.current_trio_token()

    def job() -> None:
        try:
            run()
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
