"""One WebSocket connection of an ASGI application (RFC 6455; ASGI WebSocket message format 2.5).

    connection's side                          application's side
      await answer() -> 101 | what was said      await receive()   websocket.connect, .receive …, .disconnect
      await hold(line): until it is over         await send(…)     websocket.accept, .send, .close; or an HTTP answer

The handshake is answered when the application accepts; closing before that is a 403, and so is what it answers instead
(`websocket.http.response`). Frames are read and written by wsproto. Messages wait for the application up to a few, then
the client is read no further; `send` waits for the client. A ping each 20 s keeps proxies from closing an idle
connection, and finds out who is gone. Messages are compressed where the client offers it (`extensions.py`); large ones
on a thread. On the loop.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import math
from typing import TYPE_CHECKING, Any

import trio

from edgestack.asgi.extensions import agreed
from edgestack.asgi.frames import Frames, Message, frames
from edgestack.asgi.messages import ClientLeft, Head, body_of, read_fields, read_head
from edgestack.errors import AppError, ClientError, Disconnected, EdgeError
from edgestack.http.fields import is_token, tokens
from edgestack.http.messages import Exchange, Request, Response
from edgestack.wire.conversation import Conversation, Line
from edgestack.wire.held_clock import on_thread

if TYPE_CHECKING:
    from edgestack.asgi.application import AsgiApplication

__all__ = ["WebsocketCall", "wants_websocket"]

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 §1.3."""
KEY_BYTES = 16
"""RFC 6455 §4.1."""
QUEUED = 16
"""Messages that wait for the application, as in websockets' own server."""
TURN = 2048
"""Bytes that are read before others have their turn: of the smallest frames, 6 bytes each, some 10 ms of work."""
PING_EVERY = 20.0
"""Seconds, and as many until something must have been heard; uvicorn's and websockets' defaults."""
CLOSE_WITHIN = 10.0
"""Seconds that the client gets to answer a close (websockets: close_timeout)."""

NORMAL, GOING_AWAY, ABNORMAL, INTERNAL = 1000, 1001, 1006, 1011
"""RFC 6455 §7.4.1."""
CODES = range(1000, 5000)
"""Those that there are (RFC 6455 §7.4.2)."""

log = logging.getLogger("edgestack.error")


def wants_websocket(request: Request) -> bool:
    """Whether a request is the handshake of a WebSocket (RFC 6455 §4.2.1)."""
    return (
        request.fields.get("upgrade", "").lower() == "websocket"
        and request.method == "GET"
        and request.version == "HTTP/1.1"
        and "upgrade" in tokens(request.fields.get("connection", ""))
    )


class WebsocketCall(Conversation):
    """See the top of this file."""

    def __init__(self, exchange: Exchange, application: AsgiApplication) -> None:
        """:raises EdgeError: 400, 426: it is no handshake that can be answered; 501: wsproto is not installed."""
        self.left = False
        """The connection is over."""
        self._exchange = exchange
        self._application = application
        self._accept = _accept_of(exchange.request)
        offers = exchange.request.fields.get("sec-websocket-extensions", "") if application.deflates else ""
        self._terms = agreed(offers)
        self._frames: Frames = frames(terms=self._terms)
        self.subprotocols = _offered(exchange.request)
        self._asked = False
        self._response: Response | None = None
        self._denial: tuple[Head, list[bytes]] | None = None
        self._failed: EdgeError | None = None
        self._answered = trio.Event()
        self._given = False
        self._line: Line | None = None
        self._opened = trio.Event()
        self._writing = trio.Lock()
        self._in, self._out = trio.open_memory_channel[Message](QUEUED)
        self._reading = trio.CancelScope()
        self._heard = 0.0
        self._blocked = False
        self._closing = False
        self._code, self._reason = ABNORMAL, ""
        application.on_drain.add(self.leave)

    # -- the connection's side -----------------------------------------------------------------------------------------

    async def answer(self) -> Response:
        """What the handshake is answered with.

        :raises EdgeError: the application failed.
        """
        await self._answered.wait()
        if self._failed is not None:
            raise self._failed
        assert self._response is not None
        self._given = True
        return self._response

    async def hold(self, line: Line) -> None:
        """Let it speak, until one side has closed.

        :raises Disconnected: the connection broke.
        """
        self._line = line
        self._opened.set()
        self._heard = trio.current_time()
        broken = False
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_alive)
                with self._reading:
                    try:
                        await self._read(line)
                    except (ClientLeft, Disconnected):  # a nursery would make a group of it
                        broken = True
                nursery.cancel_scope.cancel()
        finally:
            self.gone()
        if broken:
            raise Disconnected

    def gone(self) -> None:
        """Nobody is there any more."""
        self.left = True
        self._application.on_drain.discard(self.leave)
        self._in.close()
        self._opened.set()

    def leave(self) -> None:
        """The server is about to stop."""
        if self._line is not None and not self._closing:
            self._application.run(self._say_goodbye)

    async def _say_goodbye(self) -> None:
        try:
            await self._close(GOING_AWAY, "")
        except ClientLeft:
            return  # it has left before us

    async def _read(self, line: Line) -> None:
        while True:
            data = await line.receive()
            self._heard = trio.current_time()
            if not data:
                return
            for at in range(0, len(data), TURN):
                piece = data[at : at + TURN]
                messages, long = self._frames.feed(piece), self._frames.long_to_feed(piece)
                while (message := await on_thread(next, messages, None) if long else next(messages, None)) is not None:
                    if message.close is not None:
                        self._code, self._reason = message.close, message.reason
                    if message.reply:
                        await self._write(message.reply)
                    if message.close is not None:
                        return
                    if message.data is not None:
                        await self._queue(message)
                await trio.lowlevel.checkpoint()

    async def _queue(self, message: Message) -> None:
        self._blocked = True
        try:
            await self._in.send(message)
        except trio.BrokenResourceError:
            return  # the application listens no more
        finally:
            self._blocked = False
            self._heard = trio.current_time()

    async def _keep_alive(self) -> None:
        """Ping, and give up on who was not heard since; but not on who is not read, the application being behind."""
        asked = -math.inf
        while True:
            await trio.sleep(PING_EVERY)
            if self._heard < asked and not self._blocked:
                self._reading.cancel()
                return
            asked = trio.current_time()
            try:
                await self._write(self._frames.ping())
            except ClientLeft:
                return

    async def _say(self, payload: str | bytes) -> None:
        """A message. They leave in the order in which they are made: each may lean on those before (RFC 7692 §7.1.1).

        :raises ClientLeft: nobody is there to read it.
        """
        make, long = self._frames.message, self._frames.long_to_make(payload)
        await self._opened.wait()
        async with self._writing:
            await self._put(await on_thread(make, payload) if long else make(payload))

    async def _write(self, data: bytes) -> None:
        """:raises ClientLeft: nobody is there to read it."""
        await self._opened.wait()
        async with self._writing:
            await self._put(data)

    async def _put(self, data: bytes) -> None:
        if self.left or self._line is None:
            raise ClientLeft
        try:
            await self._line.send(data)
        except Disconnected:
            self._reading.cancel()
            raise ClientLeft from None

    async def _close(self, code: int, reason: str) -> None:
        """Say that it is over; the client's own close ends it, or time does."""
        if self._closing:
            return
        self._closing = True
        await self._write(self._frames.close(code, reason))
        self._reading.deadline = trio.current_time() + CLOSE_WITHIN
        self._code, self._reason = code, reason

    # -- the application's side ----------------------------------------------------------------------------------------

    async def receive(self) -> dict[str, Any]:
        """The handshake, each message, and the end."""
        if not self._asked:
            self._asked = True
            return {"type": "websocket.connect"}
        try:
            message = await self._out.receive()
        except trio.EndOfChannel:
            return {"type": "websocket.disconnect", "code": self._code, "reason": self._reason}
        return {"type": "websocket.receive", "text" if isinstance(message.data, str) else "bytes": message.data}

    async def send(self, message: dict[str, Any]) -> None:
        """What the application answers.

        :raises OSError: the client has left.
        :raises RuntimeError, TypeError, ValueError: that cannot be said, or not now.
        """
        kind = str(message.get("type"))
        if self.left and self._response is None:
            raise ClientLeft
        if self._response is None:
            self._before(kind, message)
        elif kind == "websocket.send" and not self._closing:
            await self._say(_payload(message))
        elif kind == "websocket.close" and self._response.status == 101:
            await self._close(*_goodbye(message))
        else:
            raise RuntimeError(f"{kind!r} cannot be sent now")

    def _before(self, kind: str, message: dict[str, Any]) -> None:
        """The handshake is not answered yet."""
        if kind == "websocket.accept":
            self._answer(self._accepted(message))
        elif kind == "websocket.close":
            self._answer(Response(403))
        elif kind == "websocket.http.response.start" and self._denial is None:
            self._denial = (read_head(message), [])
        elif kind == "websocket.http.response.body" and self._denial is not None:
            head, pieces = self._denial
            pieces.append(body_of(message))
            if not message.get("more_body", False):
                self._answer(Response(head.status, head.fields, b"".join(pieces)))
        else:
            raise RuntimeError(f"{kind!r} cannot be sent before websocket.accept")

    def _accepted(self, message: dict[str, Any]) -> Response:
        fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", self._accept)]
        chosen = message.get("subprotocol")
        if chosen is not None:
            if chosen not in self.subprotocols:
                raise ValueError(f"the subprotocol {chosen!r} is none of those that the client offers")
            fields.append(("Sec-WebSocket-Protocol", chosen))
        if self._terms is not None:
            fields.append(("Sec-WebSocket-Extensions", self._terms.said()))
        return Response(101, (*fields, *read_fields(message.get("headers"))), self)

    def _answer(self, response: Response) -> None:
        self._response = response
        self._answered.set()
        if response.status != 101:
            self.gone()

    # -- the application's end -----------------------------------------------------------------------------------------

    def unfinished(self) -> AppError | None:
        """What is wrong with an application that returns now."""
        if self._response is not None:
            return None
        return AppError("", detail="the application returned and neither accepted nor closed")

    def ended(self, failure: AppError | None) -> bool:
        """It returned or raised. Whether somebody waits who will tell the log of the failure."""
        self._out.close()
        if self._response is None:
            self._failed = failure or AppError("", detail="the application returned without an answer")
            self._answered.set()
            return not self.left
        if self._response.status == 101 and not (self._closing or self.left):
            self._application.run(self._ended_early if failure is None else self._broken)
        return False

    async def _ended_early(self) -> None:
        await self._close_quietly(NORMAL)

    async def _broken(self) -> None:
        await self._close_quietly(INTERNAL)

    async def _close_quietly(self, code: int) -> None:
        try:
            await self._close(code, "")
        except ClientLeft:
            return  # it is over all the same

    @property
    def unread(self) -> bool:
        """A handshake has no body."""
        return False

    async def close(self) -> None:
        """There is nothing to let go of."""


# --- the handshake ----------------------------------------------------------------------------------------------------


def _accept_of(request: Request) -> str:
    """Sec-WebSocket-Accept (RFC 6455 §4.2.2).

    :raises ClientError: 400 for a key that is none; 426 for another version of the protocol.
    """
    if request.fields.get("sec-websocket-version", "") != "13":
        raise ClientError("Version 13 of the WebSocket protocol is spoken here.", 426,
                          fields=(("Sec-WebSocket-Version", "13"),))  # fmt: skip
    key = request.fields.get("sec-websocket-key", "").encode("latin-1")
    try:
        whole = len(base64.b64decode(key, validate=True)) == KEY_BYTES
    except binascii.Error:
        whole = False
    if not whole:
        raise ClientError("Sec-WebSocket-Key is not 16 bytes in base64.", 400)
    return base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest()).decode("ascii")


def _offered(request: Request) -> list[str]:
    said = request.fields.get("sec-websocket-protocol", "")
    return [name for part in said.split(",") if is_token(name := part.strip(" \t"))]


def _goodbye(message: dict[str, Any]) -> tuple[int, str]:
    """Code and reason of websocket.close.

    :raises ValueError: a code that there is not, or a reason that is no text.
    """
    code, reason = message.get("code") or NORMAL, str(message.get("reason") or "")
    if code not in CODES:
        raise ValueError(f"websocket.close has the code {code!r}: 1000 to 4999 can be sent")
    reason.encode()  # a lone surrogate cannot be sent
    return int(code), reason


def _payload(message: dict[str, Any]) -> str | bytes:
    """:raises TypeError: neither text nor bytes."""
    text, data = message.get("text"), message.get("bytes")
    if isinstance(text, str):
        return text
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise TypeError("websocket.send needs text, a str, or bytes")
