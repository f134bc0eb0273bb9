"""Clients that dawdle: a crowd of them in one thread, each doing one small thing a second.

Needs nothing but the standard library and no sibling, so that the suite can borrow it.

    readers   ask for a long answer with a small receive buffer, then read `pace` bytes a tick
    senders   send part of a request at once and the rest a byte a tick; when the server has had enough of one and
              closes (E7), it comes back and starts anew, as a nuisance would

The ticks of a crowd are spread evenly over its period: never a thousand at once, so the load's core stays free for the
client that is timed.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Counts", "Crowd", "Reader", "Sender", "send_buffer", "slow_bodies", "slow_heads", "slow_readers"]

RECEIVE_BUFFER = 4096
CONNECT_LIMIT = 10.0


@dataclass
class Counts:
    """What happened to a crowd."""

    opened: int = 0
    answered: int = 0
    """Readers that have seen the first bytes of a 200."""
    refused: int = 0
    """Senders whom the server closed, with or without an answer."""
    lost: int = 0
    """Readers whose answer ended before its time, or was none."""
    received: int = 0
    sent: int = 0
    late: int = 0
    """Ticks more than a period behind: the crowd was too large for its core."""


def open_socket(address: tuple[str, int], receive_buffer: int = 0) -> socket.socket:
    """A connected, non-blocking socket; a small buffer must be set before connecting, or the window is already wide."""
    sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(CONNECT_LIMIT)
    sock.connect(address)
    sock.setblocking(False)
    return sock


def send_buffer(address: tuple[str, int], message: bytes, patience: float = 10.0) -> int:
    """How many bytes the kernel holds for a client that asks a running server and does not read: its send buffer.

    :param message: asks for an answer far longer than any send buffer.
    :returns: the transmit queue of the server's socket in /proc/net/tcp (IPv4), once it has stopped growing.
    """
    limit = time.monotonic() + patience
    with open_socket(address, RECEIVE_BUFFER) as sock, selectors.DefaultSelector() as nothing:
        sock.send(message)
        port = sock.getsockname()[1]
        seen = [-1, -2]
        while time.monotonic() < limit and not (seen[-1] > 0 and len(set(seen[-5:])) == 1):
            nothing.select(0.05)
            seen.append(transmit_queue(address[1], port))
    return seen[-1]


def transmit_queue(local: int, remote: int) -> int:
    """Bytes not yet acknowledged from port `local` to port `remote` of this machine (proc_net_tcp)."""
    with open("/proc/net/tcp") as table:
        for line in table:
            fields = line.split()
            if fields[1].endswith(f":{local:04X}") and fields[2].endswith(f":{remote:04X}"):
                return int(fields[4].partition(":")[0], 16)
    return 0


class Reader:
    """Asks once, then reads a little at each tick."""

    def __init__(self, address: tuple[str, int], message: bytes, pace: int, counts: Counts) -> None:
        """
        :param pace: bytes read per tick.
        """
        self.pace = pace
        self.counts = counts
        self.answered = False
        self.sock = open_socket(address, RECEIVE_BUFFER)
        self.sock.send(message)
        counts.opened += 1

    def tick(self) -> None:
        """Read at most `pace` bytes."""
        if self.sock.fileno() < 0:
            return
        try:
            data = self.sock.recv(self.pace)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or not (self.answered or data.startswith(b"HTTP/1.1 200")):
            self.counts.lost += 1
            self.sock.close()
            return
        self.counts.answered += not self.answered
        self.answered = True
        self.counts.received += len(data)

    def close(self) -> None:
        """Leave."""
        self.sock.close()


class Sender:
    """Sends the beginning at once and the rest byte by byte, over and over."""

    def __init__(self, address: tuple[str, int], at_once: bytes, slowly: bytes, counts: Counts) -> None:
        """
        :param slowly: must be longer than the number of ticks it is meant to last; what it completes is not read.
        """
        self.address = address
        self.at_once = at_once
        self.slowly = slowly
        self.counts = counts
        self.begin()

    def begin(self) -> None:
        """Connect and send the first part."""
        self.sock = open_socket(self.address)
        self.position = 0
        self.counts.opened += 1
        if self.at_once:
            self.sock.send(self.at_once)

    def tick(self) -> None:
        """Send one byte, or start anew when the server has answered or closed."""
        try:
            if self.sock.recv(4096) is not None:
                self.again()
                return
        except BlockingIOError:
            pass
        except OSError:
            self.again()
            return
        try:
            self.counts.sent += self.sock.send(self.slowly[self.position : self.position + 1])
        except OSError:
            self.again()
            return
        self.position += 1

    def again(self) -> None:
        """The server has had enough: come back."""
        self.counts.refused += 1
        self.sock.close()
        self.begin()

    def close(self) -> None:
        """Leave."""
        self.sock.close()


class Crowd:
    """Clients and the clock that they share."""

    def __init__(self, clients: list[Reader] | list[Sender], counts: Counts, period: float = 1.0) -> None:
        """
        :param period: seconds between two ticks of the same client.
        """
        self.clients = clients
        self.counts = counts
        self.period = period
        self.next = 0

    def run(self, seconds: float, stop: int | None = None, until: Callable[[], bool] | None = None) -> bool:
        """Tick for `seconds`, or until the descriptor `stop` can be read, or until `until()`, asked once a period.

        :returns: whether it was `until` or `stop` that ended it, and not the clock.
        """
        step = self.period / len(self.clients)
        due = time.monotonic()
        limit = due + seconds
        with selectors.DefaultSelector() as selector:
            if stop is not None:
                selector.register(stop, selectors.EVENT_READ)
            while due < limit:
                if selector.select(max(0.0, due - time.monotonic())) and stop is not None:
                    return True
                self.clients[self.next].tick()
                self.next = (self.next + 1) % len(self.clients)
                due = self.following(due, step)
                if not self.next and until is not None and until():
                    return True
        return False

    def following(self, due: float, step: float) -> float:
        """When the next tick is due; a crowd that lags a whole period behind drops the lag and counts it."""
        now = time.monotonic()
        if now - due > self.period:
            self.counts.late += 1
            return now
        return due + step

    def close(self) -> None:
        """All leave."""
        for client in self.clients:
            client.close()


def slow_readers(address: tuple[str, int], count: int, message: bytes, pace: int = 1024) -> Crowd:
    """`count` clients that ask with `message` and read `pace` bytes a second."""
    counts = Counts()
    return Crowd([Reader(address, message, pace, counts) for _ in range(count)], counts)


def slow_heads(address: tuple[str, int], count: int) -> Crowd:
    """`count` clients that send a head, a byte a second."""
    counts = Counts()
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Patience: " + b"a" * 4000
    return Crowd([Sender(address, b"", head, counts) for _ in range(count)], counts)


def slow_bodies(address: tuple[str, int], count: int, path: str) -> Crowd:
    """`count` clients that send the body of a POST to `path`, a byte a second."""
    counts = Counts()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4001\r\n\r\n".encode("latin-1")
    return Crowd([Sender(address, head, b"b" * 4000, counts) for _ in range(count)], counts)
