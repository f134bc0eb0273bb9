"""`Stack.adopt`: what is unchanged is not touched, what is new comes before the old is left, errors change nothing."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from edgestack.compose import Plan, compose
from edgestack.config.load import load
from edgestack.config.model import App
from edgestack.errors import ConfigError
from edgestack.phases.access_log import AccessLog
from edgestack.stack import Stack

PATIENCE = 20.0

pytestmark = pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])


class Gate:
    """An application that waits in the middle of its answer."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.entered.set()
        assert self.open.wait(PATIENCE)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"gate, {threading.current_thread().name}".encode()]


def plain(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"plain"]


class Edge:
    """A running stack whose configuration is written anew."""

    def __init__(self, folder: Path, portable: bool) -> None:
        self.folder = folder
        self.portable = portable
        self.applications: dict[App, Any] = {}
        self.stack: Stack

    def plan(self, text: str) -> Plan:
        path = self.folder / "edgestack.toml"
        path.write_text(text)
        return compose(load(path).config)

    def adopt(self, text: str, **more: Any) -> None:
        self.stack.adopt(self.plan(text), self.applications, **more)

    def sockets(self) -> list[socket.socket]:
        return [sock for _, sock in self.stack._places.pairs]

    def port(self, at: int = 0) -> int:
        return int(self.sockets()[at].getsockname()[1])

    def connect(self, at: int = 0, trust: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
        if trust is not None:
            return http.client.HTTPSConnection("localhost", self.port(at), timeout=PATIENCE, context=trust)
        return http.client.HTTPConnection("127.0.0.1", self.port(at), timeout=PATIENCE)

    async def ask(self, connection: http.client.HTTPConnection, path: str = "/") -> tuple[int, str, str]:
        """Status, body, and what the Connection field says."""
        return await trio.to_thread.run_sync(exchange, connection, path)

    async def get(self, path: str = "/", at: int = 0, trust: ssl.SSLContext | None = None) -> tuple[int, str]:
        with closing(self.connect(at, trust)) as connection:
            return (await self.ask(connection, path))[:2]


def exchange(connection: http.client.HTTPConnection, path: str) -> tuple[int, str, str]:
    connection.request("GET", path)
    with connection.getresponse() as response:
        return response.status, response.read().decode(), response.getheader("Connection", "")


@asynccontextmanager
async def serving(
    folder: Path, portable: bool, text: str, access_log: AccessLog | None = None, **applications: Any
) -> AsyncIterator[Edge]:
    edge = Edge(folder, portable)
    for name in applications:
        (folder / f"{name}.py").write_text("")  # what is named has to be there; the object is given
    edge.applications = {App(f"{name}:app", folder): app for name, app in applications.items()}
    edge.stack = Stack(edge.plan(text), edge.applications, access_log, portable=portable)
    async with trio.open_nursery() as nursery:
        await nursery.start(edge.stack.serve)
        yield edge
        assert await edge.stack.drain(0.0) == []
        nursery.cancel_scope.cancel()
    if access_log is not None:
        access_log.close()


ONE = """
[server]
bind = "127.0.0.1:0"
tls = false
"""


def saying(text: str, head: str = ONE) -> str:
    return f'{head}\n[[route]]\nrespond = "{text}"\n'


async def test_new_exchanges_take_the_new_plan_on_the_same_socket(tmp_path: Path, portable: bool) -> None:
    async with serving(tmp_path, portable, saying("one")) as edge:
        (sock,) = edge.sockets()
        with closing(edge.connect()) as connection:
            assert (await edge.ask(connection))[:2] == (200, "one")
            edge.adopt(saying("two"))
            assert edge.sockets() == [sock]
            assert (await edge.ask(connection))[:2] == (200, "two")
        assert await edge.get() == (200, "two")


async def test_what_is_in_flight_ends_on_the_old_chain(tmp_path: Path, portable: bool) -> None:
    gate = Gate()
    text = f'{ONE}\n[[route]]\napp = "gate:app"\n'
    async with serving(tmp_path, portable, text, gate=gate) as edge:
        answers: list[tuple[int, str]] = []

        async def ask() -> None:
            answers.append(await edge.get())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.to_thread.run_sync(gate.entered.wait, PATIENCE)
            edge.adopt(saying("new"))
            assert await edge.get() == (200, "new")
            assert not answers
            gate.open.set()
        assert answers == [(200, "gate, app-1")]


async def test_an_application_of_an_unchanged_section_stays_and_a_new_one_comes(tmp_path: Path, portable: bool) -> None:
    text = f'{ONE}\n[[route]]\napp = "one:app"\n'
    async with serving(tmp_path, portable, text, one=plain) as edge:
        edge.applications = {App("one:app", tmp_path): Gate()}  # not asked for: the section is unchanged
        (tmp_path / "adopted_two.py").write_text(
            "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'two']\n"
        )
        edge.adopt(text + '[[route]]\nmatch = "/two"\napp = "adopted_two:app"\n')
        assert await edge.get("/") == (200, "plain")
        assert await edge.get("/two") == (200, "two")


@pytest.mark.parametrize(
    "broken",
    [
        ONE + '[[route]]\napp = "adopt_broken:app"\n',
        ONE.replace("tls = false", "tls = true") + '[tls]\ncert = "x.pem"\nkey = "x.pem"\n[[route]]\nrespond = 200\n',
        saying("x", ONE.replace('"127.0.0.1:0"', '["127.0.0.1:0", "127.0.0.1:{taken}"]')),
    ],
    ids=["import", "certificate", "address in use"],
)
async def test_an_error_changes_nothing(tmp_path: Path, portable: bool, broken: str) -> None:
    (tmp_path / "adopt_broken.py").write_text("raise RuntimeError('at its import')\n")
    (tmp_path / "x.pem").write_text("nothing\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with serving(tmp_path, portable, saying("old")) as edge:
            before = edge.sockets(), edge.stack.threads, edge.stack.certificates, len(os.listdir("/proc/self/fd"))
            with pytest.raises((ConfigError, OSError)):
                edge.adopt(broken.replace("{taken}", str(taken.getsockname()[1])).replace("bind", "threads = 3\nbind"))
            after = edge.sockets(), edge.stack.threads, edge.stack.certificates, len(os.listdir("/proc/self/fd"))
            assert after == before
            assert await edge.get() == (200, "old")
            edge.adopt(saying("new"))
            assert await edge.get() == (200, "new")


async def test_a_listener_comes_and_goes(tmp_path: Path, portable: bool) -> None:
    """One that is gone accepts nobody; its connections get the answer to their next request, and it is the last."""
    path = tmp_path / "b.sock"
    both = ONE.replace('"127.0.0.1:0"', f'["127.0.0.1:0", "unix:{path}"]')
    async with serving(tmp_path, portable, saying("one")) as edge:
        (first,) = edge.sockets()
        edge.adopt(saying("both", both))
        assert edge.sockets()[0] is first
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(path))
            ask = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
            assert b"both" in await trio.to_thread.run_sync(talk, client, ask)
            edge.adopt(saying("gone"))
            assert edge.sockets() == [first]
            with socket.socket(socket.AF_UNIX) as late, pytest.raises(ConnectionRefusedError):
                late.connect(str(path))
            last = await trio.to_thread.run_sync(talk, client, ask)
            assert b"gone" in last
            assert b"Connection: close" in last
            assert await trio.to_thread.run_sync(client.recv, 1) == b""
        assert await edge.get() == (200, "gone")


def talk(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    received = b""
    while not (b"both" in received or b"gone" in received):
        piece = client.recv(65536)
        assert piece, received
        received += piece
    return received


async def test_who_has_connected_to_a_listener_that_goes_is_still_taken_in(tmp_path: Path, portable: bool) -> None:
    both = ONE.replace('"127.0.0.1:0"', '["127.0.0.1:0", "127.0.0.2:0"]')
    async with serving(tmp_path, portable, saying("both", both)) as edge:
        with socket.create_connection(edge.sockets()[1].getsockname(), timeout=PATIENCE) as client:
            edge.adopt(saying("gone"))  # in the same step of the loop: nobody had a chance to accept it before
            assert b"gone" in await trio.to_thread.run_sync(talk, client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def issue(authority: trustme.CA, folder: Path, name: str) -> str:
    leaf = authority.issue_cert("localhost", name)
    leaf.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
    leaf.private_key_pem.write_to_path(str(folder / f"{name}.key"))
    return f'[tls]\ncert = "{name}.pem"\nkey = "{name}.key"\n'


async def test_certificates_and_tls_change_on_the_same_socket(
    tmp_path: Path, portable: bool, authority: trustme.CA
) -> None:
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    one, two = (issue(authority, tmp_path, name) for name in ("one.test", "two.test"))
    secure = ONE.replace("tls = false", "")

    def names(edge: Edge) -> set[str]:
        with (
            socket.create_connection(("127.0.0.1", edge.port()), timeout=PATIENCE) as sock,
            trust.wrap_socket(sock, server_hostname="localhost") as shaken,
        ):
            certificate = shaken.getpeercert()
            assert certificate is not None
            return {str(value) for _, value in certificate["subjectAltName"]}

    async with serving(tmp_path, portable, saying("1", secure + one)) as edge:
        (sock,) = edge.sockets()
        kept = edge.stack.certificates
        with closing(edge.connect(trust=trust)) as connection:
            assert (await edge.ask(connection))[1] == "1"
            edge.adopt(saying("2", secure + one))
            assert edge.stack.certificates is kept
            edge.adopt(saying("3", secure + two))
            assert "two.test" in await trio.to_thread.run_sync(names, edge)
            assert (await edge.ask(connection))[1] == "3"
        edge.adopt(saying("4"))
        assert await edge.get() == (200, "4")
        edge.adopt(saying("5", secure + one))
        assert await edge.get(trust=trust) == (200, "5")
        assert edge.sockets() == [sock]


async def test_threads_are_replaced_when_their_number_changes(tmp_path: Path, portable: bool) -> None:
    gate = Gate()
    text = '{head}\n[[route]]\napp = "gate:app"\n[[route]]\nmatch = "/plain"\napp = "plain:app"\n'
    async with serving(tmp_path, portable, text.format(head=ONE + "threads = 1"), gate=gate, plain=plain) as edge:
        before = edge.stack.threads
        answers: list[tuple[int, str]] = []

        async def ask() -> None:
            answers.append(await edge.get())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.to_thread.run_sync(gate.entered.wait, PATIENCE)
            edge.adopt(text.format(head=ONE + "threads = 1"))
            assert edge.stack.threads is before
            edge.adopt(text.format(head=ONE + "threads = 2"))
            assert edge.stack.threads is not before
            assert await edge.get("/plain") == (200, "plain")  # the only thread of before is taken
            gate.open.set()
        assert answers == [(200, "gate, app-1")]
        assert await trio.to_thread.run_sync(before.stop, PATIENCE)


async def test_limits_keep_their_counters_while_their_section_is_unchanged(tmp_path: Path, portable: bool) -> None:
    text = '{head}\n[[route]]\nrespond = "{body}"\nlimit = {{ rate = "{rate}" }}\n'
    async with serving(tmp_path, portable, text.format(head=ONE, body="one", rate="1/h")) as edge:
        assert await edge.get() == (200, "one")
        assert (await edge.get())[0] == 429
        edge.adopt(text.format(head=ONE, body="two", rate="1/h"))
        assert (await edge.get())[0] == 429
        edge.adopt(text.format(head=ONE, body="three", rate="2/h"))
        assert await edge.get() == (200, "three")


async def test_timeouts_and_limits_hold_for_what_begins_afterwards(tmp_path: Path, portable: bool) -> None:
    async with serving(tmp_path, portable, saying("one")) as edge:
        with closing(edge.connect()) as connection:
            assert await edge.ask(connection) == (200, "one", "")
            edge.adopt(saying("two", ONE + 'keepalive = "0s"\n'))
            assert await edge.ask(connection) == (200, "two", "close")
        edge.adopt(saying("three", ONE + "limits = { request_line = 100 }\n"))
        assert (await edge.get("/" + "x" * 100))[0] == 414
        edge.adopt(saying("four"))
        assert (await edge.get("/" + "x" * 100))[0] == 200


async def test_the_access_log_changes_and_what_is_in_flight_is_noted_in_the_old_one(
    tmp_path: Path, portable: bool
) -> None:
    gate, old, new = Gate(), tmp_path / "old.log", tmp_path / "new.log"
    text = f'{ONE}\n[[route]]\napp = "gate:app"\n[[route]]\nmatch = "/x"\nrespond = "x"\n'
    first = AccessLog(str(old), at_once=True)
    async with serving(tmp_path, portable, text, first, gate=gate) as edge:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(edge.get)
            await trio.to_thread.run_sync(gate.entered.wait, PATIENCE)
            second = AccessLog(str(new), at_once=True)
            edge.adopt(text, access_log=second)
            await edge.get("/x")
            assert first._file._fd >= 0
            gate.open.set()
        with trio.fail_after(PATIENCE):  # the client has its answer before the line is written, and the log closed
            while first._file._fd >= 0:
                edge.stack._logs.flush()
                await trio.lowlevel.checkpoint()
            while not new.read_text():
                await trio.lowlevel.checkpoint()
        assert '"GET / HTTP/1.1" 200' in old.read_text()
        assert [line.split('"')[1] for line in new.read_text().splitlines()] == ["GET /x HTTP/1.1"]
        assert old.read_text().count("\n") == 1
    second.close()


async def test_nothing_is_left_behind_by_many(tmp_path: Path, portable: bool) -> None:
    async with serving(tmp_path, portable, saying("0")) as edge:
        await edge.get()
        before = len(os.listdir("/proc/self/fd"))
        for number in range(20):
            head = ONE + f"threads = {1 + number % 2}\n"
            extra = head.replace('"127.0.0.1:0"', '["127.0.0.1:0", "127.0.0.2:0"]') if number % 3 else head
            edge.adopt(saying(str(number), extra))
            assert await edge.get() == (200, str(number))
        edge.adopt(saying("end"))
        assert len(os.listdir("/proc/self/fd")) <= before
        assert len(edge.stack._earlier) <= 1
