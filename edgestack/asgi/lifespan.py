"""The lifespan of an application: startup before the first request, shutdown behind the last (ASGI lifespan 2.0).

    startup()   -> complete        the application has begun
                -> unsupported     it raised at the scope, or ended: it is asked no more
                -> failed          it said so itself, with a reason
    shutdown()  -> until it has answered, or ended

The application's side are `receive` and `send`; whoever runs it calls `ended` when it has. On the loop.
"""

from __future__ import annotations

from typing import Any

import trio

__all__ = ["Lifespan"]


class Lifespan:
    """One run through it."""

    def __init__(self) -> None:
        self.supported = True
        """The application takes part."""
        self.engaged = False
        """It has asked what there is: what it raises from then on is its own trouble, and no lack of support."""
        self.failure: str | None = None
        """What it said when its startup failed."""
        self.error: BaseException | None = None
        """What it raised."""
        self._started = trio.Event()
        self._asked_to_stop = trio.Event()
        self._stopped = trio.Event()
        self._told_of_the_end = False

    async def startup(self) -> None:
        """Until the application has answered, one way or another."""
        await self._started.wait()

    async def shutdown(self) -> None:
        """Have it end what it began, and wait for that."""
        if self.supported:
            self._asked_to_stop.set()
            await self._stopped.wait()

    # -- the application's side ----------------------------------------------------------------------------------------

    async def receive(self) -> dict[str, Any]:
        """`lifespan.startup`, and when the time has come `lifespan.shutdown`."""
        if not self.engaged:
            self.engaged = True
            return {"type": "lifespan.startup"}
        await self._asked_to_stop.wait()
        if self._told_of_the_end:
            await trio.sleep_forever()
        self._told_of_the_end = True
        return {"type": "lifespan.shutdown"}

    async def send(self, message: dict[str, Any]) -> None:
        """What it answers.

        :raises RuntimeError: no such message belongs here.
        """
        kind = message.get("type")
        if kind == "lifespan.startup.complete":
            self._started.set()
        elif kind == "lifespan.startup.failed":
            self.supported = False
            self.failure = str(message.get("message") or "the application gave no reason")
            self._started.set()
        elif kind in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            self.failure = str(message.get("message") or "") if kind.endswith("failed") else None
            self._stopped.set()
        else:
            raise RuntimeError(f"{kind!r} is no message of a lifespan")

    def ended(self, error: BaseException | None) -> None:
        """The application returned, or raised."""
        self.error = error
        if not self._started.is_set():
            self.supported = False
        self._started.set()
        self._stopped.set()
