"""A running edge for asynchronous tests: on real sockets in the test's own loop, or in memory and virtual time.

    site = await edge_memory(app=app)
    reply = await site.get("/x")              a connection of its own
    connection = await site.connect()         one to be used again
    await site.jump(11)                       eleven seconds pass, and all that is due then happens

With a clock that stands still (`trio.testing.MockClock`), silence is told instead of waited for: when nothing can
happen any more and an answer is missing, `TimeoutError` says that the clock must be moved. A clock that jumps by itself
is held while application threads and loops of asyncio's work; on sockets, while bytes are under way.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import trio
from trio.testing import wait_all_tasks_blocked

from edgestack.testing.dialogue import RESET, Dialogue
from edgestack.testing.messages import Replies, Reply, request_bytes
from edgestack.testing.running import AT_REST, Running
from edgestack.testing.site import Body, CommonSite, Fields, asked, other
from edgestack.wire.held_clock import on_thread, work_here

__all__ = ["AsyncSite", "Connection", "held_for_sockets"]

T = TypeVar("T")
SILENCE = 2.0
"""Real seconds in which no task could go on, after which an answer that is waited for will not come."""
UNDER_WAY = 0.02
"""Real seconds that a clock waits before it jumps, where bytes may be under way between sockets: the loopback delivers
within microseconds, a busy machine within some milliseconds."""
LAST_WORDS = 5
"""Turns of the loop that the edge gets to write down what it has answered: trio gives way after each send to a socket,
when the client may have read it already; with TLS twice."""
LOOKS = 250
"""Milliseconds for an application's thread to do so; one that works for somebody else is waited for in vain."""
RECEIVE = 1 << 16


class Connection:
    """One connection of a client."""

    def __init__(self, site: AsyncSite, stream: trio.abc.Stream, authority: str) -> None:
        self._site = site
        self.stream = stream
        """What lies beneath, for tests that speak bytes."""
        self._authority = authority
        self._reader = Replies()

    async def request(self, method: str, target: str, *, fields: Fields = (), body: Body = None) -> Reply:
        """One exchange; the connection stays open.

        :raises ConnectionError: it broke.
        :raises TimeoutError: the clock stands still, and so does everything else.
        """
        pairs = list(fields.items()) if hasattr(fields, "items") else list(fields)
        self._reader.expect(method, upgrade=any(name.lower() == "upgrade" for name, _ in pairs))
        data = body.encode() if isinstance(body, str) else body
        await self.stream.send_all(request_bytes(method, target, self._authority, pairs, data))
        return await self.reply()

    async def reply(self, method: str = "GET") -> Reply:
        """The next whole answer.

        :param method: of its request, where that was said by `send`: answers to HEAD have no body.
        :raises ConnectionError: it broke.
        :raises TimeoutError: the clock stands still, and so does everything else.
        """
        if not self._reader.awaits:
            self._reader.expect(method)
        while (reply := self._reader.next()) is None:
            try:
                self._reader.feed(await self.receive())
            except trio.BrokenResourceError as error:
                raise ConnectionError("the connection broke") from error
        await self._site.last_words()
        return reply

    async def send(self, data: bytes) -> None:
        """Say something."""
        await self.stream.send_all(data)

    async def receive(self) -> bytes:
        """Some bytes; b"" at the end."""
        return await self._site.within(lambda: self.stream.receive_some(RECEIVE))

    async def close(self) -> None:
        """Leave, without a word."""
        await trio.aclose_forcefully(self.stream)

    async def talk(self, dialogue: str | Dialogue) -> None:
        """Hold a dialogue on it (`Dialogue`).

        :raises DialogueError: the server said something else.
        """
        said = dialogue if isinstance(dialogue, Dialogue) else Dialogue(dialogue)
        talk = said.hold()
        answer: Any = None
        with suppress(StopIteration):
            while True:
                wish, what = talk.send(answer)
                answer = await self._do(wish, what, talk)

    async def _do(self, wish: str, what: Any, talk: Any) -> Any:
        if wish == "send":
            await self.send(what)
        elif wish == "eof":
            stream: Any = self.stream
            await (stream.transport_stream if isinstance(stream, trio.SSLStream) else stream).send_eof()
        elif wish == "pass":
            await self._site.jump(what)
        elif wish == "silent":
            await self._site.settle()
            with trio.move_on_after(0):
                return bytes(await self.stream.receive_some(RECEIVE))
            return b""
        else:
            return await self._heard(talk)
        return None

    async def _heard(self, talk: Any) -> Any:
        try:
            return await self.receive()
        except trio.BrokenResourceError as error:
            return RESET if isinstance(error.__cause__, ConnectionResetError | None) else b""
        except TimeoutError as error:
            return talk.throw(error)


class AsyncSite(CommonSite):
    """A running edge, in the loop of the test."""

    def __init__(self, running: Running) -> None:
        super().__init__(running)
        self._connections: list[Connection] = []
        self._work = work_here()

    # -- asking --------------------------------------------------------------------------------------------------------

    async def connect(self, url: str = "/", *, client: str = "127.0.0.1") -> Connection:
        """A connection, closed when the site ends.

        :param url: its scheme and host say through which listener, and what TLS and Host name.
        :param client: the address that it comes from, in memory.
        """
        authority, name, port, secure, _ = self._running.place(url)
        stream: Any
        if self._running.wanted.memory:
            scheme = "https" if secure else "http"
            stream = self._running.connect(scheme, client, name)
        else:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            if secure:
                stream = trio.SSLStream(stream, self.ssl_context, server_hostname=name, https_compatible=True)
        connection = Connection(self, stream, authority)
        self._connections.append(connection)
        return connection

    async def request(
        self, method: str, url: str, *, fields: Fields = (), body: Body = None, client: str = "127.0.0.1"
    ) -> Reply:
        """One exchange on a connection of its own, byte for byte as given: no redirect is followed.

        :param url: a path; or an absolute URL, whose host is asked for, here.
        :param client: the address that it comes from, in memory.
        :raises ConnectionError: it broke.
        :raises TimeoutError: the clock stands still, and so does everything else.
        """
        authority, _, _, _, target = self._running.place(url)
        connection = await self.connect(url, client=client)
        try:
            data, connection._reader = asked(method, target, authority, fields, body)
            await connection.send(data)
            return await connection.reply()
        finally:
            self._connections.remove(connection)
            await connection.close()

    async def get(self, url: str = "/", *, fields: Fields = (), client: str = "127.0.0.1") -> Reply:
        """`request("GET", url)`."""
        return await self.request("GET", url, fields=fields, client=client)

    async def post(
        self, url: str = "/", *, body: Body = b"", fields: Fields = (), client: str = "127.0.0.1"
    ) -> Reply:  # fmt: skip
        """`request("POST", url)`."""
        return await self.request("POST", url, fields=fields, body=body, client=client)

    async def talk(self, dialogue: str | Dialogue) -> Connection:
        """Hold a dialogue on a connection of its own, which is given back.

        :raises DialogueError: the server said something else.
        """
        connection = await self.connect()
        await connection.talk(dialogue)
        return connection

    # -- time ----------------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Until nothing is under way: no task can go on, and no application thread works."""
        cushion = 0.0 if self._running.wanted.memory else UNDER_WAY
        until = time.monotonic() + AT_REST
        await wait_all_tasks_blocked(cushion)
        while not self._running.at_rest() or (self._holds() and time.monotonic() < until):
            await wait_all_tasks_blocked(0.001)  # real time, in which threads work
        await wait_all_tasks_blocked(cushion)

    async def last_words(self) -> None:
        """What ends an exchange behind its last byte gets its moment: its record is there when its answer is."""
        running, looks = self._running, 0
        if not running.wanted.memory:
            for _ in range(LAST_WORDS):
                await trio.lowlevel.cancel_shielded_checkpoint()
        while running.wanted.memory and not running.at_rest() and looks < LOOKS:
            await wait_all_tasks_blocked(0.001)  # in which an application's thread closes what it has sent
            looks += 1
        if looks:
            await wait_all_tasks_blocked()

    async def jump(self, seconds: float) -> None:
        """Let time pass: everything that is due then happens before this returns.

        :raises RuntimeError: the test's clock is the real one.
        """
        clock: Any = trio.lowlevel.current_clock()
        if not hasattr(clock, "jump"):
            raise RuntimeError("real time cannot be moved: ask for pytest-trio's `mock_clock` or `autojump_clock` too")
        await self.settle()
        clock.jump(seconds)
        await self.settle()

    def _holds(self) -> bool:
        """Whether something works that would hold a clock: another loop, which may wait for what never comes."""
        return self._work is not None and self._work.busy

    async def within(self, receive: Callable[[], Any]) -> bytes:
        """What `receive` gives; a clock that stands still does not make it wait for ever."""
        if self._work is None or self._work.threshold < math.inf:
            return bytes(await receive())
        data: bytes | None = None
        async with _single() as nursery:
            nursery.start_soon(self._watch_for_silence, nursery.cancel_scope)
            data = bytes(await receive())
            nursery.cancel_scope.cancel()
        if data is None:
            raise TimeoutError("nothing can happen any more, and no answer has come: does the clock have to be moved?")
        return data

    async def _watch_for_silence(self, scope: trio.CancelScope) -> None:
        while True:
            await wait_all_tasks_blocked(SILENCE)
            if self._running.at_rest():
                scope.cancel()
                return

    async def on_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function on a thread, such as a client that blocks; a clock that jumps is held meanwhile."""
        return await on_thread(function, *arguments)

    # -- the edge itself -----------------------------------------------------------------------------------------------

    def statistics(self) -> dict[str, Any]:
        """Counters (`accepted`, `refused`, `failures`, `exchanges`), open `connections`, and `upstreams`: by group and
        by the name of the server, what is known of it."""
        return self._running.statistics()

    def reload(self, config: str | Path | None = None, *, text: str = "", **options: Any) -> None:
        """Serve another configuration from now on, as `edgestack reload` does; arguments are those of `Edge`. Where it
        listens stays, unless `bind`, `redirect_http` or `tls` say something else.

        :raises ConfigErrors: it makes no sense; nothing has changed.
        """
        self._running.adopt(other(self._running.wanted, config, text, options))

    def _rest(self) -> None:
        """On the loop itself: what was sent was noted before anybody could read it, but for threads' last words."""
        if self._running._stack is not None:
            self._running.rest()

    async def leave(self) -> None:
        """The end: close every connection."""
        for connection in self._connections:
            await connection.close()
        self._end_recordings()


@asynccontextmanager
async def _single() -> AsyncIterator[trio.Nursery]:
    """A nursery whose one error is told as it is."""
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        except (Exception, trio.Cancelled) as error:
            if isinstance(error, trio.Cancelled):
                raise
            failure = error
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


@asynccontextmanager
async def held_for_sockets() -> AsyncIterator[None]:
    """Within, a clock that jumps by itself waits until what is under way between sockets has come."""
    work = work_here()
    before = work.threshold if work is not None else math.inf
    if work is None or before >= UNDER_WAY:
        yield
        return
    work.threshold = UNDER_WAY
    try:
        yield
    finally:
        work.threshold = before
