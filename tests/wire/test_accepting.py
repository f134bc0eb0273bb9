"""Accepting, where the system itself is the adversary: a turn's worth, and descriptors that run out (E11, rule 11)."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from edgestack.config.model import Timeouts
from edgestack.http.facts import Facts
from edgestack.http.messages import Response
from edgestack.wire.accepting import ACCEPTS, OVER_LIMIT, Acceptor
from edgestack.wire.connection import Door
from edgestack.wire.statistics import Statistics

DOOR = Door(lambda exchange: Response(200), lambda exchange, error: Response(500))


class Endless:
    """A listening socket with a client at every turn, until it has none."""

    def __init__(self, clients: int, listening: socket.socket) -> None:
        self.clients = clients
        self.listening = listening

    def accept(self) -> tuple[Any, tuple[str, int]]:
        if not self.clients:
            raise BlockingIOError
        self.clients -= 1
        return SimpleNamespace(setblocking=lambda on: None, close=lambda: None), ("127.0.0.1", 1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.listening, name)


class Recording(Acceptor):
    """Notes what it would admit."""

    taken: list[bool]

    def _admit(self, client: Any, facts: Facts, door: Door, over: bool) -> None:
        self.taken.append(over)
        self._driver.held += 1  # type: ignore[attr-defined]

    async def _shake(self, client: Any, facts: Facts, certificates: Any) -> None:
        raise AssertionError("no TLS here")


async def test_64_accepts_are_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 11."""
    driver: Any = SimpleNamespace(statistics=Statistics(), timeouts=Timeouts(), shaking=set(), held=0)
    driver.connections = lambda: driver.held
    with socket.create_server(("127.0.0.1", 0)) as listening:
        endless: Any = Endless(ACCEPTS * 2 + 1, listening)
        acceptor = Recording(driver, endless, DOOR, most=1000)
        acceptor.taken = []
        turns: list[int] = []

        async def wait(fd: object) -> None:
            turns.append(len(acceptor.taken))
            if not endless.clients:
                raise KeyboardInterrupt

        monkeypatch.setattr(trio.lowlevel, "wait_readable", wait)
        with pytest.RaisesGroup(KeyboardInterrupt):
            await acceptor.run()
        assert turns == [0, ACCEPTS, ACCEPTS * 2, ACCEPTS * 2 + 1]


async def test_the_limit_and_far_beyond(monkeypatch: pytest.MonkeyPatch) -> None:
    """E11: at n admitted, at n+1 told so, at n+64 closed without a word."""
    driver: Any = SimpleNamespace(statistics=Statistics(), timeouts=Timeouts(), shaking=set(), held=0)
    driver.connections = lambda: driver.held
    with socket.create_server(("127.0.0.1", 0)) as listening:
        endless: Any = Endless(100, listening)
        acceptor = Recording(driver, endless, DOOR, most=10)
        acceptor.taken = []

        async def wait(fd: object) -> None:
            if not endless.clients:
                raise KeyboardInterrupt

        monkeypatch.setattr(trio.lowlevel, "wait_readable", wait)
        with pytest.RaisesGroup(KeyboardInterrupt):
            await acceptor.run()
        assert acceptor.taken == [False] * 10 + [True] * OVER_LIMIT
        assert driver.statistics.refused == 100 - 10 - OVER_LIMIT


EXHAUSTED = """
import json, logging, os, resource, socket, sys
import trio, trio.testing
from edgestack.compose import compose
from edgestack.config.model import App, Config, Limits, Listener, Route, Server
from edgestack.stack import Stack

APP = App("x:app")

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"here"]

lines = []
handler = logging.Handler()
handler.emit = lambda record: lines.append(record.getMessage())
logging.getLogger("edgestack.error").addHandler(handler)

async def ask(sock):
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
    await stream.send_all(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
    return b"here" in await stream.receive_some()

async def main(portable):
    limits = Limits(connections=1000)
    config = Config(Server(limits=limits), (Listener("127.0.0.1"),), routes=(Route(app=APP),))
    stack = Stack(compose(config), {APP: app}, portable=portable)
    async with trio.open_nursery() as nursery:
        await nursery.start(stack.serve)
        address = stack._places.pairs[0][1].getsockname()
        clients = [socket.create_connection(address) for _ in range(3)]
        await trio.testing.wait_all_tasks_blocked()
        late = [socket.socket() for _ in range(2)]
        clients[0].setblocking(False)
        assert await ask(clients[0])
        used = len(os.listdir("/proc/self/fd")) - 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (used, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        for sock in late:
            sock.connect(address)
        with trio.fail_after(10):
            while not lines:
                await trio.testing.wait_all_tasks_blocked(0.01)
        held = stack.statistics()["connections"]
        clients[1].setblocking(False)
        served = await ask(clients[1])
        said = list(lines)
        clients[2].close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        late[0].setblocking(False)
        with trio.fail_after(10):
            again = await ask(late[0])
        print(json.dumps({"held": held, "served": served, "said": said, "again": again, "after": len(lines)}))
        for sock in (*clients, *late):
            sock.close()
        nursery.cancel_scope.cancel()

trio.run(main, sys.argv[1] == "portable")
"""


@pytest.mark.parametrize("driver", ["lot", "portable"])
def test_out_of_descriptors_for_real(driver: str) -> None:
    """E11: RLIMIT_NOFILE is reached: those who are here are served, the log says so once, and it goes on afterwards."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", EXHAUSTED, driver], capture_output=True, timeout=40, check=False
    )
    assert ran.returncode == 0, ran.stderr.decode()
    told = json.loads(ran.stdout)
    assert told.pop("said") == ["cannot accept connections for now: Too many open files; trying again"]
    assert told == {"held": 3, "served": True, "again": True, "after": 1}
