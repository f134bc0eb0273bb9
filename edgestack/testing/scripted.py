"""A server behind the edge that follows a script, and remembers what it was asked.

    api = ScriptedUpstream("api")
    api.replies(503)                         every request from now on
    api.sequence(503, resets(), replies(200, body="ok"))      one after the other; the last again and again
    api.requests                             what it got, as messages and as bytes

Connections come from `dialing.py`, over memory or over sockets; it listens nowhere. A kept connection serves many
requests, as a real one would; it is closed where the script goes on with what only a new connection can show.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import trio

from edgestack.testing import acts
from edgestack.testing.acts import Act, Do, Doing, Drip, Hang, Refuse, Replying, Reset, Say, Talk, act_of
from edgestack.testing.messages import Requests, SeenRequest
from edgestack.testing.pipes import Pipe, SocketEnd
from edgestack.testing.websocket import CLOSE, Frames, accepted, frame

__all__ = ["ScriptedUpstream"]

RECEIVE = 1 << 16
"""Bytes asked of one read."""
BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError)


class ScriptedUpstream:
    """One server. Its script may be changed at any time, from the test's thread; without one it answers 200."""

    def __init__(self, name: str) -> None:
        """:param name: by which configurations call it: as a group, as a server of one, or as the host of a `proxy`."""
        self.name = name
        self.requests: list[SeenRequest] = []
        """What it got, in order; checks of its health too."""
        self.messages: list[str | bytes] = []
        """What was said to it over WebSockets."""
        self.prefaces: list[bytes] = []
        """What came before the requests of a connection (the PROXY protocol)."""
        self.connections = 0
        """How often it was connected to, or that was tried."""
        self.open = 0
        """Connections that neither side has closed."""
        self._acts: list[Act] = [Replying()]
        self._idle: set[Pipe | SocketEnd] = set()

    def __repr__(self) -> str:
        return f"<upstream {self.name!r}: {len(self.requests)} requests>"

    # -- the script ----------------------------------------------------------------------------------------------------

    def sequence(self, *said: Act | int) -> ScriptedUpstream:
        """Do these, one for each request; the last again and again. A number is the status of an empty answer."""
        if not said:
            raise ValueError("a sequence needs at least one act, such as replies(200)")
        self._acts = [act_of(one) for one in said]
        if _wants_a_new_connection(self._acts[0]):
            for end in list(self._idle):
                end.hang_up()
        return self

    def replies(self, status: int = 200, **more: Any) -> ScriptedUpstream:
        """Answer every request so: see `acts.replies`."""
        return self.sequence(acts.replies(status, **more))

    def drips(self, body: bytes | str, **more: Any) -> ScriptedUpstream:
        """Answer one byte at a time: see `acts.drips`."""
        return self.sequence(acts.drips(body, **more))

    def says(self, data: bytes | str, **more: Any) -> ScriptedUpstream:
        """Send these bytes: see `acts.says`."""
        return self.sequence(acts.says(data, **more))

    def refuses(self) -> ScriptedUpstream:
        """Be unreachable; connections that are kept are closed."""
        return self.sequence(acts.refuses())

    def resets(self, *, after: acts.Moment = "request") -> ScriptedUpstream:
        """Break each connection: see `acts.resets`."""
        return self.sequence(acts.resets(after=after))

    def hangs(self, *, after: acts.Moment = "request") -> ScriptedUpstream:
        """Say nothing more: see `acts.hangs`."""
        return self.sequence(acts.hangs(after=after))

    def websocket(self, *messages: str | bytes, echo: bool = True) -> ScriptedUpstream:
        """Accept WebSockets: see `acts.websocket`."""
        return self.sequence(acts.websocket(*messages, echo=echo))

    def does(self, function: Doing) -> ScriptedUpstream:
        """Answer every request as a function says: see `acts.does`."""
        return self.sequence(acts.does(function))

    def _take(self) -> Act:
        """The next act, which is done with it, unless it is the last."""
        return self._acts.pop(0) if len(self._acts) > 1 else self._acts[0]

    def connecting(self) -> Act | None:
        """What to do with whoever connects, where that is not to let him in. On the loop."""
        self.connections += 1
        return self._take() if _wants_a_new_connection(self._acts[0]) else None

    # -- one connection ------------------------------------------------------------------------------------------------

    async def serve(self, end: Pipe | SocketEnd, failed: Callable[[Exception], None] | None = None) -> None:
        """The upstream's end of one connection, until it ends.

        :param failed: told what a function of the test's raised, before the edge can see anything of it; None for
            raising it here.
        """
        reader = Requests()
        self.open += 1
        try:
            while (request := await self._request(end, reader)) is not None:
                if _wants_a_new_connection(self._acts[0]):
                    break
                self.requests.append(request)
                if not await self._perform(self._take(), request, end, reader):
                    break
        except BROKEN:
            pass  # the edge has had enough
        except Exception as error:
            if failed is None:
                raise
            failed(error)
        finally:
            self._idle.discard(end)
            self.open -= 1
            await trio.aclose_forcefully(end)

    async def _request(self, end: Pipe | SocketEnd, reader: Requests) -> SeenRequest | None:
        """The next request; None when there is none any more."""
        while (request := reader.next()) is None:
            if not reader.buffer:
                if self.requests and _wants_a_new_connection(self._acts[0]):
                    return None  # the script was changed while an answer was being sent
                self._idle.add(end)
            try:
                data = await end.receive_some(RECEIVE)
            finally:
                self._idle.discard(end)
            if not data:
                return None
            reader.feed(data)
        return request

    async def _perform(self, act: Act, request: SeenRequest, end: Pipe | SocketEnd, reader: Requests) -> bool:
        """Do one thing. Whether the connection goes on."""
        if isinstance(act, Do):
            said = act.function(request, end)
            if isinstance(said, Awaitable):
                said = await said
            if said is None:
                return True
            act = act_of(said)
            if _wants_a_new_connection(act):
                raise ValueError(f"{act} is for who connects, and a function is called with a request")
            return await self._perform(act, request, end, reader)
        if isinstance(act, Replying | Drip):
            answer = act if isinstance(act, Replying) else act.answer
            last = _wants_a_new_connection(self._acts[0]) or _says_close(answer.fields)
            await _send(answer, end, bare=request.method == "HEAD", close=last, chunks=isinstance(act, Replying))
            return not last
        if isinstance(act, Say):
            await end.send_all(act.data)
            return not act.close
        if isinstance(act, Talk):
            await self._talk(act, request, end, reader)
            return False
        assert isinstance(act, Reset | Hang), "who refuses is not asked"
        if act.after != "request":
            await end.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
            if act.after == "body":
                await end.send_all(b"12345")
        if isinstance(act, Hang):
            while await end.receive_some(RECEIVE):
                pass  # until the edge gives up
            return False
        end.reset()
        return False

    async def _talk(self, act: Talk, request: SeenRequest, end: Pipe | SocketEnd, reader: Requests) -> None:
        """A WebSocket, until one side closes it."""
        if (request.get("upgrade") or "").lower() != "websocket":
            await end.send_all(b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n")
            return
        await end.send_all(accepted(request))
        for message in act.says:
            await end.send_all(frame(message))
        frames, data = Frames(), reader.buffer
        while True:
            for one in frames.feed(data):
                if one.opcode == CLOSE:
                    await end.send_all(frame(one.payload, CLOSE))
                    return
                if one.opcode < CLOSE:
                    said = one.payload.decode() if one.opcode == 1 else one.payload
                    self.messages.append(said)
                    if act.echo:
                        await end.send_all(frame(said))
            data = await end.receive_some(RECEIVE)
            if not data:
                return


async def _send(answer: Replying, end: Pipe | SocketEnd, *, bare: bool, close: bool, chunks: bool) -> None:
    """An answer; without its body where that was not asked for.

    :param chunks: frame the pieces as chunks; else they are sent as they are.
    """
    await trio.sleep(answer.after)
    head = answer.head(close=close)
    pieces: Iterable[bytes] = () if bare else answer.pieces() if chunks else answer.body  # type: ignore[assignment]
    whole = chunks and isinstance(answer.body, bytes)
    if whole:
        await end.send_all(head + b"".join(pieces))
        return
    await end.send_all(head)
    for piece in pieces:
        await trio.sleep(answer.every)
        await end.send_all(piece)


def _wants_a_new_connection(act: Act) -> bool:
    return isinstance(act, Refuse) or (isinstance(act, Reset | Hang) and act.after == "connect")


def _says_close(fields: Iterable[tuple[str, str]]) -> bool:
    return any(name.lower() == "connection" and "close" in value.lower() for name, value in fields)
