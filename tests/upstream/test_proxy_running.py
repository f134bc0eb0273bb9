"""Proxied exchanges of a running edge, over sockets, on both drivers."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from running import edge
from scripted import OK, Wire, hangs, says, whole

DRIVERS = pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])

ONE = """
[[route]]
match = "/"
proxy = "http://{one}"
"""
TWO = """
[upstream.group]
servers = ["{one}", "{two}"]
[[route]]
match = "/"
proxy = { to = "http://group", next_upstream = ["error", "timeout", "http_503"] }
"""


@DRIVERS
async def test_kept_connections(tmp_path: Path, portable: bool) -> None:
    """B7: many requests, one connection upstream; bodies with a length, in chunks, and none at all."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    empty = b"HTTP/1.1 204 No Content\r\n\r\n"
    long = whole(200, b"x" * 300_000)
    script = says(OK, OK, chunked, empty, long, b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n', OK)
    async with edge(tmp_path, ONE, {"one": [script]}, portable=portable) as running:
        client = await running.connect()
        bodies = [(await client.ask(f"/{at}")).body for at in range(7)]
        assert bodies == [b"ok", b"ok", b"abcde", b"", b"x" * 300_000, b"", b"ok"]
        assert len(running.wires["one"]) == 1
        assert await running.attempts(7) == [[200], [200], [200], [204], [200], [304], [200]]


@DRIVERS
async def test_heads(tmp_path: Path, portable: bool) -> None:
    """HEAD shows what GET would, on a kept connection too."""
    known, unknown = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"Transfer-Encoding: chunked\r\n\r\n",
    )
    async with edge(tmp_path, ONE, {"one": [says(OK, known, unknown, OK)]}, portable=portable) as running:
        client = await running.connect()
        await client.ask("/")
        assert (await client.ask("/", method="HEAD")).field("content-length") == "99"
        assert (await client.ask("/", method="HEAD")).field("content-length") is None
        assert (await client.ask("/")).body == b"ok"
        assert len(running.wires["one"]) == 1


@DRIVERS
async def test_a_dead_kept_connection(tmp_path: Path, portable: bool) -> None:
    """A20 over sockets: the upstream closes when it is asked again; nobody sees it."""

    async def dies(wire: Wire) -> None:
        await wire.request()
        await wire.send(OK)
        await wire.request()
        await wire.close()

    async with edge(tmp_path, ONE, {"one": [dies, says(OK, OK)]}, portable=portable) as running:
        assert [(await running.get("/")).status for _ in range(3)] == [200, 200, 200]
        assert await running.attempts(3) == [[200], [502, 200], [200]]


@DRIVERS
async def test_another_server(tmp_path: Path, portable: bool) -> None:
    """A16, A19: on a kept connection, a status and a break lead to the other server."""
    one = says(OK, whole(503, b"busy"))
    async with edge(tmp_path, TWO, {"one": [one], "two": [says(*[OK] * 9)]}, portable=portable) as running:
        answers = [await running.get("/") for _ in range(4)]
        assert [answer.body for answer in answers] == [b"ok"] * 4
        assert [503, 200] in await running.attempts(4)


@DRIVERS
async def test_posts(tmp_path: Path, portable: bool) -> None:
    """A request body that came with its head, and one that did not."""
    async with edge(tmp_path, ONE, {"one": [says(OK, OK, OK)]}, portable=portable) as running:
        client = await running.connect()
        await client.ask("/")
        await client.ask("/", method="POST", body=b"small")
        await client.ask("/", method="POST", body=b"x" * 500_000)
        sent = running.sent("one")
        assert sent[1].endswith(b"\r\n\r\nsmall")
        assert sent[2].endswith(b"\r\n\r\n" + b"x" * 500_000)


@DRIVERS
async def test_refused(tmp_path: Path, portable: bool) -> None:
    """A22: a page, and nothing of the upstream in it."""
    config = '[[route]]\nmatch = "/"\nproxy = "http://127.0.0.1:1"\n'
    async with edge(tmp_path, config, {}, portable=portable) as running:
        answer = await running.get("/")
        assert answer.status == 502
        assert b"127.0.0.1:1" not in answer.body
        assert await running.attempts(1) == [[502]]


@DRIVERS
async def test_a_client_that_leaves(tmp_path: Path, portable: bool) -> None:
    """A22: 499, and the upstream sees its connection close."""
    closed = trio.Event()

    async def patient(wire: Wire) -> None:
        await wire.request()
        await wire.send(OK)
        await wire.request()
        assert await wire.request() == b""
        closed.set()

    async with edge(tmp_path, ONE, {"one": [patient]}, portable=portable) as running:
        await running.get("/")
        client = await running.connect()
        await client.stream.send_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        while len(running.sent("one")) < 2:
            await trio.sleep(0.01)
        await client.stream.aclose()
        await closed.wait()
        while len(running.ended) < 2:
            await trio.sleep(0.01)
        assert running.ended[-1].status == 499


@DRIVERS
async def test_websocket(tmp_path: Path, portable: bool) -> None:
    """B17: `keep-alive, Upgrade` is understood; the two fields are written anew; early bytes of both sides pass first;
    half-close passes."""

    async def echoes(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        b"Sec-WebSocket-Accept: x\r\n\r\nearly")  # fmt: skip
        while data := wire.buffer or await wire.stream.receive_some(100):
            wire.buffer = b""
            await wire.send(data.upper())
        await wire.send(b"bye")
        await wire.close()

    async with edge(tmp_path, ONE, {"one": [echoes]}, portable=portable) as running:
        client = await running.connect()
        await client.stream.send_all(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: k\r\n\r\nfirst "
        )
        answer = await client.answer()
        assert (answer.status, answer.field("upgrade"), answer.field("connection")) == (101, "websocket", "upgrade")
        assert answer.field("sec-websocket-accept") == "x"
        await client.stream.send_all(b"second")
        assert await client.exactly(17) == b"earlyFIRST SECOND"
        await client.stream.send_eof()
        assert await client.exactly(3) == b"bye"
        head = running.sent("one")[0].lower()
        assert b"\r\nconnection: upgrade\r\nupgrade: websocket\r\n" in head
        assert b"keep-alive" not in head


@DRIVERS
async def test_no_upgrade(tmp_path: Path, portable: bool) -> None:
    """B17: an upstream that does not want to gives an answer like any other."""
    async with edge(tmp_path, ONE, {"one": [says(whole(426, b"no"))]}, portable=portable) as running:
        answer = await running.get("/", "Connection: Upgrade", "Upgrade: websocket")
        assert (answer.status, answer.body) == (426, b"no")


@DRIVERS
async def test_try_leads_to_a_proxy(tmp_path: Path, portable: bool) -> None:
    """A file first, then the upstream, as it was asked for."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/a.txt").write_text("a file")
    config = """
    [[route]]
    match = "/"
    static = "site/"
    try = ["$uri", "@app"]
    [[route]]
    match = "@app"
    proxy = "http://{one}"
    """
    async with edge(tmp_path, config, {"one": [says(OK)]}, portable=portable) as running:
        assert (await running.get("/a.txt")).body == b"a file"
        assert (await running.get("/b%2Fc?q=1")).body == b"ok"
        assert running.sent("one")[0].startswith(b"GET /b%2Fc?q=1 HTTP/1.1\r\n")


@DRIVERS
async def test_slow_answers_on_a_kept_connection(tmp_path: Path, portable: bool) -> None:
    """B13, B14: what is there is passed on at once, a stream without end too."""

    async def ticks(wire: Wire) -> None:
        await wire.request()
        await wire.send(OK)
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await wire.request()
        await wire.close()

    async with edge(tmp_path, ONE, {"one": [ticks]}, portable=portable) as running:
        await running.get("/")
        client = await running.connect()
        await client.stream.send_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"text/event-stream" in await client.until(b"\r\n\r\n")
        assert await client.exactly(14) == b"9\r\ndata: 1\n\n\r\n"[:14]


@DRIVERS
async def test_broken_bodies(tmp_path: Path, portable: bool) -> None:
    """A18: the client sees the truncation."""
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    async with edge(tmp_path, ONE, {"one": [says(half, close=True)]}, portable=portable) as running:
        with pytest.raises(EOFError):
            await running.get("/")


@DRIVERS
async def test_a_reload_keeps_what_is_known(tmp_path: Path, portable: bool) -> None:
    """The idle connection and the peers' state outlive a plan whose section is the same."""
    from running import written

    async with edge(tmp_path, TWO, {"one": [says(*[OK] * 9)], "two": [says(*[OK] * 9)]}, portable=portable) as running:
        for _ in range(2):
            await running.get("/")
        before = running.stack.upstreams()
        running.stack.adopt(written(tmp_path, TWO + '[[route]]\nmatch = "/x"\nrespond = 204\n', running))
        assert running.stack.upstreams() == before
        await running.get("/")
        assert [len(wires) for wires in running.wires.values()] == [1, 1]
        assert sum(peer.requests for peer in running.stack.upstreams()[0].peers) == 3


@DRIVERS
async def test_read_timeout(tmp_path: Path, portable: bool) -> None:
    """A22, A23 on a kept connection."""
    config = ONE.replace('"http://{one}"', '{ to = "http://{one}", read_timeout = "100ms" }')

    async def stalls(wire: Wire) -> None:
        await wire.request()
        await wire.send(OK)
        await hangs()(wire)

    async with edge(tmp_path, config, {"one": [stalls]}, portable=portable) as running:
        assert (await running.get("/")).status == 200
        assert (await running.get("/")).status == 504
