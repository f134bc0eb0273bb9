"""One request to an ASGI application, between the task that holds the client's connection and the application's own.

    connection's side                        application's side
      await answer() -> Response               await receive()   http.request …, at the end http.disconnect
      iterate its body, if it is a stream      await send(…)     http.response.start, http.response.body …
      gone(): the client left                  ended(failure)

An answer that is whole within a moment is given whole, with its length; else it is a stream, whose pieces wait here up
to 64 KiB: then `send` waits for the client. A request body is read when it is asked for and no sooner. After the client
has left, `receive` says so and `send` raises OSError (spec 2.4); the application is not cancelled for it. On the loop.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import IO, Any, TypeAlias

import trio

from edgestack.asgi.messages import ClientLeft, Head, body_of, read_head
from edgestack.errors import AppError, ClientError, Disconnected, EdgeError
from edgestack.http.bodies import RequestBody
from edgestack.http.messages import Exchange, Response

__all__ = ["HttpCall"]

GATHER = 0.005
"""Seconds that a head waits for its body: most answers are whole by then, and leave in one piece with their length. A
stream of events loses as much once."""
WAITING = 64 * 1024
"""Bytes that may wait for the client (as for applications on threads: `wire/outbox.py`)."""
BARE = frozenset((204, 304))

Run: TypeAlias = "Callable[[Callable[[], Awaitable[None]]], None]"

log = logging.getLogger("edgestack.error")


class HttpCall:
    """See the top of this file."""

    def __init__(self, exchange: Exchange, limit: int, run: Run) -> None:
        """
        :param limit: bytes of a request body; beyond it 413.
        :param run: starts a task that lives as long as the application.
        """
        self.exchange = exchange
        self.left = False
        """The client is not there any more, or has its whole answer."""
        self._limit = limit
        self._body = exchange.request.body
        self._run = run
        self._pieces_in: AsyncIterator[bytes] | None = None
        self._arrived: deque[dict[str, Any]] = deque()
        self._read = 0
        self._read_whole = False
        self._reading: trio.CancelScope | None = None
        self._head: Head | None = None
        self._out: deque[bytes] = deque()
        self._waiting = 0
        self._whole = False
        """The application has said its last piece."""
        self._mute = False
        """Its pieces go nowhere: HEAD, 204, 304."""
        self._given = False
        """The connection's side has an answer."""
        self._failed: EdgeError | None = None
        self._over = trio.Event()
        self._moved = trio.Event()

    def _stir(self) -> None:
        """Something has changed, for whoever waits for it."""
        self._moved.set()
        self._moved = trio.Event()

    # -- the connection's side -----------------------------------------------------------------------------------------

    async def answer(self) -> Response:
        """The answer, once it has begun.

        :raises EdgeError: there is none.
        """
        while self._head is None and self._failed is None:
            await self._moved.wait()
        if self._failed is None and not self._whole and self._head is not None:
            with trio.move_on_after(GATHER):
                while not self._whole and not self._waiting and self._failed is None:
                    await self._moved.wait()
        if self._failed is not None:
            raise self._failed
        assert self._head is not None
        self._given = True
        return self._response(self._head)

    def _response(self, head: Head) -> Response:
        status, fields, length = head
        if self.exchange.request.method == "HEAD" or status in BARE:
            self._mute = True
            if self._whole and length is None and status not in BARE:
                length = sum(map(len, self._out)) or None  # who gives HEAD no body says nothing of GET's
            self._out.clear()
            self._stir()
            response = Response(status, fields)
            response.length, response.at_once = length, False  # what GET would have; nothing, where that is not known
            return response
        if not self._whole:
            return Response(status, fields, Pieces(self), length)
        body = b"".join(self._out)
        self._out.clear()
        self._end()
        if length is not None and len(body) < length:
            why = f"the application announced {length} bytes and gave {len(body)}"
            raise AppError("The application gave an invalid answer.", detail=why)
        if length is not None and len(body) > length:
            log.warning("%s: the application gave more than it announced: %d bytes are dropped",
                        self.exchange.request_id, len(body) - length)  # fmt: skip
            body = body[:length]
        return Response(status, fields, body)

    async def next_piece(self) -> bytes | None:
        """What leaves next; None at the end.

        :raises Disconnected: the application failed: the connection is broken, so that the client sees the truncation.
        """
        while not self._out:
            if self._failed is not None:
                raise Disconnected(detail="the application failed within its answer")
            if self._whole:
                self._end()
                return None
            await self._moved.wait()
        piece = self._out.popleft()
        self._waiting -= len(piece)
        self._stir()
        return piece

    def gone(self) -> None:
        """Nobody takes the rest."""
        self._out.clear()
        self._waiting = 0
        self._end()

    def _end(self) -> None:
        self.left = True
        self._over.set()
        if self._reading is not None:
            self._reading.cancel()
        self._stir()

    # -- the application's side ----------------------------------------------------------------------------------------

    async def receive(self) -> dict[str, Any]:
        """The next piece of the request's body; then, when that has come, that the client has left.

        It may be cancelled, and asked again: a piece that is on its way is kept for the next who asks.
        """
        while not self._arrived:
            if self.left or self._read_whole:
                await self._over.wait()
                return {"type": "http.disconnect"}
            self._ask()
            if not self._arrived:
                await self._moved.wait()
        return self._arrived.popleft()

    def _ask(self) -> None:
        """Have the next piece read, by a task of its own where it is not here."""
        body = self._body
        if self._reading is not None:
            return
        if body is None:
            self._arrive(b"", whole=True)
        elif self._pieces_in is None and (spool := self._here(body)) is not None:
            with spool:
                self._arrive(spool.read(), whole=True)
        elif not (self.left or self._unasked()):
            self._pieces_in = self._pieces_in or body.__aiter__()
            self._reading = trio.CancelScope()
            self._run(self._read_on)

    def _unasked(self) -> bool:
        """Whether the client waits for a 100 that is no longer due: its answer has begun (E6)."""
        return self._given and self._pieces_in is None and "expect" in self.exchange.request.fields

    def _here(self, body: RequestBody) -> IO[bytes] | None:
        """The whole body, if it is here."""
        try:
            return body.spooled_nowait(self._limit)
        except EdgeError as error:
            self.fail(error)
            return None

    async def _read_on(self) -> None:
        """One piece; and the end, where it is known to have come."""
        assert self._reading is not None
        assert self._pieces_in is not None
        assert self._body is not None
        if self.left:  # the connection is somebody else's again
            self._reading = None
            return
        try:
            with self._reading:
                piece = await anext(self._pieces_in, b"")
                self._read += len(piece)
                if self._read > self._limit:
                    raise ClientError(f"The request body is larger than {self._limit} bytes.", 413)
                if piece and self._read == self._body.length:
                    await anext(self._pieces_in, b"")  # its end: from here on the client is watched
                self._arrive(piece, whole=not piece or self._read == self._body.length)
        except (EdgeError, trio.ClosedResourceError) as error:
            self.fail(error if isinstance(error, EdgeError) else Disconnected())
        finally:
            self._reading = None
            self._stir()

    def _arrive(self, piece: bytes, *, whole: bool) -> None:
        self._read_whole = whole
        self._arrived.append({"type": "http.request", "body": piece, "more_body": not whole})

    async def send(self, message: dict[str, Any]) -> None:
        """What the application answers.

        :raises OSError: the client has left.
        :raises RuntimeError, TypeError, ValueError: that cannot be said, or not now.
        """
        kind = message.get("type")
        if kind == "http.response.start" and self._head is None:
            self._head = read_head(message)
            self._stir()
        elif kind == "http.response.body" and self._head is not None and not self._whole:
            await self._take(body_of(message), more=bool(message.get("more_body", False)))
        else:
            raise RuntimeError(f"{kind!r} cannot be sent {self._now()}")

    def _now(self) -> str:
        if self._whole:
            return "after an answer that is whole"
        return "within an answer" if self._head is not None else "before http.response.start"

    async def _take(self, piece: bytes, *, more: bool) -> None:
        if self.left:
            raise ClientLeft
        if piece and not self._mute:
            self._out.append(piece)
            self._waiting += len(piece)
        self._whole = not more
        if self._mute and not more:
            self._end()
        self._stir()
        while self._waiting > WAITING and not (self.left or self._mute or self._whole):
            await self._moved.wait()

    def fail(self, error: EdgeError) -> None:
        """There is no answer, or no more of it."""
        if self._failed is None:
            self._failed = error
        self._end()

    # -- the application's end -----------------------------------------------------------------------------------------

    def unfinished(self) -> AppError | None:
        """What is wrong with an application that returns now."""
        if self._whole:
            return None
        lacks = "the rest of its answer" if self._head is not None else "an answer"
        return AppError("", detail=f"the application returned without {lacks}")

    def ended(self, failure: AppError | None) -> bool:
        """It returned or raised. Whether somebody waits who will tell the log of the failure."""
        waited_for = not (self._given or self.left)
        if failure is not None and not self._whole and not self.left:
            self.fail(failure)
        elif failure is not None and not self._whole:
            waited_for = False
        return waited_for and not self._whole

    @property
    def unread(self) -> bool:
        """Whether a request's body was begun and not read to its end."""
        return self._pieces_in is not None and not self._read_whole

    async def close(self) -> None:
        """Nothing is read any more: let go of the request's body."""
        close = getattr(self._pieces_in, "aclose", None)
        if close is not None and self._reading is None:
            await close()


class Pieces:
    """The body of an answer that is made piece by piece; whoever takes it iterates it to its end, or closes it."""

    __slots__ = ("_call",)

    def __init__(self, call: HttpCall) -> None:
        self._call = call

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._call.next_piece()
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Take no more; harmless at the end."""
        self.close()

    def close(self) -> None:
        """The same, where nobody waits."""
        if not self._call.left:
            self._call.gone()
