"""A body that another server sends, on its way to a client: the link that it comes from and how it is delimited there.

    first (what came with the head) -> link -> Body.feed -> decoded bytes -> … -> end(None) | end(error), exactly once

Whoever moves it is elsewhere: on the lot a `Pump` by callbacks, on the portable driver two tasks, and anybody who wants
bytes iterates it. It knows no client. How long the server may pause is `gap` seconds between two reads (A23).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import TypeAlias

import trio

from edgestack.errors import Disconnected, EdgeError, UpstreamError
from edgestack.wire.h1_client_bodies import Body
from edgestack.wire.link import AnyLink
from edgestack.wire.upstream_errors import about

__all__ = ["MOST", "Ended", "Relay", "paused"]

MOST = 256 * 1024
"""Bytes of one read, once they come that fast: 10 MiB in 40 pieces."""


class Relay:
    """See `http.bodies.Relay`."""

    __slots__ = ("_copy", "_ended", "body", "buffering", "first", "gap", "link", "received")

    def __init__(
        self, link: AnyLink, body: Body, ended: Ended, *, first: bytes = b"", gap: float = 60.0, buffering: bool = True
    ) -> None:
        """
        :param link: where it comes from; its owner's again when `ended` is called, on the lot still taken up.
        :param body: how it is delimited; has been fed what came with the head.
        :param ended: called once, on the loop: read to its end (None, and then `body` tells whether the link may serve
            again), or what went wrong: an `UpstreamError`, or `Disconnected` when nobody wants it any more.
        :param first: decoded bytes that came with the head.
        :param gap: seconds that the server may pause.
        :param buffering: it may be read ahead of a slow client, into memory and then a spool file.
        """
        self.link = link
        self.body = body
        self.first = first
        self.gap = gap
        self.buffering = buffering
        self.received = 0
        """Bytes read from the link, not counting what came with the head."""
        self._ended: Ended | None = ended
        self._copy: Callable[[bytes], None] | None = None

    @property
    def over(self) -> bool:
        """Whether the link is no longer ours."""
        return self._ended is None

    def copied(self, copy: Callable[[bytes], None], over: Callable[[bool], None]) -> None:
        """Have somebody else get the body as well, as it passes. Before anybody moves it.

        :param copy: gets each piece of it, decoded.
        :param over: told once, when the link is let go: whether that was all of it.
        """
        ended, self._copy = self._ended, copy

        def both(relay: Relay, error: EdgeError | None) -> None:
            if ended is not None:
                ended(relay, error)
            over(error is None)

        self._ended = both
        if self.first:
            copy(self.first)

    def feed(self, data: bytes) -> bytes:
        """What of the bytes that arrived is body, decoded; b"" stands for the end of the connection.

        :raises UpstreamError: 502, the framing is malformed, or it ended too soon.
        """
        if not data:
            self.body.eof()
            return b""
        piece = self.body.feed(data)
        if self._copy is not None and piece:
            self._copy(piece)
        return piece

    def end(self, error: EdgeError | None = None) -> None:
        """The link is no longer needed. Only the first call counts."""
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(self, error)

    def close(self) -> None:
        """Nobody wants the rest."""
        self.end(Disconnected(detail="the client left within the answer"))

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        """The decoded body.

        :raises UpstreamError: it was broken off, or paused for too long.
        """
        error: EdgeError = Disconnected(detail="the client left within the answer")
        try:
            first, self.first = self.first, b""
            if first:
                yield first
            while not self.body.complete:
                data = await self._more()
                if data:
                    yield data
        except UpstreamError as failed:
            error = about(self.link.peer, failed)
            raise
        finally:
            self.end(None if self.body.complete else error)

    async def _more(self) -> bytes:
        with trio.move_on_after(self.gap):
            data = await self.link.receive(MOST)
            self.received += len(data)
            return self.feed(data)
        raise paused(self)


def paused(relay: Relay) -> UpstreamError:
    """What a server did that said nothing for the whole gap."""
    detail = f"{relay.link.peer}: nothing came for {relay.gap:g} s within the answer"
    return UpstreamError("The server behind this one took too long.", 504, detail=detail, condition="timeout")


Ended: TypeAlias = "Callable[[Relay, EdgeError | None], None]"
