"""Whether the client of a held connection leaves, on the portable driver (design: engine, rule 8).

    while an answer is awaited, or a thread makes it     reset: gone            FIN: half-closed, which is legal
    while a stream is sent that the loop makes           reset or FIN: gone
    while another server is asked                        reset or FIN: gone

As on the lot, the first thing that happens is the last one that is looked at. A watch is a task of its own, beside the
one that holds the connection; who wants to read that (a request body, the next head) stops the watch first, for two
readers of one stream are an error of trio's. Once the body is here, the watch goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from edgestack.errors import Disconnected

__all__ = ["Watch"]


class Watch:
    """Over one connection, for as long as it is held."""

    def __init__(self, look: Callable[[], Awaitable[bool]], gone: Callable[[], None], end_is_gone: bool) -> None:
        """
        :param look: waits for the first thing that the client does, and says whether that is its end; raises nothing
            but `Disconnected`.
        :param gone: told that nobody waits for the answer.
        """
        self._look = look
        self._gone = gone
        self._end_is_gone = end_is_gone
        self._scope = trio.CancelScope()
        self._over = trio.Event()
        self.ended = False
        """Nobody is interested any more; a watch that was only stopped may go on (`again`)."""

    def again(self) -> Watch:
        """Another one like this, which was stopped."""
        return Watch(self._look, self._gone, self._end_is_gone)

    async def run(self) -> None:
        """Look, once."""
        try:
            with self._scope:
                if await self._look() and self._end_is_gone:
                    self._gone()
        except Disconnected:
            self._gone()
        finally:
            self._over.set()

    def rest(self) -> None:
        """Do not begin: somebody reads the connection just now, and sees its end himself. `again` goes on."""
        self._over.set()

    def end(self) -> None:
        """Nobody is interested any more."""
        self.ended = True
        self._scope.cancel()

    async def stop(self) -> None:
        """End it; when this returns, the connection is free to be read."""
        self._scope.cancel()
        await self._over.wait()
