"""Upstreams that follow a script, over memory streams, and one proxied exchange that meets them.

    behind = Behind(nursery, {8001: [refuse, says(OK)]}, next_upstream=…)
    got = await behind.ask("GET", "/x")           status, fields and body as the client saw them; and the attempts

A script is told what one connection does: `says(answer, …)` waits for a request before each answer. The scripts of a
port are used up in order, the last one again and again. Time is virtual: who hangs, hangs until the clock is moved.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import IO, Any

import trio
from trio.testing import lockstep_stream_pair, memory_stream_pair

from edgestack.config.peer_addresses import PeerAddress, parse_server
from edgestack.config.proxying import Proxy as Section
from edgestack.config.upstreams import Upstream, UpstreamServer
from edgestack.errors import EdgeError, UpstreamError
from edgestack.http.attempts import Attempts
from edgestack.http.facts import Facts
from edgestack.http.fields import fold
from edgestack.http.jumps import Jump
from edgestack.http.messages import Exchange, Request, Response
from edgestack.http.target import ASTERISK, read_path
from edgestack.kept import anew
from edgestack.upstream.errand import ProxyErrand
from edgestack.upstream.proxy import Proxy
from edgestack.upstream.service import Roster, Services
from edgestack.upstream.way import Way
from edgestack.wire.link import AnyLink, StreamLink
from edgestack.wire.tls_client import ClientTls

__all__ = [
    "OK", "Behind", "Body", "Got", "Wire", "asking", "breaks_off", "drips", "hangs", "no_connection", "refuse", "says",
    "stand", "whole",
]  # fmt: skip

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
"""The usual answer."""


def whole(status: int = 200, body: bytes = b"ok", *lines: str) -> bytes:
    """An answer with a length and further field lines."""
    head = [f"HTTP/1.1 {status} Some Reason", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode() + body


class Wire:
    """The upstream's end of one connection."""

    def __init__(self, stream: trio.StapledStream[Any, Any]) -> None:
        self.stream = stream
        self.buffer = b""
        self.requests: list[bytes] = []

    async def request(self) -> bytes:
        """The next request, head and body as they came; b"" when there is none any more."""
        while b"\r\n\r\n" not in self.buffer:
            if not await self._more():
                return b""
        head, _, rest = self.buffer.partition(b"\r\n\r\n")
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            while not rest.endswith(b"0\r\n\r\n"):
                await self._more()
                rest = self.buffer.partition(b"\r\n\r\n")[2]
            size = len(rest)
        else:
            found = [line for line in lower.split(b"\r\n") if line.startswith(b"content-length:")]
            size = int(found[0].partition(b":")[2]) if found else 0
            while len(rest) < size:
                await self._more()
                rest = self.buffer.partition(b"\r\n\r\n")[2]
        self.buffer = rest[size:]
        self.requests.append(head + b"\r\n\r\n" + rest[:size])
        return self.requests[-1]

    async def _more(self) -> bool:
        data = await self.stream.receive_some(65536)
        self.buffer += data
        return bool(data)

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def close(self) -> None:
        await self.stream.aclose()


Script = Callable[[Wire], Awaitable[None]]


def says(*answers: bytes, close: bool = False) -> Script:
    """An answer for each request; then it stays open, or closes."""

    async def script(wire: Wire) -> None:
        for answer in answers:
            if not await wire.request():
                return
            await wire.send(answer)
        if close:
            await wire.close()
        else:
            await wire.request()

    return script


def breaks_off(data: bytes = b"") -> Script:
    """It closes after a request and so much of an answer."""
    return says(data, close=True) if data else says_nothing


async def says_nothing(wire: Wire) -> None:
    """It reads a request, and closes."""
    await wire.request()
    await wire.close()


def hangs(data: bytes = b"") -> Script:
    """It reads a request, says so much, and then nothing more."""

    async def script(wire: Wire) -> None:
        await wire.request()
        if data:
            await wire.send(data)
        await trio.sleep_forever()

    return script


def drips(data: bytes, seconds: float) -> Script:
    """It says one byte at a time."""

    async def script(wire: Wire) -> None:
        await wire.request()
        for at in range(len(data)):
            await wire.send(data[at : at + 1])
            await trio.sleep(seconds)
        await wire.request()

    return script


async def stand(nursery: trio.Nursery, script: Script) -> str:
    """A server on a port of its own, for what is about real connections or about half a request: its address."""

    async def handle(stream: trio.SocketStream) -> None:
        try:
            await script(Wire(stream))  # type: ignore[arg-type]
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the edge has had enough

    listeners: Any = await nursery.start(lambda task_status: trio.serve_tcp(
        handle, 0, host="127.0.0.1", task_status=task_status))  # fmt: skip
    return f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"


async def refuse(wire: Wire) -> None:
    """It is not there."""
    raise AssertionError("nobody connects")


async def no_connection(wire: Wire) -> None:
    """Nothing comes back when it is connected to."""
    raise AssertionError("nobody connects")


@dataclass
class Got:
    """What the client saw, and what was tried."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes
    attempts: list[tuple[str, int]]
    exchange: Exchange
    error: EdgeError | None = None
    broken: EdgeError | None = None
    """What broke the body off."""
    response: Any = None

    def field(self, name: str) -> str | None:
        return next((value for key, value in self.fields if key.lower() == name.lower()), None)


class Body:
    """A request's body, as the wire gives it (`http.bodies.RequestBody`)."""

    gap = 60.0

    def __init__(self, *pieces: bytes, length: int | None = None, here: bool = False, wait: float = 0.0) -> None:
        """
        :param here: it came with the head.
        :param wait: seconds before each piece.
        """
        self.pieces = pieces
        self.length = length
        self.here = here
        self.wait = wait
        self.begun = False

    def spooled_nowait(self, limit: int) -> IO[bytes] | None:
        return BytesIO(b"".join(self.pieces)) if self.here else None

    async def spooled(self, limit: int) -> IO[bytes]:
        return BytesIO(b"".join([piece async for piece in self]))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.begun = True
        for piece in self.pieces:
            await trio.sleep(self.wait)
            yield piece


def asking(
    method: str = "GET", target: str = "/", *fields: tuple[str, str], body: Any = None, facts: Facts | None = None
) -> Exchange:
    """An exchange as a client asks for it."""
    raw, _, query = target.partition("?")
    path = ASTERISK if raw == "*" else read_path(raw)
    pairs = [("host", "example.com"), *((name.lower(), value) for name, value in fields)]
    request = Request(
        method, target, "HTTP/1.1", pairs, fold(pairs), path, query, "example.com", True
    )  # fmt: skip
    request.body = body
    return Exchange(facts or Facts("192.0.2.1"), request, 1, trio.current_time())


@dataclass
class Behind:
    """Upstreams by port of 127.0.0.1, and a proxy before them."""

    nursery: trio.Nursery
    scripts: dict[int, Sequence[Script]]
    section: Section = field(default_factory=lambda: Section("http://group"))
    group: dict[str, Any] = field(default_factory=dict)
    servers: dict[int, dict[str, Any]] = field(default_factory=dict)
    prefix: str = "/"
    intercepted: tuple[int, ...] = ()
    narrow: bool = False
    """Nothing is sent that is not received at once: full buffers."""

    def __post_init__(self) -> None:
        self.dialed: list[int] = []
        self.prefaces: list[bytes] = []
        self.wires: list[Wire] = []
        self._left = {port: list(scripts) for port, scripts in self.scripts.items()}
        services = Services(self)
        self.roster = Roster(services, anew)
        servers = [
            UpstreamServer(parse_server(f"127.0.0.1:{port}"), **self.servers.get(port, {})) for port in self.scripts
        ]
        self.service = self.roster.service(Upstream(tuple(servers), name="group", **self.group))
        services.bind(self.nursery, None, self.roster)
        self.way = Way(self.section, self.prefix, intercepted=self.intercepted, limit=1 << 20)
        target = self.section.target
        assert target is not None
        self.proxy = Proxy(self.way, target, lambda _: self.service.backend(self.section, secure=False))

    async def dial(self, peer: PeerAddress, tls: ClientTls | None = None, preface: bytes = b"") -> AnyLink:
        """`wire.dialing.Dialer`."""
        left = self._left[peer.port]
        script = left.pop(0) if len(left) > 1 else left[0]
        self.dialed.append(peer.port)
        if script is refuse:
            raise UpstreamError("", detail=f"{peer}: connection refused")
        if script is no_connection:
            await trio.sleep_forever()
        ours, theirs = lockstep_stream_pair() if self.narrow else memory_stream_pair()
        wire = Wire(theirs)
        self.wires.append(wire)
        self.prefaces.append(preface)
        self.nursery.start_soon(self._follow, script, wire)
        return StreamLink(ours, peer, tls, trio.current_time())

    async def _follow(self, script: Script, wire: Wire) -> None:
        try:
            await script(wire)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the proxy has had enough

    def errand(self, exchange: Exchange) -> ProxyErrand:
        return self.proxy(exchange)

    async def ask(self, method: str = "GET", target: str = "/", *fields: tuple[str, str], body: Any = None) -> Got:
        """One exchange, to its end."""
        return await self.send(asking(method, target, *fields, body=body))

    async def send(self, exchange: Exchange) -> Got:
        """The same for an exchange made by hand."""
        try:
            answer = await self.errand(exchange)
        except EdgeError as error:
            return Got(error.status, list(error.fields), b"", tried(exchange), exchange, error)
        if isinstance(answer, Jump):
            return Got(0, [], b"", tried(exchange), exchange, response=answer)
        assert isinstance(answer, Response)
        data, broken = b"", None
        if isinstance(answer.body, bytes):
            data = answer.body
        elif hasattr(answer.body, "__aiter__"):
            try:
                async for piece in answer.body:
                    data += piece
            except EdgeError as error:
                broken = error
        return Got(
            answer.status, list(answer.fields), data, tried(exchange), exchange, broken=broken, response=answer
        )  # fmt: skip

    def sent(self) -> list[bytes]:
        """Every request that an upstream has read."""
        return [request for wire in self.wires for request in wire.requests]

    def peer(self, port: int) -> Any:
        """What the group knows of a server."""
        return next(peer for peer in self.service.group.peers() if peer.address.port == port)


def tried(exchange: Exchange) -> list[tuple[str, int]]:
    """The attempts: port and status."""
    assert isinstance(exchange.attempts, Attempts)
    return [(str(attempt.address).rpartition(":")[2], attempt.status) for attempt in exchange.attempts]
