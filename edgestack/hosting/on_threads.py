"""Calls on threads of this house, for a loop of asyncio's: what tornado runs WSGI applications on.

    call = threads.call(function)         on a thread of its own
    await call.done                       an asyncio future: it has returned, or raised
    call.lose()                           nobody waits for it: a thread that hangs loses its slot to another one

A thread cannot be ended. When as many hang as there are slots, `crowded` is told, as in a worker of the edge's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from edgestack.content.threads import AppThreads

__all__ = ["Call", "OnThreads"]


class OnThreads:
    """See the top of this file."""

    def __init__(self, threads: AppThreads) -> None:
        """:param threads: of which this is the only user."""
        self._threads = threads

    def call(self, function: Callable[[], Any]) -> Call:
        """Call it on a thread. On the loop.

        :raises Refused: too many wait already.
        """
        made = Call(self._threads, function)
        self._threads.submit(made.job)
        return made


class Call:
    """One of them."""

    def __init__(self, threads: AppThreads, function: Callable[[], Any]) -> None:
        self._threads = threads
        self._function = function
        self._future: Future[None] = Future()
        self.done = asyncio.wrap_future(self._future)

    def job(self) -> None:
        """On its thread."""
        if not self._future.set_running_or_notify_cancel():
            return
        try:
            self._function()
        except BaseException as error:
            self._future.set_exception(error)
        else:
            self._future.set_result(None)

    def lose(self) -> str:
        """Give it up; where it runs, with its stack, "" where nothing runs. On the loop."""
        where = self._threads.lose(self.job)
        self._future.cancel()  # at once: `done` would have it done a turn of the loop later
        self.done.cancel()
        return where
