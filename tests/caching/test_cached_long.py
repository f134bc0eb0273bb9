"""Long answers, on either driver: to disk as they come, given to who waits once they are whole, bounded in memory."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from cached_apps import app
from running import Answer, Running, edge
from scripted import Script, Wire

from edgestack.store.journal import Journal

pytestmark = pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])

MIB = 1024 * 1024
BODY = b"".join(b"<p>line %07d of something long</p>\n" % at for at in range(90_000))
"""3.4 MB of text, no two parts of it the same."""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nCache-Control: max-age=60\r\nETag: \"v1\"\r\n"  # fmt: skip
STORE = '[cache.main]\nmemory = "32MB"\ndisk = "kept"\ndisk_size = "64MB"\n'


@asynccontextmanager
async def kept(folder: Path, portable: bool, content: str, *scripts: Script) -> AsyncIterator[Running]:
    text = STORE.replace("kept", f"{folder}/kept") + f'[[route]]\nmatch = "/"\n{content}\ncache = {{}}\n'
    async with edge(folder, text, {"one": list(scripts)} if scripts else {}, portable=portable, patience=30) as running:
        yield running


def store_of(running: Running) -> Any:
    (zone,) = running.stack.caches.all()
    return zone.store


def said(answer: Answer) -> str:
    return answer.field("cache-status") or ""


class Slowly:
    """A server whose answer comes in two halves, the second when the test says so."""

    def __init__(self, framing: str) -> None:
        self.framing = framing
        self.half = trio.Event()
        self.goes_on = trio.Event()

    async def __call__(self, wire: Wire) -> None:
        await wire.request()
        middle = len(BODY) // 2
        if self.framing == "length":
            await wire.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY[:middle])
        else:
            await wire.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            await wire.send(b"%x\r\n%b\r\n" % (middle, BODY[:middle]))
        self.half.set()
        await self.goes_on.wait()
        rest = BODY[middle:]
        await wire.send(rest if self.framing == "length" else b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest))
        await wire.request()


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_who_waits_for_a_long_answer_gets_it_from_its_file(portable: bool, tmp_path: Path, framing: str) -> None:
    """D9, D11: one request behind; then HEAD, ranges, conditions and codings of what is stored."""
    server = Slowly(framing)
    async with kept(tmp_path, portable, 'proxy = "http://{one}"', server) as running:
        found: list[Answer] = []

        async def ask() -> None:
            found.append(await running.get("/x"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await server.half.wait()
            nursery.start_soon(ask)
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert store_of(running).memory.lent < MIB
            assert store_of(running).find("http://example.com/x") == ()
            server.goes_on.set()
        assert [one.body == BODY for one in found] == [True] * 3
        assert sorted("collapsed" in said(one) for one in found) == [False, True, True]
        assert len(running.sent("one")) == 1
        assert store_of(running).memory.lent == 0
        assert store_of(running).statistics().files == 1
        head = await running.get("/x", method="HEAD")
        assert head.field("content-length") == str(len(BODY))
        part = await running.get("/x", "Range: bytes=2000000-2000036")
        assert (part.status, part.body) == (206, BODY[2_000_000:2_000_037])
        assert (await running.get("/x", 'If-None-Match: "v1"')).status == 304
        for _ in range(2):
            coded = await running.get("/x", "Accept-Encoding: gzip")
            assert (coded.field("etag"), gzip.decompress(coded.body) == BODY) == ('"v1-gzip"', True)
        assert all("hit" in said(one) for one in (head, part, coded))


async def test_a_client_that_leaves_within_a_long_answer_leaves_nothing(portable: bool, tmp_path: Path) -> None:
    first, second = Slowly("length"), Slowly("length")
    second.goes_on.set()
    async with kept(tmp_path, portable, 'proxy = "http://{one}"', first, second) as running:
        client = await running.connect()
        await client.stream.send_all(b"GET /x HTTP/1.1\r\nHost: example.com\r\n\r\n")
        await first.half.wait()
        await client.until(b"\r\n\r\n")
        await client.stream.aclose()
        assert (await running.get("/x")).body == BODY
        store = store_of(running)
        assert (await running.get("/x")).body == BODY
        assert await trio.to_thread.run_sync(store.flush, 20)
        assert (store.memory.lent, store.statistics().files) == (0, 1)
        assert list((tmp_path / "kept").glob("draft-*")) == []


async def test_a_store_that_hangs_stops_nobody(portable: bool, tmp_path: Path) -> None:
    """Another process was stopped while it had the folder: one client waits for the file in vain, and no other one."""
    app.says("Cache-Control: max-age=60", pieces=[BODY[:9], BODY[9:]])
    text = STORE.replace("kept", f"{tmp_path}/kept")
    text += '[[route]]\nmatch = "/"\napp = "cached_apps:app"\ncache = { lock_timeout = "0.2s" }\n'
    async with edge(tmp_path, text, {}, portable=portable, patience=30) as running:
        store = store_of(running)
        assert await trio.to_thread.run_sync(store.flush, 20)
        with Journal(tmp_path / "kept" / "journal").locked():
            assert [(await running.get("/x")).body == BODY for _ in range(2)] == [True, True]
            (zone,) = running.stack.caches.all()
            assert zone.fills == {}
            assert (await running.get("/x")).body == BODY
        assert len(app.asked) == 3
        assert await trio.to_thread.run_sync(store.flush, 20)
        assert "hit" in said(await running.get("/x"))
        assert store.memory.lent == 0


async def test_a_long_answer_of_an_application(portable: bool, tmp_path: Path) -> None:
    """And a 304 that makes it fresh again gives its body another head."""
    pieces = [BODY[at : at + 200_000] for at in range(0, len(BODY), 200_000)]
    app.says("Cache-Control: max-age=60", 'ETag: "v1"', "Content-Type: text/html", pieces=pieces)
    async with kept(tmp_path, portable, 'app = "cached_apps:app"') as running:
        assert (await running.get("/x")).body == BODY
        assert await trio.to_thread.run_sync(store_of(running).flush, 20)
        assert "hit" in said(hit := await running.get("/x"))
        assert hit.body == BODY
        checked = await running.get("/x", "Cache-Control: no-cache")
        assert (checked.status, checked.body == BODY) == (200, True)
        assert "fwd-status=304" in said(checked)
        assert await trio.to_thread.run_sync(store_of(running).flush, 20)
        assert "hit" in said(last := await running.get("/x"))
        assert last.body == BODY
        assert len(app.asked) == 2


async def test_d11_many_long_answers_at_once_are_bounded(portable: bool, tmp_path: Path) -> None:
    """D11: 40 answers of 3 MB under way at once, held back in their middle: nearly nothing of them is in memory."""
    servers = [Slowly("length") for _ in range(40)]
    async with kept(tmp_path, portable, 'proxy = "http://{one}"', *servers) as running:
        store, bodies = store_of(running), []

        async def ask(number: int) -> None:
            bodies.append((await running.get(f"/{number}")).body)

        async with trio.open_nursery() as nursery:
            for number, server in enumerate(servers):
                nursery.start_soon(ask, number)
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
