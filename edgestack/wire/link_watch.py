"""Who watches over idle links where there is no lot: a task for each, and one for the deadlines.

    take_up(link) ── a task: link.stirred() ── link.holder.event      let_go(link) ── the task is cancelled

The portable driver's twin of what `lot_books.py` does for links. A link that stirs in the moment in which it is taken
is its taker's: what came is not lost, and the holder of before hears nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio

from edgestack.wire.connection import READABLE
from edgestack.wire.deadlines import Deadlines, Timed
from edgestack.wire.link import AnyLink, Link, LinkHolder, StreamLink

__all__ = ["LinkWatch"]

T = TypeVar("T")


class LinkWatch:
    """A `Keeper` made of tasks. On the loop only."""

    def __init__(self, nursery: trio.Nursery, clock: Callable[[], float]) -> None:
        """
        :param nursery: cancelled when the server stops; the tasks run in it.
        """
        self.clock = clock
        self.deadlines = Deadlines(self._expire, clock)
        self._nursery = nursery
        self._scopes: dict[AnyLink, trio.CancelScope] = {}

    @property
    def now(self) -> float:
        """See `Keeper`."""
        return self.clock()

    def leave_together(self, send: Callable[[T], None], of: T) -> None:
        """See `Keeper`; here every exchange has a task, and its turn is its own."""
        send(of)

    async def run(self) -> None:
        """Keep the deadlines, until cancelled."""
        await self.deadlines.run()

    def take_up(self, link: AnyLink) -> None:
        """See `Keeper`."""
        if link not in self._scopes:
            self._scopes[link] = scope = trio.CancelScope()
            self._nursery.start_soon(self._watch, link, scope)
        self.deadlines.watch(link, link.deadline)

    def let_go(self, link: AnyLink) -> None:
        """See `Keeper`."""
        scope = self._scopes.pop(link, None)
        if scope is not None:
            scope.cancel()
            self.deadlines.forget(link)

    def close(self, link: AnyLink) -> None:
        """See `Keeper`."""
        self.let_go(link)
        link.close()

    async def _watch(self, link: AnyLink, scope: trio.CancelScope) -> None:
        with scope:
            while self._scopes.get(link) is scope:
                await link.stirred()
                if self._scopes.get(link) is scope:  # else it was taken while this task was being woken
                    self._guarded(link, lambda holder: holder.event(link, READABLE))

    def _expire(self, timed: Timed, now: float) -> None:
        assert isinstance(timed, Link | StreamLink)
        self._guarded(timed, lambda holder: holder.expire(timed, now))

    def _guarded(self, link: AnyLink, call: Callable[[LinkHolder], None]) -> None:
        """The boundary: a bug costs this link, and what its holder ends with it."""
        holder = link.holder
        assert holder is not None
        try:
            call(holder)
        except Exception as error:
            self.close(link)
            holder.failed(link, error)
