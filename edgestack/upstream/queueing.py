"""Requests that wait for a peer: first in, first out, 502 at their timeout (`queue`, as in nginx's commercial edition).

Only the first in the queue looks for a peer: when one is released, when the next ban ends, and when it becomes the
first. Whoever comes while others wait stands behind them. It must not know how a peer is chosen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from edgestack.errors import UpstreamError
from edgestack.upstream.peers import Peer

if TYPE_CHECKING:
    from edgestack.config.upstreams import Queue

__all__ = ["Waiting"]

AFTER = 0.001
"""Seconds after the end of a ban, which holds to its very end (A3)."""

PUBLIC = "The server behind this one is not available."


class Waiting:
    """The queue of one group."""

    __slots__ = ("_queue", "_size", "_timeout")

    def __init__(self, queue: Queue) -> None:
        self._size = queue.size
        self._timeout = queue.timeout
        self._queue: deque[_Place] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def wake(self) -> None:
        """Something changed: the first in the queue looks again."""
        if self._queue:
            self._queue[0].event.set()

    async def turn(self, choose: Callable[[], Peer | None], opening: Callable[[], float], name: str) -> Peer:
        """Wait for a peer.

        :param choose: looks for one now.
        :param opening: when the next ban ends, on trio's clock; infinite where there is none.
        :raises UpstreamError: 502, the queue is full, or this took too long.
        """
        peer = choose() if not self._queue else None
        if peer is not None:
            return peer
        if len(self._queue) >= self._size:
            raise UpstreamError(PUBLIC, detail=f'no live upstreams in "{name}": its queue is full')
        place = _Place()
        self._queue.append(place)
        try:
            with trio.move_on_after(self._timeout):
                return await self._looking(place, choose, opening)
        finally:
            self._queue.remove(place)
            self.wake()
        raise UpstreamError(PUBLIC, detail=f'no live upstreams in "{name}": {self._timeout:g} s in its queue')

    async def _looking(self, place: _Place, choose: Callable[[], Peer | None], opening: Callable[[], float]) -> Peer:
        """Look for a peer whenever there may be one, as soon as nobody stands before."""
        while True:
            first = self._queue[0] is place
            peer = choose() if first else None
            if peer is not None:
                return peer
            place.event = trio.Event()
            with trio.move_on_at(opening() + AFTER if first else float("inf")):
                await place.event.wait()


class _Place:
    """One who waits; the event is of one sleep."""

    __slots__ = ("event",)

    def __init__(self) -> None:
        self.event = trio.Event()
