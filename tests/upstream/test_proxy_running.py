"""Proxied exchanges of a running edge, over sockets, on both drivers."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from edgestack.testing import SeenRequest, hangs, replies, says
from edgestack.testing.fixtures import AsyncEdges

pytestmark = pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])

ONE = """
[[route]]
match = "/"
proxy = "http://one"
"""
TWO = """
[upstream.group]
servers = ["one", "two"]
[[route]]
match = "/"
proxy = { to = "http://group", next_upstream = ["error", "timeout", "http_503"] }
"""
ELSEWHERE = """
[upstream.group]
servers = ["two", "three"]
[[route]]
match = "/"
proxy = "http://one"
errors = { "502" = "/later" }
[[route]]
match = "/later"
proxy = { to = "http://group", next_upstream_timeout = "30s" }
"""
OK = replies(body="ok")


async def test_kept_connections(edge_trio: AsyncEdges, portable: bool) -> None:
    """B7: many requests, one connection upstream; bodies with a length, in chunks, and none at all."""
    one = edge_trio.upstream("one").sequence(
        OK, OK, replies(body=["abc", "de"]), 204, replies(body=b"x" * 300_000), replies(304, fields={"ETag": '"a"'}), OK
    )
    site = await edge_trio(text=ONE, tls=False, portable=portable)
    client = await site.connect()
    bodies = [(await client.request("GET", f"/{at}")).body for at in range(7)]
    assert bodies == [b"ok", b"ok", b"abcde", b"", b"x" * 300_000, b"", b"ok"]
    assert one.connections == 1
    assert site.attempts == [("one", status) for status in (200, 200, 200, 204, 200, 304, 200)]


async def test_heads(edge_trio: AsyncEdges, portable: bool) -> None:
    """HEAD shows what GET would, on a kept connection too."""
    one = edge_trio.upstream("one").sequence(OK, replies(body=b"x" * 99), replies(body=["x"]), OK)
    site = await edge_trio(text=ONE, tls=False, portable=portable)
    client = await site.connect()
    await client.request("GET", "/")
    assert (await client.request("HEAD", "/"))["Content-Length"] == "99"
    assert "Content-Length" not in await client.request("HEAD", "/")
    assert (await client.request("GET", "/")).body == b"ok"
    assert one.connections == 1


async def test_a_dead_kept_connection(edge_trio: AsyncEdges, portable: bool) -> None:
    """A20 over sockets: the upstream closes when it is asked again; nobody sees it."""
    edge_trio.upstream("one").sequence(OK, says(b"", close=True), OK)
    site = await edge_trio(text=ONE, tls=False, portable=portable)
    assert [(await site.get("/")).status for _ in range(3)] == [200, 200, 200]
    assert [record.attempts for record in site.log] == [
        (("one", 200),), (("one", 502), ("one", 200)), (("one", 200),),
    ]  # fmt: skip


async def test_another_server(edge_trio: AsyncEdges, portable: bool) -> None:
    """A16, A19: on a kept connection, a status and a break lead to the other server."""
    edge_trio.upstream("one").sequence(OK, replies(503, body="busy"), OK)
    edge_trio.upstream("two").replies(body="ok")
    site = await edge_trio(text=TWO, tls=False, portable=portable)
    assert [(await site.get("/")).body for _ in range(4)] == [b"ok"] * 4
    assert (("one", 503), ("two", 200)) in [record.attempts for record in site.log]


async def test_the_time_of_another_route_does_not_count(edge_trio: AsyncEdges, portable: bool) -> None:
    """A15: `next_upstream_timeout` is measured from this route's first attempt, wherever the request was before."""
    edge_trio.upstream("one").refuses()
    edge_trio.upstream("two").refuses()
    edge_trio.upstream("three").replies(body="ok")
    site = await edge_trio(text=ELSEWHERE, tls=False, portable=portable)
    assert (await site.get("/")).body == b"ok"
    assert site.attempts == [("one", 502), ("two", 502), ("three", 200)]


async def test_posts(edge_trio: AsyncEdges, portable: bool) -> None:
    """A request body that came with its head, and one that did not."""
    one = edge_trio.upstream("one").replies(body="ok")
    site = await edge_trio(text=ONE, tls=False, portable=portable)
    client = await site.connect()
    await client.request("GET", "/")
    await client.request("POST", "/", body=b"small")
    await client.request("POST", "/", body=b"x" * 500_000)
    assert one.requests[1].raw.endswith(b"\r\n\r\nsmall")
    assert one.requests[2].raw.endswith(b"\r\n\r\n" + b"x" * 500_000)


async def test_refused(edge_trio: AsyncEdges, portable: bool) -> None:
    """A22: a page, and nothing of the upstream in it; nobody listens at this address, and no script says so."""
    config = '[[route]]\nmatch = "/"\nproxy = "http://127.0.0.1:1"\n'
    site = await edge_trio(text=config, tls=False, portable=portable)
    answer = await site.get("/")
    assert answer.status == 502
    assert b"127.0.0.1:1" not in answer.body
    assert site.attempts == [("127.0.0.1:1", 502)]


async def test_a_client_that_leaves(edge_trio: AsyncEdges, portable: bool) -> None:
    """A22: 499, and the upstream sees its connection close."""
    one = edge_trio.upstream("one").sequence(OK, hangs())
    site = await edge_trio(text=ONE, tls=False, portable=portable)
    await site.get("/")
    client = await site.connect()
    await client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    await site.settle()
    assert (len(one.requests), one.open) == (2, 1)
    await client.close()
    await site.settle()
    assert one.open == 0
    assert site.log[-1].status == 499


async def test_websocket(edge_trio: AsyncEdges, portable: bool) -> None:
    """B17: `keep-alive, Upgrade` is understood; the two fields are written anew; early bytes of both sides pass first;
    half-close passes."""

    async def echoes(request: SeenRequest, stream: trio.abc.Stream) -> None:
        await stream.send_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                              b"Sec-WebSocket-Accept: x\r\n\r\nearly")  # fmt: skip
        while data := await stream.receive_some(100):
            await stream.send_all(data.upper())
        await stream.send_all(b"bye")
        await stream.aclose()

    one = edge_trio.upstream("one").does(echoes)
    site = await edge_trio(text=ONE, tls=False, portable=portable)
    await site.talk(r"""
        >> GET /ws HTTP/1.1
        >> Host: x
        >> Connection: keep-alive, Upgrade
        >> Upgrade: websocket
        >> Sec-WebSocket-Key: k
        >>
        >| first\x20
        << HTTP/1.1 101 Switching Protocols
        << Server: edgestack
        << Connection: upgrade
        << Upgrade: websocket
        << Sec-WebSocket-Accept: x
        << {end}
        <| earlyFIRST\x20
        >| second
        <| SECOND
        >!
        <| bye
        <!
    """)
    head = one.requests[0].raw.lower()
    assert b"\r\nconnection: upgrade\r\nupgrade: websocket\r\n" in head
    assert b"keep-alive" not in head


async def test_no_upgrade(edge_trio: AsyncEdges, portable: bool) -> None:
    """B17: an upstream that does not want to gives an answer like any other."""
    edge_trio.upstream("one").replies(426, body="no")
    site = await edge_trio(text=ONE, tls=False, portable=portable)
    answer = await site.get("/", fields={"Connection": "Upgrade", "Upgrade": "websocket"})
    assert (answer.status, answer.body) == (426, b"no")


async def test_try_leads_to_a_proxy(edge_trio: AsyncEdges, tmp_path: Path, portable: bool) -> None:
    """A file first, then the upstream, as it was asked for."""
    (tmp_path / "a.txt").write_text("a file")
    config = f"""
    [[route]]
    match = "/"
    static = "{tmp_path}"
    try = ["$uri", "@app"]
    [[route]]
    match = "@app"
    proxy = "http://one"
    """
    one = edge_trio.upstream("one").replies(body="ok")
    site = await edge_trio(text=config, tls=False, portable=portable)
    assert (await site.get("/a.txt")).body == b"a file"
    assert (await site.get("/b%2Fc?q=1")).body == b"ok"
    assert [request.target for request in one.requests] == ["/b%2Fc?q=1"]


async def test_slow_answers_on_a_kept_connection(edge_trio: AsyncEdges, portable: bool) -> None:
    """B13, B14: what is there is passed on at once, a stream without end too."""
    stream = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"
    edge_trio.upstream("one").sequence(OK, says(stream))
    site = await edge_trio(text=ONE, tls=False, portable=portable)
    await site.get("/")
    await site.talk(r"""
        >> GET /events HTTP/1.1
        >> Host: x
        >>
        << HTTP/1.1 200 OK
        <| {any}text/event-stream{any}\r\n\r\n
        <| 9\r\ndata: 1\n\n\r\n
        <-
    """)


async def test_broken_bodies(edge_trio: AsyncEdges, portable: bool) -> None:
    """A18: the client sees the truncation."""
    edge_trio.upstream("one").says("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", close=True)
    site = await edge_trio(text=ONE, tls=False, portable=portable)
    with pytest.raises(ConnectionError):
        await site.get("/")


async def test_a_reload_keeps_what_is_known(edge_trio: AsyncEdges, portable: bool) -> None:
    """The idle connection and the peers' state outlive a plan whose section is the same."""
    both = [edge_trio.upstream(name).replies(body="ok") for name in ("one", "two")]
    site = await edge_trio(text=TWO, tls=False, portable=portable)
    for _ in range(2):
        await site.get("/")
    before = site.statistics()["upstreams"]
    site.reload(text=TWO + '[[route]]\nmatch = "/x"\nrespond = 204\n')
    assert site.statistics()["upstreams"] == before
    assert (await site.get("/x")).status == 204
    await site.get("/")
    assert [one.connections for one in both] == [1, 1]
    assert sum(peer.requests for peer in site.statistics()["upstreams"]["group"].values()) == 3


async def test_read_timeout(edge_trio: AsyncEdges, portable: bool) -> None:
    """A22, A23 on a kept connection."""
    config = ONE.replace('"http://one"', '{ to = "http://one", read_timeout = "100ms" }')
    edge_trio.upstream("one").sequence(OK, hangs())
    site = await edge_trio(text=config, tls=False, portable=portable)
    assert (await site.get("/")).status == 200
    assert (await site.get("/")).status == 504
