"""A body made on the loop, as it goes on the wire: chunks or plain bytes, and never more than was announced.

    source -> piece -> (cut at the announced length) -> (transform) -> (chunk) -> send -> counted

Both drivers send streams through here. A source that ends too early breaks the connection, so that the client sees the
truncation (RFC 9112 §8); whatever happens, the source is closed where it can be.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any

from edgestack.errors import Disconnected, UpstreamError
from edgestack.http.messages import Exchange, Response
from edgestack.wire.h1_answer import LAST_CHUNK, Framed, chunk

__all__ = ["let_go", "on_the_wire"]

log = logging.getLogger("edgestack.error")


async def on_the_wire(
    exchange: Exchange, response: Response, framed: Framed, send: Callable[[bytes], Awaitable[None]]
) -> None:
    """Send the whole body of `response`.

    :param send: moves all of what it is given; a slow client holds the source back here.
    :raises Disconnected: the client left, or the source was shorter than announced.
    """
    assert isinstance(response.body, AsyncIterable)
    pieces = response.body.__aiter__()
    transform = response.transform
    announced = response.length if transform is None else transform.plain.length
    left = math.inf if announced is None else announced

    async def pass_on(data: bytes) -> None:
        if data:
            await send(chunk(data) if framed.chunked else data)
            exchange.bytes_out += len(data)

    try:
        while left and not framed.bare:
            try:
                piece = await pieces.__anext__()
            except StopAsyncIteration:
                break
            except UpstreamError as error:
                log.error("%s: the answer is broken off: %s", exchange.request_id, error)
                raise Disconnected from None
            if len(piece) > left:
                piece = piece[: int(left)]
            left -= len(piece)
            await pass_on(transform.feed(piece) if transform is not None and piece else piece)
    finally:
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()
    if left and not framed.bare and announced is not None:
        log.warning("%s: a stream ended %d bytes short: the connection is broken", exchange.request_id, left)
        raise Disconnected
    if transform is not None and not framed.bare:
        await pass_on(transform.finish())
    if framed.chunked:
        await send(LAST_CHUNK)


def let_go(body: Any) -> None:
    """Nobody takes a body, or no more of it: who makes a stream is told. Harmless for any other, and at its end."""
    if isinstance(body, AsyncIterable):
        close = getattr(body, "close", None)  # a generator that was never begun holds nothing
        if close is not None:
            close()
