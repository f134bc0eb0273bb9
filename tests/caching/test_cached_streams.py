"""Streams of an ASGI application on their way into the store, on either driver: who leaves, fails, waits, is slow."""

from __future__ import annotations

import socket
import struct
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import trio
from cached_apps import app, halves

from edgestack.testing import GUARDS, AsyncSite, Reply
from edgestack.testing.async_site import Connection
from edgestack.testing.fixtures import AsyncEdges

pytestmark = pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])

LOOPS = pytest.mark.parametrize("loop", ["trio", "asyncio"])
ASKS = b"GET /x HTTP/1.1\r\nHost: example.com\r\n\r\n"
KEY = "http://example.com/x"
LONG = [b"%07d|" % at * 65536 for at in range(12)]
"""6 MiB: more than sockets hold on their way."""


async def streaming(edge_trio: AsyncEdges, portable: bool, more: str = "") -> AsyncSite:
    """A site whose application is `halves`."""
    text = f'[[route]]\nmatch = "/"\napp = "cached_apps:halves"\ncache = {{}}\n{more}'
    return await edge_trio(text=text, tls=False, portable=portable)


async def serving(
    edge_trio: AsyncEdges, portable: bool, loop: str, cache: str = "{}", store: str = ""
) -> AsyncSite:  # fmt: skip
    """A site whose application says what `app` does, as ASGI on a loop."""
    guards = GUARDS - {"threads"}  # asyncio's loop has one of its own
    text = f'[server]\nasgi_loop = "{loop}"\n{store}[[route]]\napp = "cached_apps:asgi"\ncache = {cache}\n'
    return await edge_trio(text=text, tls=False, portable=portable, guards=guards)


async def ask(site: AsyncSite, method: str = "GET", **fields: str) -> Reply:
    return await site.request(method, KEY, fields={name.replace("_", "-"): value for name, value in fields.items()})


async def until(client: Connection, mark: bytes) -> bytes:
    """What comes, to the first `mark`."""
    came = b""
    while mark not in came:
        data = await client.receive()
        assert data, came
        came += data
    return came


def zone_of(site: AsyncSite) -> Any:
    (zone,) = site._running.stack.caches.all()
    return zone


def said(reply: Reply) -> str:
    return reply.get("Cache-Status") or ""


async def test_who_asks_meanwhile_waits_for_its_end(edge_trio: AsyncEdges, portable: bool) -> None:
    """D9: one call of the application, and the second client has it from the store."""
    found: list[Reply] = []
    site = await streaming(edge_trio, portable)

    async def one() -> None:
        found.append(await ask(site))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one)
        await halves.half.wait()
        nursery.start_soon(one)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert zone_of(site).store.find(KEY) == ()
        halves.goes_on.set()
    assert [reply.body for reply in found] == [b"one 1 two"] * 2
    assert sorted("collapsed" in said(reply) for reply in found) == [False, True]
    assert len(halves.asked) == 1


async def test_a_client_that_leaves_within_it_leaves_nothing(edge_trio: AsyncEdges, portable: bool) -> None:
    """D11: and who has waited for its end asks himself."""
    site = await streaming(edge_trio, portable)
    client = await site.connect()
    await client.send(ASKS)
    await until(client, b"one 1 ")
    found: list[Reply] = []

    async def one() -> None:
        found.append(await ask(site))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one)
        await trio.testing.wait_all_tasks_blocked(0.05)
        await client.close()
    halves.goes_on.set()
    assert found[0].body == b"one 2 two"
    assert "hit" in said(again := await ask(site))
    assert again.body == b"one 2 two"
    assert zone_of(site).store.memory.lent == 0
    await site.settle()
    assert halves.told == ["the client has left"]


async def test_an_application_that_fails_within_it(edge_trio: AsyncEdges, portable: bool) -> None:
    """F11, D11: the client sees the truncation, and nobody gets half of it."""
    halves.fails = True
    site = await streaming(edge_trio, portable)
    client = await site.connect()
    await client.send(ASKS)
    await until(client, b"one 1 ")
    halves.goes_on.set()
    assert (await ask(site)).body == b"one 2 two"
    assert "hit" in said(await ask(site))
    with pytest.raises((AssertionError, trio.BrokenResourceError)):
        await until(client, b"0\r\n\r\n")
    assert zone_of(site).store.memory.lent == 0


async def test_a_client_that_leaves_before_its_head(edge_trio: AsyncEdges, portable: bool) -> None:
    """Nobody waits for an answer that nobody takes."""
    site = await streaming(edge_trio, portable)
    client = await site.connect()

    def leave() -> None:
        sock: Any = client.stream.socket  # type: ignore[attr-defined]
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        halves.first = lambda: None

    halves.first = leave
    await client.send(ASKS)
    await halves.half.wait()
    assert (await ask(site)).body == b"one 2 two"
    assert zone_of(site).fills == {}
    assert zone_of(site).store.memory.lent == 0
    halves.goes_on.set()


@pytest.mark.parametrize("field", [{"Range": "bytes=0-2"}, {"If_None_Match": '"v1"'}], ids=["range", "condition"])
async def test_what_the_client_does_not_take_is_stored_behind_it(
    edge_trio: AsyncEdges, portable: bool, field: dict[str, str]
) -> None:
    """A part, or nothing, for the client; the whole for the store."""
    halves.goes_on.set()
    site = await streaming(edge_trio, portable)
    assert (await ask(site, **field)).status == (200 if "Range" in field else 304)  # it knows no ranges itself
    with trio.fail_after(5):
        while "hit" not in said(whole := await ask(site)):
            pass
    assert whole.body in (b"one 1 two", b"one 2 two")
    assert whole["Content-Length"] == "9"
    assert (await ask(site, Range="bytes=0-2")).body == b"one"


async def test_head_is_passed_on_and_answered_from_what_get_has_stored(edge_trio: AsyncEdges, portable: bool) -> None:
    """D8."""
    halves.goes_on.set()
    site = await streaming(edge_trio, portable)
    assert "hit" not in said(await ask(site, "HEAD"))
    assert halves.asked[0]["method"] == "HEAD"
    assert (await ask(site))["Transfer-Encoding"] == "chunked"
    head = await ask(site, "HEAD")
    assert (head["Content-Length"], head.body) == ("9", b"")
    assert "hit" in said(head)
    assert len(halves.asked) == 2


async def test_d6_each_piece_leaves_when_it_comes(edge_trio: AsyncEdges, portable: bool) -> None:
    """D6: coded for this client, stored as it is for everybody."""
    site = await streaming(edge_trio, portable, "compress = { min_size = 1 }\n")
    client = await site.connect()
    await client.send(ASKS.replace(b"\r\n\r\n", b"\r\nAccept-Encoding: gzip\r\n\r\n"))
    head, _, came = (await until(client, b"\r\n\r\n")).partition(b"\r\n\r\n")
    assert b"Content-Encoding: gzip" in head
    chunk = came or await client.receive()
    assert zlib.decompressobj(31).decompress(chunk.partition(b"\r\n")[2]) == b"one 1 "
    halves.goes_on.set()
    await until(client, b"0\r\n\r\n")
    assert "hit" in said(plain := await ask(site))
    assert plain.body == b"one 1 two"


@LOOPS
async def test_a_slow_client_holds_nobody_back(edge_trio: AsyncEdges, portable: bool, loop: str) -> None:
    """One who asked meanwhile has waited in vain for its end; the next ones do not wait, and have it stored."""
    app.says("Cache-Control: max-age=60", pieces=LONG)
    store, cache = '[cache.main]\nmemory = "128MB"\n', '{ lock_timeout = "0.2s" }'
    site = await serving(edge_trio, portable, loop, cache, store)
    slow = await site.connect()
    await slow.send(ASKS)
    await until(slow, b"\r\n\r\n")
    with trio.fail_after(20):
        while not (fill := zone_of(site).fills.get(KEY)) or not fill.paused:
            await trio.testing.wait_all_tasks_blocked(0.05)
    replies = [await ask(site) for _ in range(3)]
    assert {reply.body for reply in replies} == {b"".join(LONG)}
    assert ["hit" in said(reply) for reply in replies] == [False, False, True]
    assert len(app.asked) == 3


@LOOPS
async def test_validation(edge_trio: AsyncEdges, portable: bool, loop: str) -> None:
    """D8: the application says that what is stored is still so; its 304 is nobody's answer."""
    app.says("Cache-Control: max-age=60", 'ETag: "v1"', pieces=[b"01234", b"56789"])
    site = await serving(edge_trio, portable, loop)
    first = await ask(site)
    assert (first.body, first["Transfer-Encoding"]) == (b"0123456789", "chunked")
    assert said(first) == "edgestack; fwd=uri-miss; fwd-status=200; stored"
    checked = await ask(site, Cache_Control="no-cache")
    assert (checked.status, checked.body) == (200, b"0123456789")
    assert "fwd-status=304" in said(checked)
    assert app.asked[1]["HTTP_IF_NONE_MATCH"] == '"v1"'
    assert said(await ask(site)).startswith("edgestack; hit; ttl=")
    assert len(app.asked) == 2


@LOOPS
async def test_stale_if_error(edge_trio: AsyncEdges, portable: bool, loop: str) -> None:
    """D9: for what it raises, and for a 503 that it says."""
    app.says("Cache-Control: max-age=0, stale-if-error=60", pieces=[b"go", b"od"])
    site = await serving(edge_trio, portable, loop)
    assert (await ask(site)).body == b"good"
    app.fails = True
    assert (await ask(site)).body == b"good"
    app.fails = False
    app.says(status="503 Busy", pieces=[b"bad", b"!"])
    stale = await ask(site)
    assert (stale.status, stale.body) == (200, b"good")
    assert "fwd=stale; fwd-status=503" in said(stale)
    app.says(status="404 Gone", pieces=[b"no"])
    assert (await ask(site)).status == 404


@LOOPS
async def test_what_is_broken_off_and_what_is_too_much(edge_trio: AsyncEdges, portable: bool, loop: str) -> None:
    """F9, F11: whatever the loop, half an answer is none, and more than announced is cut."""

    def breaks(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Cache-Control", "max-age=60")])
        yield b"half" * 50_000  # it is asked for more when some of that was taken, and the answer has begun
        raise RuntimeError("it fails")

    site = await serving(edge_trio, portable, loop)
    app.instead = breaks
    with pytest.raises(ConnectionError):
        await ask(site)
    app.instead = None
    app.says("Cache-Control: max-age=60", "Content-Length: 4", pieces=[b"lo", b"ng", b"er"])
    assert [(await ask(site)).body for _ in range(2)] == [b"long", b"long"]
    assert len(app.asked) == 2
