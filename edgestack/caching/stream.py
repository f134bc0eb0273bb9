"""A stream that content makes on the loop, on its way to the client and into the store: an ASGI application's.

    content -> piece -> (cut at the announced length) -> copied -> whoever takes it: the client, or nobody (fetching.py)

It is stored before its end can be seen, as on application threads (tee.py): at the piece that completes the announced
length, else at the end. Broken off, shorter than announced, or let go before: what was copied is dropped.

Content is asked for the next piece when the last one was taken, so a slow client holds it back, and the fill with it.
That is told to the fill: nobody who has waited in vain is to be followed by others who wait for a stranger's pace.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING

from edgestack.wire.streaming import let_go

if TYPE_CHECKING:
    from edgestack.caching.fetching import Copy

__all__ = ["CopiedStream"]


class CopiedStream:
    """A body (`http.bodies`: an AsyncIterable). Whoever takes it iterates it to its end, or closes it."""

    __slots__ = ("_body", "_copy", "_missing", "_pieces")

    def __init__(self, body: AsyncIterable[bytes], copy: Copy, length: int | None) -> None:
        """:param length: bytes that were announced."""
        self._body = body
        self._copy = copy
        self._pieces = body.__aiter__()
        self._missing = math.inf if length is None else length
        if not self._missing:
            copy.over(True)

    def __aiter__(self) -> CopiedStream:
        return self

    async def __anext__(self) -> bytes:
        if not self._missing:
            await self.aclose()  # what is more than was announced is nobody's
            raise StopAsyncIteration
        self._copy.paused(False)
        try:
            piece = await self._pieces.__anext__()
        except StopAsyncIteration:
            self._copy.over(self._missing == math.inf)
            raise
        except BaseException:
            self._copy.over(False)
            raise
        if len(piece) > self._missing:
            piece = piece[: int(self._missing)]
        self._missing -= len(piece)
        self._copy.piece(piece)
        if not self._missing:
            self._copy.over(True)
        self._copy.paused(True)
        return piece

    async def aclose(self) -> None:
        """Take no more; harmless at the end."""
        self._copy.over(False)
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            await close()

    def close(self) -> None:
        """The same, where nobody waits."""
        self._copy.over(False)
        let_go(self._body)
