"""The stack: binding, adopting another plan, clocks, statistics. What clients see of it stands in tests/contract."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

from edgestack.compose import compose
from edgestack.config.model import App, Config, Listener, Route, Server, Static, Timeouts
from edgestack.errors import ConfigError
from edgestack.phases.access_log import AccessLog
from edgestack.stack import Stack

PATIENCE = 10.0
ONE, TWO = App("one:app"), App("two:app")
BOTH = pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])


def saying(words: bytes) -> Callable[..., Iterable[bytes]]:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [words]

    return app


def plan(app: App = ONE, **more: Any) -> Any:
    return compose(Config(routes=(Route(app=app),), **more))


@asynccontextmanager
async def serving(stack: Stack, *sockets: tuple[Listener, socket.socket]) -> AsyncIterator[list[str]]:
    async with trio.open_nursery() as nursery:
        yield await nursery.start(stack.serve, sockets or None)
        nursery.cancel_scope.cancel()
    assert stack.threads.stop(PATIENCE)


async def connect(address: str) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", int(address.rpartition(":")[2]))


async def ask(stream: trio.abc.Stream, target: str = "/") -> bytes:
    """The body of an answer that has a length."""
    await stream.send_all(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    said = b""
    while True:
        piece = await stream.receive_some()
        assert piece, said
        said += piece
        head, end, body = said.partition(b"\r\n\r\n")
        if end and len(body) == int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]):
            return bytes(body)


@BOTH
async def test_the_listeners_of_the_plan(portable: bool, tmp_path: Path) -> None:
    """Without sockets the plan's are bound; `started` gives their addresses, as URLs."""
    path = str(tmp_path / "edge.sock")
    listeners = (Listener("127.0.0.1"), Listener("::1", tls=False), Listener(path=path))
    stack = Stack(plan(listeners=listeners), {ONE: saying(b"one")}, portable=portable)
    async with serving(stack) as addresses:
        assert addresses[0].startswith("http://127.0.0.1:")
        assert addresses[1].startswith("http://[::1]:")
        assert addresses[2] == f"unix:{path}"
        async with await connect(addresses[0]) as stream:
            assert await ask(stream) == b"one"
        async with await trio.open_unix_socket(path) as stream:
            assert await ask(stream) == b"one"


@BOTH
async def test_a_name_is_every_address_it_has(portable: bool) -> None:
    stack = Stack(plan(listeners=(Listener("localhost"),)), {ONE: saying(b"one")}, portable=portable)
    async with serving(stack) as addresses:
        assert addresses[0].startswith("http://127.0.0.1:")


async def test_all_listeners_or_none(tmp_path: Path) -> None:
    """A port in use: what was bound before is let go of, and the error is the system's."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listeners = (Listener("127.0.0.1"), Listener("127.0.0.1", taken.getsockname()[1]))
        stack = Stack(plan(listeners=listeners), {ONE: saying(b"one")})
        with pytest.RaisesGroup(pytest.RaisesExc(OSError, check=lambda error: error.errno == errno.EADDRINUSE)):
            async with serving(stack):
                raise AssertionError("it must not start")
    assert stack.statistics() == {}
    assert stack.threads.stop(PATIENCE)


def test_an_application_that_cannot_be_loaded() -> None:
    with pytest.raises(ConfigError, match="no_such_module"):
        Stack(plan(App("no_such_module:app")))


@BOTH
async def test_statistics(portable: bool) -> None:
    stack = Stack(plan(listeners=(Listener("127.0.0.1"),)), {ONE: saying(b"one")}, portable=portable)
    assert stack.statistics() == {}
    async with serving(stack) as addresses:
        async with await connect(addresses[0]) as stream:
            await ask(stream)
            assert stack.statistics() == {"accepted": 1, "refused": 0, "failures": 0, "connections": 1, "requests": 1}
        await wait_all_tasks_blocked()
        assert stack.statistics() == {"accepted": 1, "refused": 0, "failures": 0, "connections": 0, "requests": 1}


# -- another plan ------------------------------------------------------------------------------------------------------


@BOTH
async def test_new_exchanges_take_the_new_plan_on_old_connections(portable: bool) -> None:
    """Design §5; those in flight keep theirs."""
    gate, arrived = threading.Event(), threading.Event()

    def slow(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        arrived.set()
        assert gate.wait(PATIENCE)
        start_response("200 OK", [])
        return [b"one"]

    applications = {ONE: slow, TWO: saying(b"two")}
    stack = Stack(plan(ONE, listeners=(Listener("127.0.0.1"),)), applications, portable=portable)
    async with serving(stack) as addresses:
        old, other = [await connect(addresses[0]) for _ in range(2)]
        async with old, other, trio.open_nursery() as nursery:
            said: list[bytes] = []

            async def in_flight() -> None:
                said.append(await ask(old))

            nursery.start_soon(in_flight)
            assert await trio.to_thread.run_sync(arrived.wait, PATIENCE)
            stack.adopt(plan(TWO, listeners=(Listener("127.0.0.1"),)), {TWO: saying(b"two")})
            assert await ask(other) == b"two"
            gate.set()
            while not said:
                await wait_all_tasks_blocked(0.001)
            assert said == [b"one"]
            assert await ask(old) == b"two"


async def test_an_unchanged_application_is_not_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What outlives a plan is kept under its section."""
    loaded = []

    def load(target: str, folder: Path | None = None) -> Any:
        loaded.append(target)
        return saying(target.encode())

    monkeypatch.setattr("edgestack.applications.load", load)
    stack = Stack(plan(ONE))
    async with serving(stack):
        stack.adopt(plan(ONE))
        stack.adopt(plan(TWO))
        stack.adopt(plan(ONE))
    assert loaded == ["one:app", "two:app", "one:app"], "kept while it is used, and let go of when it is not"


async def test_a_plan_that_cannot_be_adopted_changes_nothing() -> None:
    stack = Stack(plan(ONE, listeners=(Listener("127.0.0.1"),)), {ONE: saying(b"one")})
    async with serving(stack) as addresses:
        with pytest.raises(ConfigError):
            stack.adopt(plan(App("no_such_module:app")))
        async with await connect(addresses[0]) as stream:
            assert await ask(stream) == b"one"


# -- clocks ------------------------------------------------------------------------------------------------------------


@BOTH
async def test_a_test_clock_is_held_while_a_folder_is_read(
    portable: bool, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Rule 13: threads of trio's count as well; here 1 ms of keep-alive would run out in no time."""
    for number in range(3000):
        (tmp_path / f"{number}.txt").touch()
    routes = (Route(static=Static(tmp_path, listing=True)),)
    server = Server(timeouts=Timeouts(send_gap=0.001, linger=0.001))
    stack = Stack(compose(Config(server, (Listener("127.0.0.1"),), routes=routes)), portable=portable)
    async with serving(stack) as addresses, await connect(addresses[0]) as stream:
        before = trio.current_time()
        assert b"2999.txt" in await ask(stream)
        assert trio.current_time() == before


@BOTH
async def test_a_test_clock_is_held_while_an_application_works(portable: bool, autojump_clock: MockClock) -> None:
    """Rule 13: nothing runs out meanwhile; afterwards the clock jumps as before."""
    gate, arrived = threading.Event(), threading.Event()

    def slow(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        arrived.set()
        assert gate.wait(PATIENCE)
        start_response("200 OK", [])
        return [b"slow"]

    stack = Stack(plan(ONE, listeners=(Listener("127.0.0.1"),)), {ONE: slow}, portable=portable)
    async with serving(stack) as addresses:
        stream = await connect(addresses[0])
        async with stream, trio.open_nursery() as nursery:
            said: list[bytes] = []

            async def client() -> None:
                said.append(await ask(stream))
                said.append(await stream.receive_some())  # until keep-alive has run out, in no time

            before = trio.current_time()
            nursery.start_soon(client)
            while not arrived.is_set():
                await trio.lowlevel.checkpoint()
            await wait_all_tasks_blocked(0.01)
            assert trio.current_time() == before
            gate.set()
        assert said == [b"slow", b""]
        assert 75 <= trio.current_time() - before <= 77


async def test_one_connection_over_any_stream(autojump_clock: MockClock) -> None:
    """`serve_stream`: memory streams in a user's own tests."""
    stack = Stack(plan(ONE), {ONE: saying(b"one")}, portable=True)
    async with serving(stack), trio.open_nursery() as nursery:
        ours, theirs = memory_stream_pair()
        nursery.start_soon(stack.serve_stream, theirs)
        assert await ask(ours) == b"one"
        assert await ours.receive_some() == b""


# -- the log -----------------------------------------------------------------------------------------------------------


@BOTH
async def test_lines_are_on_file_soon_and_at_the_end(portable: bool, tmp_path: Path, autojump_clock: MockClock) -> None:
    """Rule 14: within 0.2 s, and always before exit."""
    log = AccessLog(str(tmp_path / "access.log"))
    stack = Stack(plan(ONE, listeners=(Listener("127.0.0.1"),)), {ONE: saying(b"one")}, log, portable=portable)
    async with serving(stack) as addresses, await connect(addresses[0]) as stream:
        await ask(stream, "/first")
        await trio.sleep(0.25)
        assert "GET /first" in (tmp_path / "access.log").read_text()
        await ask(stream, "/second")
    assert (tmp_path / "access.log").read_text().count("GET /") == 2
    log.close()


# -- without epoll -----------------------------------------------------------------------------------------------------


async def test_a_system_without_epoll_gets_the_portable_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Design §4: every system but Linux."""
    monkeypatch.delattr("select.epoll")
    monkeypatch.delattr("os.eventfd", raising=False)
    (tmp_path / "page.txt").write_text("a page")
    made = compose(Config(Server(), (Listener("127.0.0.1"),), routes=(Route(static=Static(tmp_path)),)))
    stack = Stack(made)
    async with serving(stack) as addresses, await connect(addresses[0]) as stream:
        assert await ask(stream, "/page.txt") == b"a page"
