"""Bodies of requests that come in a content coding, as they were before it (criterion D7).

    Content-Encoding: gzip | br | zstd    ->  the same request without it, whose body is inflated while it is read

Bounded twice: by the largest body that the route takes, counted as inflated, and by the ratio, so that a bomb is given
up long before. Both are 413; what cannot be decoded is 400, and a coding that is not known here 415 with
Accept-Encoding (RFC 9110 §12.5.3, §15.5.16). Without `inflate` a coded body is passed on as it is. More than a little
is inflated on a thread, piece by piece as it comes.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from functools import partial
from io import BytesIO
from typing import IO

from edgestack.codecs import Inflater, available
from edgestack.errors import ClientError
from edgestack.http.bodies import RequestBody, WrappedBody, within
from edgestack.http.fields import tokens
from edgestack.http.messages import Exchange
from edgestack.wire.held_clock import on_thread

__all__ = ["InflatedBody", "Inflating", "inflating"]

RATIO = 100
"""How many times its size a body may grow to. Text seldom gains more than 20 times; bombs gain 1,000."""
FREE = 1 << 20
"""Bytes up to which the ratio is not looked at: a megabyte harms nobody."""
AT_ONCE = 4 * 1024
"""Bytes that are inflated on the loop: a megabyte at most comes of it, in about a millisecond."""
IN_MEMORY = 64 * 1024
"""As `wire/receiving.py` has it."""
GONE = ("content-encoding", "content-length", "transfer-encoding", "content-digest", "content-md5")
"""Fields of what was sent, that say nothing of what it inflates to."""


class Inflating:
    """The check that puts another body into the request."""

    __slots__ = ("_codings",)

    def __init__(self) -> None:
        self._codings = available()

    def __call__(self, exchange: Exchange) -> None:
        """Nothing is read yet.

        :raises ClientError: 415, a coding that is not known here, or several.
        """
        request = exchange.request
        coding = request.fields.get("content-encoding")
        body = request.body
        if coding is None or body is None:
            return
        named = [name.removeprefix("x-") for name in tokens(coding) if name != "identity"]
        if len(named) > 1 or not set(named) <= set(self._codings):
            offered = (("Accept-Encoding", ", ".join(self._codings)),)
            raise ClientError(
                f"The request's body is in a coding that is not known here: {coding}.", 415, fields=offered
            )
        if named:
            request.replace_fields(GONE, (("transfer-encoding", "chunked"),))
            request.body = InflatedBody(body, named[0])

    def describe(self, exchange: Exchange) -> str:
        """What would be done."""
        coding = exchange.request.fields.get("content-encoding", "")
        return f"the body is inflated ({coding})" if coding else "the body is not coded"


class InflatedBody(WrappedBody):
    """See `http.bodies.RequestBody`."""

    __slots__ = ("_inflater", "_received", "_size", "length")

    length: int | None

    def __init__(self, body: RequestBody, coding: str) -> None:
        super().__init__(body)
        self._inflater = Inflater(coding)
        self._received = self._size = 0
        self.length = None

    def spooled_nowait(self, limit: int) -> IO[bytes] | None:
        """The whole body, if all of it is here and it takes no thread's time."""
        coded = self._body.spooled_nowait(limit)
        if coded is None:
            return None
        with coded:
            data = coded.read()
        if len(data) > AT_ONCE:
            return None  # it is read again, on a task
        spool = BytesIO(b"".join(self._inflate(data, limit)))
        self._ended()
        return spool

    async def spooled(self, limit: int) -> IO[bytes]:
        """The whole body, inflated to its end."""
        spool: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - the caller's
        try:
            async with aclosing(self._pieces(limit)) as pieces:
                async for piece in pieces:
                    spool.write(piece)
        except BaseException:
            spool.close()
            raise
        spool.seek(0)
        return spool

    def __aiter__(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives; whoever reads it bounds its size."""
        return self._pieces(None)

    async def _pieces(self, limit: int | None) -> AsyncGenerator[bytes, None]:
        pieces = self._body.__aiter__()
        try:
            async for data in pieces:
                for piece in await on_thread(partial(self._inflated, data, limit)):
                    yield piece
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()
        self._ended()

    def _inflated(self, data: bytes, limit: int | None) -> list[bytes]:
        return list(self._inflate(data, limit))

    def _inflate(self, data: bytes, limit: int | None) -> Iterator[bytes]:
        """:raises ClientError: 413, 400."""
        self._received += len(data)
        try:
            for piece in self._inflater.feed(data):
                self._size += len(piece)
                self._bound(limit)
                yield piece
        except ValueError as error:
            raise ClientError(
                "The request's body is not what its Content-Encoding says.", 400, detail=str(error)
            ) from None

    def _bound(self, limit: int | None) -> None:
        if limit is not None:
            within(self._size, limit)
        if self._size > FREE and self._size > self._received * RATIO:
            raise ClientError(f"The request's body grows to more than {RATIO} times its size.", 413)

    def _ended(self) -> None:
        if not self._inflater.complete:
            raise ClientError("The request's body ends within what was coded.", 400)


def inflating(wanted: bool) -> Inflating | None:
    """The check; None where bodies are passed on as they are."""
    return Inflating() if wanted else None
