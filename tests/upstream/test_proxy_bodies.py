"""Bodies on their way: answers that come early, streams both ways, limits. Time is virtual."""

from __future__ import annotations

import pytest
import trio
from scripted import OK, Behind, Body, Section, Wire, hangs, says, stand, whole
from trio.testing import MockClock

from edgestack import testing
from edgestack.errors import ClientError, Disconnected
from edgestack.testing.acts import Act
from edgestack.testing.fixtures import AsyncEdges

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


# --- of a running edge ------------------------------------------------------------------------------------------------

DRIVERS = pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])


@DRIVERS
async def test_a_slow_client(edge_trio: AsyncEdges, portable: bool) -> None:
    """B14: with buffering the upstream is free as soon as it has given all, however slow the client is."""
    edge_trio.upstream("one").replies(body=b"x" * 20_000_000)
    site = await edge_trio(proxy="http://one", tls=False, portable=portable)
    client = await site.connect()
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    data = await client.receive()
    while site.statistics()["upstreams"]["one"]["one"].active:
        await trio.sleep(0.01)
    head, _, begun = data.partition(b"\r\n\r\n")
    assert b"Content-Length: 20000000\r\n" in head
    left = 20_000_000 - len(begun)
    while left:
        piece = await client.receive()
        assert piece == b"x" * len(piece) != b""
        left -= len(piece)


@DRIVERS
async def test_an_upload_that_streams(edge_trio: AsyncEdges, nursery: trio.Nursery, portable: bool) -> None:
    """request_buffering off: the upstream has the first piece before the last was sent; the client's 100 comes when
    the body is wanted, and Expect goes no further."""
    first = trio.Event()

    async def reads(wire: Wire) -> None:
        head = await head_only(wire)
        assert b"xpect" not in head
        assert await wire.stream.receive_some(100) == b"first"
        first.set()
        assert await wire.stream.receive_some(100) == b" last"
        await wire.send(OK)
        await wire.request()

    one = await stand(nursery, reads)
    text = f"""
    [[route]]
    match = "/"
    proxy = {{ to = "http://{one}", request_buffering = false }}
    """
    site = await edge_trio(text=text, tls=False, portable=portable)
    client = await site.connect()
    await client.talk("""
        >> PUT / HTTP/1.1
        >> Host: x
        >> Content-Length: 10
        >> Expect: 100-continue
        >>
        << HTTP/1.1 100 Continue
        <<
        >| first
    """)
    await first.wait()
    await client.talk(">|  last\n<~ 200")


FAULTS: dict[str, Act] = {
    "closes": testing.says(b"", close=True),
    "closes within the head": testing.says("HTTP/1.1 200 OK\r\n", close=True),
    "no HTTP": testing.says("nonsense\r\n\r\n", close=True),
    "closes after 100": testing.says("HTTP/1.1 100 Continue\r\n\r\n", close=True),
    "101 unasked": testing.says("HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", close=True),
    "silent": testing.hangs(),
    "silent within the head": testing.says("HTTP/1.1 200 OK\r\n"),
    "a listed status": testing.replies(503, body="busy"),
    "a listed status in chunks": testing.says("HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"),
}
GROUP_OF_TWO = """
[upstream.group]
servers = ["one", "two"]
[[route]]
match = "/"
[route.proxy]
to = "http://group"
read_timeout = "150ms"
next_upstream = ["error", "timeout", "invalid_header", "http_503"]
"""


@DRIVERS
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_faults_on_kept_connections(edge_trio: AsyncEdges, fault: Act, portable: bool) -> None:
    """A16, A20 where callbacks met the fault and a task goes on: the client never sees it."""
    ok = testing.replies(body="ok")
    edge_trio.upstream("one").sequence(ok, fault, ok)
    edge_trio.upstream("two").sequence(ok)
    site = await edge_trio(text=GROUP_OF_TWO, tls=False, portable=portable)
    client = await site.connect()
    answers = [await client.request("GET", "/") for _ in range(4)]
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"ok")] * 4
    assert [len(record.attempts) for record in site.log] == [1, 1, 2, 1]
    assert [peer.active for peer in site.statistics()["upstreams"]["group"].values()] == [0, 0]
