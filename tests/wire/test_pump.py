"""Bodies of other servers on their way to clients of the lot: framing, backpressure, memory, truncation, both ends."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest
import trio
from link_kit import CHUNKED, UNTIL_CLOSE, Asked, Server, held_by, tls_pair
from lot_kit import GET, Client, Kit, open_lot
from trio.testing import wait_all_tasks_blocked

from edgestack.config.model import Limits, Timeouts
from edgestack.config.peer_addresses import PeerAddress
from edgestack.errors import Disconnected, UpstreamError
from edgestack.http.messages import Flow, Response
from edgestack.wire import pump as pump_module
from edgestack.wire.link import Link
from edgestack.wire.pump import Pump

BIG = os.urandom(3_000_000)


async def soon() -> None:
    await wait_all_tasks_blocked(0.01)


@asynccontextmanager
async def relaying(
    length: int, *, request: bytes = GET, send_buffer: int = 0, flow: Flow | None = None, limits: Limits | None = None,
    timeouts: Timeouts | None = None, **more: Any,
) -> AsyncIterator[tuple[Kit, Server, Client]]:  # fmt: skip
    """A client that has asked; the server's first bytes belong to the body already."""
    server = Server()
    kit: Kit

    def handle(exchange: Any) -> Any:
        if exchange.request.target != "/":
            return Response(200, (), b"hello")
        if flow is not None:
            exchange.flow = flow
        return Asked(exchange, kit.lot, server, lambda errand, data: errand.relay(length, data, **more))

    with closing(server):
        async with open_lot(handle, limits=limits, timeouts=timeouts) as kit:
            client = kit.connect(send_buffer=send_buffer)
            client.sock.send(request)
            await soon()
            yield kit, server, client
            assert kit.lot.spools.held == 0


async def everything(client: Client, end: bytes = b"") -> bytes:
    """What comes until `end`, or the close."""
    said = b""
    while piece := await client.read():
        said += piece
        if end and said.endswith(end):
            break
    return said


def unchunked(data: bytes) -> bytes:
    """The content of chunks, taken apart by hand."""
    whole = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        if not int(size, 16):
            assert data == b"\r\n"
            return whole
        whole, data = whole + data[: int(size, 16)], data[int(size, 16) + 2 :]


@pytest.mark.parametrize("buffering", [True, False])
async def test_a_large_answer_by_its_length(buffering: bool) -> None:
    async with relaying(len(BIG), buffering=buffering) as (kit, server, client):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.say_all, BIG)
            said = await everything(client, BIG[-20:])
        head, _, body = said.partition(b"\r\n\r\n")
        assert b"Content-Length: 3000000" in head
        assert body == BIG
        assert server.ended == [None]
        assert [(line.status, line.bytes_out) for line in kit.finished] == [(200, len(BIG))]
        client.sock.send(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.answer()
        assert client.connection.holder is None


async def test_chunks_are_made_anew() -> None:
    """RFC 9112 §7.1: unknown length goes out in chunks; each piece leaves as it comes (B14)."""
    async with relaying(CHUNKED) as (kit, server, client):
        server.say(b"5;x=y\r\nhel")
        assert (await client.read()).endswith(b"\r\n\r\n3\r\nhel\r\n")
        server.say(b"lo\r\n1\r\n")
        assert await client.read() == b"2\r\nlo\r\n"
        server.say(b"!\r\n0\r\nTrailer: x\r\n\r\n")
        assert await client.read() == b"1\r\n!\r\n0\r\n\r\n"
        await soon()
        assert server.ended == [None]
        assert [(line.status, line.bytes_out) for line in kit.finished] == [(200, 6)]
        assert client.connection.holder is None


async def test_the_first_bytes_of_a_stream_are_not_held_back() -> None:
    """B13, B14."""
    async with relaying(UNTIL_CLOSE) as (_, server, client):
        server.say(b"data: 1\n\n")
        assert (await client.read()).endswith(b"9\r\ndata: 1\n\n\r\n")
        server.say(b"data: 2\n\n")
        assert await client.read() == b"9\r\ndata: 2\n\n\r\n"
        server.sock.shutdown(1)
        assert await client.read() == b"0\r\n\r\n"
        assert server.ended == [None]


@pytest.mark.parametrize("length", [CHUNKED, UNTIL_CLOSE])
async def test_for_a_client_of_http_1_0(length: int) -> None:
    """It learns the end from the close (RFC 9112 §6.3)."""
    request = b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"
    async with relaying(length, request=request) as (_, server, client):
        server.say(b"5\r\nhello\r\n" if length == CHUNKED else b"hello")
        await soon()
        if length == CHUNKED:
            server.say(b"0\r\n\r\n")
        server.sock.shutdown(1)
        said = await everything(client)
        assert said.endswith(b"\r\n\r\nhello")
        assert b"chunked" not in said


async def test_a_head_has_no_body() -> None:
    """E5: what the server should not have sent is not relayed; the link is given up."""
    request = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
    async with relaying(10, request=request) as (kit, server, client):
        server.say(b"12345")
        assert (await client.read()).endswith(b"\r\n\r\n")
        assert len(server.ended) == 1
        assert isinstance(server.ended[0], Disconnected)
        client.sock.send(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.answer()
        assert [line.bytes_out for line in kit.finished] == [0, 5]


TRUNCATED: dict[str, tuple[int, bytes, Callable[[Server], Any]]] = {
    "length": (100, b"some", lambda server: server.sock.shutdown(1)),
    "chunked": (CHUNKED, b"4\r\nsome\r\n", lambda server: server.sock.shutdown(1)),
    "malformed": (CHUNKED, b"4\r\nsome\r\n", lambda server: server.say(b"nonsense\r\n")),
    "reset": (100, b"some", lambda server: server.sock.close()),
}


@pytest.mark.parametrize("how", TRUNCATED)
async def test_the_client_sees_the_truncation(how: str, caplog: pytest.LogCaptureFixture) -> None:
    length, first, end = TRUNCATED[how]
    async with relaying(length) as (kit, server, client):
        server.say(first)
        await soon()
        end(server)
        said = await everything(client)
        assert b"some" in said
        assert not said.endswith(b"0\r\n\r\n")
        assert len(server.ended) == 1
        assert isinstance(server.ended[0], UpstreamError)
        assert [(line.status, line.bytes_out) for line in kit.finished] == [(200, 4)]
        assert kit.lot.statistics.failures == 0
        assert "broken off" in caplog.text


async def test_a_server_that_pauses_for_too_long(mock_clock: Any) -> None:
    """A23: the gap is between two reads, not for all of it."""
    async with relaying(100, gap=5.0) as (kit, server, client):
        server.say(b"some")
        for _ in range(3):
            mock_clock.jump(4)
            await soon()
            server.say(b".")
            await soon()
        assert not client.connection.closed
        mock_clock.jump(6.1)
        await soon()
        said = await everything(client)
        assert said.endswith(b"some...")
        assert isinstance(server.ended[0], UpstreamError)
        assert server.ended[0].status == 504
        assert kit.lot.table == {}


async def test_a_slow_client_does_not_hold_the_link() -> None:
    """B14: with buffering on the server is rid of its answer; memory stays bounded, the rest waits on disk."""
    async with relaying(len(BIG), send_buffer=4096) as (kit, server, client):
        await server.say_all(BIG)
        await soon()
        assert server.ended == [None]
        pump = client.connection.holder
        assert isinstance(pump, Pump)
        assert kit.lot.spools.held > 2_000_000
        assert pump._outbox._in_memory <= 64 * 1024
        assert (await everything(client, BIG[-20:])).endswith(BIG)
        assert client.connection.holder is None


@pytest.mark.parametrize("why", ["off", "spool full", "budget full"])
async def test_a_slow_client_holds_the_link_back(why: str) -> None:
    """Without buffering, or room for it, the server is not read until the client has taken what is owed."""
    limits = {"off": None, "spool full": Limits(spool=300_000), "budget full": Limits(spools=300_000)}[why]
    async with relaying(len(BIG), send_buffer=4096, limits=limits, buffering=why != "off") as (kit, server, client):
        left = memoryview(BIG)
        while moved := server.say(bytes(left[:100_000])):
            left = left[moved:]
            await soon()
        assert len(left) > 1_500_000
        assert server.link.interest == 0
        assert kit.lot.spools.held <= 300_000
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.say_all, bytes(left))
            said = await everything(client, BIG[-20:])
        assert said.endswith(BIG)
        assert server.ended == [None]
        assert [line.bytes_out for line in kit.finished] == [len(BIG)]


async def test_a_link_that_is_held_back_has_no_deadline(mock_clock: Any) -> None:
    """The client's pauses are not the server's."""
    timeouts = Timeouts(send_gap=60.0)
    async with relaying(len(BIG), send_buffer=4096, buffering=False, gap=5.0, timeouts=timeouts) as (_, server, client):
        server.say(BIG[:150_000])
        await soon()
        assert server.link.interest == 0
        mock_clock.jump(20)
        await soon()
        assert not client.connection.closed
        mock_clock.jump(50)
        await soon()
        assert client.connection.closed
        assert isinstance(server.ended[0], Disconnected)


@pytest.mark.parametrize("how", ["FIN", "close"])
@pytest.mark.parametrize("when", ["dry", "full", "paused"])
async def test_a_client_that_leaves(how: str, when: str) -> None:
    """Rule 8: the server's answer is given up, whatever the client was doing."""
    async with relaying(
        len(BIG), send_buffer=0 if when == "dry" else 4096, buffering=when != "paused"
    ) as (kit, server, client):  # fmt: skip
        server.say(BIG[: 10 if when == "dry" else 150_000])
        await soon()
        assert held_by(client.connection) == "Pump"
        if how == "close":
            client.sock.close()
        else:
            client.sock.shutdown(socket.SHUT_WR)
        await soon()
        assert len(server.ended) == 1
        assert isinstance(server.ended[0], Disconnected)
        assert kit.lot.table == {}
        assert kit.lot.links == {}
        assert [line.status for line in kit.finished] == [200]
        assert kit.finished[0].bytes_out < 150_000


async def test_a_half_closed_client_gets_what_the_server_has_given() -> None:
    """Rule 8: once the server is done nobody is kept busy, and the client may be one that closes by halves."""
    async with relaying(len(BIG), send_buffer=4096) as (_, server, client):
        await server.say_all(BIG)
        await soon()
        client.sock.shutdown(socket.SHUT_WR)
        await soon()
        assert (await everything(client)).endswith(BIG)
        assert server.ended == [None]


async def test_the_next_request_waits() -> None:
    async with relaying(10) as (kit, server, client):
        server.say(b"12345")
        await soon()
        client.sock.send(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        await soon()
        assert kit.finished == []
        server.say(b"67890")
        said = await everything(client, b"hello")
        assert b"1234567890HTTP/1.1 200 OK" in said


async def test_an_answer_with_a_pace(mock_clock: Any) -> None:
    """limit_rate: the client gets its bytes a second; the server is rid of them at once."""
    async with relaying(3000, flow=Flow(rate=1000)) as (_, server, client):
        server.say(b"x" * 3000)
        await soon()
        assert server.ended == [None]
        received = len(await client.read())
        assert received < 1500
        for _ in range(4):
            mock_clock.jump(1)
            await soon()
        assert (received + len(await client.read())) > 3000


async def test_the_server_stops() -> None:
    async with relaying(len(BIG), send_buffer=4096) as (kit, server, _):
        server.say(BIG[:150_000])
        await soon()
        kit.lot.stop()
        assert isinstance(server.ended[0], Disconnected)
        assert kit.lot.links == {}
        assert len(kit.finished) == 1


async def test_more_than_was_announced_is_never_sent() -> None:
    server = Server()
    kit: Kit

    def lying(errand: Asked, data: bytes) -> Response:
        return errand.relay(CHUNKED, data).with_(length=3)

    async with open_lot(lambda exchange: Asked(exchange, kit.lot, server, lying)) as kit:
        client = kit.connect()
        client.sock.send(GET)
        await soon()
        server.say(b"5\r\nhello\r\n0\r\n\r\n")
        assert (await everything(client, b"\r\n\r\nhel")).endswith(b"\r\n\r\nhel")
        await soon()
        assert client.received == b""
        assert [line.bytes_out for line in kit.finished] == [3]
    server.close()


async def test_less_than_was_announced_breaks_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    kit: Kit

    def lying(errand: Asked, data: bytes) -> Response:
        return errand.relay(CHUNKED, data).with_(length=9)

    async with open_lot(lambda exchange: Asked(exchange, kit.lot, server, lying)) as kit:
        client = kit.connect()
        client.sock.send(GET)
        await soon()
        server.say(b"5\r\nhello\r\n0\r\n\r\n")
        assert (await everything(client)).endswith(b"\r\n\r\nhello")
        assert "4 bytes shorter" in caplog.text
    server.close()


def bug(*_: object) -> Any:
    raise RuntimeError("a bug")


@pytest.mark.parametrize("where", ["link", "client", "disk", "begin"])
async def test_a_bug_costs_its_own_connection(
    where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Rule 7: both sides of a relay are boundaries; the link is given up, the exchange logged."""
    async with relaying(len(BIG), send_buffer=4096) as (kit, server, client):
        other = kit.connect()
        if where == "begin":
            monkeypatch.setattr(pump_module, "frame", bug)
        server.say(BIG[:150_000])
        await soon()
        if where == "link":
            monkeypatch.setattr(Pump, "_pass", bug)
            server.say(b"x")
        elif where == "client":
            monkeypatch.setattr(Pump, "_write_bytes", bug)
            client.sock.recv(65536)
        elif where == "disk":
            monkeypatch.setattr(os, "pwrite", full)
            server.say(b"x" * 100_000)
        await soon()
        assert kit.lot.statistics.failures == 1
        assert len(kit.lot.table) == 1
        assert kit.lot.links == {}
        assert len(server.ended) == 1
        assert len(kit.finished) == 1
        assert "a bug" in caplog.text or "disk is full" in caplog.text
        other.sock.send(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        await other.answer()


def full(*_: object) -> Any:
    raise OSError("the disk is full")


@pytest.mark.parametrize("first", ["link", "client"])
async def test_the_last_byte_and_the_clients_room_in_one_batch(first: str) -> None:
    """Both sides in one batch, either order: nothing is lost, and the connection goes on."""
    async with relaying(200_000, send_buffer=4096, buffering=False) as (kit, server, client):
        body = BIG[:200_000]
        await server.say_all(body[:150_000])
        await soon()
        said = await client.read(1)
        lot, pump = kit.lot, client.connection.holder
        assert isinstance(pump, Pump)
        server.say(body[150_000:])
        parties: list[tuple[Any, int]] = [(server.link, 1), (client.connection, 4)]
        for party, mask in parties if first == "link" else parties[::-1]:
            if party.interest:
                pump.event(party, mask)
        lot._settle()
        while not said.endswith(body[-20:]):
            said += await client.read()
        assert said.endswith(body)
        await soon()
        assert server.ended == [None]
        assert client.connection.holder is None


@pytest.mark.parametrize("end", ["whole", "close_notify", "cut"])
async def test_from_a_server_that_speaks_tls(end: str) -> None:
    """B18: many records make one piece; a body that the close ends needs no more than that, as with most servers."""
    ours, peer = await tls_pair(ours_is_server=False)
    server = Server()
    server.link.close()
    server.link = Link(ours, PeerAddress("127.0.0.1", 9))
    length = len(BIG) if end == "whole" else UNTIL_CLOSE
    kit: Kit

    def handle(exchange: Any) -> Any:
        return Asked(exchange, kit.lot, server, lambda errand, data: errand.relay(length, data))

    def speak() -> None:
        peer.sock.sendall(BIG)
        if end == "close_notify":
            peer.sock.setblocking(False)
            try:
                peer.sock.unwrap()
            except OSError:
                pass  # the other side does not answer with its own
        if end != "whole":
            peer.sock.close()

    with closing(server), closing(peer.sock):
        async with open_lot(handle) as kit:
            client = kit.connect()
            client.sock.send(GET)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.to_thread.run_sync, speak)
                said = await everything(client, BIG[-20:] if end == "whole" else b"\r\n0\r\n\r\n")
            body = said.partition(b"\r\n\r\n")[2]
            assert (body if end == "whole" else unchunked(body)) == BIG
            assert server.ended == [None]
            assert client.connection.holder is None
