"""The outlet of an application thread on the portable driver: an outbox, which the connection's task empties.

    thread:  piece -> outbox -> (the task is told) ......... task:  take -> send -> take -> … -> finished

Nothing here touches a stream: the thread only puts. See `outlet.py` for the law that both drivers share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from edgestack.errors import Disconnected
from edgestack.http.bodies import FileSegment
from edgestack.http.messages import AppCall, Exchange
from edgestack.wire.h1 import H1
from edgestack.wire.outbox import Outbox
from edgestack.wire.outlet import ThreadOutlet
from edgestack.wire.pace import patience

if TYPE_CHECKING:
    from edgestack.wire.portable import Portable

__all__ = ["PortableOutlet"]


class PortableOutlet(ThreadOutlet):
    """Everything goes through the outbox."""

    __slots__ = ("_driver", "_h1", "_stored", "filled", "truncated")

    def __init__(self, driver: Portable, h1: H1, exchange: Exchange, call: AppCall) -> None:
        super().__init__(exchange, call)
        self._driver = driver
        self._h1 = h1
        self.filled = trio.Event()
        """Set when the outbox, found dry, has something again; the task puts a new one in its place."""
        outbox = Outbox(limit=driver.limits.spool, gap=patience(exchange, driver.timeouts), budget=driver.spools)
        outbox.open(lambda: driver.post(self._tell))
        self._outbox = self._stored = outbox
        self.truncated = False
        """The answer cannot be completed."""

    @property
    def outbox(self) -> Outbox:
        """What was put and not sent."""
        return self._stored

    @property
    def keep(self) -> bool:
        """Whether the connection goes on after this answer."""
        return self._framed is not None and self._framed.keep

    def desert(self) -> None:
        """The client has left: the thread's next piece tells it so, as on the lot. On the loop."""
        self._gone = True

    def _tell(self) -> None:
        self.filled.set()

    def _keep(self) -> bool:
        framing = self._h1.framing
        return self._driver.lasting and (framing is None or framing.complete)

    def _write(self, data: bytes) -> None:
        if self._gone:
            raise Disconnected
        self._stored.put(data)

    def _write_file(self, head: bytes, segment: FileSegment) -> None:
        if head:
            self._write(head)
        self._exchange.bytes_out += segment.length
        self._stored.put(segment)

    def _done(self) -> None:
        self._over = True
        self._stored.close()

    def _break(self) -> None:
        self.truncated = True
        self._stored.close()

    def _count_failure(self) -> None:
        self._driver.post(self._driver.count_failure)
