"""Threads of this house as an executor of the standard library's: what tornado runs WSGI applications on.

    with executor.calls() as jobs: …          what is submitted within, by this task, is in `jobs`
    executor.lose(jobs)                       nobody waits for them: a thread that hangs loses its slot to another one

A thread cannot be ended. When as many hang as there are slots, `crowded` is told, as in a worker of the edge's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from edgestack.content.threads import AppThreads

__all__ = ["OnThreads"]

Job = Callable[[], None]
_jobs: ContextVar[list[Job]] = ContextVar("_jobs")


class OnThreads(Executor):
    """See the top of this file."""

    def __init__(self, threads: AppThreads) -> None:
        """:param threads: of which this is the only user."""
        self._threads = threads

    @contextmanager
    def calls(self) -> Iterator[list[Job]]:
        """What one request has submitted."""
        jobs: list[Job] = []
        token = _jobs.set(jobs)
        try:
            yield jobs
        finally:
            _jobs.reset(token)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        """Call it on a thread. On the loop.

        :raises Refused: too many wait already.
        """
        future: Future[Any] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **more))
            except BaseException as error:
                future.set_exception(error)

        self._threads.submit(job)
        _jobs.get().append(job)
        return future

    def lose(self, jobs: list[Job]) -> str:
        """Give up what still runs of these; where it does, with its stack, "" where nothing does. On the loop."""
        return "\n".join(filter(None, map(self._threads.lose, jobs)))
