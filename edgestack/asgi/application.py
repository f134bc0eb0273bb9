"""One ASGI application, alive: its loop, its lifespan, and the calls that are under way.

    AsgiApplication(object, name, loop)
      await start(nursery)        its lifespan has begun, or it has none; ConfigError where its startup failed
      begin(…) -> Call            a request, or a WebSocket
      drain()                     WebSockets are told to leave; what else runs goes on
      await quiet()               until nothing runs any more, tasks behind an answer included
      await stop()                the lifespan ends, and the loop

Which loop (`asgi_loop`): trio's, unless the application insists on asyncio. In `auto` that is seen at its startup,
which is then begun again on asyncio's; a request that fails for it says in the log which key to set. The stack keeps
these objects for as long as a plan has their section.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from edgestack.asgi.lifespan import Lifespan
from edgestack.asgi.loops import Application, Ended, Loop, Receive, Send, TrioLoop, insists_on_asyncio
from edgestack.asgi.scope import ASGI
from edgestack.errors import AppError, ConfigError
from edgestack.wire.held_clock import in_time

__all__ = ["AsgiApplication"]

GOODBYE = 10.0
"""Seconds for a lifespan's shutdown. As much as container runtimes grant between SIGTERM and SIGKILL."""

log = logging.getLogger("edgestack.error")


class AsgiApplication:
    """See the top of this file."""

    def __init__(
        self, application: Application, name: str = "the application", loop: str = "auto", *, deflates: bool = True
    ) -> None:
        """
        :param name: as the user wrote it, for messages.
        :param loop: "trio", "asyncio", or "auto".
        :param deflates: compress messages of WebSockets for who offers it.
        """
        self.application = application
        self.name = name
        self.deflates = deflates
        self.state: dict[str, Any] | None = None
        """What its lifespan made for all requests; None without a lifespan."""
        self.on_drain: set[Callable[[], None]] = set()
        """Called when the server is about to stop: whoever would go on for ever leaves."""
        self._kind = loop
        self._loop: Loop | None = None
        self._nursery: trio.Nursery | None = None
        self._lifespan = Lifespan()
        self._running = 0
        self._quiet = trio.Event()
        self._quiet.set()
        self._begun = trio.Event()
        self._failure: ConfigError | None = None
        self._starting = False
        self._stopped = False

    # -- its life ------------------------------------------------------------------------------------------------------

    async def start(self, nursery: trio.Nursery) -> None:
        """Begin. A second call waits for the first.

        :param nursery: runs its tasks; cancelled when the server stops.
        :raises ConfigError: its startup failed.
        """
        if not self._starting:
            self._starting = True
            try:
                await self._start(nursery)
            except ConfigError as error:
                self._failure = error
                await self.close()
            self._begun.set()
        await self._begun.wait()
        if self._failure is not None:
            raise self._failure

    async def begun(self) -> None:
        """Until it has begun.

        :raises AppError: its startup failed.
        """
        if not self._begun.is_set():
            await self._begun.wait()
        if self._failure is not None:
            raise AppError("The application could not be started.", detail=str(self._failure))

    async def _start(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        on_asyncio = self._kind == "asyncio"
        while True:
            self._loop = _asyncio_loop(nursery) if on_asyncio else TrioLoop(nursery)
            self._lifespan = lifespan = Lifespan()
            state: dict[str, Any] = {}
            scope = {"type": "lifespan", "asgi": ASGI.copy(), "state": state}
            self._loop.begin(self.application, scope, lifespan.receive, lifespan.send, lifespan.ended)
            await lifespan.startup()
            if self._kind == "auto" and not on_asyncio and self._asks_for_asyncio(lifespan):
                log.info('%s needs asyncio: it runs on a loop of its own (`asgi_loop = "asyncio"`)', self.name)
                on_asyncio = True
                continue
            break
        self._judge(lifespan)
        self.state = state if lifespan.supported else None

    def _asks_for_asyncio(self, lifespan: Lifespan) -> bool:
        return not lifespan.supported and insists_on_asyncio(lifespan.error, lifespan.failure or "")

    def _judge(self, lifespan: Lifespan) -> None:
        """:raises ConfigError: the application says that it cannot run."""
        if lifespan.failure is not None:
            text = lifespan.failure.strip()
            last = text.splitlines()[-1] if text else "no reason was given"
            hint = 'set asgi_loop = "asyncio"' if self._asks_for_asyncio(lifespan) else ""
            error = ConfigError(f"the startup of {self.name} failed: {last}", hint=hint, key="app")
            error.traceback_text = text if "\n" in text else ""
            raise error
        told_to_stop = isinstance(lifespan.error, KeyboardInterrupt)
        if lifespan.error is not None and lifespan.engaged and not told_to_stop:
            told = "".join(traceback.format_exception(lifespan.error)).rstrip()
            log.warning("%s has no lifespan: it raised when it was to start\n%s", self.name, told)

    async def close(self) -> None:
        """End its loop, and what runs there, without a goodbye."""
        if self._loop is not None:
            await self._loop.close()

    # -- calls ---------------------------------------------------------------------------------------------------------

    def begin(self, scope: dict[str, Any], receive: Receive, send: Send, ended: Ended) -> Any:
        """Call it, once it has `begun`; returns what `give_up` takes.

        :param ended: called once, with what it raised or None. On the loop.
        """
        assert self._loop is not None
        if not self._running:
            self._quiet = trio.Event()
        self._running += 1

        def over(error: BaseException | None) -> None:
            self._running -= 1
            if not self._running:
                self._quiet.set()
            ended(error)

        return self._loop.begin(self.application, scope, receive, send, over)

    def run(self, task: Callable[[], Awaitable[None]]) -> None:
        """A task of its own, for what a call leaves behind."""
        assert self._nursery is not None
        self._nursery.start_soon(task)

    def give_up(self, call: Any) -> None:
        """Nobody waits for what a call would say."""
        assert self._loop is not None
        self._loop.cancel(call)

    # -- its end -------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """The server is about to stop."""
        for leave in list(self.on_drain):
            leave()

    async def quiet(self) -> None:
        """Until no call is under way."""
        while self._running:
            await self._quiet.wait()

    async def stop(self) -> None:
        """End the lifespan, and the loop; what still runs there is cancelled."""
        if self._stopped or not self._begun.is_set() or self._failure is not None:
            return
        self._stopped = True
        with trio.CancelScope(shield=True):
            ended = await in_time(self._lifespan.shutdown, GOODBYE, threaded=not isinstance(self._loop, TrioLoop))
        if not ended:
            log.warning("%s did not end its lifespan within %g s", self.name, GOODBYE)
        elif self._lifespan.failure is not None:
            log.error("the shutdown of %s failed: %s", self.name, self._lifespan.failure)
        await self.close()

    async def retire(self) -> None:
        """No plan has it any more: what is under way is ended first."""
        self.drain()
        try:
            await self.quiet()
            await self.stop()
        finally:
            await self.close()


def _asyncio_loop(nursery: trio.Nursery) -> Loop:
    """A loop of asyncio's, which is imported now."""
    from edgestack.asgi.asyncio_loop import AsyncioLoop

    return AsyncioLoop(nursery, "asgi")
