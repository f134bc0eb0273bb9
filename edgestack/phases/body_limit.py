"""How large the body of a request may be (nginx: client_max_body_size).

    Content-Length too large -> 413, before a byte of it is read or asked for (E8)      chunks: counted while read

The check puts a bounded body in the place of a chunked one: whoever reads it, 413 comes with the byte that is too many.
It narrows and never widens: the number that content itself holds to is `most_body`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import IO, Any

from edgestack.config.model import Limit
from edgestack.http.bodies import RequestBody, WrappedBody, within
from edgestack.http.messages import Exchange

__all__ = ["BodyLimit", "body_limit", "most_body"]


class BodyLimit:
    """The check."""

    __slots__ = ("most",)

    def __init__(self, most: int) -> None:
        """:param most: bytes."""
        self.most = most

    def __call__(self, exchange: Exchange) -> None:
        """:raises ClientError: 413."""
        body = exchange.request.body
        if body is not None:
            if body.length is None:
                exchange.request.body = BoundedBody(body, self.most)
            else:
                within(body.length, self.most)

    def describe(self, exchange: Exchange) -> str:
        """The limit."""
        return f"a body of at most {self.most} bytes"


class BoundedBody(WrappedBody):
    """A body of unknown length, counted while it is read. See `http.bodies.RequestBody`."""

    __slots__ = ("_most", "length")

    def __init__(self, body: RequestBody, most: int) -> None:
        super().__init__(body)
        self._most = most
        self.length = body.length

    def spooled_nowait(self, limit: int) -> IO[bytes] | None:
        """The whole body if it is here already."""
        return self._body.spooled_nowait(min(limit, self._most))

    async def spooled(self, limit: int) -> IO[bytes]:
        """The whole body."""
        return await self._body.spooled(min(limit, self._most))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The body as it arrives."""
        size = 0
        pieces: Any = self._body.__aiter__()
        async with aclosing(pieces):
            async for piece in pieces:
                size += len(piece)
                within(size, self._most)
                yield piece


def most_body(limits: Sequence[Limit]) -> int | None:
    """The size that a route's limits allow, the smallest of several; None where they say nothing."""
    return min((limit.body for limit in limits if limit.body is not None), default=None)


def body_limit(most: int | None) -> BodyLimit | None:
    """The check for bodies of at most `most` bytes; None for None."""
    return None if most is None else BodyLimit(most)
