"""WebSocket through servers in turn: processor time per message there and back.

Clients and echo are one loop in this process, on the load's core, without a WebSocket library: frames are made before
the clock starts, one is under way on each connection, and every one that comes is compared byte for byte. So the load
costs a few system calls a message, and the server decides the pace.

    client ── masked frame ──► server ──► echo ── the same, unmasked ──► server ──► client, which sends its next
"""

from __future__ import annotations

import random
import select
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from statistics import quantiles

from cases import TunnelCase
from running import Live
from servers import Server
from throughput import WARM, run_rounds, spoilt
from workshop import Measurement, Workshop

__all__ = ["drive", "run"]

LIMIT = 5.0
"""Seconds within which something must happen."""
FRAMES = 256
"""Different messages; a message that is lost, repeated or mixed up with a neighbour's shows."""
SAMPLE = 64
"""Of so many round trips one is timed."""
REQUEST = (
    b"GET /echo HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://bench\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzhZRbK+xOo=\r\n\r\n"
)
"""RFC 6455 §1.3 has this key and this answer."""


def frames(size: int) -> list[tuple[bytes, bytes]]:
    """As a client sends it, the mask being zero, and as a server does (RFC 6455 §5.2)."""
    draw = random.Random(size)
    bodies = [draw.randbytes(size) for _ in range(FRAMES)]
    return [(bytes((0x82, 0x80 | size, 0, 0, 0, 0)) + body, bytes((0x82, size)) + body) for body in bodies]


class Echo:
    """Both ends of every tunnel.

    :raises RuntimeError: from any method: an answer is not the one that it must be, or none came in time.
    """

    def __init__(self, address: tuple[str, int], behind: int, connections: int, size: int) -> None:
        """
        :param address: of the server that is measured.
        :param behind: the port where it finds the echo.
        :param size: bytes of a message, at most 125.
        """
        self._frames = frames(size)
        self._length = size + 6
        self._poll = select.epoll()
        self._act: dict[int, Callable[[], None]] = {}
        self._stack = ExitStack()
        self._stack.callback(self._poll.close)
        self.count = 0
        self.times: list[float] = []
        self._resting: list[Callable[[], None]] = []
        self._over = False
        with self._stack.pop_all() as stack:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", behind), backlog=connections))
            listener.settimeout(LIMIT)
            for number in range(connections):
                self._connect(stack, address, listener, number)
            self._stack = stack.pop_all()

    def __enter__(self) -> Echo:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _connect(self, stack: ExitStack, address: tuple[str, int], listener: socket.socket, number: int) -> None:
        client = stack.enter_context(socket.create_connection(address, LIMIT))
        client.sendall(REQUEST)
        echo, _ = listener.accept()
        stack.enter_context(echo)
        echo.settimeout(LIMIT)
        until_head(echo)
        echo.sendall(SWITCH)
        if not until_head(client).startswith(b"HTTP/1.1 101 "):
            raise RuntimeError("no tunnel")
        for sock in (client, echo):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._poll.register(sock.fileno(), select.EPOLLIN)
        self._act[echo.fileno()] = self._echoing(echo)
        self._act[client.fileno()] = self._asking(client, number)

    def _echoing(self, sock: socket.socket) -> Callable[[], None]:
        receive, send, length = sock.recv, sock.send, self._length

        def act() -> None:
            data = receive(4096)
            if len(data) != length:
                raise RuntimeError(f"the echo got {len(data)} bytes, expected {length}")
            send(bytes((data[0], data[1] & 0x7F)) + data[6:])

        return act

    def _asking(self, sock: socket.socket, number: int) -> Callable[[], None]:
        receive, send, messages = sock.recv, sock.send, self._frames
        turn = number * 7 % FRAMES
        began = 0.0

        def start() -> None:
            nonlocal began
            began = time.perf_counter() if not turn % SAMPLE else 0.0
            send(messages[turn][0])

        def act() -> None:
            nonlocal turn
            if receive(4096) != messages[turn][1]:
                raise RuntimeError("a message came back that is not the one that was sent")
            self.count += 1
            if began:
                self.times.append(time.perf_counter() - began)
            turn = (turn + 1) % FRAMES
            if self._over:
                self._resting.append(start)
            else:
                start()

        self._resting.append(start)
        return act

    def run(self, seconds: float) -> None:
        """Full load for so long; at the end every message has come back."""
        self._over = False
        waiting, self._resting = self._resting, []
        for start in waiting:
            start()
        act, poll, wanted = self._act, self._poll.poll, len(waiting)
        limit = time.perf_counter() + seconds
        while not self._over or len(self._resting) < wanted:
            ready = poll(LIMIT)
            if not ready:
                raise RuntimeError(f"no message for {LIMIT:g} s")
            for number, _ in ready:
                act[number]()
            self._over = time.perf_counter() >= limit


def until_head(sock: socket.socket) -> bytes:
    """A head, and nothing behind it."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        more = sock.recv(4096)
        if not more:
            raise RuntimeError(f"the connection ended after {data[:60]!r}")
        data += more
    return data


def drive(live: Live, case: TunnelCase, seconds: float) -> None:
    """Load without figures, as `hotspots.py` wants it."""
    with Echo(live.address, live.place.behind, case.connections, case.size) as echo:
        echo.run(seconds)


def run(shop: Workshop, case: TunnelCase) -> None:
    """Measure `case` and hand its rows to `shop`."""
    run_rounds(shop, case, lambda shop, _, server, number: measure(shop, case, server, number))


def measure(shop: Workshop, case: TunnelCase, server: Server, number: int) -> Measurement:
    """One server, one round."""
    with shop.running(case.name, server) as live:
        try:
            with Echo(live.address, live.place.behind, case.connections, case.size) as echo:
                echo.run(WARM)
                return under_load(shop, case, live, echo, number)
        except (RuntimeError, OSError) as error:
            return spoilt(case, server, number, f"{type(error).__name__}: {error}")


def under_load(shop: Workshop, case: TunnelCase, live: Live, echo: Echo, number: int) -> Measurement:
    """The measured run itself."""
    echo.count, echo.times = 0, []
    before, began = live.cpu_seconds(), time.perf_counter()
    echo.run(shop.seconds)
    spent, passed = live.cpu_seconds() - before, time.perf_counter() - began
    cuts = quantiles(echo.times, n=100)
    return Measurement(
        case.name,
        live.server.name,
        number,
        micros=spent / echo.count * 1e6,
        per_second=echo.count / passed,
        p50=cuts[49] * 1e3,
        p99=cuts[98] * 1e3,
        busy=spent / passed,
    )
