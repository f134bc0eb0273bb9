"""Bodies on their way: answers that come early, streams both ways, limits. Time is virtual."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from running import edge
from scripted import OK, Behind, Body, Section, Wire, hangs, says, whole
from trio.testing import MockClock

from edgestack.errors import ClientError, Disconnected

GROUP = "http://group"
LARGE = b"x" * 300_000
STREAMED = Section(GROUP, request_buffering=False)


async def head_only(wire: Wire) -> bytes:
    """Read no more than the head."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += await wire.stream.receive_some(1)
    return data


async def says_no(wire: Wire) -> None:
    """413 before the body was read; then it closes."""
    await head_only(wire)
    await wire.send(whole(413, b"too much", "Connection: close"))
    await wire.close()


@pytest.mark.parametrize("section", [Section(GROUP), STREAMED], ids=["buffered", "streamed"])
@pytest.mark.parametrize("narrow", [False, True])
async def test_an_early_no(nursery: trio.Nursery, section: Section, narrow: bool) -> None:
    """What says no ends the sending; the client gets it, and the link is not kept (B15)."""
    behind = Behind(nursery, {8001: [says_no, says(OK)]}, section, narrow=narrow)
    got = await behind.ask("PUT", body=Body(LARGE, LARGE, length=600_000))
    assert (got.status, got.body, got.attempts) == (413, b"too much", [("8001", 413)])
    assert (await behind.ask()).status == 200
    assert len(behind.dialed) == 2


async def test_an_early_no_to_a_small_body(nursery: trio.Nursery) -> None:
    """It left before the request was sent, and had said why."""

    async def rude(wire: Wire) -> None:
        await wire.send(whole(408, b"bye", "Connection: close"))
        await wire.close()

    behind = Behind(nursery, {8001: [rude]})
    got = await behind.ask("PUT", body=Body(b"small", length=5))
    assert (got.status, got.body) == (408, b"bye")


@pytest.mark.parametrize("section", [Section(GROUP), STREAMED], ids=["buffered", "streamed"])
async def test_an_upstream_that_answers_as_it_reads(nursery: trio.Nursery, section: Section) -> None:
    """Neither side is stuck, however large the body is."""

    async def echoes(wire: Wire) -> None:
        await head_only(wire)
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n")
        left = 600_000
        while left:
            data = await wire.stream.receive_some(10_000)
            left -= len(data)
            await wire.send(data.upper())

    behind = Behind(nursery, {8001: [echoes]}, section, narrow=True)
    got = await behind.ask("PUT", body=Body(LARGE, LARGE, length=600_000))
    assert (got.status, got.body, got.broken) == (200, b"X" * 600_000, None)
    assert behind.peer(8001).conns == 0


async def test_a_whole_answer_before_the_end(nursery: trio.Nursery) -> None:
    """A 200 that does not care for the rest: given at once, the link is not kept."""

    async def careless(wire: Wire) -> None:
        await head_only(wire)
        await wire.send(OK)
        await trio.sleep_forever()

    behind = Behind(nursery, {8001: [careless]}, narrow=True)
    got = await behind.ask("PUT", body=Body(LARGE, length=300_000))
    assert (got.status, got.body) == (200, b"ok")
    assert behind.peer(8001).conns == 0


async def test_reading_waits_for_sending(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """A23: a slow upload is not the upstream's silence; its gap begins when all is sent."""
    section = Section(GROUP, request_buffering=False, read_timeout=3.0)
    behind = Behind(nursery, {8001: [says(OK)]}, section)
    got = await behind.ask("PUT", body=Body(b"a", b"b", b"c", length=3, wait=10.0))
    assert (got.status, trio.current_time()) == (200, pytest.approx(30.0))
    behind = Behind(nursery, {8001: [hangs()]}, section)
    got = await behind.ask("PUT", body=Body(b"a", b"b", b"c", length=3, wait=10.0))
    assert (got.status, trio.current_time()) == (504, pytest.approx(63.0))


@pytest.mark.parametrize("error", [ClientError("too slow", 408), Disconnected()])
async def test_a_client_that_fails(nursery: trio.Nursery, error: ClientError) -> None:
    """Its own error, nobody else is asked or blamed, and the upstream sees its connection close."""

    class Failing(Body):
        async def __aiter__(self):  # type: ignore[no-untyped-def, override]
            yield b"some"
            raise error

    behind = Behind(nursery, {8001: [says(OK)], 8002: [says(OK)]}, STREAMED)
    got = await behind.ask("PUT", body=Failing(length=10))
    assert (got.status, len(got.attempts), behind.dialed) == (error.status, 1, [8001])
    assert (behind.peer(8001).fails, behind.peer(8001).conns) == (0, 0)


@pytest.mark.parametrize("length", [None, 2_000_000])
async def test_a_stream_that_is_too_large(nursery: trio.Nursery, length: int | None) -> None:
    """413: before anybody is asked where the length is announced, else when it is known."""
    behind = Behind(nursery, {8001: [says(OK)]}, STREAMED)
    got = await behind.ask("PUT", body=Body(b"x" * (1 << 20), b"y", length=length))
    assert got.status == 413
    assert behind.dialed == ([] if length else [8001])


@pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])
async def test_a_slow_client(tmp_path: Path, portable: bool) -> None:
    """B14: with buffering the upstream is free as soon as it has given all, however slow the client is."""
    config = """
    [[route]]
    match = "/"
    proxy = "http://{one}"
    """
    free = trio.Event()

    async def large(wire: Wire) -> None:
        await wire.request()
        await wire.send(whole(200, b"x" * 20_000_000))
        free.set()
        await wire.request()

    async with edge(tmp_path, config, {"one": [large]}, portable=portable) as running:
        client = await running.connect()
        await client.stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await client.until(b"\r\n\r\n")
        await free.wait()
        while running.stack.upstreams()[0].peers[0].active:
            await trio.sleep(0.01)
        assert await client.exactly(20_000_000) == b"x" * 20_000_000


@pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])
async def test_an_upload_that_streams(tmp_path: Path, portable: bool) -> None:
    """request_buffering off: the upstream has the first piece before the last was sent; the client's 100 comes when
    the body is wanted, and Expect goes no further."""
    config = """
    [[route]]
    match = "/"
    proxy = { to = "http://{one}", request_buffering = false }
    """
    first = trio.Event()

    async def reads(wire: Wire) -> None:
        head = await head_only(wire)
        assert b"xpect" not in head
        assert await wire.stream.receive_some(100) == b"first"
        first.set()
        assert await wire.stream.receive_some(100) == b" last"
        await wire.send(OK)
        await wire.request()

    async with edge(tmp_path, config, {"one": [reads]}, portable=portable) as running:
        client = await running.connect()
        await client.stream.send_all(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
        assert (await client.answer()).status == 100
        await client.stream.send_all(b"first")
        await first.wait()
        await client.stream.send_all(b" last")
        assert (await client.answer()).body == b"ok"


FAULTS = [
    ("closes", b"", True),
    ("closes within the head", b"HTTP/1.1 200 OK\r\n", True),
    ("no HTTP", b"nonsense\r\n\r\n", True),
    ("closes after 100", b"HTTP/1.1 100 Continue\r\n\r\n", True),
    ("101 unasked", b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", True),
    ("silent", b"", False),
    ("silent within the head", b"HTTP/1.1 200 OK\r\n", False),
    ("a listed status", whole(503, b"busy"), False),
    ("a listed status in chunks", b"HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", False),
]


@pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])
@pytest.mark.parametrize(("said", "close"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
async def test_faults_on_kept_connections(tmp_path: Path, said: bytes, close: bool, portable: bool) -> None:
    """A16, A20 where callbacks met the fault and a task goes on: the client never sees it."""
    config = """
    [upstream.group]
    servers = ["{one}", "{two}"]
    [[route]]
    match = "/"
    [route.proxy]
    to = "http://group"
    read_timeout = "150ms"
    next_upstream = ["error", "timeout", "invalid_header", "http_503"]
    """

    async def faulty(wire: Wire) -> None:
        await wire.request()
        await wire.send(OK)
        await wire.request()
        if said:
            await wire.send(said)
        if close:
            await wire.close()
        else:
            await wire.request()

    scripts = {"one": [faulty, says(OK, OK)], "two": [says(*[OK] * 9)]}
    async with edge(tmp_path, config, scripts, portable=portable) as running:
        client = await running.connect()
        answers = [await client.ask("/") for _ in range(4)]
        assert [(answer.status, answer.body) for answer in answers] == [(200, b"ok")] * 4
        assert [len(one) for one in await running.attempts(4)] == [1, 1, 2, 1]
        assert [peer.active for peer in running.stack.upstreams()[0].peers] == [0, 0]
