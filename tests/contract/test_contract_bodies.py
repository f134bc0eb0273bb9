"""Bodies of requests: asked for, bounded, and read to their end (criteria E4, E6, E8, F4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from contract_kit import Edge

Serving = Callable[..., AbstractAsyncContextManager[Edge]]


def size(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Says how much it got."""
    start_response("200 OK", [])
    return [b"%d" % len(environ["wsgi.input"].read())]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "page.txt").write_text("a page\n")
    return tmp_path


async def test_100_continue_comes_once_and_when_the_body_is_wanted(serving: Serving) -> None:
    """E6."""
    async with serving(app=size) as edge:
        await edge.talk("""
            >> POST / HTTP/1.1
            >> Host: a
            >> Content-Length: 5
            >> Expect: 100-Continue
            >>
            << HTTP/1.1 100 Continue
            <<
            >| he
            <-
            >| llo
            << HTTP/1.1 200 OK
            << Server: edgestack
            << Content-Length: 1
            << {end}
            <| 5
            -- chunks
            >> POST / HTTP/1.1
            >> Host: a
            >> Transfer-Encoding: chunked
            >> Expect: 100-continue
            >>
            << HTTP/1.1 100 Continue
            <<
            >> 5
            >> hello
            >> 0
            >>
            <~ 200
            -- a body that came without waiting is not asked for
            >> POST / HTTP/1.1
            >> Host: a
            >> Content-Length: 5
            >> Expect: 100-continue
            >>
            >| hello
            <~ 200
        """)


async def test_http_1_0_gets_no_100(serving: Serving) -> None:
    """E5, E6."""
    async with serving(app=size) as edge:
        await edge.talk("""
            >> POST / HTTP/1.0
            >> Host: a
            >> Content-Length: 5
            >> Expect: 100-continue
            >>
            <-
            >| hello
            << HTTP/1.1 200 OK
            << {any}Connection: close
            << {end}
            <| 5
            <!
        """)


async def test_no_100_where_nobody_wants_the_body(serving: Serving, site: Path) -> None:
    """E6: the final answer comes at once, and the connection closes, for the client may send the body or not."""
    async with serving(site=site) as edge:
        await edge.talk("""
            >> GET /page.txt HTTP/1.1
            >> Host: a
            >> Content-Length: 5
            >> Expect: 100-continue
            >>
            << HTTP/1.1 200 OK
            << {any}Connection: close
            << {end}
            <| a page\\n
            <!
        """)


@pytest.mark.parametrize("length", [99, 100, 101])
async def test_the_limit_of_a_body_by_its_length(serving: Serving, length: int) -> None:
    """E8: 413 before reading and before 100, at n-1, n and n+1."""
    async with serving(app=size, limits={"body": 100}) as edge:
        client = await edge.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % length)
        if length <= 100:
            await client.until(rb"HTTP/1.1 100 Continue\r\n\r\n")
            await client.send(b"x" * length)
            assert (await client.answer()).body == b"%d" % length
        else:
            answer = await client.answer()
            assert (answer.status, answer.fields["connection"]) == (413, "close")
            await client.send(b"x" * length)
            assert await client.end() == b""


@pytest.mark.parametrize("length", [99, 100, 101])
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "in pieces"])
async def test_the_limit_of_a_chunked_body(serving: Serving, length: int, at_once: bool) -> None:
    """E8: counted while it is read."""
    async with serving(app=size, limits={"body": 100}) as edge:
        client = await edge.connect()
        head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunks = b"32\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (b"x" * 50, length - 50, b"x" * (length - 50))
        if at_once:
            await client.send(head + chunks)
        else:
            await client.send(head)
            for at in range(0, len(chunks), 30):
                await edge.settle()
                await client.send(chunks[at : at + 30])
        answer = await client.answer()
        if length <= 100:
            assert (answer.status, answer.body) == (200, b"%d" % length)
        else:
            assert answer.status == 413
        await edge.talk("""
            -- the rest of the body was here, and was dropped
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """, client)  # fmt: skip


@pytest.mark.parametrize("kind", ["length", "chunks"])
async def test_a_large_body_goes_through_a_file(serving: Serving, kind: str) -> None:
    """F14: 300 KiB are more than is kept in memory, and more than one read."""
    body = bytes(range(256)) * 1200
    got = []

    def keep(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        got.append(environ["wsgi.input"].read())
        start_response("200 OK", [])
        return [b""]

    async with serving(app=keep) as edge:
        client = await edge.connect()
        if kind == "length":
            await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        else:
            chunks = [body[at : at + 1000] for at in range(0, len(body), 1000)]
            coded = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))
            await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + coded)
        assert (await client.answer()).status == 200
        assert got == [body]
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """, client)  # fmt: skip


@pytest.mark.parametrize(
    "chunks", ["5\r\nhello\n", "g\r\n", "5\r\nhello world\r\n", "0\r\nContent-Length: 5\r\n\r\n", "1;" + "x" * 1100]
)
async def test_broken_chunks_are_400(serving: Serving, chunks: str) -> None:
    """E1, E2: also when part of the body was read before."""
    async with serving(app=size) as edge:
        client = await edge.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
        await edge.settle()
        await client.send(chunks.encode())
        answer = await client.answer()
        assert (answer.status, answer.fields["connection"]) == (400, "close")
        assert await client.end() == b""


async def test_broken_chunks_that_nobody_wants_close_the_connection(serving: Serving, site: Path) -> None:
    """E4: the answer is the file's all the same; what follows it is not read as a request."""
    async with serving(site=site) as edge:
        await edge.talk("""
            >> GET /page.txt HTTP/1.1
            >> Host: a
            >> Transfer-Encoding: chunked
            >>
            >> oops
            << HTTP/1.1 200 OK
            << {any}Connection: close
            << {end}
            <| a page\\n
            <!
        """)
        assert [line.status for line in edge.records] == [200]


async def test_a_client_that_stops_within_its_body(serving: Serving) -> None:
    """RFC 9112 §8: an incomplete request is not handed on; the log says that the client left."""
    async with serving(app=size) as edge:
        client = await edge.talk("""
            >> POST / HTTP/1.1
            >> Host: a
            >> Content-Length: 5
            >>
            >| he
        """)
        await edge.settle()
        await client.half_close()
        assert await client.end() == b""
        assert [line.status for line in edge.records] == [499]
        assert [line.completion for line in edge.records] == [""]
        assert edge.stack.statistics()["failures"] == 0


async def test_after_an_upload_the_connection_goes_on(serving: Serving) -> None:
    """Its registration was taken away while the body was read."""
    async with serving(app=size) as edge:
        await edge.talk("""
            >> POST / HTTP/1.1
            >> Host: a
            >> Content-Length: 10
            >>
            >| hello
            <-
            >| world
            <~ 200
            <-
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 200
            == 74
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 200
            == 77
            <!
        """)
