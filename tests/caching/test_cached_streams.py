"""Streams of an ASGI application on their way into the store, on either driver: who leaves, fails, waits, is slow."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from cached_apps import app, as_kind, halves
from running import Answer, Running, edge

pytestmark = pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])

ASKS = b"GET /x HTTP/1.1\r\nHost: example.com\r\n\r\n"
LONG = [b"%07d|" % at * 65536 for at in range(24)]
"""12 MiB: more than sockets hold on their way."""


@asynccontextmanager
async def streaming(folder: Path, portable: bool, cache: str = "{}") -> AsyncIterator[Running]:
    text = f'[[route]]\nmatch = "/"\napp = "cached_apps:halves"\ncache = {cache}\n'
    async with edge(folder, text, {}, portable=portable) as running:
        yield running


def zone_of(running: Running) -> Any:
    (zone,) = running.stack.caches.all()
    return zone


def said(answer: Answer) -> str:
    return answer.field("cache-status") or ""


async def test_who_asks_meanwhile_waits_for_its_end(portable: bool, tmp_path: Path) -> None:
    """D9: one call of the application, and the second client has it from the store."""
    found: list[Answer] = []
    async with streaming(tmp_path, portable) as running:

        async def ask() -> None:
            found.append(await running.get("/x"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await halves.half.wait()
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert zone_of(running).store.find("http://example.com/x") == ()
            halves.goes_on.set()
    assert [one.body for one in found] == [b"one 1 two"] * 2
    assert sorted("collapsed" in said(one) for one in found) == [False, True]
    assert len(halves.asked) == 1


async def test_a_client_that_leaves_within_it_leaves_nothing(portable: bool, tmp_path: Path) -> None:
    """D11: and who has waited for its end asks himself."""
    async with streaming(tmp_path, portable) as running:
        client = await running.connect()
        await client.stream.send_all(ASKS)
        await client.until(b"one 1 ")
        found: list[Answer] = []

        async def ask() -> None:
            found.append(await running.get("/x"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked(0.05)
            await client.stream.aclose()
        halves.goes_on.set()
        assert found[0].body == b"one 2 two"
        assert "hit" in said(again := await running.get("/x"))
        assert again.body == b"one 2 two"
        assert zone_of(running).store.memory.lent == 0
    assert halves.told == ["the client has left"]


async def test_an_application_that_fails_within_it(portable: bool, tmp_path: Path) -> None:
    """F11, D11: the client sees the truncation, and nobody gets half of it."""
    halves.fails = True
    async with streaming(tmp_path, portable) as running, trio.open_nursery() as nursery:
        torn: list[bool] = []

        async def ask() -> None:
            with pytest.raises(EOFError):
                await running.get("/x")
            torn.append(True)

        nursery.start_soon(ask)
        await halves.half.wait()
        halves.goes_on.set()
        assert (await running.get("/x")).body == b"one 2 two"
        assert "hit" in said(await running.get("/x"))
        assert zone_of(running).store.memory.lent == 0
    assert torn == [True]


async def test_a_client_that_leaves_before_its_head(portable: bool, tmp_path: Path) -> None:
    """Nobody waits for an answer that nobody takes."""
    async with streaming(tmp_path, portable) as running:
        client = await running.connect()

        def leave() -> None:
            sock = client.stream.socket
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            halves.first = lambda: None

        halves.first = leave
        await client.stream.send_all(ASKS)
        await halves.half.wait()
        assert (await running.get("/x")).body == b"one 2 two"
        assert zone_of(running).fills == {}
        assert zone_of(running).store.memory.lent == 0
        halves.goes_on.set()


@pytest.mark.parametrize("field", ["Range: bytes=0-2", 'If-None-Match: "v1"'])
async def test_what_the_client_does_not_take_is_stored_behind_it(portable: bool, tmp_path: Path, field: str) -> None:
    """A part, or nothing, for the client; the whole for the store."""
    halves.goes_on.set()
    async with streaming(tmp_path, portable) as running:
        first = await running.get("/x", field)
        assert first.status == (304 if "If" in field else 200)  # this application knows no ranges
        with trio.fail_after(5):
            while "hit" not in said(whole := await running.get("/x")):
                pass
        assert whole.body in (b"one 1 two", b"one 2 two")
        assert whole.field("content-length") == "9"
        assert (await running.get("/x", "Range: bytes=0-2")).body == b"one"


async def test_head_is_passed_on_and_answered_from_what_get_has_stored(portable: bool, tmp_path: Path) -> None:
    """D8."""
    halves.goes_on.set()
    async with streaming(tmp_path, portable) as running:
        assert "hit" not in said(await running.get("/x", method="HEAD"))
        assert halves.asked[0]["method"] == "HEAD"
        assert (await running.get("/x")).field("transfer-encoding") == "chunked"
        head = await running.get("/x", method="HEAD")
        assert (head.field("content-length"), head.body) == ("9", b"")
        assert "hit" in said(head)
    assert len(halves.asked) == 2


async def test_a_slow_client_holds_nobody_back(portable: bool, tmp_path: Path) -> None:
    """One who asked meanwhile has waited in vain for its end; the next ones do not wait, and have it stored."""
    app.says("Cache-Control: max-age=60", pieces=LONG)
    text = '[cache.main]\nmemory = "128MB"\n[[route]]\napp = "cached_apps:app"\ncache = { lock_timeout = "0.2s" }\n'
    async with edge(tmp_path, as_kind("asgi", text), {}, portable=portable, patience=60) as running:
        slow = await running.connect()
        await slow.stream.send_all(ASKS)
        await slow.until(b"\r\n\r\n")
        with trio.fail_after(20):
            while not (fill := zone_of(running).fills.get("http://example.com/x")) or not fill.paused:
                await trio.testing.wait_all_tasks_blocked(0.05)
        answers = [await running.get("/x") for _ in range(3)]
        assert {one.body for one in answers} == {b"".join(LONG)}
        assert ["hit" in said(one) for one in answers] == [False, False, True]
        assert len(app.asked) == 3
