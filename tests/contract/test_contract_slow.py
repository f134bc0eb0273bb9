"""Slow clients beside a fast one: 50 that read 1 KiB a second, and 50 that send a byte a second (issue: speed).

In real time, over loopback, judged over a few seconds. What is judged is that the fast client is served all the while,
and that its answers do not come later than they do alone by more than a machine under other load would explain.
"""

from __future__ import annotations

import selectors
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any

import pytest
import trio

from edgestack.compose import compose
from edgestack.config.model import App, Config, Listener, Route, Server
from edgestack.stack import Stack
from edgestack.wire.listening import bind

APP = App("slow:app")
CROWD = 50
SECONDS = 2.0
ANSWER = 600_000


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A long stream, or a short answer."""
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/long":
        return (b"x" * 10_000 for _ in range(ANSWER // 10_000))
    return [b"hello"]


class Crowd(threading.Thread):
    """Slow clients in a thread of their own; each does its little thing once a second, spread over the second."""

    def __init__(self, address: tuple[str, int], first: list[bytes], drip: bytes) -> None:
        """
        :param first: what the clients send at once, in turn.
        :param drip: what it sends a byte a second; without it, it reads 1 KiB a second.
        """
        super().__init__(daemon=True)
        self.drip = drip
        self.stopping = threading.Event()
        self.clients = []
        for number in range(CROWD):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(address)
            sock.setblocking(False)
            sock.send(first[number % len(first)])
            self.clients.append(sock)
        self.lost = 0

    def run(self) -> None:
        tick = 0
        while not self.stopping.wait(1 / CROWD):
            sock = self.clients[tick % CROWD]
            try:
                if self.drip:
                    sock.send(self.drip[tick // CROWD :][:1])
                elif not sock.recv(1024):
                    self.lost += 1
            except BlockingIOError:
                pass
            except OSError:
                self.lost += 1
            tick += 1

    def stop(self) -> None:
        self.stopping.set()
        self.join()
        for sock in self.clients:
            sock.close()


def fast(address: tuple[str, int], seconds: float) -> list[float]:
    """How long each answer took, in seconds, for a client that asks without a pause."""
    took = []
    with closing(socket.create_connection(address)) as sock, selectors.DefaultSelector() as ready:
        ready.register(sock, selectors.EVENT_READ)
        end = time.monotonic() + seconds
        while (start := time.monotonic()) < end:
            sock.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            said = b""
            while not said.endswith(b"hello"):
                assert ready.select(5.0), "no answer for 5 s"
                said += sock.recv(4096)
            took.append(time.monotonic() - start)
    return took


CROWDS = {
    "readers": ([b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n"], b""),
    "senders": (
        [b"GET / HTTP/1.1\r\nX-Patience: ", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"],
        b"a" * 100,
    ),
}


@pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])
@pytest.mark.parametrize("crowd", CROWDS)
def test_fifty_slow_clients_beside_a_fast_one(portable: bool, crowd: str) -> None:
    """F14, E7: with two application threads."""
    results: dict[str, Any] = {}

    async def main() -> None:
        plan = compose(Config(Server(threads=2), routes=(Route(app=APP),)))
        stack = Stack(plan, {APP: app}, portable=portable)
        async with trio.open_nursery() as nursery:
            listening = bind(Listener("127.0.0.1"))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)  # an answer is many times that
            await nursery.start(stack.serve, [(Listener("127.0.0.1"), listening)])
            address = listening.getsockname()
            results["alone"] = await trio.to_thread.run_sync(fast, address, SECONDS / 4)
            slow = Crowd(address, *CROWDS[crowd])
            await trio.testing.wait_all_tasks_blocked(0.05)
            slow.start()
            results["beside"] = await trio.to_thread.run_sync(fast, address, SECONDS)
            results["lost"] = slow.lost
            results["connections"] = stack.statistics()["connections"]
            await trio.to_thread.run_sync(slow.stop)
            nursery.cancel_scope.cancel()
        assert stack.threads.stop(10.0)

    trio.run(main)
    assert results["lost"] == 0
    assert results["connections"] >= CROWD
    alone, beside = statistics.median(results["alone"]), statistics.median(results["beside"])
    assert beside <= 3 * alone + 0.002
    assert len(results["beside"]) >= 100
