"""The body of a request on its way upstream: whole, spooled, or as it comes from the client.

    NOTHING           no body, or an empty one
    Spooled           all of it is here (request_buffering on): in memory, or in a temporary file; can be sent again
    Streamed          piece by piece from the client (off); what was taken is gone, so it is sent once (A18)

`framing` is what the head says of it, `whole` is sent with the head where that is all. It must not know a link.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import IO

from edgestack.http.bodies import RequestBody, within
from edgestack.http.messages import Exchange
from edgestack.upstream.request_head import CHUNKED, with_length

__all__ = ["NOTHING", "Payload", "Spooled", "Streamed", "payload", "payload_nowait"]

PIECE = 64 * 1024
"""Bytes of one piece; so much is sent with the head, and kept in memory by who receives bodies (wire/receiving.py)."""

LAST_CHUNK = b"0\r\n\r\n"


class Payload:
    """No body."""

    __slots__ = ("framing", "whole")

    def __init__(self, framing: bytes = b"", whole: bytes | None = b"") -> None:
        """
        :param framing: a field of the head.
        :param whole: all of it as it goes on the wire; None when it must be asked for `pieces`.
        """
        self.framing = framing
        self.whole = whole

    @property
    def gone(self) -> bool:
        """Whether a part of it was taken that cannot be had again."""
        return False

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """What goes on the wire behind the head, from its beginning."""
        return
        yield b""

    def close(self) -> None:
        """It is not needed any more."""


NOTHING = Payload()
EMPTY = Payload(with_length(0))


class Spooled(Payload):
    """A file."""

    __slots__ = ("_file",)

    def __init__(self, file: IO[bytes]) -> None:
        """:param file: at its start; closed with this."""
        size = file.seek(0, 2)
        file.seek(0)
        super().__init__(with_length(size), file.read() if size <= PIECE else None)
        self._file = file

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Read back from the disk's cache."""
        at = 0
        while True:
            self._file.seek(at)
            piece = self._file.read(PIECE)
            if not piece:
                return
            at += len(piece)
            yield piece

    def close(self) -> None:
        """The temporary file goes."""
        self._file.close()


class Streamed(Payload):
    """A client's body."""

    __slots__ = ("_begun", "_body", "_limit")

    def __init__(self, body: RequestBody, limit: int) -> None:
        """:param limit: the largest size accepted, in bytes.
        :raises ClientError: 413, when more is announced.
        """
        super().__init__(CHUNKED if body.length is None else with_length(body.length), None)
        self._body = body
        self._limit = limit
        self._begun = False
        within(body.length or 0, limit)

    @property
    def gone(self) -> bool:
        """Once the first piece was asked for."""
        return self._begun

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """As it comes.

        :raises ClientError: 408, 413, 400; `Disconnected`.
        """
        self._begun = True
        chunked, size = self._body.length is None, 0
        pieces = self._body.__aiter__()
        try:
            async for piece in pieces:
                size += len(piece)
                within(size, self._limit)
                yield b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
        finally:
            close = getattr(pieces, "aclose", None)  # of a generator, at once and not when it is collected
            if close is not None:
                await close()
        if chunked:
            yield LAST_CHUNK


def payload_nowait(exchange: Exchange, limit: int) -> Payload | None:
    """The body, if every byte of it is here already; else None.

    :raises ClientError: 413.
    """
    request = exchange.request
    if request.body is None:
        return EMPTY if "content-length" in request.fields else NOTHING
    file = request.body.spooled_nowait(limit)
    return None if file is None else Spooled(file)


async def payload(exchange: Exchange, limit: int, *, buffering: bool) -> Payload:
    """The body as `request_buffering` wants it.

    :raises ClientError: 408, 413, 400; `Disconnected`.
    """
    here = payload_nowait(exchange, limit)
    if here is not None:
        return here
    body = exchange.request.body
    assert body is not None
    return Spooled(await body.spooled(limit)) if buffering else Streamed(body, limit)
