"""A loop of asyncio's in a thread of its own, for applications that insist on it.

    receive, send     coroutines of trio's: each call of them is carried over to a task there, and its result back
    a call            a task here; cancelled here, what it has carried over is cancelled there

A test clock that jumps by itself stands still while it works (`held_loop.py`).

Imported only where such a loop is made: most servers never need asyncio, and its import costs some 15 ms of a start.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from edgestack.asgi.held_loop import HeldLoop
from edgestack.asgi.loops import Application, Ended, Receive, Send
from edgestack.wire.held_clock import on_thread, work_here

__all__ = ["AsyncioLoop"]

FAREWELL = 2.0
"""Seconds that cancelled tasks get to end, before the thread is left behind. A guess: they have been waited for
already."""


class AsyncioLoop:
    """A thread with a loop of asyncio's."""

    def __init__(self, nursery: trio.Nursery, name: str) -> None:
        """:param name: of the thread."""
        self._nursery = nursery
        self._token = trio.lowlevel.current_trio_token()
        self._ready = threading.Event()
        self._told = False
        """It is to end."""
        self._calls: set[_Call] = set()
        work = work_here()
        self._held = HeldLoop(work, self._post, self._works) if work is not None else None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._ready.wait()

    def begin(
        self, application: Application, scope: dict[str, Any], receive: Receive, send: Send, ended: Ended
    ) -> _Call:
        """A task there."""
        call = _Call(listens=scope["type"] != "http")
        self._hand(self._begin, call, application, scope, receive, send, ended)
        return call

    def cancel(self, call: _Call) -> None:
        """See `Loop`."""
        self._hand(call.cancel)

    async def close(self) -> None:
        """See `Loop`; its thread ends, or is left behind. A second call waits for nothing."""
        if self._told:
            return
        self._told = True
        self._loop.call_soon_threadsafe(self._stop.set)
        with trio.CancelScope(shield=True):
            await on_thread(self._thread.join, FAREWELL)

    def _hand(self, function: Callable[..., object], *of: Any) -> None:
        """Have something done on the thread."""
        if self._held is not None:
            self._held.hand(self._loop, function, *of)
        else:
            self._loop.call_soon_threadsafe(function, *of)

    # -- on its thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        held = self._held
        try:
            with asyncio.Runner(loop_factory=held.make if held is not None else None) as runner:
                runner.run(self._live())
        finally:
            if held is not None:
                held.over()

    def _works(self) -> bool:
        """Whether a call waits for anything but messages."""
        return not all(call.asking for call in self._calls)

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._ready.set()
        await self._stop.wait()

    def _begin(
        self, call: _Call, application: Application, scope: dict[str, Any], receive: Receive, send: Send, ended: Ended
    ) -> None:
        async def run() -> BaseException | None:
            try:
                await application(scope, carried_receive, carried_send)
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # SystemExit would end the loop, and every other call with it
                return error
            return None

        def over(task: asyncio.Task[BaseException | None]) -> None:  # not in `run`, which may never have begun
            self._calls.discard(call)
            self._post(ended, TimeoutError("the call was given up") if task.cancelled() else task.result())

        received = _Received(lambda: self._carry(call, receive)[0])

        async def carried_receive() -> dict[str, Any]:
            message = await received.next()
            call.heard_all = not (call.listens or message.get("more_body", False))
            return message

        async def carried_send(message: dict[str, Any]) -> None:
            future, scope = self._carry(call, send, message)
            try:
                await future
            except asyncio.CancelledError:
                self._post(scope.cancel)
                raise

        call.task = self._loop.create_task(run())
        self._calls.add(call)
        call.task.add_done_callback(over)
        if call.cancelled:
            call.task.cancel()

    def _carry(
        self, call: _Call, function: Callable[..., Awaitable[Any]], *of: Any
    ) -> tuple[asyncio.Future[Any], trio.CancelScope]:
        """Have it awaited on trio's loop: what gets its result, and what gives it up."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if of or not call.heard_all:
            call.asking += 1
            future.add_done_callback(call.heard)
        scope = trio.CancelScope()

        async def there() -> None:
            try:
                with scope:
                    await trio.lowlevel.checkpoint_if_cancelled()
                    self._back(_give, future, await function(*of))
            except Exception as error:
                self._back(_raise, future, error)

        self._post(self._start, there)
        return future, scope

    def _start(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            self._nursery.start_soon(task)
        except RuntimeError:
            return  # the server has stopped, and the nursery is closed: nobody waits for this

    def _post(self, function: Callable[..., Any], *of: Any) -> None:
        """Have something done on trio's loop; where that is over, nobody needs it."""
        try:
            self._token.run_sync_soon(function, *of)
        except trio.RunFinishedError:
            return

    def _back(self, function: Callable[..., object], *of: Any) -> None:
        """The other way; a loop that was closed waits for nothing."""
        if not self._loop.is_closed():
            self._hand(function, *of)


class _Call:
    """A call on the other thread, which may not have begun when it is cancelled. Touched there alone."""

    def __init__(self, *, listens: bool) -> None:
        """
        :param listens: it may wait for its next message for ever. Not HTTP: all that can come after a whole request is
            that its client has left, and whoever looks out for that does other things.
        """
        self.task: asyncio.Task[BaseException | None] | None = None
        self.cancelled = False
        self.listens = listens
        self.heard_all = False
        """No message is left that it could wait for."""
        self.asking = 0
        """What it has carried over, and has no answer to."""

    def heard(self, future: asyncio.Future[Any]) -> None:
        """One answer is here."""
        self.asking -= 1

    def cancel(self) -> None:
        self.cancelled = True
        if self.task is not None:
            self.task.cancel()


class _Received:
    """What a call hears, one message after the other. Touched on asyncio's thread alone.

    Whoever asks may give up: the question stands, and the next who asks gets its answer. So nothing is lost, and
    nothing comes out of turn.
    """

    def __init__(self, ask: Callable[[], asyncio.Future[Any]]) -> None:
        self._ask = ask
        self._asked: asyncio.Future[Any] | None = None
        self._turn = asyncio.Lock()

    async def next(self) -> dict[str, Any]:
        """See `Receive`."""
        async with self._turn:
            asked = self._asked = self._asked or self._ask()
            await asyncio.wait([asked])
            self._asked = None
            message: dict[str, Any] = asked.result()
            return message


def _give(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _raise(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
