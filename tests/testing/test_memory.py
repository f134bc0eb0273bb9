"""`edge_memory`: no sockets, and time that the test moves. Each promise that names seconds is kept in milliseconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from edgestack.testing.fixtures import AsyncEdges

TWO = """
[upstream.backend]
servers = ["a", "b"]
fail_timeout = "10s"
[[route]]
match = "/"
proxy = "http://backend"
"""


def says(words: bytes, *fields: tuple[str, str]) -> Callable[..., Iterable[bytes]]:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), *fields])
        return [words]

    return app


async def test_a_ban_expires(edge_memory: AsyncEdges, autojump_clock: MockClock) -> None:
    """fail_timeout: eleven seconds, without waiting."""
    a, b = edge_memory.upstream("a").refuses(), edge_memory.upstream("b")
    site = await edge_memory(text=TWO)
    for _ in range(3):
        assert (await site.get("/")).status == 200
    assert edge_memory.attempts == [("a", 502), ("b", 200), ("b", 200), ("b", 200)]
    a.replies(200)
    autojump_clock.jump(9)
    await site.get("/")
    assert not a.requests
    autojump_clock.jump(2)
    assert {(await site.get("/")).status for _ in range(4)} == {200}
    assert ("a", 200) in edge_memory.attempts
    assert len(a.requests) + len(b.requests) == 8


async def test_a_cache_expires(edge_memory: AsyncEdges, mock_clock: MockClock) -> None:
    """Fresh for a minute: the upstream is asked again after it, and not before."""
    api = edge_memory.upstream("api").replies(200, body="page", fields={"Cache-Control": "max-age=60"})
    site = await edge_memory(text='[[route]]\nmatch = "/"\nproxy = "http://api"\ncache = { stale_if_error = "0s" }')
    assert (await site.get("/"))["Cache-Status"].startswith("edgestack; fwd=uri-miss")
    await site.jump(59)
    answer = await site.get("/")
    assert (answer["Age"], answer["Cache-Status"].split(";")[1].strip()) == ("59", "hit")
    assert len(api.requests) == 1
    await site.jump(2)
    await site.get("/")
    assert len(api.requests) == 2
    assert [record.cache for record in site.log] == ["MISS", "HIT", "EXPIRED"]


async def test_keep_alive_ends(edge_memory: AsyncEdges, mock_clock: MockClock) -> None:
    site = await edge_memory(app=says(b"hello"), replace={"server.keepalive": "75s"})
    connection = await site.connect()
    assert (await connection.request("GET", "/")).text == "hello"
    await site.jump(74)
    assert (await connection.request("GET", "/")).text == "hello"
    await site.jump(76)
    assert await connection.receive() == b""


async def test_a_rate_limit(edge_memory: AsyncEdges, mock_clock: MockClock) -> None:
    """One a second for each address; the clock fills the bucket."""
    site = await edge_memory(text='[[route]]\nmatch = "/"\nrespond = "ok"\nlimit = [{ rate = "1/s" }]')
    assert [(await site.get("/")).status for _ in range(2)] == [200, 429]
    assert (await site.get("/", client="203.0.113.9")).status == 200
    await site.jump(1)
    assert (await site.get("/")).status == 200
    assert [record.remote_addr for record in site.log][2] == "203.0.113.9"


async def test_health_checks(edge_memory: AsyncEdges, autojump_clock: MockClock) -> None:
    """A server that fails its check is left alone before any client meets it."""
    a, b = edge_memory.upstream("a"), edge_memory.upstream("b")
    a.replies(500)
    text = TWO.replace("[[route]]", 'health = { path = "/health", interval = "5s", jitter = "0s" }\n[[route]]', 1)
    site = await edge_memory(text=text)
    await trio.sleep(6)
    assert a.requests[0].target == "/health"
    assert [(await site.get("/")).status for _ in range(4)] == [200] * 4
    assert edge_memory.attempts == [("b", 200)] * 4
    a.replies(200)
    await trio.sleep(6)
    assert [(await site.get("/")).status for _ in range(4)] == [200] * 4
    assert ("a", 200) in edge_memory.attempts
    assert b.requests


async def test_a_slow_head(edge_memory: AsyncEdges, mock_clock: MockClock) -> None:
    """408 after ten seconds, as a dialogue."""
    site = await edge_memory(app=says(b"hello"), replace={"server.timeouts.head": "10s"})
    await site.talk("""
        >| GET / HT
        == 9
        <-
        == 2
        <~ 408
    """)


async def test_silence_is_told(edge_memory: AsyncEdges, mock_clock: MockClock) -> None:
    """A clock that stands still, and an upstream that thinks: nobody waits for ever."""
    edge_memory.upstream("a").replies(200, after=5)
    site = await edge_memory(text='[[route]]\nmatch = "/"\nproxy = "http://a"')
    with pytest.raises(TimeoutError, match="clock"):
        await site.get("/")


async def test_threads_hold_the_clock(edge_memory: AsyncEdges, autojump_clock: MockClock) -> None:
    """An application that takes real time: the clock that jumps by itself does not run its timeouts out meanwhile."""
    working = threading.Event()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        working.wait(0.2)  # real time, in which every task waits
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"done"]

    site = await edge_memory(app=app)
    assert (await site.get("/")).text == "done"
    assert trio.current_time() < 1


async def test_other_threads_hold_it_too(edge_memory: AsyncEdges, autojump_clock: MockClock) -> None:
    site = await edge_memory(app=says(b"hello"))
    began = threading.Event()
    await site.on_thread(began.wait, 0.1)
    assert trio.current_time() < 1


async def test_sockets_hold_the_clock(edge_trio: AsyncEdges, autojump_clock: MockClock) -> None:
    """Bytes between sockets are waited for: no timeout runs out while they are under way."""
    site = await edge_trio(app=says(b"x" * 3_000_000))
    assert len((await site.get("/")).body) == 3_000_000
    assert trio.current_time() < 1
    assert autojump_clock.autojump_threshold > 0


async def test_the_threshold_is_given_back(autojump_clock: MockClock) -> None:
    from edgestack.testing import Edge

    async with Edge(app=says(b"x")) as site:
        await site.get("/")
    assert autojump_clock.autojump_threshold == 0


async def test_real_time(edge_memory: AsyncEdges) -> None:
    """Without a clock of the test's, time is real, and cannot be moved."""
    site = await edge_memory(app=says(b"hello"))
    assert (await site.get("/")).text == "hello"
    with pytest.raises(RuntimeError, match="mock_clock"):
        await site.jump(1)


async def test_https_is_https(edge_memory: AsyncEdges, mock_clock: MockClock, tmp_path: Path) -> None:
    """No TLS is spoken in memory, and everything else is as if it were: scheme, redirects, names."""
    (tmp_path / "edgestack.toml").write_text(
        '[tls]\nredirect_http = ":80"\n[[site]]\nhosts = ["a.example"]\nhsts = true\n'
        '[[site.route]]\nmatch = "/"\nrespond = "$scheme $host $ssl_server_name $server_port"\n'
    )
    site = await edge_memory(tmp_path / "edgestack.toml")
    answer = await site.get("https://a.example/")
    assert answer.text == "https a.example a.example 443"
    assert "max-age" in answer["Strict-Transport-Security"]
    plain = await site.get("http://a.example/x?y")
    assert (plain.status, plain["Location"]) == (301, "https://a.example/x?y")


async def test_in_the_tests_own_loop(edge_trio: AsyncEdges) -> None:
    """Real sockets, real TLS, no thread but for the application's."""
    site = await edge_trio(app=says(b"hello"))
    assert (await site.get("/")).text == "hello"
    connection = await site.connect()
    assert isinstance(connection.stream, trio.SSLStream)
    assert [(await connection.request("GET", "/")).text for _ in range(3)] == ["hello"] * 3
    site.reload(app=says(b"after"))
    assert (await connection.request("GET", "/")).text == "after"
    assert site.statistics()["exchanges"] == 5


async def test_fast(edge_memory: AsyncEdges, mock_clock: MockClock) -> None:
    """Hours pass in no time."""
    site = await edge_memory(app=says(b"hello"))
    began = time.monotonic()
    for _ in range(20):
        await site.jump(3600)
        assert (await site.get("/")).status == 200
    assert time.monotonic() - began < 5


async def test_answers_to_bytes(edge_memory: AsyncEdges, mock_clock: MockClock) -> None:
    """What was said by `send` is answered as what was asked by `request`."""
    site = await edge_memory(app=says(b"hello"))
    connection = await site.connect()
    await connection.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + 2 * b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await connection.reply("HEAD")).body == b""
    assert [(await connection.reply()).body for _ in range(2)] == [b"hello"] * 2
    assert (await connection.request("GET", "/")).body == b"hello"
