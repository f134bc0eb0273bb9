"""One running edge, on any driver, in the test's own loop, and clients that hold dialogues with it.

    async with serving(app=hello) as edge:
        client = await edge.talk(dialogue)        see edgestack/testing/dialogue.py

Time is virtual: it passes when the dialogue says so, and then everything that is due happens before the next line. A
silence in real time, where an answer is expected, fails the test. Afterwards nothing may be left: no connection, no
descriptor. Nothing here shares code with what it judges: the client takes answers apart by itself.
"""

from __future__ import annotations

import gc
import os
import re
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

from edgestack.compose import Plan, Resources, compose
from edgestack.config import model
from edgestack.http.facts import Facts
from edgestack.http.messages import Exchange
from edgestack.http.variables import VARIABLES
from edgestack.routing import Chain, spine
from edgestack.stack import Stack
from edgestack.testing.dialogue import shown, steps
from edgestack.wire.connection import Door
from edgestack.wire.listening import bind

__all__ = ["DRIVERS", "NOT_TLS", "ON_SOCKETS", "ON_TLS", "Answer", "Client", "Edge", "Record", "open_edge"]

DRIVERS = ("lot", "lot-tls", "portable", "portable-socket", "portable-tls")
ON_SOCKETS = ("lot", "lot-tls", "portable-socket", "portable-tls")
"""For what memory streams do not have: listeners, full buffers."""
ON_TLS = ("lot-tls", "portable-tls")
NOT_TLS = ("lot", "portable", "portable-socket")
SILENCE = 2.0
"""Real seconds of silence after which an expected answer is given up."""
PATIENCE = 20.0
"""Real seconds that a thread may take for what it should do at once."""
APP = model.App("contract:app")


@dataclass
class Record:
    """What the access log would say of an exchange."""

    status: int
    method: str
    target: str
    bytes_out: int
    request_id: str
    bytes_sent: int
    tls: str
    """Version and cipher."""
    connection: str
    """Its number, and that of the request on it."""
    completion: str
    """"OK" where the whole answer left."""


@dataclass
class Answer:
    """A whole answer, as a client takes it apart."""

    status: int
    fields: dict[str, str]
    body: bytes


class Records:
    """Stands where the access log does."""

    def __init__(self) -> None:
        self.lines: list[Record] = []
        self.broken = False

    def end(self, exchange: Exchange) -> None:
        if self.broken:
            raise RuntimeError("the log is broken")
        request = exchange.request
        names = (
            "bytes_sent", "ssl_protocol", "ssl_cipher", "connection", "connection_requests", "request_completion",
        )  # fmt: skip
        sent, version, cipher, number, requests, completion = (VARIABLES[name].read(exchange) for name in names)
        self.lines.append(
            Record(
                exchange.status, request.method, request.target, exchange.bytes_out, exchange.request_id,
                int(sent or 0), f"{version} {cipher}", f"{number} {requests}", str(completion),
            )
        )  # fmt: skip

    def bind(self, clock: object, wake: object) -> None:
        pass

    def unbind(self) -> None:
        pass

    def flush(self) -> None:
        pass


class Handmade:
    """A plan with handlers of the test's own at some paths, in front of what the configuration says."""

    def __init__(self, plan: Plan, handlers: Mapping[str, Callable[[Exchange], Any]]) -> None:
        self._plan = plan
        self._handlers = handlers
        self.config = plan.config
        self.applications = plan.applications
        self.assemble_plain = plan.assemble_plain

    def assemble(self, resources: Resources) -> Callable[[model.Listener], Door]:
        lead = self._plan.assemble(resources)

        def door(listener: model.Listener) -> Door:
            usual = lead(listener)
            own = {
                path: spine([Chain("/", content, usual.errors, ends=resources.ends)], Chain("/", content, usual.errors))
                for path, content in self._handlers.items()
            }

            def handle(exchange: Exchange) -> Any:
                return own.get(exchange.request.path.normal, usual.handle)(exchange)

            return Door(handle, usual.errors, usual.ends)

        return door


class Client:
    """One connection of a client."""

    def __init__(
        self,
        stream: trio.abc.HalfCloseableStream | trio.SSLStream[Any],
        sock: socket.socket | None,
        far: trio.testing.MemoryReceiveStream | None = None,
    ) -> None:
        """:param far: what the server reads from, where there is no socket."""
        self.stream = stream
        self.sock = sock
        self.far = far
        self.received = b""
        self.ended = False

    # -- moving bytes ------------------------------------------------------------------------------------------------

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def more(self, wanted: bytes = b"") -> None:
        """Take what comes next; fails after a silence."""
        spoke = False

        async def watch() -> None:
            await wait_all_tasks_blocked(SILENCE)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            try:
                data = bytes(await self.stream.receive_some(65536))
            except trio.BrokenResourceError as error:
                cause = error.__cause__
                assert isinstance(cause, ssl.SSLError | ConnectionResetError), cause  # no close_notify, or an alert
                data = b"<reset>" if isinstance(cause, ConnectionResetError) else b""
            spoke = True
            nursery.cancel_scope.cancel()
        assert spoke, f"silence after\n{shown(self.received)}\ninstead of\n{shown(wanted)}"
        self.received += data
        self.ended = not data or data == b"<reset>"

    async def until(self, pattern: bytes) -> re.Match[bytes]:
        """Read until what was received begins with `pattern`; it is consumed."""
        while (match := re.match(pattern, self.received)) is None:
            assert not self.ended, f"the server closed after\n{shown(self.received)}\ninstead of\n{shown(pattern)}"
            await self.more(pattern)
        self.received = self.received[match.end() :]
        return match

    async def exactly(self, size: int) -> bytes:
        """So many bytes."""
        while len(self.received) < size:
            assert not self.ended, f"the server closed {size - len(self.received)} bytes short"
            await self.more()
        data, self.received = self.received[:size], self.received[size:]
        return data

    async def end(self) -> bytes:
        """Everything up to the server's close."""
        while not self.ended:
            await self.more()
        data, self.received = self.received, b""
        return data

    async def answer(self, method: str = "GET") -> Answer:
        """One whole answer (RFC 9112 §6.3); interim ones stand in the way and fail."""
        head = (await self.until(rb"HTTP/1\.1 (?s:.*?)\r\n\r\n"))[0].decode("latin-1")
        line, *lines = head[:-4].split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(line.split(" ")[1])
        body = b""
        if method == "HEAD" or status in (204, 304):
            pass
        elif "content-length" in fields:
            body = await self.exactly(int(fields["content-length"]))
        elif "transfer-encoding" in fields:
            while size := int((await self.until(rb"([0-9a-f]+)\r\n"))[1], 16):
                body += await self.exactly(size)
                await self.until(rb"\r\n")
            await self.until(rb"\r\n")
        else:
            body = await self.end()
        return Answer(status, fields, body)

    # -- leaving -----------------------------------------------------------------------------------------------------

    async def half_close(self) -> None:
        """Send no more; on TLS that is a FIN beneath it."""
        if isinstance(self.stream, trio.SSLStream):
            await self.stream.transport_stream.send_eof()
        else:
            await self.stream.send_eof()

    async def close(self) -> None:
        await trio.aclose_forcefully(self.stream)

    async def reset(self) -> None:
        """Leave so that the server gets a reset; in memory, an error from its end of the stream."""
        self.reset_now()
        await self.close()

    def reset_now(self) -> None:
        """The same, before anything else happens in the loop."""
        if self.far is not None:
            self.far.close()
        if self.sock is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            trio.lowlevel.notify_closing(self.sock)
            self.sock.close()


class Edge:
    """A stack that serves."""

    def __init__(
        self, stack: Stack, driver: str, clock: MockClock, log: Records, nursery: trio.Nursery, trust: ssl.SSLContext
    ) -> None:
        self.stack = stack
        self.driver = driver
        self.clock = clock
        self.log = log
        self.records = log.lines
        self.sockets: list[socket.socket] = []
        self._cushion = 0.001 if self.on_sockets else 0.0  # a busy machine delivers to its own sockets a little late
        self._nursery = nursery
        self._trust = trust
        self._clients: list[Client] = []

    @property
    def tls(self) -> bool:
        return self.driver.endswith("tls")

    @property
    def on_sockets(self) -> bool:
        return self.driver != "portable"

    async def connect(self, *, plain: bool = False, receive_buffer: int = 0, listener: int = 0) -> Client:
        """A client. `plain`: without TLS, whatever the listener speaks."""
        if not self.on_sockets:
            ours, theirs = memory_stream_pair()
            self._nursery.start_soon(self.stack.serve_stream, theirs, Facts())
            client = Client(ours, None, theirs.receive_stream)
        else:
            address = self.sockets[listener].getsockname()
            raw = socket.socket(self.sockets[listener].family)
            if receive_buffer:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            raw.setblocking(False)
            await trio.socket.from_stdlib_socket(raw).connect(address)
            return await self.greet(raw, plain=plain)
        self._clients.append(client)
        return client

    def knock(self, count: int) -> list[socket.socket]:
        """So many sockets that have connected, and the server has had no time to accept any."""
        raws = [socket.socket(self.sockets[0].family) for _ in range(count)]
        for raw in raws:
            raw.connect(self.sockets[0].getsockname())
            raw.setblocking(False)
        return raws

    async def greet(self, raw: socket.socket, *, plain: bool = False) -> Client:
        """A client on a socket that has connected."""
        client = Client(trio.SocketStream(trio.socket.from_stdlib_socket(raw)), raw)
        self._clients.append(client)
        if self.tls and not plain:
            client.stream = trio.SSLStream(client.stream, self._trust, server_hostname="localhost")
            await client.stream.do_handshake()
        return client

    async def settle(self, threads: bool = True) -> None:
        """Wait until nothing is under way: no task can go on, and no thread works (unless one is meant to)."""
        await wait_all_tasks_blocked(self._cushion)
        limit = time.monotonic() + PATIENCE
        while threads and (self.stack.threads.busy() or self.stack.threads.statistics().waiting):
            assert time.monotonic() < limit, self.stack.threads.still_running()
            await wait_all_tasks_blocked(0.001)  # real time, in which threads work
        await wait_all_tasks_blocked(self._cushion)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait, in real time, until something is so."""
        limit = time.monotonic() + PATIENCE
        await self.settle()
        while not condition():
            assert time.monotonic() < limit
            await wait_all_tasks_blocked(0.001)

    async def deserted(self) -> None:
        """Until no connection is left."""
        await self.until(lambda: self.stack.statistics()["connections"] == 0)

    async def advance(self, seconds: float, threads: bool = True) -> None:
        """Let time pass."""
        await self.settle(threads)
        self.clock.jump(seconds)
        await self.settle(threads)

    async def talk(self, dialogue: str, client: Client | None = None) -> Client:
        """Hold a dialogue, on a new connection or on one that was opened before."""
        client = client or await self.connect()
        for kind, what in steps(dialogue):
            if kind == ">>":
                await client.send(what)
            elif kind == ">!":
                await client.half_close()
            elif kind == "<<":
                await client.until(what)
            elif kind == "<!":
                rest = await client.end()
                assert re.fullmatch(what, rest), f"\n{shown(rest)}\ninstead of\n{shown(what)}"
            elif kind == "<~":
                assert (await client.answer()).status == int(what)
            elif kind == "==":
                await self.advance(float(what))
            elif kind == "<-":
                await self.settle()
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await client.more()
                assert not client.received, client.received
        return client

    async def leave(self) -> None:
        for client in self._clients:
            await client.close()


@asynccontextmanager
async def open_edge(
    driver: str,
    certificate: tuple[Path, Path],
    trust: ssl.SSLContext,
    *,
    app: Callable[..., Any] | None = None,
    site: Path | None = None,
    handlers: Mapping[str, Callable[[Exchange], Any]] | None = None,
    timeouts: Mapping[str, float] | None = None,
    limits: Mapping[str, int] | None = None,
    threads: int = 2,
    queue: int = 1024,
    listeners: tuple[model.Listener, ...] = (),
    send_buffer: int = 0,
    wrap: Callable[[socket.socket], Any] | None = None,
    ends_with_connections: bool = False,
) -> AsyncIterator[Edge]:
    """A running edge; afterwards nothing may be left of it.

    :param wrap: puts something in front of each listening socket.
    :param ends_with_connections: leave clients connected when the server is cancelled.
    """
    before = descriptors()
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, MockClock)
    server = model.Server(
        threads=threads,
        queue=queue,
        timeouts=replace(model.Timeouts(), **dict(timeouts or {})),
        limits=replace(model.Limits(), **dict(limits or {})),
    )
    tls = driver.endswith("tls")
    static = model.Static(site) if site is not None else None
    config = model.Config(
        server, (), model.Tls((certificate,)), (model.Route("/", static, APP if app is not None else None),)
    )
    plan: Any = Handmade(compose(config), handlers or {})
    records: Any = Records()
    stack = Stack(plan, {APP: app} if app is not None else {}, records, portable=driver.startswith("portable"))
    bound = []
    if driver != "portable":
        for listener in listeners or (model.Listener("127.0.0.1", tls=tls),):
            sock = bind(listener)
            if send_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)  # accepted sockets inherit it
            bound.append((listener, wrap(sock) if wrap is not None else sock))
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(stack.serve, bound)
        edge = Edge(stack, driver, clock, records, nursery, trust)
        edge.sockets = [sock for _, sock in bound]
        try:
            yield edge
            if not ends_with_connections:
                await edge.leave()
                await edge.deserted()
        except Exception as error:  # told as it is, not in groups of groups
            failure = error
        nursery.cancel_scope.cancel()
    await edge.leave()
    if failure is not None:
        stack.threads.stop(1.0)
        raise failure
    assert stack.threads.stop(5.0), stack.threads.still_running()
    assert stack.statistics()["connections"] == 0
    del edge, stack, plan, config
    if descriptors() - before:
        gc.collect()  # of what is open only the tables of a folder may wait for this
    assert descriptors() - before == set()


def descriptors() -> set[tuple[int, str]]:
    """What this process has open, but for files that tests and caches keep."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add((int(name), os.readlink(f"/proc/self/fd/{name}")))
        except OSError:
            continue  # the listing's own
    return {(number, what) for number, what in found if what.startswith(("socket:", "anon_inode:", "pipe:"))}
