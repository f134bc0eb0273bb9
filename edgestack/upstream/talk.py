"""One request over one link, on the task road: send head and body, read until the final head is here.

    send ──────────────► (send_timeout from piece to piece)
      └─ beside it: read ─► 1xx … ─► the final head (read_timeout from read to read, once all is sent: A23)

An upstream may answer before it has the whole body. What says no (300 and more), or ends the connection, ends the
sending too; what says yes is collected meanwhile, in memory and then a temporary file, so that an upstream that answers
as it reads is never stuck. It must not know peers, retries and clients.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import IO

import trio

from edgestack.config.peer_addresses import PeerAddress
from edgestack.errors import EdgeError, UpstreamError
from edgestack.http.attempts import Attempt
from edgestack.upstream.payload import PIECE, Payload
from edgestack.wire.dialing import Dialer
from edgestack.wire.h1_client import ResponseReader, UpstreamHead
from edgestack.wire.link import AnyLink
from edgestack.wire.relay import Relay
from edgestack.wire.tls_client import ClientTls

__all__ = ["Ahead", "Talk", "checked_status", "too_slow"]

Interim = Callable[[UpstreamHead], Awaitable[None]]


def too_slow(what: str) -> UpstreamError:
    """The 504 of a gap that was too long (A22).

    :param what: for the log.
    """
    return UpstreamError("The server behind this one took too long.", 504, detail=what, condition="timeout")


class Talk:
    """What is said on one link for one request."""

    __slots__ = (
        "_attempt",
        "_collecting",
        "_interim",
        "_read_gap",
        "_scope",
        "_send_gap",
        "_sent",
        "ahead",
        "link",
        "reader",
    )

    def __init__(
        self,
        link: AnyLink,
        method: str,
        attempt: Attempt,
        *,
        send_gap: float,
        read_gap: float,
        interim: Interim | None = None,
    ) -> None:
        """
        :param attempt: where bytes are counted.
        :param interim: gets 103 (Early Hints); without it they are dropped, as 100 always is (B16).
        """
        self.link = link
        self.reader = ResponseReader(method)
        self.ahead: IO[bytes] | None = None
        """The beginning of the answer's body, at its start, where it came while the request was still being sent."""
        self._attempt = attempt
        self._send_gap = send_gap
        self._read_gap = read_gap
        self._interim = interim
        self._sent = False
        self._scope = trio.CancelScope()
        self._collecting = trio.CancelScope()

    async def ask(self, head: bytes, payload: Payload) -> UpstreamHead:
        """The final head, or that of 101.

        :raises UpstreamError: 502, or 504 where it took too long.
        :raises ClientError: the client's body could not be had.
        """
        if payload.whole is None:
            return await self._beside(head, payload)
        try:
            await self._send(head + payload.whole)
        except UpstreamError as error:
            if error.condition != "error" or not payload.whole:
                raise
            return await self._left_behind(error)
        self._sent = True
        return await self._head()

    # -- sending -------------------------------------------------------------------------------------------------------

    async def _send(self, data: bytes) -> None:
        with trio.move_on_after(self._send_gap):
            await self.link.send(data)
            self._attempt.bytes_sent += len(data)
            return
        raise too_slow(f"{self.link.peer}: took nothing of the request for {self._send_gap:g} s")

    async def _left_behind(self, error: UpstreamError) -> UpstreamHead:
        """It closed while it was being sent to, and may have said why before."""
        try:
            head = await self._head()
        except UpstreamError:
            raise error from None
        self.link.lasting = False
        return head

    async def _beside(self, head: bytes, payload: Payload) -> UpstreamHead:
        """Send the body piece by piece, and read beside that."""
        failed: EdgeError | None = None
        found: UpstreamHead | None = None

        async def send() -> None:
            nonlocal failed
            try:
                await self._send(head)
                async with aclosing(payload.pieces()) as pieces:
                    async for piece in pieces:
                        await self._send(piece)
            except EdgeError as error:
                if not isinstance(error, UpstreamError) or error.condition != "error":
                    failed = error
                    nursery.cancel_scope.cancel()
                return  # a link that broke: the reader sees the end, or what was said before it
            self._sent = True
            self._scope.deadline = trio.current_time() + self._read_gap
            self._collecting.cancel()

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                try:
                    found = await self._head()
                    if not self._sent and found.status < 300 and found.persistent:
                        await self._collect()
                except EdgeError as error:
                    failed = failed or error
                nursery.cancel_scope.cancel()
            if failed is not None or found is None:
                raise failed or too_slow("cancelled")
        except BaseException:
            if self.ahead is not None:
                self.ahead.close()
            raise
        if not self._sent:
            self.link.lasting = False
        return found

    # -- reading -------------------------------------------------------------------------------------------------------

    async def _head(self) -> UpstreamHead:
        reader = self.reader
        while True:
            head = reader.next_head()
            if head is None:
                data = await self._receive()
                reader.feed(data) if data else reader.eof()
            elif head.status == 101 or head.status >= 200:
                return head
            elif head.status == 103 and self._interim is not None:
                await self._interim(head)

    async def _receive(self) -> bytes:
        """Some bytes; no gap is too long while the request is still being sent, which has its own."""
        self._scope = scope = trio.CancelScope()
        if self._sent:
            scope.deadline = trio.current_time() + self._read_gap
        with scope:
            data = await self.link.receive()
            self._attempt.bytes_received += len(data)
            return data
        raise too_slow(f"{self.link.peer}: nothing came for {self._read_gap:g} s")

    async def _collect(self) -> None:
        """Take what comes of the answer's body until the request's is sent."""
        body, first = self.reader.body, self.reader.first
        assert body is not None
        self.ahead = tempfile.SpooledTemporaryFile(PIECE)  # noqa: SIM115 - read by Ahead
        self.ahead.write(first)
        self.reader.first = b""
        while not self._sent and not body.complete:
            with trio.CancelScope() as self._collecting:
                data = await self.link.receive()
                self._attempt.bytes_received += len(data)
                self.ahead.write(body.feed(data)) if data else body.eof()
        self.ahead.seek(0)


class Ahead:
    """A body whose beginning was collected: that, and then the rest (`http.bodies`: an AsyncIterable)."""

    __slots__ = ("_file", "_rest")

    def __init__(self, file: IO[bytes], rest: Relay) -> None:
        """:param rest: closed with this."""
        self._file = file
        self._rest = rest

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        """The whole body."""
        try:
            while piece := self._file.read(PIECE):
                yield piece
            async for piece in self._rest:
                yield piece
        finally:
            self.close()

    def close(self) -> None:
        """Take no more; harmless at the end."""
        self._file.close()
        self._rest.close()


async def checked_status(dialer: Dialer, peer: PeerAddress, tls: ClientTls | None, path: str, host: str) -> int:
    """The status of an answer to a GET of our own, on a link of its own: for active checks, which keep the time.

    :raises UpstreamError: there was none.
    """
    link = await dialer.dial(peer, tls)
    try:
        head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: edgestack-health\r\nConnection: close\r\n\r\n"
        await link.send(head.encode("latin-1"))
        reader = ResponseReader("GET")
        while True:
            found = reader.next_head()
            if found is None:
                data = await link.receive()
                reader.feed(data) if data else reader.eof()
            elif found.status >= 200:
                return found.status
    finally:
        link.close()
