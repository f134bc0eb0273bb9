"""A loop in a thread of its own, for tests that are not asynchronous: several edges live in it.

    with the_loop() as loop:                  begun by the first who holds it, ended by the last who lets go
        serving = loop.serve(running)         the edge accepts now; what kept it from that is raised here
        serving.stop()

Starting a thread and a loop costs about 2 ms, so a test session holds it from the first edge to its end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import trio

from edgestack.testing.running import Running

__all__ = ["Loop", "Serving", "the_loop"]

T = TypeVar("T")
PATIENCE = 30.0
"""Seconds for what the loop does at once; on a machine that is stuck, an error is better than waiting for ever."""


class _Promise(Generic[T]):
    """What another thread will give."""

    def __init__(self) -> None:
        self._given = threading.Event()
        self._value: T
        self._error: BaseException | None = None

    def give(self, value: T) -> None:
        """Here it is."""
        self._value = value
        self._given.set()

    def fail(self, error: BaseException) -> None:
        """It cannot be had."""
        if not self._given.is_set():
            self._error = error
            self._given.set()

    def wait(self) -> T:
        """Until it is here. :raises TimeoutError: the loop is stuck."""
        if not self._given.wait(PATIENCE):
            raise TimeoutError(f"the loop of the test edges did nothing for {PATIENCE:g} seconds")
        if self._error is not None:
            raise self._error
        return self._value


class Serving:
    """An edge in the loop."""

    def __init__(self, loop: Loop, running: Running) -> None:
        self._loop = loop
        self._running = running
        self._scope = trio.CancelScope()
        self._error: BaseException | None = None
        self.started: _Promise[None] = _Promise()
        self._ended = threading.Event()

    async def run(self) -> None:
        """On the loop, as a task: nothing that fails here may end the others."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    await nursery.start(self._running.run)
                    self.started.give(None)
        except BaseException as error:
            self._error = alone(error)
            self.started.fail(self._error)
            if isinstance(error, trio.Cancelled):
                raise
        finally:
            self._ended.set()

    def stop(self) -> None:
        """End it, and wait for that.

        :raises BaseException: it had broken.
        """
        self._loop.post(self._scope.cancel)
        if not self._ended.wait(PATIENCE):
            raise TimeoutError("the test edge did not end")
        if self._error is not None:
            raise self._error


class Loop:
    """A thread that runs trio."""

    def __init__(self) -> None:
        self._begun: _Promise[trio.lowlevel.TrioToken] = _Promise()
        self._nursery: trio.Nursery
        self.thread = threading.Thread(target=self._run, name="edgestack test loop", daemon=True)
        self.thread.start()
        self._token = self._begun.wait()

    def _run(self) -> None:
        trio.run(self._live)

    async def _live(self) -> None:
        async with trio.open_nursery() as self._nursery:
            self._begun.give(trio.lowlevel.current_trio_token())
            await trio.sleep_forever()

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """What a function gives on the loop; from any other thread, one that runs another loop too."""
        promise: _Promise[T] = _Promise()

        def run() -> None:
            try:
                promise.give(function(*arguments))
            except BaseException as error:
                promise.fail(error)

        self._token.run_sync_soon(run)
        return promise.wait()

    def post(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have a function that cannot fail called on the loop; who has other ways to see that it was need not wait."""
        self._token.run_sync_soon(function, *arguments)

    def serve(self, running: Running) -> Serving:
        """Run an edge; it accepts when this returns.

        :raises ConfigError: it cannot be served.
        """
        serving = Serving(self, running)
        self.post(self._nursery.start_soon, serving.run)
        serving.started.wait()
        return serving

    def end(self) -> None:
        """Stop, and wait for the thread."""
        self.call(self._nursery.cancel_scope.cancel)
        self.thread.join(PATIENCE)


def alone(error: BaseException) -> BaseException:
    """The one error of a group that has one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


_lock = threading.Lock()
_held: list[Loop] = []
"""The loop, once for each who holds it."""


@contextmanager
def the_loop() -> Iterator[Loop]:
    """The loop of this process."""
    with _lock:
        loop = _held[0] if _held else Loop()
        _held.append(loop)
    try:
        yield loop
    finally:
        with _lock:
            _held.remove(loop)
            last = not _held
        if last:
            loop.end()
