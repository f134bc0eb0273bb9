"""Large files on the thread for files: who writes when, and what becomes of those that end otherwise."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
import trio
from lot_kit import GET, PATIENCE, Client, Kit, open_lot

from edgestack.http.bodies import FileSegment, OpenFile, Outlet
from edgestack.http.messages import Exchange, Response
from edgestack.wire import mover, sender, sending
from edgestack.wire.mover import Move

SIZE = 4_000_000
"""More than a socket pair takes at once, many times over."""
SMALL = b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(autouse=True)
def every_socket_is_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a socket pair hold 200 KiB."""
    monkeypatch.setattr(sender, "DEEP", 1)
    monkeypatch.setattr(sending, "DEEP", 1)


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    data = os.urandom(SIZE)
    (tmp_path / "file").write_bytes(data)
    return data


class Files:
    """Answers with the file, or with a word for /small; keeps the exchanges."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.segment = FileSegment(OpenFile(os.open(path, os.O_RDONLY)), 0, SIZE)

    def __call__(self, exchange: Exchange) -> Response:
        if exchange.request.target == "/small":
            return Response(200, (), b"small")
        return Response(200, (), self.segment, SIZE)


def files_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "edgestack files"]


async def begin(kit: Kit) -> Client:
    """A client that has asked for the file, which the thread has now."""
    client = kit.connect()
    client.sock.send(GET)
    with trio.fail_after(PATIENCE):
        while move_of(client) is None:
            await trio.lowlevel.checkpoint()
    return client


def move_of(client: Client) -> Move | None:
    return getattr(client.connection.holder, "_move", None)


async def body_of(client: Client, size: int = SIZE) -> bytes:
    """What comes of the answer's body, to its end or that of the connection."""
    said = b""
    while b"\r\n\r\n" not in said:
        said += await client.read()
    head, _, rest = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    body = bytearray(rest)
    while len(body) < size and (piece := await client.read()):
        body += piece
    return bytes(body)


async def until_finished(kit: Kit, count: int) -> None:
    with trio.fail_after(PATIENCE):
        while len(kit.finished) < count:
            await trio.lowlevel.checkpoint()


async def test_a_file_larger_than_the_socket_leaves_on_the_thread(tmp_path: Path, content: bytes) -> None:
    """All of it, to several clients; the connection goes on; another one is answered meanwhile."""
    async with open_lot(Files(tmp_path / "file")) as kit:
        clients = [await begin(kit) for _ in range(3)]
        assert len(files_threads()) == 1
        assert {client.connection.interest for client in clients} == {0}
        other = kit.connect()
        other.sock.send(SMALL)
        await other.answer(b"small")
        for client in clients:
            assert await body_of(client) == content
            client.sock.send(SMALL)
            await client.answer(b"small")
        assert sorted(kit.finished) == [(200, 5)] * 4 + [(200, SIZE)] * 3
    assert not files_threads()


async def test_the_thread_begins_with_the_first_such_file(tmp_path: Path, content: bytes) -> None:
    async with open_lot(Files(tmp_path / "file")) as kit:
        client = kit.connect()
        client.sock.send(SMALL)
        await client.answer(b"small")
        assert not files_threads()


async def test_bytes_behind_the_file_follow_it(tmp_path: Path, content: bytes) -> None:
    """An application's stream with a file in its midst."""
    file = Files(tmp_path / "file").segment

    def script(outlet: Outlet) -> None:
        outlet.head(Response(200, (), b"", SIZE + 10))
        outlet.piece(b"first")
        outlet.file(file)
        outlet.piece(b"after")
        outlet.finish()

    async with open_lot(lambda exchange: script) as kit:  # type: ignore[arg-type,return-value]
        client = await begin(kit)
        assert await body_of(client, SIZE + 10) == b"first" + content + b"after"
        await until_finished(kit, 1)
        assert kit.finished == [(200, SIZE + 10)]


async def test_a_client_that_leaves(tmp_path: Path, content: bytes) -> None:
    async with open_lot(Files(tmp_path / "file")) as kit:
        client = await begin(kit)
        client.sock.close()
        await until_finished(kit, 1)
        assert client.connection.closed
        [(status, sent)] = kit.finished
        assert status == 200
        assert 0 < sent < SIZE


async def test_a_file_that_becomes_shorter_breaks_the_connection(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_lot(Files(tmp_path / "file")) as kit:
        client = await begin(kit)
        os.truncate(tmp_path / "file", 1_500_000)
        got = await body_of(client)
        assert got == content[: len(got)]
        assert len(got) <= 1_500_000
        await until_finished(kit, 1)
        assert kit.finished == [(200, len(got))]
    assert "bytes shorter while it was sent" in caplog.text


async def test_a_client_that_takes_nothing_runs_out_of_time(tmp_path: Path, content: bytes) -> None:
    """`timeouts.send_gap`: each write on the thread prolongs it."""
    async with open_lot(Files(tmp_path / "file")) as kit:
        client = await begin(kit)
        connection = client.connection
        early = connection.deadline
        taken = await client.read(500_000)
        with trio.fail_after(PATIENCE):
            while connection.deadline == early:
                await trio.lowlevel.checkpoint()
        kit.lot._expire(connection, connection.deadline)
        assert connection.closed
        assert move_of(client) is None
        await until_finished(kit, 1)
        assert len(taken) < kit.finished[0].bytes_out < SIZE


async def test_what_is_posted_for_an_answer_that_was_dropped_does_nothing(tmp_path: Path, content: bytes) -> None:
    """The thread gives back, and before the loop hears of it the deadline passes."""
    async with open_lot(Files(tmp_path / "file")) as kit:
        client = await begin(kit)
        move = move_of(client)
        assert move is not None
        assert kit.lot.mover is not None
        assert kit.lot.mover.withdraw(move)
        assert not kit.lot.mover.withdraw(move)
        kit.lot.post(move.back)
        kit.lot._expire(client.connection, client.connection.deadline)
        await until_finished(kit, 1)
        client.sock.close()
        other = kit.connect()
        other.sock.send(SMALL)
        await other.answer(b"small")
        assert kit.lot.statistics.failures == 0
        assert len(kit.finished) == 2


async def test_the_lot_stops_while_files_leave(tmp_path: Path, content: bytes) -> None:
    """Nobody writes to a socket that was closed, and the thread ends."""
    async with open_lot(Files(tmp_path / "file")) as kit:
        clients = [await begin(kit) for _ in range(3)]
    assert all(client.connection.closed for client in clients)
    assert not files_threads()
    assert len(kit.finished) == 3


async def test_a_bug_in_what_comes_after_ends_this_connection_only(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The boundary around what the thread posts."""
    async with open_lot(Files(tmp_path / "file")) as kit:
        victim, other = await begin(kit), await begin(kit)
        holder: Any = victim.connection.holder
        monkeypatch.setattr(type(holder), "_reclaim", broken(holder, type(holder)._reclaim))
        assert len(await body_of(victim)) <= SIZE
        assert await body_of(other) == content
        await until_finished(kit, 2)
        assert kit.lot.statistics.failures == 1
        assert victim.connection.closed
        assert not other.connection.closed


def broken(victim: object, real: Any) -> Any:
    """A `_reclaim` that fails once, for one Sender."""
    failed: list[bool] = []

    def reclaim(self: object, move: Move) -> None:
        if self is victim and not failed:
            failed.append(True)
            raise RuntimeError("a bug")
        real(self, move)

    return reclaim


async def test_under_a_test_clock_the_loop_writes(
    tmp_path: Path, content: bytes, mock_clock: trio.testing.MockClock
) -> None:
    async with open_lot(Files(tmp_path / "file")) as kit:
        client = kit.connect()
        client.sock.send(GET)
        assert await body_of(client) == content
        assert kit.lot.mover is None
        assert not files_threads()


async def test_a_bug_on_the_thread_gives_the_file_back(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The boundary there: the thread lives, and the loop goes on with what is left of this file."""
    failed: list[bool] = []

    def wrote(self: object) -> None:
        if not failed:
            failed.append(True)
            raise RuntimeError("a bug")

    async with open_lot(Files(tmp_path / "file")) as kit:
        monkeypatch.setattr(sender.Sender, "_wrote", wrote)
        first, other = await begin(kit), await begin(kit)
        assert await body_of(first) == content
        assert await body_of(other) == content
        assert len(files_threads()) == 1
    assert failed
    assert "RuntimeError: a bug" in caplog.text


def test_a_rest_is_short_for_a_deep_socket() -> None:
    """At ten gigabits a second a rest must not empty it: it was woken with two thirds of what it holds under way."""
    assert mover.REST * 10e9 / 8 < 2.5 * mover.DEEP
