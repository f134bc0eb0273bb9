"""Compression of what is stored, on either driver: one form for all, and every rule of D1 to D6 through the cache.

What is stored is what content said; each client gets it in the coding that it takes.
"""

from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from cached_apps import PATIENCE, app
from running import Answer, Running, edge
from scripted import says, whole

from edgestack import codecs

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


@asynccontextmanager
async def kept(
    folder: Path, portable: bool, content: str, body: bytes, *fields: str, more: str = "", disk: bool = False
) -> AsyncIterator[Running]:
    """A cached route whose content says `fields` and `body`."""
    app.says(*fields, pieces=[body])
    where = 'proxy = "http://{one}"' if content == "proxied" else 'app = "cached_apps:app"'
    scripts = {"one": [says(*[whole(200, body, *fields)] * 9)]} if content == "proxied" else {}
    tier = f'[cache.main]\ndisk = "{folder}/kept"\n' if disk else ""
    text = f'{tier}[[route]]\nmatch = "/"\n{where}\ncache = {{}}\n{more}'
    async with edge(folder, text, scripts, portable=portable, patience=60) as running:
        yield running


def said(answer: Answer) -> str:
    return answer.field("cache-status") or ""


def told(answer: Answer) -> dict[str, str]:
    """Its fields, but for those of the moment."""
    moment = ("date", "x-request-id", "age", "cache-status", "connection")
    return {name.lower(): value for name, value in answer.pairs if name.lower() not in moment}


def plain(answer: Answer) -> bytes:
    """Its body without its coding."""
    coding = answer.field("content-encoding")
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
    portable: bool, tmp_path: Path, content: str, body: bytes
) -> None:
    """D2, D4: content is asked once, whoever comes first; all say Vary, and tags tell the codings apart (D3)."""
    async with kept(tmp_path, portable, content, body, FRESH, HTML, 'ETag: "v1"') as running:
        for accepted, coding in ACCEPTED * 2:
            answer = await running.get("/x", *([f"Accept-Encoding: {accepted}"] if accepted else []))
            assert (answer.status, answer.field("content-encoding")) == (200, coding), accepted
            assert plain(answer) == body
            assert answer.field("vary") == "Accept-Encoding"
            assert answer.field("etag") == (f'"v1-{coding}"' if coding else '"v1"')
        assert len(running.sent("one") if content == "proxied" else app.asked) == 1


@pytest.mark.parametrize("size", [len(SMALL), len(LARGE)])
@pytest.mark.parametrize("disk", [False, True])
async def test_d5_a_form_is_made_once(portable: bool, tmp_path: Path, made: list[int], size: int, disk: bool) -> None:
    """D5: for all who ask at once and later; also when it was validated since, and when it comes from disk."""
    body = (SMALL, LARGE)[size == len(LARGE)]
    async with kept(tmp_path, portable, "application", body, FRESH, HTML, 'ETag: "v1"', disk=disk) as running:
        await running.get("/x")
        (zone,) = running.stack.caches.all()
        if disk:
            assert await trio.to_thread.run_sync(zone.store.flush, PATIENCE)
            zone.store.memory.clear()
        found: list[Answer] = []

        async def ask() -> None:
            found.append(await running.get("/x", CODED))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask)
        validated = await running.get("/x", "Cache-Control: no-cache")
        assert "fwd-status=304" in said(validated)
        if not disk:  # there a new head is a new file, whose bytes nobody compares
            await ask()
        assert {plain(one) for one in found} == {body}
        assert made.count(size) == 1


async def test_d5_another_body_is_another_form(portable: bool, tmp_path: Path, made: list[int]) -> None:
    """What was purged and fetched anew within the same moment does not meet the form of what it was."""
    async with kept(tmp_path, portable, "application", LARGE, FRESH, HTML) as running:
        (zone,) = running.stack.caches.all()
        for body in (LARGE, LARGE[::-1], LARGE):
            app.says(FRESH, HTML, pieces=[body])
            zone._zones.now = lambda: 1_000_000_000.0  # a clock that stands still
            await running.get("/x")
            assert [plain(await running.get("/x", CODED)) == body for _ in range(3)] == [True] * 3
            assert zone.store.purge(url="/x") == 1
        assert made.count(len(LARGE)) == 3


@pytest.mark.parametrize("content", ["application", "proxied"])
async def test_d3_validators_through_the_cache(portable: bool, tmp_path: Path, content: str) -> None:
    """D3: a client's coded tag is answered from the store, and content behind is asked for its own."""
    async with kept(tmp_path, portable, content, SMALL, FRESH, HTML, 'ETag: "v1"') as running:
        missed = await running.get("/x", CODED, 'If-None-Match: "v1-gzip"')
        assert (missed.status, missed.field("etag"), missed.field("vary")) == (304, '"v1-gzip"', "Accept-Encoding")
        for tag, expected in (
            ('"v1-gzip"', '"v1-gzip"'),
            ('"v1"', '"v1"'),
            ('"v0", "v1-br"', '"v1-br"'),
            ("*", '"v1"'),
        ):
            same = await running.get("/x", CODED, f"If-None-Match: {tag}")
            assert (same.status, same.field("etag"), same.field("vary")) == (304, expected, "Accept-Encoding"), tag
            assert "hit" in said(same)
        for tag in ('"v2-gzip"', '"v1-zip"', '"v1-gzip-gzip"'):
            assert (await running.get("/x", CODED, f"If-None-Match: {tag}")).status == 200, tag
        assert len(running.sent("one") if content == "proxied" else app.asked) == 1


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
async def test_d1_head_says_what_get_would(portable: bool, tmp_path: Path, body: bytes) -> None:
    """D1: of a hit, in each coding; Content-Length too, once the form is there."""
    async with kept(tmp_path, portable, "application", body, FRESH, HTML, 'ETag: "v1"') as running:
        await running.get("/x")
        for accepted in ("gzip", "br", "identity"):
            await running.get("/x", f"Accept-Encoding: {accepted}")
            got = await running.get("/x", f"Accept-Encoding: {accepted}")
            head = await running.get("/x", f"Accept-Encoding: {accepted}", method="HEAD")
            assert (head.body, told(head)) == (b"", told(got))
            assert head.field("content-length") == str(len(got.body))


async def test_c5_ranges_are_of_the_answer_and_not_of_its_form(portable: bool, tmp_path: Path) -> None:
    """C4, C5, D1: 206 is not coded, says Vary as its 200 would, and If-Range does not mistake a form for it."""
    async with kept(tmp_path, portable, "application", SMALL, FRESH, HTML, 'ETag: "v1"') as running:
        await running.get("/x", CODED)
        part = await running.get("/x", CODED, "Range: bytes=2-6")
        assert (part.status, part.body, part.field("etag")) == (206, SMALL[2:7], '"v1"')
        assert (part.field("content-encoding"), part.field("vary")) == (None, "Accept-Encoding")
        mine = await running.get("/x", CODED, "Range: bytes=2-6", 'If-Range: "v1-gzip"')
        assert (mine.status, plain(mine)) == (200, SMALL)
        assert (await running.get("/x", CODED, "Range: bytes=2-6", 'If-Range: "v1"')).body == SMALL[2:7]
        past = await running.get("/x", CODED, "Range: bytes=99999-")
        assert (past.status, past.field("content-range")) == (416, f"bytes */{len(SMALL)}")


async def test_what_comes_coded_is_stored_as_it_came(portable: bool, tmp_path: Path) -> None:
    """D1: not coded again; ranges are of its coded bytes, and its Vary keeps it from who cannot read it (D8)."""
    coded = gzip.compress(LARGE, mtime=0)
    fields = (FRESH, HTML, 'ETag: "g"', "Content-Encoding: gzip", "Vary: Accept-Encoding")
    async with kept(tmp_path, portable, "proxied", coded, *fields) as running:
        for _ in range(2):
            answer = await running.get("/x", CODED)
            assert (answer.body, answer.field("etag"), answer.field("vary")) == (coded, '"g"', "Accept-Encoding")
        part = await running.get("/x", CODED, "Range: bytes=5-9")
        assert (part.status, part.body, part.field("content-encoding")) == (206, coded[5:10], "gzip")
        assert "fwd=vary-miss" in said(await running.get("/x"))


async def test_d1_no_transform_is_stored_and_heeded(portable: bool, tmp_path: Path) -> None:
    fields = ("Cache-Control: max-age=60, no-transform", HTML)
    async with kept(tmp_path, portable, "application", SMALL, *fields) as running:
        answers = [await running.get("/x", CODED) for _ in range(2)]
        assert [(one.body, one.field("content-encoding"), one.field("vary")) for one in answers] == [
            (SMALL, None, None)
        ] * 2
        assert "hit" in said(answers[1])


async def test_without_compression(portable: bool, tmp_path: Path) -> None:
    async with kept(tmp_path, portable, "application", SMALL, FRESH, HTML, more='compress = "off"\n') as running:
        answers = [await running.get("/x", CODED) for _ in range(2)]
        assert [(one.body, one.field("vary")) for one in answers] == [(SMALL, None)] * 2


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
    portable: bool, tmp_path: Path, rule: str, fields: tuple[str, ...], stored: bool, seen: str
) -> None:
    """D10: as if content had said it, where content says nothing itself; the client sees the same, hit or not."""
    more = f"cache_control = {rule}\n"
    async with kept(tmp_path, portable, "proxied", SMALL, HTML, *fields, more=more) as running:
        answers = [await running.get("/x", CODED) for _ in range(2)]
        assert ("hit" in said(answers[1])) is stored
        assert [one.field("cache-control") for one in answers] == [seen] * 2
        assert [one.field("content-encoding") for one in answers] == [None if "no-tr" in seen else "gzip"] * 2


async def test_d6_a_stream_is_coded_and_stored_as_it_passes(portable: bool, tmp_path: Path) -> None:
    """D6, D8: the client can read each piece before the next one is given; everybody else gets all of it."""
    taken = threading.Semaphore(0)

    def streaming(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/html"), ("Cache-Control", "max-age=60")])
        for at in range(3):
            yield b"piece %d\n" % at * 400
            assert taken.acquire(timeout=PATIENCE)

    async with kept(tmp_path, portable, "application", b"") as running:
        app.instead = streaming
        client = await running.connect()
        await client.stream.send_all(b"GET /stream HTTP/1.1\r\nHost: example.com\r\nAccept-Encoding: gzip\r\n\r\n")
        head = await client.until(b"\r\n\r\n")
        assert b"Content-Encoding: gzip" in head
        decoder, expected = zlib.decompressobj(31), b""
        for at in range(3):
            expected += b"piece %d\n" % at * 400
            size = int(await client.until(b"\r\n"), 16)
            assert decoder.decompress(await client.exactly(size)) == b"piece %d\n" % at * 400
            await client.exactly(2)
            taken.release()
        await client.until(b"0\r\n\r\n")
        answer = await running.get("/stream")
        assert (answer.body, answer.field("content-encoding")) == (expected, None)
        assert "hit" in said(answer)
        assert plain(await running.get("/stream", CODED)) == expected


async def test_c13_neighbours_of_files_beside_a_cached_application(portable: bool, tmp_path: Path) -> None:
    """C13: a precompressed neighbour wins, bears the route's Cache-Control and its own tag, and is nothing stored."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "a.js").write_bytes(SMALL)
    (site / "a.js.gz").write_bytes(gzip.compress(SMALL, mtime=0))
    more = f'static = "{site}"\ncache_control = "max-age=60"\n'
    async with kept(tmp_path, portable, "application", LARGE, HTML, 'ETag: "v1"', more=more) as running:
        for _ in range(2):
            file = await running.get("/a.js", CODED)
            assert (file.body, file.field("content-encoding")) == (gzip.compress(SMALL, mtime=0), "gzip")
            assert (file.field("cache-control"), file.field("vary")) == ("max-age=60", "Accept-Encoding")
            assert said(file) == ""
            page = await running.get("/page", CODED)
            assert (plain(page), page.field("cache-control")) == (LARGE, "max-age=60")
        assert "hit" in said(page)
        (zone,) = running.stack.caches.all()
        assert [one.url for one in zone.store.list()] == ["http://example.com/page"]
