"""Where an application runs: a task of trio's for each call, or one of asyncio's (`asyncio_loop.py`).

    loop.begin(application, scope, receive, send, ended)      ended(error | None), once, on trio's loop

`receive` and `send` are coroutines of trio's in either case. On the asyncio side each call of them is carried over to a
task of trio's and its result back; a task there that is cancelled cancels it here. Nothing that an application raises
passes `begin`: this is its boundary. Cancelled is trio's own, and passes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias

import trio

__all__ = [
    "Application", "Ended", "Loop", "Receive", "Send", "TrioLoop", "caused_by", "insists_on_asyncio",
]  # fmt: skip

Receive: TypeAlias = "Callable[[], Awaitable[dict[str, Any]]]"
Send: TypeAlias = "Callable[[dict[str, Any]], Awaitable[None]]"
Application: TypeAlias = "Callable[[dict[str, Any], Receive, Send], Awaitable[None]]"
Ended: TypeAlias = "Callable[[BaseException | None], None]"

SIGNS = (
    "no running event loop", "no current event loop", "library written for asyncio", "like asyncio?",
    "'asyncio' was detected",
)  # fmt: skip
"""What asyncio, and trio, say to who takes the one for the other."""


class Loop(Protocol):
    """Runs the calls of one application."""

    def begin(self, application: Application, scope: dict[str, Any], receive: Receive, send: Send, ended: Ended) -> Any:
        """Start one call; returns at once, with what `cancel` takes. On trio's loop."""

    def cancel(self, call: Any) -> None:
        """Nobody waits for it any more."""

    async def close(self) -> None:
        """What still runs is cancelled."""


class TrioLoop:
    """The loop that everything else runs on."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._scopes: set[trio.CancelScope] = set()

    def begin(
        self, application: Application, scope: dict[str, Any], receive: Receive, send: Send, ended: Ended
    ) -> trio.CancelScope:
        """A task in the nursery."""
        cancel = trio.CancelScope()
        self._nursery.start_soon(self._run, cancel, application, scope, receive, send, ended)
        return cancel

    async def _run(
        self, cancel: trio.CancelScope, application: Application, scope: dict[str, Any], receive: Receive, send: Send,
        ended: Ended,
    ) -> None:  # fmt: skip
        self._scopes.add(cancel)
        came: BaseException | None = None
        try:
            with cancel:
                await application(scope, receive, send)
            if cancel.cancelled_caught:
                came = TimeoutError("the call was given up")
        except BaseException as error:  # SystemExit too: an application must not end the server
            came = error
            if _is_cancelled(error):
                raise
        finally:
            self._scopes.discard(cancel)
            ended(came)

    def cancel(self, call: trio.CancelScope) -> None:
        """See `Loop`."""
        call.cancel()

    async def close(self) -> None:
        """See `Loop`."""
        for scope in self._scopes:
            scope.cancel()


def _is_cancelled(error: BaseException) -> bool:
    """Whether trio's own Cancelled is in it: the server stops."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)[0] is not None
    return isinstance(error, trio.Cancelled)


def insists_on_asyncio(error: BaseException | None, said: str = "") -> bool:
    """Whether an application failed because it looked for a loop of asyncio's.

    :param error: what it raised, with its causes and whatever is grouped in it.
    :param said: a text of its own in which that may stand.
    """
    texts = [said, *(str(one) for one in _all(error))]
    return any(sign in text for text in texts for sign in SIGNS)


def caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    """Whether an error of this kind is at the bottom of it."""
    return any(isinstance(one, kind) for one in _all(error))


def _all(error: BaseException | None) -> list[BaseException]:
    """The error, its causes, and whatever is grouped in it."""
    found: dict[int, BaseException] = {}
    ahead = [error]
    while ahead:
        one = ahead.pop()
        if one is None or id(one) in found:
            continue
        found[id(one)] = one
        ahead += [one.__cause__, one.__context__, *(one.exceptions if isinstance(one, BaseExceptionGroup) else ())]
    return list(found.values())
