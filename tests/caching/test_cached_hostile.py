"""Clients, servers and applications that would have one request's answer given to everybody: on either driver (D8)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import trio
from cached_apps import app
from cached_kit import ask, said, server, zone_of
from scripted import whole

from edgestack.testing import AsyncSite, SeenRequest, replies, says
from edgestack.testing.acts import Act
from edgestack.testing.fixtures import AsyncEdges

pytestmark = pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])

FRESH = "Cache-Control: max-age=60"
APPLICATION = '[[route]]\nmatch = "/"\napp = "cached_apps:app"\ncache = CACHE\n'
PROXIED = '[[route]]\nmatch = "/"\nproxy = { to = "http://one" SET }\ncache = CACHE\n'


async def application(
    edge_trio: AsyncEdges, portable: bool, cache: str = "{}", before: str = "", **more: Any
) -> AsyncSite:
    return await edge_trio(text=before + APPLICATION.replace("CACHE", cache), tls=False, portable=portable, **more)


async def proxied(
    edge_trio: AsyncEdges, portable: bool, cache: str = "{}", set_: str = "", before: str = ""
) -> AsyncSite:
    text = before + PROXIED.replace("SET", set_).replace("CACHE", cache)
    return await edge_trio(text=text, tls=False, portable=portable)


# --- keys -------------------------------------------------------------------------------------------------------------


async def test_the_port_of_host_is_in_the_key(edge_trio: AsyncEdges, portable: bool) -> None:
    """Applications make links of Host: one with a strange port must not meet everybody."""
    app.says(FRESH)
    site = await application(edge_trio, portable)
    first = await ask(site, "/x", "Host: example.com:1337")
    second = await ask(site, "/x", "Host: example.com")
    assert (first.body, second.body) == (b"/x 1", b"/x 2")
    same = [await ask(site, "/x", host) for host in ("Host: EXAMPLE.com", "Host: example.com:80")]
    assert [one.body for one in same] == [b"/x 2", b"/x 2"]


async def test_the_parts_of_a_key_cannot_be_mistaken(edge_trio: AsyncEdges, portable: bool) -> None:
    """`$arg_a$arg_b` of a=1, b=23 is not that of a=12, b=3."""
    app.says(FRESH)
    site = await application(edge_trio, portable, '{ key = "$arg_a$arg_b" }')
    bodies = [(await ask(site, f"/x?{query}")).body for query in ("a=1&b=23", "a=12&b=3", "b=23&a=1")]
    assert bodies == [b"/x 1", b"/x 2", b"/x 1"]


@pytest.mark.parametrize(
    "target", ["/a/../x", "/%78", "/x?", "/x?b&a", "/x;a", "//x", "/X", "/x/", "http://example.org/x"]
)
async def test_another_spelling_is_another_key(edge_trio: AsyncEdges, portable: bool, target: str) -> None:
    """What the application might tell apart is kept apart."""
    app.says(FRESH)
    site = await application(edge_trio, portable)
    assert said(await ask(site, "/x")).endswith("stored")
    assert "hit" not in said(await ask(site, target))


@pytest.mark.parametrize("field", ["X-HTTP-Method-Override: DELETE", "X-Original-URL: /admin", "X-Rewrite-URL: /a"])
async def test_what_steers_frameworks_is_not_stored(edge_trio: AsyncEdges, portable: bool, field: str) -> None:
    """It passes, and nobody else gets its answer; nor does it refresh anything behind a client's back."""
    app.says("Cache-Control: max-age=0, stale-while-revalidate=60")
    site = await application(edge_trio, portable)
    steered = await ask(site, "/x", field)
    assert steered.body == b"/x 1"
    assert "fwd=bypass" in said(steered)
    assert (await ask(site, "/x")).body == b"/x 2"
    assert (await ask(site, "/x", field)).body == b"/x 2"
    await trio.testing.wait_all_tasks_blocked(0.05)
    assert len(app.asked) == 2


async def test_forwarding_fields_of_strangers_reach_nobody(edge_trio: AsyncEdges, portable: bool) -> None:
    """F3: so they cannot poison what is stored."""
    app.says(FRESH)
    site = await application(edge_trio, portable)
    await ask(site, "/x", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https", "Forwarded: host=evil")
    assert not [name for name in app.asked[0] if "FORWARDED" in name]
    assert app.asked[0]["HTTP_HOST"] == "example.com"


async def test_behind_a_trusted_proxy_the_clients_own_url_counts(edge_trio: AsyncEdges, portable: bool) -> None:
    """Tenants behind one balancer, which sends its own Host: neither gets the other's, and a purge is by their URL."""
    app.says(FRESH)
    before = '[server]\ntrusted_proxies = ["127.0.0.0/8"]\n'
    site = await application(edge_trio, portable, before=before)
    bodies = []
    for tenant in ("a.example", "b.example", "a.example"):
        told = (f"X-Forwarded-Host: {tenant}", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https")
        bodies.append((await ask(site, "/x", "Host: inside", *told)).body)
    assert bodies == [b"/x 1", b"/x 2", b"/x 1"]
    zone = zone_of(site)
    assert zone.store.purge(url="https://a.example/x") == 1


async def test_vary_on_what_the_proxy_writes_itself(edge_trio: AsyncEdges, portable: bool) -> None:
    """A page for each address: the client's own X-Forwarded-For says nothing of what the server behind saw."""
    edge_trio.upstream("one").sequence(
        *[server(200, b"yours alone", FRESH, f"Vary: {name}") for name in ("X-Forwarded-For", "X-Device") * 2]
    )
    site = await proxied(edge_trio, portable, set_=', set_headers = { X-Device = "$http_user_agent" }')
    client = await site.connect()
    answers = [await client.request("GET", target) for target in ("/a", "/b", "/a", "/b")]
    assert [said(one) for one in answers] == ['edgestack; fwd=uri-miss; fwd-status=200; detail="Vary"'] * 4


async def test_who_is_known_by_a_subrequest_gets_no_page_of_another_one(edge_trio: AsyncEdges, portable: bool) -> None:
    """As with Authorization (RFC 9111 §3.5): the server behind is told who asks, and the key does not say it."""

    async def knows(request: SeenRequest, stream: trio.abc.Stream) -> Act:
        return replies(fields={"X-User": request["X-Token"]})

    async def greets(request: SeenRequest, stream: trio.abc.Stream) -> Act:
        return replies(body=request["X-User"])

    text = """
    [[route]]
    match = "/"
    auth_request = { path = "/who", copy = ["X-User"] }
    proxy = "http://one"
    cache = { valid = "1h" }

    [[route]]
    match = "/who"
    proxy = "http://who"
    internal = true
    """
    edge_trio.upstream("one").does(greets)
    edge_trio.upstream("who").does(knows)
    site = await edge_trio(text=text, tls=False, portable=portable)
    bodies = [(await ask(site, "/x", f"X-Token: {token}")).body for token in "abab"]
    assert bodies == [b"a", b"b", b"a", b"b"]


async def test_a_vary_that_changes(edge_trio: AsyncEdges, portable: bool) -> None:
    """Each stored answer is judged by its own Vary; the one that came last goes before."""
    site = await application(edge_trio, portable)
    app.says(FRESH)
    assert (await ask(site, "/x", "X-A: 1", "Cache-Control: no-cache")).body == b"/x 1"
    app.says(FRESH, "Vary: X-A")
    assert (await ask(site, "/x", "X-A: 1", "Cache-Control: no-cache")).body == b"/x 2"
    app.says(FRESH, "Vary: X-A, X-B")
    assert (await ask(site, "/x", "X-A: 2", "X-B: 1", "Cache-Control: no-cache")).body == b"/x 3"
    assert (await ask(site, "/x", "X-A: 1")).body == b"/x 2"
    assert (await ask(site, "/x", "X-A: 2", "X-B: 1")).body == b"/x 3"
    assert (await ask(site, "/x", "X-A: 2", "X-B: 2")).body == b"/x 1"  # the first said nothing of X-A


# --- servers and applications that lie --------------------------------------------------------------------------------

LIES = {
    "a 304 that nobody asked for": (b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nExpires: 0\r\n\r\n', 304),
    "a part that nobody asked for": (whole(206, b"ab", FRESH, "Content-Range: bytes 0-1/9"), 206),
    "no range that anybody asked for": (whole(416, b"ab", FRESH), 416),
    "more than it says": (whole(200, b"ab", "Cache-Control: no-store") + b"HTTP/1.1 200 OK\r\n", 200),
    "events without end": (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Accel-Expires: 60\r\n"
                           b"Content-Length: 2\r\n\r\nab", 200),
    "set-cookie, in whatever case": (whole(200, b"ab", FRESH, "sEt-cOOkie: a=b"), 200),
    "a long word about it": (whole(200, b"ab", FRESH, "Vary: " + ", ".join(f"X-{at}" for at in range(20))), 200),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
async def test_a_server_that_lies(edge_trio: AsyncEdges, portable: bool, lie: str) -> None:
    """What it says is passed on as it came, and is nobody else's."""
    data, status = LIES[lie]
    edge_trio.upstream("one").sequence(says(data, close=True), server(200, b"true", FRESH))
    site = await proxied(edge_trio, portable, '{ valid = { any = "1h" } }')
    assert (await ask(site, "/x")).status == status
    truth = await ask(site, "/x")
    assert (truth.status, truth.body) == (200, b"true")


TORN = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\nCache-Control: max-age=60\r\n\r\n",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n249f0\r\n",
    "a chunk too few": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n186a0\r\n",
}


@pytest.mark.parametrize("torn", TORN)
@pytest.mark.parametrize("tier", ["memory", "disk"])
async def test_a_body_that_is_broken_off(
    edge_trio: AsyncEdges, portable: bool, tmp_path: Path, torn: str, tier: str
) -> None:
    """D11: whoever waited for it gets a whole one."""
    where = f'[cache.main]\nmemory = "1MB"\ndisk = "{tmp_path}/kept"\n' if tier == "disk" else ""
    edge_trio.upstream("one").sequence(says(TORN[torn] + b"t" * 100_000, close=True), server(200, b"true", FRESH))
    site = await proxied(edge_trio, portable, before=where)
    with pytest.raises(ConnectionError):
        await ask(site, "/x")
    assert (await ask(site, "/x")).body == b"true"


async def test_an_application_that_says_too_little_or_too_much(edge_trio: AsyncEdges, portable: bool) -> None:
    """F9: what is stored is what the client got, and a short body is nothing."""
    site = await application(edge_trio, portable, guards=False)  # one would tell the same
    app.says(FRESH, "Content-Length: 9", pieces=[b"short"])
    with pytest.raises(ConnectionError):
        await ask(site, "/x")
    app.says(FRESH, "Content-Length: 4", pieces=[b"lo", b"ng", b"er"])
    assert (await ask(site, "/x")).body == b"long"
    assert (await ask(site, "/x")).body == b"long"
    assert len(app.asked) == 2


async def test_what_is_too_large_is_not_said_to_be_stored(edge_trio: AsyncEdges, portable: bool) -> None:
    """And nobody waits for it to end: neither where its length is known, nor once it has become too long."""
    before = '[cache.main]\nmemory = "800kB"\n'
    for fields in ((FRESH, "Content-Length: 200000"), (FRESH,)):
        app.says(*fields, pieces=[b"x" * 50_000] * 4)
        site = await application(edge_trio, portable, before=before)
        first = await ask(site, "/x")
        assert len(first.body) == 200_000
        assert ("stored" in said(first)) is (len(fields) == 1)
        zone = zone_of(site)
        assert not zone.fills
        assert not any(zone.is_worth_waiting(key) for key in zone._unworthy)
        assert zone.store.statistics().entries == 0


async def test_a_range_of_what_is_too_large_does_not_have_all_of_it_sent(edge_trio: AsyncEdges, portable: bool) -> None:
    """One byte for the client, and the whole behind his back is given up when it is seen not to be for the store."""
    sent, ended = [0], trio.Event()

    async def long(request: SeenRequest, stream: trio.abc.Stream) -> Act | None:
        if "Range" in request:
            return server(206, b"x", "Content-Range: bytes 0-0/50000000")
        try:
            await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n")
            for _ in range(500):
                await stream.send_all(b"186a0\r\n" + b"y" * 100_000 + b"\r\n")
                sent[0] += 100_000
        finally:
            ended.set()
        return None

    edge_trio.upstream("one").does(long)
    site = await proxied(edge_trio, portable, before='[cache.main]\nmemory = "1MB"\n')
    part = await ask(site, "/x", "Range: bytes=0-0")
    assert (part.status, part.body) == (206, b"x")
    await ended.wait()
    assert sent[0] < 40_000_000  # what buffers on the way hold, and no more


async def test_an_application_is_stopped_when_nobody_wants_the_rest(edge_trio: AsyncEdges, portable: bool) -> None:
    """It is asked in the background, and what it answers is too large for the store."""
    given, closed = [0], threading.Event()

    def endless(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Cache-Control", "max-age=60"), ("Content-Type", "text/plain")])
        if "HTTP_RANGE" in environ:
            yield b"part"
            return
        try:
            while True:
                given[0] += 1
                yield b"y" * 50_000
        finally:
            closed.set()

    app.instead = endless
    site = await application(edge_trio, portable, before='[cache.main]\nmemory = "1MB"\n')
    assert (await ask(site, "/x", "Range: bytes=0-0")).body == b"part"
    assert await trio.to_thread.run_sync(closed.wait, 20)
    assert given[0] < 10


# --- files before an application --------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", ["", 'try = ["$uri", "$uri/"]\n'])
async def test_c14_a_file_before_a_cached_application_is_never_stale(
    edge_trio: AsyncEdges, portable: bool, tmp_path: Path, more: str
) -> None:
    """C14: the cache stands behind the files; the application behind them is kept, and sees its own tags (D3)."""
    (tmp_path / "site").mkdir()
    page = tmp_path / "site" / "page.html"
    page.write_text("old " * 500)
    os.utime(page, (1_600_000_000, 1_600_000_000))
    app.says(FRESH, 'ETag: "v1"', "Content-Type: text/html", pieces=[b"x" * 3000])
    text = f'[[route]]\nmatch = "/"\nstatic = "{tmp_path}/site"\napp = "cached_apps:app"\ncache = {{ valid = "1h" }}\n'
    site = await edge_trio(text=text + more, tls=False, portable=portable)
    for content in ("old ", "new "):
        page.write_text(content * 500)
        answers = [await ask(site, "/page.html") for _ in range(2)]
        assert [one.body for one in answers] == [content.encode() * 500] * 2
        assert [said(one) for one in answers] == ["", ""]
    await ask(site, "/app")
    assert "hit" in said(await ask(site, "/app"))
    coded = await ask(site, "/app", "Accept-Encoding: gzip", 'If-None-Match: "v1-gzip"')
    assert (coded.status, coded.get("etag")) == (304, '"v1-gzip"')
    assert len(app.asked) == 1
