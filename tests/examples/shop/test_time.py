"""The shop's edge in memory: what takes seconds, minutes and hours in production, proven in milliseconds."""

from __future__ import annotations

import pytest

CONFIG = "edgestack.toml"
SHOP = "https://shop.example"


@pytest.fixture
async def shop(edge_memory):
    """The whole edge, without a socket; what is behind it is scripted."""
    prices = [edge_memory.upstream("a"), edge_memory.upstream("b")]
    return await edge_memory(CONFIG, replace={"upstream.prices": prices})


async def test_a_ban_expires(shop, edge_memory, autojump_clock):
    edge_memory.upstream("a").refuses()
    await shop.get(SHOP + "/prices/tea")
    await shop.get(SHOP + "/prices/tea")
    assert edge_memory.attempts == [("a", 502), ("b", 200), ("b", 200)]  # a is left alone for ten seconds

    edge_memory.upstream("a").replies(200)
    autojump_clock.jump(11)
    for _ in range(3):
        await shop.get(SHOP + "/prices/tea")
    assert ("a", 200) in edge_memory.attempts


async def test_a_slow_server_is_given_up(shop, edge_memory, autojump_clock):
    edge_memory.upstream("a").replies(200, after=5)
    edge_memory.upstream("b").replies(200, body="12.50")
    assert (await shop.get(SHOP + "/prices/tea")).text == "12.50"
    assert edge_memory.attempts == [("a", 504), ("b", 200)]  # read_timeout = "2s"
    assert 2 <= shop.log[-1].seconds < 3


async def test_the_front_page_expires(shop, mock_clock):
    for seconds in (0, 59, 2):
        await shop.jump(seconds)
        await shop.get(SHOP + "/")
    assert [record.cache for record in shop.log] == ["MISS", "HIT", "EXPIRED"]


async def test_the_rate_is_limited(shop, mock_clock):
    """Ten a second for one client; five more wait for their turn, which a clock that stands still never gives."""
    client = {"client": "203.0.113.7"}
    assert (await shop.get(SHOP + "/prices/tea", **client)).status == 200
    await shop.jump(0.1)
    assert (await shop.get(SHOP + "/prices/tea", **client)).status == 200
    assert (await shop.get(SHOP + "/prices/tea", client="203.0.113.8")).status == 200


async def test_a_burst_is_refused(shop, autojump_clock):
    import trio

    statuses = []

    async def ask():
        statuses.append((await shop.get(SHOP + "/prices/tea", client="203.0.113.7")).status)

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)
    assert statuses.count(200) == 6
    assert statuses.count(429) == 14


async def test_an_idle_connection_is_closed(shop, mock_clock):
    connection = await shop.connect(SHOP)
    assert (await connection.request("GET", "/")).status == 200
    await shop.jump(74)
    assert (await connection.request("GET", "/")).status == 200
    await shop.jump(76)
    assert await connection.receive() == b""


async def test_a_head_that_never_ends(shop, mock_clock):
    await shop.talk("""
        >> GET / HTTP/1.1
        >| Host: sho
        == 9
        <-
        == 2
        <~ 408
    """)
