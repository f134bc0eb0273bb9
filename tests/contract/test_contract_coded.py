"""Coded answers over both drivers (criteria D1 to D6): what the client gets decodes to what was given."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from contract_kit import Edge

Serving = Callable[..., AbstractAsyncContextManager[Edge]]
PAGE = b"<p>A paragraph of some length, again and again.</p>\n" * 2000
TEXT = ("Content-Type", "text/html")


def asking(target: str, *lines: str, method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    head = (f"{method} {target} {version}", "Host: a", "Accept-Encoding: gzip", *lines)
    return "\r\n".join((*head, "", "")).encode()


def inflated(data: bytes) -> bytes:
    decoder = zlib.decompressobj(31)
    text = decoder.decompress(data)
    assert decoder.eof
    assert not decoder.unused_data
    return text


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/whole":
        start_response("200 OK", [TEXT, ("ETag", '"x"')])
        return [PAGE]
    if path == "/announced":
        start_response("200 OK", [TEXT, ("Content-Length", str(len(PAGE)))])
        return [PAGE[:10], PAGE[10:]]
    if path == "/short":
        start_response("200 OK", [TEXT, ("Content-Length", str(len(PAGE) + 1))])
        return [PAGE]
    if path == "/validated":
        met = '"x"' in environ.get("HTTP_IF_NONE_MATCH", "").split(", ")
        start_response("304 Not Modified" if met else "200 OK", [TEXT, ("ETag", '"x"')])
        return [] if met else [PAGE]
    start_response("200 OK", [TEXT])
    return [b"little"]


async def test_d1_an_applications_answer(serving: Serving) -> None:
    """D1, D2, D3: coded, its length known because it came whole; HEAD has the same fields."""
    async with serving(app=app) as edge:
        client = await edge.connect()
        await client.send(asking("/whole"))
        answer = await client.answer()
        assert (answer.status, answer.fields["content-encoding"]) == (200, "gzip")
        assert (answer.fields["vary"], answer.fields["etag"]) == ("Accept-Encoding", '"x-gzip"')
        assert inflated(answer.body) == PAGE
        assert int(answer.fields["content-length"]) == len(answer.body) < len(PAGE) / 10
        await client.send(asking("/whole", method="HEAD"))
        head = await client.answer("HEAD")
        ours = ("date", "x-request-id")
        assert {k: v for k, v in head.fields.items() if k not in ours} == {
            k: v for k, v in answer.fields.items() if k not in ours
        }
        await client.send(asking("/little"))
        little = await client.answer()
        assert little.body == b"little"
        assert "content-encoding" not in little.fields
    assert [one.bytes_out for one in edge.records] == [len(answer.body), 0, 6]


async def test_d1_pieces_of_an_announced_length(serving: Serving) -> None:
    """The announced length is of what was not coded: it goes."""
    async with serving(app=app) as edge:
        client = await edge.connect()
        await client.send(asking("/announced"))
        answer = await client.answer()
        assert answer.fields["transfer-encoding"] == "chunked"
        assert "content-length" not in answer.fields
        assert inflated(answer.body) == PAGE


async def test_d1_a_short_answer_is_still_seen_to_be_short(serving: Serving) -> None:
    """F9: the connection breaks before the last chunk."""
    async with serving(app=app) as edge:
        client = await edge.connect()
        await client.send(asking("/short"))
        assert not (await client.end()).endswith(b"0\r\n\r\n")


async def test_d1_an_old_client(serving: Serving) -> None:
    """HTTP/1.0 has no chunks: the close ends it."""
    async with serving(app=app) as edge:
        client = await edge.connect()
        await client.send(asking("/announced", version="HTTP/1.0"))
        answer = await client.answer()
        assert "transfer-encoding" not in answer.fields
        assert inflated(answer.body) == PAGE


async def test_d2_identity_says_vary_too(serving: Serving) -> None:
    """D2."""
    async with serving(app=app) as edge:
        client = await edge.connect()
        await client.send(b"GET /whole HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await client.answer()
        assert (answer.body, answer.fields["vary"], answer.fields["etag"]) == (PAGE, "Accept-Encoding", '"x"')


async def test_d3_an_applications_own_304(serving: Serving) -> None:
    """D3: it sees its own tag, and the client the one it asked about."""
    async with serving(app=app) as edge:
        client = await edge.connect()
        await client.send(asking("/validated", 'If-None-Match: "x-gzip"'))
        answer = await client.answer()
        assert (answer.status, answer.fields["etag"]) == (304, '"x-gzip"')
        await client.send(asking("/validated", 'If-None-Match: "y-gzip"'))
        assert (await client.answer()).status == 200


async def test_d6_a_stream_withholds_nothing(serving: Serving) -> None:
    """D6: each piece can be decoded before the application gives the next one."""
    taken = threading.Semaphore(0)

    def streaming(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        for at in range(3):
            yield b"data: %d\n\n" % at
            assert taken.acquire(timeout=20)

    async with serving(app=streaming) as edge:
        client = await edge.connect()
        await client.send(asking("/events"))
        head = (await client.until(rb"HTTP/1\.1 200 (?s:.*?)\r\n\r\n"))[0]
        assert b"Content-Encoding: gzip" in head
        decoder = zlib.decompressobj(31)
        for at in range(3):
            size = int((await client.until(rb"([0-9a-f]+)\r\n"))[1], 16)
            assert decoder.decompress(await client.exactly(size)) == b"data: %d\n\n" % at
            await client.until(rb"\r\n")
            taken.release()
        size = int((await client.until(rb"([0-9a-f]+)\r\n"))[1], 16)
        decoder.decompress(await client.exactly(size))
        assert decoder.eof
        await client.until(rb"\r\n0\r\n\r\n")


@pytest.mark.parametrize("size", [3_000, 100_000, 600_000])
async def test_d5_files(serving: Serving, tmp_path: Any, size: int) -> None:
    """D5, C5, C6: made once, on a thread or not; HEAD, 304 and ranges."""
    import os

    content = (PAGE * 12)[:size]
    (tmp_path / "a.html").write_bytes(content)
    os.utime(tmp_path / "a.html", (1_600_000_000, 1_600_000_000))
    async with serving(site=tmp_path) as edge:
        client = await edge.connect()
        for _ in range(3):
            await client.send(asking("/a.html"))
            answer = await client.answer()
            assert answer.fields["content-encoding"] == "gzip"
            assert answer.fields["vary"] == "Accept-Encoding"
            assert "accept-ranges" not in answer.fields
            assert inflated(answer.body) == content
        tag = answer.fields["etag"]
        assert tag.endswith('-gzip"')
        await client.send(asking("/a.html", f"If-None-Match: {tag}"))
        again = await client.answer()
        assert (again.status, again.fields["etag"], again.fields["vary"]) == (304, tag, "Accept-Encoding")
        await client.send(asking("/a.html", method="HEAD"))
        assert (await client.answer("HEAD")).fields["content-length"] == answer.fields["content-length"]
        await client.send(asking("/a.html", "Range: bytes=0-9"))
        part = await client.answer()
        assert (part.status, part.body) == (206, content[:10])
        await client.send(b"GET /a.html HTTP/1.1\r\nHost: a\r\n\r\n")
        plain = await client.answer()
        assert (plain.body, plain.fields["vary"]) == (content, "Accept-Encoding")
