"""How answers leave: in how many calls, in what pieces, in whose turn (rules 9, 11 and 12)."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from lot_kit import GET, Client, Kit, open_lot
from trio.testing import wait_all_tasks_blocked

from edgestack.http.bodies import FileSegment, OpenFile, Outlet
from edgestack.http.messages import Exchange, Response
from edgestack.wire.connection import READABLE, WRITABLE
from edgestack.wire.sender import Sender

KIB = 1024


class Counting(socket.socket):
    """A socket that remembers what it was asked to send."""

    sends: list[int]

    def send(self, data: Any, flags: int = 0) -> int:
        self.sends.append(len(data))
        return super().send(data, flags)


class Reluctant(socket.socket):
    """Plays TLS as OpenSSL does: every other send wants a write first, and then insists on the very same bytes."""

    owed: bytes | None
    reluctant: bool
    broken: list[str]

    def send(self, data: Any, flags: int = 0) -> int:
        data = bytes(data)
        if len(data) > 140 * KIB:
            self.broken.append(f"{len(data)} bytes at once")
        if self.owed is not None and data != self.owed:
            self.broken.append(f"{len(self.owed)} bytes were owed, {len(data)} were offered")
        self.reluctant = not self.reluctant
        if self.reluctant:
            self.owed = data
            raise ssl.SSLWantWriteError
        self.owed = None
        left = memoryview(data)
        while left:
            left = left[super().send(left) :]
        return len(data)

    def pending(self) -> int:
        return 0

    def unwrap(self) -> None:
        if self.owed is not None:
            self.broken.append("close_notify while a record is owed")


def connect(kit: Kit, kind: type[Counting] | type[Reluctant]) -> Client:
    """A client whose other end is such a socket."""
    client = kit.connect()
    plain = client.connection.sock
    kit.lot.watch(client.connection, 0)
    client.connection.sock = made = kind(fileno=plain.detach())
    client.connection.receive, client.connection.send = made.recv, made.send
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * KIB * KIB)
    if isinstance(made, Counting):
        made.sends = []
    else:
        made.owed, made.reluctant, made.broken = None, False, []
        client.connection.tls = True
    kit.lot.watch(client.connection, READABLE)
    return client


def segment(path: Path, size: int) -> FileSegment:
    path.write_bytes(os.urandom(size))
    return FileSegment(OpenFile(os.open(path, os.O_RDONLY)), 0, size)


async def stream(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def later(response: Response) -> Response:
    return response


def said(*pieces: bytes, length: int | None = None) -> Callable[[Outlet], None]:
    """An application's answer."""

    def write(outlet: Outlet) -> None:
        outlet.head(Response(200, (), (), length))
        for piece in pieces:
            outlet.piece(piece)
        outlet.finish()

    return write


def whole(data: bytes) -> Callable[[Outlet], None]:
    return lambda outlet: outlet.whole(Response(200, (), (), len(data)), data)


BODY = os.urandom(900 * KIB)
ONE_SEND: dict[str, Callable[[], Any]] = {
    "at once": lambda: Response(200, (), BODY[:1000]),
    "at once, large": lambda: Response(200, (), BODY[: 300 * KIB]),
    "not found": lambda: Response(404, (), b"not here"),
    "later": lambda: later(Response(200, (), BODY[:1000])),
    "application": lambda: whole(BODY[:1000]),
    "application, one piece": lambda: said(BODY[:1000], length=1000),
    "application, empty": lambda: said(),
}


@pytest.mark.parametrize("kind", ONE_SEND)
async def test_head_and_body_leave_in_one_send(kind: str) -> None:
    """Rule 12."""
    async with open_lot(lambda exchange: ONE_SEND[kind]()) as kit:
        client = connect(kit, Counting)
        client.sock.send(GET)
        await client.read()
        await kit.quiet()
        sock = client.connection.sock
        assert isinstance(sock, Counting)
        assert len(sock.sends) == 1


async def test_a_stream_of_chunks_takes_a_send_for_each() -> None:
    """Rule 12: the head leaves with the first piece."""
    async with open_lot(lambda exchange: said(b"one", b"two")) as kit:
        client = connect(kit, Counting)
        client.sock.send(GET)
        await kit.quiet()
        sock = client.connection.sock
        assert isinstance(sock, Counting)
        assert len(sock.sends) == 3  # head and first chunk, second chunk, last chunk


async def test_a_file_takes_a_head_and_a_sendfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 12."""
    file = segment(tmp_path / "file", 100 * KIB)
    calls = []
    sendfile = os.sendfile

    def counted(*arguments: int) -> int:
        calls.append(arguments[3])
        return sendfile(*arguments)

    monkeypatch.setattr(os, "sendfile", counted)
    async with open_lot(lambda exchange: Response(200, (), file, file.length)) as kit:
        client = connect(kit, Counting)
        client.sock.send(GET)
        await client.read()
        await kit.quiet()
        sock = client.connection.sock
        assert isinstance(sock, Counting)
        assert (len(sock.sends), calls) == (1, [100 * KIB])


@pytest.mark.parametrize(("size", "sends"), [(100, 1), (16 * KIB, 2), (100 * KIB, 2), (140 * KIB, 2), (300 * KIB, 4)])
async def test_a_file_on_tls_shares_the_first_record_with_the_head(size: int, sends: int, tmp_path: Path) -> None:
    """A record has at most 16 KiB (RFC 8446 §5.1): the head fills up with the file, and no record is nearly empty."""
    file = segment(tmp_path / "file", size)
    async with open_lot(lambda exchange: Response(200, (), file, size)) as kit:
        client = connect(kit, Counting)
        client.connection.tls = True
        client.connection.sock.pending = lambda: 0  # type: ignore[attr-defined]
        client.sock.send(GET)
        await client.answer(os.pread(file.fd, size, 0))
        await kit.quiet()
        sock = client.connection.sock
        assert isinstance(sock, Counting)
        assert len(sock.sends) == sends
        assert sock.sends[0] == 16 * KIB or sends == 1


@pytest.mark.parametrize("size", [10 * KIB, 100 * KIB, 900 * KIB])
async def test_what_a_tls_socket_takes_in_part_goes_on_where_it_stopped(size: int, tmp_path: Path) -> None:
    """OpenSSL may write some records of what it is offered, and not the rest (SSL_MODE_ENABLE_PARTIAL_WRITE)."""
    file = segment(tmp_path / "file", size)

    class Frugal(Counting):
        def send(self, data: Any, flags: int = 0) -> int:
            return super().send(memoryview(data)[: (len(data) + 1) // 2], flags)

    async with open_lot(lambda exchange: Response(200, (), file, size)) as kit:
        client = connect(kit, Frugal)
        client.connection.tls = True
        client.connection.sock.pending = lambda: 0  # type: ignore[attr-defined]
        client.sock.send(GET)
        await client.answer(os.pread(file.fd, size, 0))
        await kit.quiet()
        assert [line.status for line in kit.finished] == [200]


FORMS: dict[str, Callable[[Path], Any]] = {
    "small": lambda folder: Response(200, (), BODY[:1000]),
    "as much as fits": lambda folder: Response(200, (), BODY[: 128 * KIB]),
    "larger": lambda folder: Response(200, (), BODY[: 600 * KIB]),
    "file": lambda folder: Response(200, (), segment(folder / "file", 700 * KIB), 700 * KIB),
    "parts": lambda folder: Response(200, (), (b"one", segment(folder / "file", 300 * KIB), b"two"), 300 * KIB + 6),
    "stream": lambda folder: later(Response(200, (), stream(b"a", BODY[: 300 * KIB], b"b"))),
    "application": lambda folder: whole(BODY[: 100 * KIB]),
    "application, as much as fits": lambda folder: whole(BODY[: 128 * KIB]),
    "application, larger": lambda folder: whole(BODY),
    "application, pieces": lambda folder: said(BODY[:10], BODY[: 200 * KIB], BODY[: 129 * KIB], BODY[:5]),
}


@pytest.mark.parametrize("form", FORMS)
async def test_after_a_want_write_the_same_bytes_are_owed(form: str, tmp_path: Path) -> None:
    """Rule 9: to the byte, and nothing else before; pieces of at most 128 KiB (and a head)."""
    async with open_lot(lambda exchange: FORMS[form](tmp_path)) as kit:
        client = connect(kit, Reluctant)
        sock = client.connection.sock
        assert isinstance(sock, Reluctant)
        for _ in range(3):
            client.sock.send(GET)
            while not await received(client):
                await kit.quiet()
            await kit.quiet()
            await received(client)
        assert sock.broken == []
        assert kit.lot.statistics.failures == 0
        assert [line.status for line in kit.finished] == [200] * 3


async def received(client: Client) -> int:
    """How much there is to read now."""
    size = 0
    while True:
        try:
            data = client.sock.recv(1 << 20)
        except BlockingIOError:
            return size
        assert data, "the server closed"
        size += len(data)
        await wait_all_tasks_blocked()


# -- fairness ----------------------------------------------------------------------------------------------------------


async def test_16_pipelined_answers_are_a_turn() -> None:
    """Rule 11: then others come first."""
    order: list[str] = []

    def handle(exchange: Exchange) -> Response:
        order.append(exchange.request.target)
        return Response(200, (), b"x")

    async with open_lot(handle) as kit:
        greedy, modest = kit.connect(), kit.connect()
        greedy.sock.send(b"".join(b"GET /greedy HTTP/1.1\r\nHost: a\r\n\r\n" for _ in range(100)))
        modest.sock.send(b"GET /modest HTTP/1.1\r\nHost: a\r\n\r\n")
        await kit.quiet()
        assert len(order) == 101
        assert order.index("/modest") <= 16


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_a_large_file_is_sent_in_turns(tls: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 11: between two turns of one connection others are answered."""
    turn = Sender.TLS_TURN if tls else Sender.PLAIN_TURN
    size = 4 * turn
    file = segment(tmp_path / "file", size)
    order: list[str] = []
    moved = [0]

    def pretend(out: int, into: int, offset: int, count: int) -> int:
        moved[0] += count
        return count

    class Bottomless(Reluctant):
        def send(self, data: Any, flags: int = 0) -> int:
            moved[0] += len(data)
            return len(data)

    monkeypatch.setattr(os, "sendfile", pretend)

    def handle(exchange: Exchange) -> Response:
        exchange.ends = (lambda ended: order.append(f"{ended.request.target} {moved[0] // turn}"),)
        return Response(200, (), file, size) if exchange.request.target == "/large" else Response(200, (), b"x")

    async with open_lot(handle) as kit:
        large, small = connect(kit, Bottomless if tls else Counting), kit.connect()
        large.sock.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        small.sock.send(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n")
        await kit.quiet()
        assert moved[0] >= size
        assert order[0] in ("/small 1", "/small 2")  # the turn that it began in, and at most the one after
        assert order[1].startswith("/large")
        assert large.connection.interest != WRITABLE
