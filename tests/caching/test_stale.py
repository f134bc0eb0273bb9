"""Time passes: freshness, validation, stale answers and refreshes in the background, under virtual time (D8, D9)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from cached_apps import app
from running import Answer, Running, edge
from scripted import Script, says, says_nothing, whole
from trio.testing import MockClock

pytestmark = pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])

ROUTE = """
[[route]]
match = "/"
CONTENT
cache = CACHE
"""


@asynccontextmanager
async def proxied(folder: Path, portable: bool, *scripts: Script, cache: str = "{}") -> AsyncIterator[Running]:
    text = ROUTE.replace("CONTENT", 'proxy = "http://{one}"').replace("CACHE", cache)
    async with edge(folder, text, {"one": list(scripts)}, portable=portable, patience=1e6) as running:
        yield running


@asynccontextmanager
async def application(folder: Path, portable: bool, cache: str = "{}") -> AsyncIterator[Running]:
    text = ROUTE.replace("CONTENT", 'app = "cached_apps:app"').replace("CACHE", cache)
    async with edge(folder, text, {}, portable=portable, patience=1e6) as running:
        yield running


def status_of(answer: Answer) -> str:
    found = answer.field("cache-status")
    assert found is not None, answer.pairs
    return found


async def until_asked(count: int) -> None:
    """The application was asked so often; in real time, since its threads live in that."""
    for _ in range(2000):
        if len(app.asked) >= count:
            return
        await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked(0.005)
    raise AssertionError(f"asked {len(app.asked)} times")


async def test_age_and_expiry(portable: bool, tmp_path: Path, mock_clock: MockClock) -> None:
    """D8: Age, freshness."""
    app.says("Cache-Control: max-age=60")
    async with application(tmp_path, portable) as running:
        await running.get("/x")
        mock_clock.jump(59.5)
        old = await running.get("/x")
        assert (old.body, old.field("age")) == (b"/x 1", "59")
        mock_clock.jump(1)
        fresh = await running.get("/x")
        assert fresh.body == b"/x 2"
        assert "fwd=stale" in status_of(fresh)


@pytest.mark.parametrize("content", ["application", "proxied"])
async def test_validation(portable: bool, tmp_path: Path, mock_clock: MockClock, content: str) -> None:
    """D8: validation with ETag; a 304 makes it fresh again."""
    fields = ("Cache-Control: max-age=60", 'ETag: "v1"')
    app.says(*fields, pieces=[b"01234", b"56789"])
    again = b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\nCache-Control: max-age=60\r\n\r\n'
    scripts = [says(whole(200, b"0123456789", *fields)), says(again)]  # a link is not kept for as long as 61 s
    serving = application(tmp_path, portable) if content == "application" else proxied(tmp_path, portable, *scripts)
    async with serving as running:
        await running.get("/x")
        mock_clock.jump(61)
        validated = await running.get("/x")
        assert (validated.status, validated.body) == (200, b"0123456789")
        assert "fwd=stale" in status_of(validated)
        assert "fwd-status=304" in status_of(validated)
        mock_clock.jump(30)
        assert "hit" in status_of(await running.get("/x", 'If-None-Match: "v1"'))
        if content == "application":
            assert app.asked[1]["HTTP_IF_NONE_MATCH"] == '"v1"'
            assert len(app.asked) == 2
        else:
            assert b'If-None-Match: "v1"' in running.sent("one")[1]
            assert len(running.sent("one")) == 2


async def test_stale_while_revalidate(portable: bool, tmp_path: Path, mock_clock: MockClock) -> None:
    """D9: RFC 5861 §3: the client does not wait, and the refresh is one."""
    app.says("Cache-Control: max-age=60, stale-while-revalidate=60")
    async with application(tmp_path, portable) as running:
        await running.get("/x")
        mock_clock.jump(61)
        app.gate.clear()
        for _ in range(3):
            stale = await running.get("/x")
            assert stale.body == b"/x 1"
            assert "hit" in status_of(stale)
        await until_asked(2)
        app.gate.set()
        for _ in range(2000):
            if (await running.get("/x")).body == b"/x 2":
                break
        assert len(app.asked) == 2
        mock_clock.jump(200)
        assert (await running.get("/x")).body == b"/x 3"


async def test_a_proxied_answer_is_refreshed_in_the_background(
    portable: bool, tmp_path: Path, mock_clock: MockClock
) -> None:
    fresh = "Cache-Control: max-age=60"
    scripts = [says(whole(200, b"old", fresh)), says(whole(200, b"n" * 200_000, fresh))]
    cache = '{ stale_while_revalidate = "1m" }'
    async with proxied(tmp_path, portable, *scripts, cache=cache) as running:
        await running.get("/x")
        mock_clock.jump(61)
        assert (await running.get("/x", method="HEAD")).field("content-length") == "3"
        for _ in range(2000):
            answer = await running.get("/x")
            if answer.body != b"old":
                break
        assert len(answer.body) == 200_000
        assert len(running.sent("one")) == 2
        assert running.sent("one")[1].startswith(b"GET ")


async def test_stale_if_error_of_a_server(portable: bool, tmp_path: Path, mock_clock: MockClock) -> None:
    """D9: RFC 5861 §4, for no answer at all, and for a 503."""
    scripts = [
        says(whole(200, b"good", "Cache-Control: max-age=60", "Connection: close"), close=True),
        says_nothing,
        says(whole(503, b"bad", "Connection: close"), close=True),
        says(whole(404, b"gone", "Connection: close"), close=True),
    ]
    async with proxied(tmp_path, portable, *scripts, cache='{ stale_if_error = "1h" }') as running:
        await running.get("/x")
        mock_clock.jump(61)
        for _ in range(2):
            mock_clock.jump(20)
            stale = await running.get("/x")
            assert (stale.status, stale.body) == (200, b"good")
            assert "fwd=stale" in status_of(stale)
        mock_clock.jump(20)
        assert (await running.get("/x")).status == 404


async def test_stale_if_error_of_an_application(portable: bool, tmp_path: Path, mock_clock: MockClock) -> None:
    app.says("Cache-Control: max-age=60")
    async with application(tmp_path, portable, '{ stale_if_error = "1h" }') as running:
        await running.get("/x")
        mock_clock.jump(61)
        app.fails = True
        assert (await running.get("/x")).body == b"/x 1"
        mock_clock.jump(3700)
        assert (await running.get("/x")).status == 500


async def test_a_thousand_misses_of_one_page_are_one_request(
    portable: bool, tmp_path: Path, mock_clock: MockClock
) -> None:
    """D9: 1,000 concurrent misses of a page that takes 2 s make one upstream request."""

    async def slow(wire: object) -> None:
        await wire.request()  # type: ignore[attr-defined]
        await trio.sleep(2)
        await wire.send(whole(200, b"slow", "Cache-Control: max-age=60"))  # type: ignore[attr-defined]
        await wire.request()  # type: ignore[attr-defined]

    found: list[Answer] = []
    async with proxied(tmp_path, portable, slow) as running:

        async def one() -> None:
            client = await running.connect()
            async with client.stream:
                found.append(await client.ask("/x"))

        async with trio.open_nursery() as nursery:
            for _ in range(1000):
                nursery.start_soon(one)
            while running.stack.statistics()["accepted"] < 1000 or not running.sent("one"):
                await trio.testing.wait_all_tasks_blocked(0.01)
            mock_clock.jump(2.5)
        assert [(one.status, one.body) for one in found] == [(200, b"slow")] * 1000
        assert len(running.sent("one")) == 1
