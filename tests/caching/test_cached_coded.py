"""Compression of what is stored, on either driver: one form for all, and every rule of D1 to D6 through the cache.

What is stored is what content said; each client gets it in the coding that it takes.
"""

from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h11
import pytest
import trio
from cached_apps import PATIENCE, app
from cached_kit import ask, said, server, zone_of

from edgestack import codecs
from edgestack.testing import AsyncSite, Reply
from edgestack.testing.fixtures import AsyncEdges

pytestmark = pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])

FRESH = "Cache-Control: max-age=60"
HTML = "Content-Type: text/html"
SMALL, LARGE = b"a short line\n" * 300, b"".join(b"<p>paragraph %06d</p>\n" % at for at in range(9000))
CODED = "Accept-Encoding: gzip"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all bodies that were coded whole."""
    sizes: list[int] = []
    own = codecs.codec

    def counting(coding: str, level: int | None = None) -> codecs.Codec:
        codec = own(coding, level)

        def whole(data: bytes) -> bytes:
            sizes.append(len(data))
            return codec.whole(data)

        return codec._replace(whole=whole)

    monkeypatch.setattr(codecs, "codec", counting)
    return sizes


async def kept(
    edge_trio: AsyncEdges, portable: bool, content: str, body: bytes, *fields: str, more: str = "", disk: str = ""
) -> AsyncSite:
    """A cached route whose content says `fields` and `body`.

    :param disk: a folder to keep it in.
    """
    app.says(*fields, pieces=[body])
    where = 'app = "cached_apps:app"'
    if content == "proxied":
        where = 'proxy = "http://one"'
        edge_trio.upstream("one").sequence(server(200, body, *fields))
    tier = f'[cache.main]\ndisk = "{disk}"\n' if disk else ""
    text = f'{tier}[[route]]\nmatch = "/"\n{where}\ncache = {{}}\n{more}'
    return await edge_trio(text=text, tls=False, portable=portable)


def told(answer: Reply) -> dict[str, str]:
    """Its fields, but for those of the moment."""
    moment = ("date", "x-request-id", "age", "cache-status", "connection")
    return {name.lower(): value for name, value in answer.fields if name.lower() not in moment}


def plain(answer: Reply) -> bytes:
    """Its body without its coding."""
    coding = answer.get("content-encoding")
    if coding is None:
        return answer.body
    if coding == "gzip":
        return gzip.decompress(answer.body)
    library: Any = pytest.importorskip({"br": "brotli", "zstd": "backports.zstd"}[coding])
    found: bytes = library.decompress(answer.body)
    return found


ACCEPTED = [
    ("gzip", "gzip"), ("br", "br"), ("zstd", "zstd"), ("gzip, br, zstd", "zstd"), ("gzip;q=0.9, br;q=0.1", "gzip"),
    ("", None), ("identity", None), ("gzip;q=0, *", "zstd"), ("*;q=0", None), ("identity;q=0", None),
    ("gzip;q=0.5, identity;q=0", "gzip"), ("xgzipx", None),
]  # fmt: skip


@pytest.mark.parametrize("content", ["application", "proxied"])
@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
async def test_d2_d4_each_client_gets_its_coding_of_one_answer(
    edge_trio: AsyncEdges, portable: bool, content: str, body: bytes
) -> None:
    """D2, D4: content is asked once, whoever comes first; all say Vary, and tags tell the codings apart (D3)."""
    site = await kept(edge_trio, portable, content, body, FRESH, HTML, 'ETag: "v1"')
    for accepted, coding in ACCEPTED * 2:
        answer = await ask(site, "/x", *([f"Accept-Encoding: {accepted}"] if accepted else []))
        assert (answer.status, answer.get("content-encoding")) == (200, coding), accepted
        assert plain(answer) == body
        assert answer.get("vary") == "Accept-Encoding"
        assert answer.get("etag") == (f'"v1-{coding}"' if coding else '"v1"')
    assert len(edge_trio.upstream("one").requests if content == "proxied" else app.asked) == 1


@pytest.mark.parametrize("size", [len(SMALL), len(LARGE)])
@pytest.mark.parametrize("disk", [False, True])
async def test_d5_a_form_is_made_once(
    edge_trio: AsyncEdges, portable: bool, tmp_path: Path, made: list[int], size: int, disk: bool
) -> None:
    """D5: for all who ask at once and later; also when it was validated since, and when it comes from disk."""
    body = (SMALL, LARGE)[size == len(LARGE)]
    site = await kept(
        edge_trio, portable, "application", body, FRESH, HTML, 'ETag: "v1"', disk=f"{tmp_path}/kept" if disk else ""
    )
    await ask(site, "/x")
    zone = zone_of(site)
    if disk:
        assert await trio.to_thread.run_sync(zone.store.flush, PATIENCE)
        zone.store.memory.clear()
    found: list[Reply] = []

    async def ask_coded() -> None:
        found.append(await ask(site, "/x", CODED))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask_coded)
    validated = await ask(site, "/x", "Cache-Control: no-cache")
    assert "fwd-status=304" in said(validated)
    if not disk:  # there a new head is a new file, whose bytes nobody compares
        await ask_coded()
    assert {plain(one) for one in found} == {body}
    assert made.count(size) == 1


async def test_d5_another_body_is_another_form(edge_trio: AsyncEdges, portable: bool, made: list[int]) -> None:
    """What was purged and fetched anew within the same moment does not meet the form of what it was."""
    site = await kept(edge_trio, portable, "application", LARGE, FRESH, HTML)
    zone = zone_of(site)
    for body in (LARGE, LARGE[::-1], LARGE):
        app.says(FRESH, HTML, pieces=[body])
        zone._zones.now = lambda: 1_000_000_000.0  # a clock that stands still
        await ask(site, "/x")
        assert [plain(await ask(site, "/x", CODED)) == body for _ in range(3)] == [True] * 3
        assert zone.store.purge(url="/x") == 1
    assert made.count(len(LARGE)) == 3


@pytest.mark.parametrize("content", ["application", "proxied"])
async def test_d3_validators_through_the_cache(edge_trio: AsyncEdges, portable: bool, content: str) -> None:
    """D3: a client's coded tag is answered from the store, and content behind is asked for its own."""
    site = await kept(edge_trio, portable, content, SMALL, FRESH, HTML, 'ETag: "v1"')
    missed = await ask(site, "/x", CODED, 'If-None-Match: "v1-gzip"')
    assert (missed.status, missed.get("etag"), missed.get("vary")) == (304, '"v1-gzip"', "Accept-Encoding")
    for tag, expected in (
        ('"v1-gzip"', '"v1-gzip"'),
        ('"v1"', '"v1"'),
        ('"v0", "v1-br"', '"v1-br"'),
        ("*", '"v1"'),
    ):
        same = await ask(site, "/x", CODED, f"If-None-Match: {tag}")
        assert (same.status, same.get("etag"), same.get("vary")) == (304, expected, "Accept-Encoding"), tag
        assert "hit" in said(same)
    for tag in ('"v2-gzip"', '"v1-zip"', '"v1-gzip-gzip"'):
        assert (await ask(site, "/x", CODED, f"If-None-Match: {tag}")).status == 200, tag
    assert len(edge_trio.upstream("one").requests if content == "proxied" else app.asked) == 1


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
async def test_d1_head_says_what_get_would(edge_trio: AsyncEdges, portable: bool, body: bytes) -> None:
    """D1: of a hit, in each coding; Content-Length too, once the form is there."""
    site = await kept(edge_trio, portable, "application", body, FRESH, HTML, 'ETag: "v1"')
    await ask(site, "/x")
    for accepted in ("gzip", "br", "identity"):
        await ask(site, "/x", f"Accept-Encoding: {accepted}")
        got = await ask(site, "/x", f"Accept-Encoding: {accepted}")
        head = await ask(site, "/x", f"Accept-Encoding: {accepted}", method="HEAD")
        assert (head.body, told(head)) == (b"", told(got))
        assert head.get("content-length") == str(len(got.body))


async def test_c5_ranges_are_of_the_answer_and_not_of_its_form(edge_trio: AsyncEdges, portable: bool) -> None:
    """C4, C5, D1: 206 is not coded, says Vary as its 200 would, and If-Range does not mistake a form for it."""
    site = await kept(edge_trio, portable, "application", SMALL, FRESH, HTML, 'ETag: "v1"')
    await ask(site, "/x", CODED)
    part = await ask(site, "/x", CODED, "Range: bytes=2-6")
    assert (part.status, part.body, part.get("etag")) == (206, SMALL[2:7], '"v1"')
    assert (part.get("content-encoding"), part.get("vary")) == (None, "Accept-Encoding")
    mine = await ask(site, "/x", CODED, "Range: bytes=2-6", 'If-Range: "v1-gzip"')
    assert (mine.status, plain(mine)) == (200, SMALL)
    assert (await ask(site, "/x", CODED, "Range: bytes=2-6", 'If-Range: "v1"')).body == SMALL[2:7]
    past = await ask(site, "/x", CODED, "Range: bytes=99999-")
    assert (past.status, past.get("content-range")) == (416, f"bytes */{len(SMALL)}")


async def test_what_comes_coded_is_stored_as_it_came(edge_trio: AsyncEdges, portable: bool) -> None:
    """D1: not coded again; ranges are of its coded bytes, and its Vary keeps it from who cannot read it (D8)."""
    coded = gzip.compress(LARGE, mtime=0)
    fields = (FRESH, HTML, 'ETag: "g"', "Content-Encoding: gzip", "Vary: Accept-Encoding")
    site = await kept(edge_trio, portable, "proxied", coded, *fields)
    for _ in range(2):
        answer = await ask(site, "/x", CODED)
        assert (answer.body, answer.get("etag"), answer.get("vary")) == (coded, '"g"', "Accept-Encoding")
    part = await ask(site, "/x", CODED, "Range: bytes=5-9")
    assert (part.status, part.body, part.get("content-encoding")) == (206, coded[5:10], "gzip")
    assert "fwd=vary-miss" in said(await ask(site, "/x"))


async def test_d1_no_transform_is_stored_and_heeded(edge_trio: AsyncEdges, portable: bool) -> None:
    fields = ("Cache-Control: max-age=60, no-transform", HTML)
    site = await kept(edge_trio, portable, "application", SMALL, *fields)
    answers = [await ask(site, "/x", CODED) for _ in range(2)]
    assert [(one.body, one.get("content-encoding"), one.get("vary")) for one in answers] == [(SMALL, None, None)] * 2
    assert "hit" in said(answers[1])


async def test_without_compression(edge_trio: AsyncEdges, portable: bool) -> None:
    site = await kept(edge_trio, portable, "application", SMALL, FRESH, HTML, more='compress = "off"\n')
    answers = [await ask(site, "/x", CODED) for _ in range(2)]
    assert [(one.body, one.get("vary")) for one in answers] == [(SMALL, None)] * 2


RULES = [
    ('"max-age=60"', (), True, "max-age=60"),
    ('"no-store"', (), False, "no-store"),
    ('"private"', (), False, "private"),
    ('"no-store"', ("Cache-Control: max-age=60",), True, "max-age=60"),
    ('"max-age=60"', ("Cache-Control: no-store",), False, "no-store"),
    ('"max-age=60"', ("X-Accel-Expires: 0",), False, "max-age=60"),
    ('"no-store"', ("CDN-Cache-Control: max-age=60",), True, "no-store"),
    ('[{ type = "text/css", value = "max-age=60" }, { value = "no-store" }]', (), False, "no-store"),
    ('[{ path = "/x", value = "max-age=9, no-transform" }]', (), True, "max-age=9, no-transform"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "fields", "stored", "seen"), RULES)
async def test_d10_rules_of_the_route_count_before_it_is_stored(
    edge_trio: AsyncEdges, portable: bool, rule: str, fields: tuple[str, ...], stored: bool, seen: str
) -> None:
    """D10: as if content had said it, where content says nothing itself; the client sees the same, hit or not."""
    more = f"cache_control = {rule}\n"
    site = await kept(edge_trio, portable, "proxied", SMALL, HTML, *fields, more=more)
    answers = [await ask(site, "/x", CODED) for _ in range(2)]
    assert ("hit" in said(answers[1])) is stored
    assert [one.get("cache-control") for one in answers] == [seen] * 2
    assert [one.get("content-encoding") for one in answers] == [None if "no-tr" in seen else "gzip"] * 2


async def test_d6_a_stream_is_coded_and_stored_as_it_passes(edge_trio: AsyncEdges, portable: bool) -> None:
    """D6, D8: the client can read each piece before the next one is given; everybody else gets all of it."""
    taken = threading.Semaphore(0)

    def streaming(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/html"), ("Cache-Control", "max-age=60")])
        for at in range(3):
            yield b"piece %d\n" % at * 400
            assert taken.acquire(timeout=PATIENCE)

    site = await kept(edge_trio, portable, "application", b"")
    app.instead = streaming
    client, reader = await site.connect(), h11.Connection(h11.CLIENT)
    asked = h11.Request(method="GET", target="/stream", headers=[("Host", "example.com"), ("Accept-Encoding", "gzip")])
    await client.send((reader.send(asked) or b"") + (reader.send(h11.EndOfMessage()) or b""))

    async def event() -> Any:
        while (found := reader.next_event()) is h11.NEED_DATA:
            reader.receive_data(await client.receive())
        return found

    assert (b"content-encoding", b"gzip") in (await event()).headers
    decoder, expected = zlib.decompressobj(31), b""
    for at in range(3):
        piece = b"piece %d\n" % at * 400
        expected += piece
        assert decoder.decompress((await event()).data) == piece
        taken.release()
    while not isinstance(await event(), h11.EndOfMessage):
        pass
    answer = await ask(site, "/stream")
    assert (answer.body, answer.get("content-encoding")) == (expected, None)
    assert "hit" in said(answer)
    assert plain(await ask(site, "/stream", CODED)) == expected


async def test_c13_neighbours_of_files_beside_a_cached_application(
    edge_trio: AsyncEdges, portable: bool, tmp_path: Path
) -> None:
    """C13: a precompressed neighbour wins, bears the route's Cache-Control and its own tag, and is nothing stored."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "a.js").write_bytes(SMALL)
    (site / "a.js.gz").write_bytes(gzip.compress(SMALL, mtime=0))
    more = f'static = "{site}"\ncache_control = "max-age=60"\n'
    site = await kept(edge_trio, portable, "application", LARGE, HTML, 'ETag: "v1"', more=more)
    for _ in range(2):
        file = await ask(site, "/a.js", CODED)
        assert (file.body, file.get("content-encoding")) == (gzip.compress(SMALL, mtime=0), "gzip")
        assert (file.get("cache-control"), file.get("vary")) == ("max-age=60", "Accept-Encoding")
        assert said(file) == ""
        page = await ask(site, "/page", CODED)
        assert (plain(page), page.get("cache-control")) == (LARGE, "max-age=60")
    assert "hit" in said(page)
    zone = zone_of(site)
    assert [one.url for one in zone.store.list()] == ["http://example.com/page"]
