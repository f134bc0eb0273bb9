"""Time passes: freshness, validation, stale answers and refreshes in the background, under virtual time (D8, D9)."""

from __future__ import annotations

import pytest
import trio
from cached_apps import app
from cached_kit import ask, said, server
from trio.testing import MockClock

from edgestack.testing import AsyncSite, replies, says
from edgestack.testing.acts import Act
from edgestack.testing.fixtures import AsyncEdges

pytestmark = pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])

ROUTE = """
[[route]]
match = "/"
CONTENT
cache = CACHE
"""


async def proxied(edge_trio: AsyncEdges, portable: bool, *acts: Act, cache: str = "{}") -> AsyncSite:
    edge_trio.upstream("one").sequence(*acts)
    text = ROUTE.replace("CONTENT", 'proxy = "http://one"').replace("CACHE", cache)
    return await edge_trio(text=text, tls=False, portable=portable)


async def application(edge_trio: AsyncEdges, portable: bool, cache: str = "{}") -> AsyncSite:
    text = ROUTE.replace("CONTENT", 'app = "cached_apps:app"').replace("CACHE", cache)
    return await edge_trio(text=text, tls=False, portable=portable)


async def until_asked(count: int) -> None:
    """The application was asked so often; in real time, since its threads live in that."""
    for _ in range(2000):
        if len(app.asked) >= count:
            return
        await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked(0.005)
    raise AssertionError(f"asked {len(app.asked)} times")


async def test_age_and_expiry(edge_trio: AsyncEdges, portable: bool, mock_clock: MockClock) -> None:
    """D8: Age, freshness."""
    app.says("Cache-Control: max-age=60")
    site = await application(edge_trio, portable)
    await ask(site, "/x")
    mock_clock.jump(59.5)
    old = await ask(site, "/x")
    assert (old.body, old.get("age")) == (b"/x 1", "59")
    mock_clock.jump(1)
    fresh = await ask(site, "/x")
    assert fresh.body == b"/x 2"
    assert "fwd=stale" in said(fresh)


@pytest.mark.parametrize("content", ["application", "proxied"])
async def test_validation(edge_trio: AsyncEdges, portable: bool, mock_clock: MockClock, content: str) -> None:
    """D8: validation with ETag; a 304 makes it fresh again."""
    fields = ("Cache-Control: max-age=60", 'ETag: "v1"')
    app.says(*fields, pieces=[b"01234", b"56789"])
    again = b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\nCache-Control: max-age=60\r\n\r\n'
    scripts = [server(200, b"0123456789", *fields), says(again)]  # a link is not kept for as long as 61 s
    if content == "application":
        site = await application(edge_trio, portable)
    else:
        site = await proxied(edge_trio, portable, *scripts)
    await ask(site, "/x")
    mock_clock.jump(61)
    validated = await ask(site, "/x")
    assert (validated.status, validated.body) == (200, b"0123456789")
    assert "fwd=stale" in said(validated)
    assert "fwd-status=304" in said(validated)
    mock_clock.jump(30)
    assert "hit" in said(await ask(site, "/x", 'If-None-Match: "v1"'))
    if content == "application":
        assert app.asked[1]["HTTP_IF_NONE_MATCH"] == '"v1"'
        assert len(app.asked) == 2
    else:
        _, request = edge_trio.upstream("one").requests
        assert request["If-None-Match"] == '"v1"'


async def test_stale_while_revalidate(edge_trio: AsyncEdges, portable: bool, mock_clock: MockClock) -> None:
    """D9: RFC 5861 §3: the client does not wait, and the refresh is one."""
    app.says("Cache-Control: max-age=60, stale-while-revalidate=60")
    site = await application(edge_trio, portable)
    await ask(site, "/x")
    mock_clock.jump(61)
    app.gate.clear()
    for _ in range(3):
        stale = await ask(site, "/x")
        assert stale.body == b"/x 1"
        assert "hit" in said(stale)
    await until_asked(2)
    app.gate.set()
    await site.settle()
    assert (await ask(site, "/x")).body == b"/x 2"
    assert len(app.asked) == 2
    mock_clock.jump(200)
    assert (await ask(site, "/x")).body == b"/x 3"


async def test_a_proxied_answer_is_refreshed_in_the_background(
    edge_trio: AsyncEdges, portable: bool, mock_clock: MockClock
) -> None:
    fresh = "Cache-Control: max-age=60"
    scripts = [server(200, b"old", fresh), server(200, b"n" * 200_000, fresh)]
    cache = '{ stale_while_revalidate = "1m" }'
    site = await proxied(edge_trio, portable, *scripts, cache=cache)
    await ask(site, "/x")
    mock_clock.jump(61)
    assert (await ask(site, "/x", method="HEAD")).get("content-length") == "3"
    await site.settle()
    assert len((await ask(site, "/x")).body) == 200_000
    assert [request.method for request in edge_trio.upstream("one").requests] == ["GET", "GET"]


async def test_stale_if_error_of_a_server(edge_trio: AsyncEdges, portable: bool, mock_clock: MockClock) -> None:
    """D9: RFC 5861 §4, for no answer at all, and for a 503."""
    scripts = [
        server(200, b"good", "Cache-Control: max-age=60", "Connection: close", close=True),
        says(b"", close=True),
        server(503, b"bad", "Connection: close", close=True),
        server(404, b"gone", "Connection: close", close=True),
    ]
    site = await proxied(edge_trio, portable, *scripts, cache='{ stale_if_error = "1h" }')
    await ask(site, "/x")
    mock_clock.jump(61)
    for _ in range(2):
        mock_clock.jump(20)
        stale = await ask(site, "/x")
        assert (stale.status, stale.body) == (200, b"good")
        assert "fwd=stale" in said(stale)
    mock_clock.jump(20)
    assert (await ask(site, "/x")).status == 404


async def test_stale_if_error_of_an_application(edge_trio: AsyncEdges, portable: bool, mock_clock: MockClock) -> None:
    app.says("Cache-Control: max-age=60")
    site = await application(edge_trio, portable, '{ stale_if_error = "1h" }')
    await ask(site, "/x")
    mock_clock.jump(61)
    app.fails = True
    assert (await ask(site, "/x")).body == b"/x 1"
    mock_clock.jump(3700)
    assert (await ask(site, "/x")).status == 500


async def test_a_thousand_misses_of_one_page_are_one_request(
    edge_trio: AsyncEdges, portable: bool, mock_clock: MockClock
) -> None:
    """D9: 1,000 concurrent misses of a page that takes 2 s make one upstream request."""

    slow = replies(body="slow", fields={"Cache-Control": "max-age=60"}, after=2)
    site = await proxied(edge_trio, portable, slow)
    clients = [await site.connect() for _ in range(1000)]
    for client in clients:
        await client.send(b"GET /x HTTP/1.1\r\nHost: example.com\r\n\r\n")
    await site.settle()
    assert site.statistics()["requests"] == 1000
    await site.jump(2.5)
    found = [await client.reply() for client in clients]
    assert [(one.status, one.body) for one in found] == [(200, b"slow")] * 1000
    assert len(edge_trio.upstream("one").requests) == 1
