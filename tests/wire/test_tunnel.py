"""Tunnels on the lot (B17): what came too early, both directions, half-close, backpressure, time, the ends, and TLS."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest
import trio
from link_kit import Asked, Server, tls_pair
from lot_kit import Client, Kit, open_lot
from trio.testing import wait_all_tasks_blocked

from edgestack.config.peer_addresses import PeerAddress
from edgestack.errors import Disconnected
from edgestack.http.facts import Facts
from edgestack.http.messages import Response
from edgestack.wire.link import Link
from edgestack.wire.portable_relay import pass_both_ways
from edgestack.wire.tunnel import Passage, Tunnel

UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
BIG = os.urandom(2_000_000)
LETTER = os.urandom(50_000)
"""Several records, which a socket's buffer holds."""


async def soon() -> None:
    await wait_all_tasks_blocked(0.01)


@asynccontextmanager
async def tunnel(
    *, early: bytes = b"", first: bytes = b"", send_buffer: int = 0, receive_buffer: int = 0, **more: Any
) -> AsyncIterator[tuple[Kit, Server, Client]]:
    """A client that has changed over; its 101 is read."""
    server = Server(receive_buffer)
    kit: Kit

    def handle(exchange: Any) -> Any:
        if exchange.request.target != "/":
            return Response(200, (), b"hello")
        return Asked(exchange, kit.lot, server, lambda errand, data: errand.tunnel(data[1:], **more))

    with closing(server):
        async with open_lot(handle) as kit:
            client = kit.connect(send_buffer=send_buffer)
            client.sock.send(UPGRADE + early)
            await soon()
            server.say(b"!" + first)
            said = b""
            while b"\r\n\r\n" not in said:
                said += await client.read()
            head, _, client.received = said.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
            assert b"\r\nUpgrade: echo\r\nConnection: Upgrade\r\n" in head
            assert b"Content-Length" not in head
            assert b"close" not in head
            await soon()
            yield kit, server, client


async def heard(client: Client, size: int) -> bytes:
    """So many bytes, with those that came with the head."""
    said, client.received = client.received, b""
    while len(said) < size and (piece := await client.read()):
        said += piece
    return said


async def test_both_ways() -> None:
    async with tunnel() as (kit, server, client):
        for at in range(5):
            message = b"%d" % at * 64
            client.sock.send(message)
            assert await server.hear(64) == message
            server.say(message[::-1])
            assert await heard(client, 64) == message[::-1]
        assert kit.finished == []
        client.sock.close()
        server.sock.shutdown(socket.SHUT_WR)
        await soon()
        assert [(line.status, line.bytes_out) for line in kit.finished] == [(101, 320)]


async def test_a_message_costs_one_read_and_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 4: a WebSocket round trip is two of each, and no task."""
    async with tunnel() as (kit, server, client):
        tasks = trio.lowlevel.current_statistics().tasks_living
        calls: list[str] = []

        class Counted:
            def __init__(self, sock: Any) -> None:
                self.sock = sock

            def recv(self, most: int) -> bytes:
                calls.append("recv")
                data: bytes = self.sock.recv(most)
                return data

            def send(self, data: bytes) -> int:
                calls.append("send")
                sent: int = self.sock.send(data)
                return sent

        real = client.connection.sock, server.link.sock
        client.connection.sock, server.link.sock = Counted(real[0]), Counted(real[1])  # type: ignore[assignment]
        client.sock.send(b"x" * 64)
        await server.hear(64)
        server.say(b"y" * 64)
        await heard(client, 64)
        await soon()
        client.connection.sock, server.link.sock = real
        assert calls == ["recv", "send"] * 2
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        assert len(kit.lot.table) == 1


async def test_what_came_too_early_goes_first() -> None:
    """B17: bytes already read on both sides are forwarded before anything else."""
    async with tunnel(early=b"early from the client", first=b"early from the server") as (_, server, client):
        assert await heard(client, 21) == b"early from the server"
        assert await server.hear(21) == b"early from the client"
        client.sock.send(b"then")
        assert await server.hear(4) == b"then"


@pytest.mark.parametrize("first", ["client", "server"])
async def test_half_close_passes(first: str) -> None:
    """B17: the other direction goes on; when both have ended the tunnel has."""
    async with tunnel() as (kit, server, client):
        if first == "client":
            client.sock.send(b"last")
            client.sock.shutdown(socket.SHUT_WR)
            assert await server.hear(100) == b"last"
            server.say(b"and you")
            assert await heard(client, 7) == b"and you"
            server.sock.shutdown(socket.SHUT_WR)
            assert await client.ended()
        else:
            server.say(b"last")
            server.sock.shutdown(socket.SHUT_WR)
            assert await heard(client, 100) == b"last"
            client.sock.send(b"and you")
            assert await server.hear(7) == b"and you"
            client.sock.shutdown(socket.SHUT_WR)
        await soon()
        assert server.ended == [None]
        assert kit.lot.table == {}
        assert kit.lot.links == {}


@pytest.mark.parametrize("side", ["client", "server"])
async def test_a_side_that_takes_nothing_holds_the_other_back(side: str) -> None:
    """Bounded: one read at most is owed; nothing is lost, and a half-close behind it arrives behind it."""
    async with tunnel(send_buffer=4096, receive_buffer=4096) as (_, server, client):
        sender = server.sock if side == "client" else client.sock
        left = memoryview(BIG)
        while True:
            try:
                left = left[sender.send(left[:65536]) :]
            except BlockingIOError:
                await soon()
                try:
                    left = left[sender.send(left[:65536]) :]
                except BlockingIOError:
                    break
            await soon()
        passage = client.connection.holder
        assert isinstance(passage, Passage)
        assert len(passage._down.owed) + len(passage._up.owed) <= 65536
        assert len(left) > 1_000_000

        async def rest() -> None:
            at = left
            while at:
                try:
                    at = at[sender.send(at) :]
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(sender)
            sender.shutdown(socket.SHUT_WR)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(rest)
            got = await heard(client, len(BIG)) if side == "client" else await server.hear(len(BIG))
        assert got == BIG
        assert (await client.ended()) if side == "client" else (await server.hear(1) == b"")


@pytest.mark.parametrize("side", ["client", "server"])
async def test_either_side_resets_the_idle_time(side: str, mock_clock: Any) -> None:
    """B17."""
    async with tunnel(gap=10.0) as (kit, server, client):
        for _ in range(3):
            mock_clock.jump(8)
            await soon()
            (client.sock if side == "client" else server.sock).send(b"x")
            await soon()
        assert not client.connection.closed
        mock_clock.jump(11.1)
        await soon()
        assert client.connection.closed
        assert isinstance(server.ended[0], Disconnected)
        assert kit.lot.links == {}
        assert len(kit.finished) == 1


@pytest.mark.parametrize("who", ["client", "server"])
@pytest.mark.parametrize("owing", [False, True])
async def test_a_side_that_breaks(who: str, owing: bool) -> None:
    async with tunnel(send_buffer=4096, receive_buffer=4096) as (kit, server, client):
        if owing:
            (server if who == "client" else client).sock.send(BIG[:100_000])
            await soon()
        (client if who == "client" else server).sock.close()
        (server if who == "client" else client).sock.send(b"x")
        await soon()
        (server if who == "client" else client).sock.close()
        await soon()
        assert len(server.ended) == 1
        assert kit.lot.table == {}
        assert kit.lot.links == {}
        assert kit.lot.statistics.failures == 0


async def test_a_drain_waits_and_a_stop_ends_it() -> None:
    """E10: it counts as a connection in flight, and is not cut before the grace is over."""
    async with tunnel() as (kit, server, client):
        kit.lot.drain()
        kit.lot.close_idle()
        await soon()
        client.sock.send(b"still here")
        assert await server.hear(10) == b"still here"
        kit.lot.stop()
        assert await client.ended()
        assert isinstance(server.ended[0], Disconnected)
        assert [line.status for line in kit.finished] == [101]


def bug(*_: object) -> Any:
    raise RuntimeError("a bug")


@pytest.mark.parametrize("side", ["client", "server"])
async def test_a_bug_costs_its_own_connection(
    side: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Rule 7."""
    async with tunnel() as (kit, server, client):
        other = kit.connect()
        monkeypatch.setattr(Passage, "_pass", bug)
        (client.sock if side == "client" else server.sock).send(b"x")
        await soon()
        assert kit.lot.statistics.failures == 1
        assert len(kit.lot.table) == 1
        assert kit.lot.links == {}
        assert len(server.ended) == 1
        assert len(kit.finished) == 1
        assert "a bug" in caplog.text
        other.sock.send(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        await other.answer()


@pytest.mark.parametrize("order", ["client server", "server client"])
async def test_both_sides_end_in_one_batch(order: str) -> None:
    """Either order: it ends once."""
    async with tunnel() as (kit, server, client):
        lot, passage = kit.lot, client.connection.holder
        assert isinstance(passage, Passage)
        client.sock.shutdown(socket.SHUT_WR)
        server.sock.shutdown(socket.SHUT_WR)
        lot._turning = True
        for side in order.split():
            passage.event(client.connection if side == "client" else server.link, 0x2001)
        lot._turning = False
        lot._settle()
        assert server.ended == [None]
        assert len(kit.finished) == 1
        await soon()
        assert lot.table == {}
        assert lot.statistics.failures == 0


# -- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [64, 500_000])
async def test_through_tls_on_both_sides(size: int) -> None:
    """Records, pieces and half-closes, on a client's TLS and on a server's (B17, B18)."""
    to_client, client = await tls_pair(ours_is_server=True)
    to_server, server = await tls_pair(ours_is_server=False)
    message = os.urandom(size)
    kit: Kit
    link = Server()
    link.link.close()
    link.link = Link(to_server, PeerAddress("127.0.0.1", 9))

    def handle(exchange: Any) -> Any:
        return Asked(exchange, kit.lot, link, lambda errand, data: errand.tunnel(data[1:]))

    with closing(link), closing(client.sock), closing(server.sock):
        async with open_lot(handle) as kit:
            kit.lot.admit(to_client, Facts(scheme="https"), kit.door)
            thread: Any = trio.to_thread.run_sync
            await thread(client.sock.sendall, UPGRADE)
            await soon()
            await thread(server.sock.sendall, b"!")
            said = await thread(client.hear, 1)
            assert said.endswith(b"\r\n\r\n")
            for speaker, hearer in ((server, client), (client, server)):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(thread, speaker.sock.sendall, message)
                    assert await thread(hearer.hear, size) == message
            client.sock.shutdown(socket.SHUT_WR)  # without close_notify: that is how most go
            await soon()
            server.sock.close()
            await soon()
            assert kit.lot.table == {}
            assert kit.lot.links == {}
            assert kit.lot.statistics.failures == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("first", ["client", "server"])
async def test_a_half_close_on_tls_loses_nothing(first: str, version: ssl.TLSVersion) -> None:
    """B17: one side ends while what the other one has sent is unread; each hears all, and then the end."""
    to_client, client = await tls_pair(ours_is_server=True, version=version)
    to_server, server = await tls_pair(ours_is_server=False, version=version)
    one, other = (client, server) if first == "client" else (server, client)
    kit: Kit
    link = Server()
    link.link.close()
    link.link = Link(to_server, PeerAddress("127.0.0.1", 9))
    thread: Any = trio.to_thread.run_sync

    def handle(exchange: Any) -> Any:
        return Asked(exchange, kit.lot, link, lambda errand, data: errand.tunnel(data[1:]))

    with closing(link), closing(client.sock), closing(server.sock):
        async with open_lot(handle) as kit:
            kit.lot.admit(to_client, Facts(scheme="https"), kit.door)
            await thread(client.sock.sendall, UPGRADE)
            await soon()
            await thread(server.sock.sendall, b"!")
            assert (await thread(client.hear, 1)).endswith(b"\r\n\r\n")
            await soon()
            other.sock.sendall(LETTER)  # ours reads none of it before all of this has happened
            one.sock.sendall(LETTER[::-1])
            one.end()
            assert await thread(other.hear, len(LETTER) + 1) == LETTER[::-1]
            await thread(other.sock.sendall, b"and then")
            assert await thread(one.hear, len(LETTER) + 8) == LETTER + b"and then"
            other.end()
            await soon()
            assert kit.lot.table == {}
            assert kit.lot.statistics.failures == 0
            assert link.ended == [None]


@pytest.mark.parametrize("first", ["client", "server"])
async def test_nor_does_it_on_tasks(first: str) -> None:
    """B17, on the portable driver: a client that ends while what a server on TLS has sent is unread; and later."""
    to_server, server = await tls_pair(ours_is_server=False)
    ends = socket.socketpair()
    near, far = [trio.SocketStream(trio.socket.from_stdlib_socket(one)) for one in ends]
    link = Link(to_server, PeerAddress("127.0.0.1", 9))
    ended: list[Any] = []
    thread: Any = trio.to_thread.run_sync
    with closing(link), closing(server.sock):
        async with near, far, trio.open_nursery() as nursery:
            tunnel = Tunnel(link, lambda _, error: ended.append(error))
            server.sock.sendall(LETTER)
            if first == "client":
                await far.send_all(b"bye")
                await far.send_eof()
            else:
                server.end()
            nursery.start_soon(pass_both_ways, PlainClient(near), b"", tunnel, lambda size: None)
            if first == "server":
                await soon()
                await far.send_all(b"bye")
                await far.send_eof()
            assert await thread(server.hear, 4) == b"bye"
            if first == "client":
                server.end()
            heard = b""
            while piece := await far.receive_some():
                heard += piece
            assert heard == LETTER
    assert ended == [None]


class PlainClient:
    """A client of the portable driver, as a tunnel sees it."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream

    async def receive(self) -> bytes:
        return bytes(await self.stream.receive_some())

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def send_eof(self) -> bool:
        await self.stream.send_eof()
        return True
