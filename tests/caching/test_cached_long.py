"""Long answers, on either driver: to disk as they come, given to who waits once they are whole, bounded in memory."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import trio
from cached_apps import app
from cached_kit import ask, said, zone_of

from edgestack.store.journal import Journal
from edgestack.testing import AsyncSite, Reply, SeenRequest, does
from edgestack.testing.acts import Act
from edgestack.testing.fixtures import AsyncEdges

pytestmark = pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])

MIB = 1024 * 1024
BODY = b"".join(b"<p>line %07d of something long</p>\n" % at for at in range(90_000))
"""3.4 MB of text, no two parts of it the same."""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nCache-Control: max-age=60\r\nETag: \"v1\"\r\n"  # fmt: skip
STORE = '[cache.main]\nmemory = "32MB"\ndisk = "kept"\ndisk_size = "64MB"\n'


async def kept(edge_trio: AsyncEdges, folder: Path, portable: bool, content: str, *acts: Act) -> AsyncSite:
    if acts:
        edge_trio.upstream("one").sequence(*acts)
    text = STORE.replace("kept", f"{folder}/kept") + f'[[route]]\nmatch = "/"\n{content}\ncache = {{}}\n'
    return await edge_trio(text=text, tls=False, portable=portable)


class Slowly:
    """A server whose answer comes in two halves, the second when the test says so."""

    def __init__(self, framing: str) -> None:
        self.framing = framing
        self.half = trio.Event()
        self.goes_on = trio.Event()

    async def __call__(self, request: SeenRequest, stream: trio.abc.Stream) -> None:
        middle = len(BODY) // 2
        if self.framing == "length":
            await stream.send_all(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY[:middle])
        else:
            await stream.send_all(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            await stream.send_all(b"%x\r\n%b\r\n" % (middle, BODY[:middle]))
        self.half.set()
        await self.goes_on.wait()
        rest = BODY[middle:]
        await stream.send_all(rest if self.framing == "length" else b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest))


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_who_waits_for_a_long_answer_gets_it_from_its_file(
    edge_trio: AsyncEdges, portable: bool, tmp_path: Path, framing: str
) -> None:
    """D9, D11: one request behind; then HEAD, ranges, conditions and codings of what is stored."""
    server = Slowly(framing)
    site = await kept(edge_trio, tmp_path, portable, 'proxy = "http://one"', does(server))
    found: list[Reply] = []

    async def ask_again() -> None:
        found.append(await ask(site, "/x"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_again)
        await server.half.wait()
        nursery.start_soon(ask_again)
        nursery.start_soon(ask_again)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert zone_of(site).store.memory.lent < MIB
        assert zone_of(site).store.find("http://example.com/x") == ()
        server.goes_on.set()
    assert [one.body == BODY for one in found] == [True] * 3
    assert sorted("collapsed" in said(one) for one in found) == [False, True, True]
    assert len(edge_trio.upstream("one").requests) == 1
    assert zone_of(site).store.memory.lent == 0
    assert zone_of(site).store.statistics().files == 1
    head = await ask(site, "/x", method="HEAD")
    assert head.get("content-length") == str(len(BODY))
    part = await ask(site, "/x", "Range: bytes=2000000-2000036")
    assert (part.status, part.body) == (206, BODY[2_000_000:2_000_037])
    assert (await ask(site, "/x", 'If-None-Match: "v1"')).status == 304
    for _ in range(2):
        coded = await ask(site, "/x", "Accept-Encoding: gzip")
        assert (coded.get("etag"), gzip.decompress(coded.body) == BODY) == ('"v1-gzip"', True)
    assert all("hit" in said(one) for one in (head, part, coded))


async def test_a_client_that_leaves_within_a_long_answer_leaves_nothing(
    edge_trio: AsyncEdges, portable: bool, tmp_path: Path
) -> None:
    first, second = Slowly("length"), Slowly("length")
    second.goes_on.set()
    site = await kept(edge_trio, tmp_path, portable, 'proxy = "http://one"', does(first), does(second))
    client = await site.connect()
    await client.send(b"GET /x HTTP/1.1\r\nHost: example.com\r\n\r\n")
    await first.half.wait()
    assert await client.receive()
    await client.close()
    assert (await ask(site, "/x")).body == BODY
    store = zone_of(site).store
    assert (await ask(site, "/x")).body == BODY
    assert await trio.to_thread.run_sync(store.flush, 20)
    assert (store.memory.lent, store.statistics().files) == (0, 1)
    assert list((tmp_path / "kept").glob("draft-*")) == []


async def test_a_store_that_hangs_stops_nobody(edge_trio: AsyncEdges, portable: bool, tmp_path: Path) -> None:
    """Another process was stopped while it had the folder: one client waits for the file in vain, and no other one."""
    app.says("Cache-Control: max-age=60", pieces=[BODY[:9], BODY[9:]])
    text = STORE.replace("kept", f"{tmp_path}/kept")
    text += '[[route]]\nmatch = "/"\napp = "cached_apps:app"\ncache = { lock_timeout = "0.2s" }\n'
    site = await edge_trio(text=text, tls=False, portable=portable)
    store = zone_of(site).store
    assert await trio.to_thread.run_sync(store.flush, 20)
    with Journal(tmp_path / "kept" / "journal").locked():
        assert [(await ask(site, "/x")).body == BODY for _ in range(2)] == [True, True]
        zone = zone_of(site)
        assert zone.fills == {}
        assert (await ask(site, "/x")).body == BODY
    assert len(app.asked) == 3
    assert await trio.to_thread.run_sync(store.flush, 20)
    assert "hit" in said(await ask(site, "/x"))
    assert store.memory.lent == 0


async def test_a_long_answer_of_an_application(edge_trio: AsyncEdges, portable: bool, tmp_path: Path) -> None:
    """And a 304 that makes it fresh again gives its body another head."""
    pieces = [BODY[at : at + 200_000] for at in range(0, len(BODY), 200_000)]
    app.says("Cache-Control: max-age=60", 'ETag: "v1"', "Content-Type: text/html", pieces=pieces)
    site = await kept(edge_trio, tmp_path, portable, 'app = "cached_apps:app"')
    assert (await ask(site, "/x")).body == BODY
    assert await trio.to_thread.run_sync(zone_of(site).store.flush, 20)
    assert "hit" in said(hit := await ask(site, "/x"))
    assert hit.body == BODY
    checked = await ask(site, "/x", "Cache-Control: no-cache")
    assert (checked.status, checked.body == BODY) == (200, True)
    assert "fwd-status=304" in said(checked)
    assert await trio.to_thread.run_sync(zone_of(site).store.flush, 20)
    assert "hit" in said(last := await ask(site, "/x"))
    assert last.body == BODY
    assert len(app.asked) == 2


async def test_d11_many_long_answers_at_once_are_bounded(edge_trio: AsyncEdges, portable: bool, tmp_path: Path) -> None:
    """D11: 40 answers of 3 MB under way at once, held back in their middle: nearly nothing of them is in memory."""
    servers = [Slowly("length") for _ in range(40)]
    site = await kept(edge_trio, tmp_path, portable, 'proxy = "http://one"', *map(does, servers))
    store, bodies = zone_of(site).store, []

    async def ask_for(number: int) -> None:
        bodies.append((await ask(site, f"/{number}")).body)

    async with trio.open_nursery() as nursery:
        for number, server in enumerate(servers):
            nursery.start_soon(ask_for, number)
            await server.half.wait()
        await trio.testing.wait_all_tasks_blocked(0.1)
        told = store.statistics()
        assert told.memory <= 32_000_000
        assert store.memory.lent <= 8_000_000
        assert told.disk <= 64_000_000
        for server in servers:
            server.goes_on.set()
    assert [body == BODY for body in bodies] == [True] * 40
    assert await trio.to_thread.run_sync(store.flush, 20)
    assert store.memory.lent == 0
    assert store.statistics().disk <= 64_000_000
