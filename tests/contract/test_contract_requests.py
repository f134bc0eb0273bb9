"""Requests and answers, one after the other, as dialogues (criteria E1 to E5)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from contract_kit import Edge

Serving = Callable[..., AbstractAsyncContextManager[Edge]]


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Says what was asked for."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode("latin-1")]


def of_status(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers with the status in the query, and with a body, whether that may have one or not."""
    start_response(f"{environ['QUERY_STRING']} Said", [])
    return [b"a body", b" in two pieces"]


def streamed(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A body whose length nobody knows."""
    start_response("200 OK", [])
    yield b"hello, "
    yield b""
    yield b"world"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "page.txt").write_text("a page\n")
    (tmp_path / "long.txt").write_bytes(bytes(range(256)) * 1200)
    for name in os.listdir(tmp_path):
        os.utime(tmp_path / name, (1_600_000_000, 1_600_000_000))
    return tmp_path


async def test_an_application_answers_again_and_again(serving: Serving) -> None:
    async with serving(app=hello) as edge:
        client = await edge.talk("""
            >> GET /one HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 200 OK
            << Server: edgestack
            << Content-Type: text/plain
            << Content-Length: 4
            << {end}
            <| /one
            >> GET /two HTTP/1.1
            >> Host: a
            >> Connection: close
            >>
            << HTTP/1.1 200 OK
            << Server: edgestack
            << Content-Type: text/plain
            << Content-Length: 4
            << Connection: close
            << {end}
            <| /two
            <!
        """)
        await client.close()
        await edge.settle()
        assert [(line.status, line.target, line.bytes_out) for line in edge.records] == [
            (200, "/one", 4),
            (200, "/two", 4),
        ]


async def test_a_file_and_its_304(serving: Serving, site: Path) -> None:
    """E5: a 304 has no body and no Content-Length."""
    async with serving(site=site) as edge:
        await edge.talk("""
            >> GET /page.txt HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 200 OK
            << Server: edgestack
            << {any}Content-Length: 7
            << {end}
            <| a page\\n
            >> GET /page.txt HTTP/1.1
            >> Host: a
            >> If-Modified-Since: Sun, 13 Sep 2020 12:26:40 GMT
            >>
            << HTTP/1.1 304 Not Modified
            << Server: edgestack
            << {any}
            << {end}
            >> HEAD /page.txt HTTP/1.1
            >> Host: a
            >> Connection: close
            >>
            << HTTP/1.1 200 OK
            << {any}Content-Length: 7
            << Connection: close
            << {end}
            <!
        """)
        assert [(line.status, line.bytes_out) for line in edge.records] == [(200, 7), (304, 0), (200, 0)]


async def test_a_long_file_arrives_whole(serving: Serving, site: Path) -> None:
    async with serving(site=site) as edge:
        client = await edge.talk("""
            >> GET /long.txt HTTP/1.1
            >> Host: a
            >>
        """)
        assert (await client.answer()).body == (site / "long.txt").read_bytes()
        await edge.talk("""
            >> GET /long.txt HTTP/1.1
            >> Host: a
            >> Range: bytes=256-511
            >>
            << HTTP/1.1 206 Partial Content
            << {any}Content-Length: 256
            << {end}
        """, client)  # fmt: skip
        assert (await client.until(b"(?s:.{256})"))[0] == bytes(range(256))


@pytest.mark.parametrize("status", ["204", "304"])
async def test_no_body_where_none_may_be(serving: Serving, status: str) -> None:
    """E5, whatever the application gives; the connection goes on in step."""
    async with serving(app=of_status) as edge:
        await edge.talk(f"""
            >> GET /?{status} HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 {status} Said
            << Server: edgestack
            << {{end}}
            >> HEAD /?200 HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 200 Said
            << Server: edgestack
            << {{end}}
            >> GET /?404 HTTP/1.0
            >>
            << HTTP/1.1 404 Said
            << Server: edgestack
            << Connection: close
            << {{end}}
            <| a body in two pieces
            <!
        """)


async def test_chunks_for_those_who_know_them(serving: Serving) -> None:
    """E5: HTTP/1.0 clients get no chunks, and learn the end from the close."""
    async with serving(app=streamed) as edge:
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 200 OK
            << Server: edgestack
            << Transfer-Encoding: chunked
            << {end}
            << 7
            << hello, 
            << 5
            << world
            << 0
            <<
            >> GET / HTTP/1.0
            >> Connection: keep-alive
            >>
            << HTTP/1.1 200 OK
            << Server: edgestack
            << Connection: close
            << {end}
            <| hello, world
            <!
        """)  # noqa: W291 - the space belongs to the chunk
        assert [line.bytes_out for line in edge.records] == [12, 12]


async def test_http_1_0_is_kept_alive_where_it_asks(serving: Serving, site: Path) -> None:
    """E3, as `ab -k` does."""
    async with serving(site=site) as edge:
        await edge.talk("""
            >> GET /page.txt HTTP/1.0
            >> Connection: keep-alive
            >>
            << HTTP/1.1 200 OK
            << {any}Content-Length: 7
            << Connection: keep-alive
            << {end}
            <| a page\\n
            >> GET /page.txt HTTP/1.0
            >>
            << HTTP/1.1 200 OK
            << {any}Connection: close
            << {end}
            <| a page\\n
            <!
        """)


REFUSED = [
    ("two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", 400),
    ("a signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 400),
    (
        "length and chunks",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("chunks on 1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("an unknown coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("no host", "GET / HTTP/1.1\r\n\r\n", 400),
    ("a bare line feed", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    ("a folded line", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
    ("a space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    ("NUL", "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
    ("a long request line", "GET /" + "a" * 8192 + " HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    ("a large head", "GET / HTTP/1.1\r\nHost: a\r\n" + ("X: " + "a" * 8000 + "\r\n") * 4 + "Y: " + "b" * 900, 431),
    ("many fields", "GET / HTTP/1.1\r\nHost: a\r\n" + "X: y\r\n" * 100 + "\r\n", 431),
    ("CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405),
    ("TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ("* for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
]


@pytest.mark.parametrize(("data", "status"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
async def test_what_is_refused_is_answered_and_closed(serving: Serving, data: str, status: int) -> None:
    """E1, E2, E3: the answer, then the end of the stream, and never a reset."""
    async with serving(app=hello) as edge:
        client = await edge.connect()
        await client.send(data.encode("latin-1"))
        answer = await client.answer()
        assert answer.status == status
        assert answer.fields["connection"] == "close"
        assert answer.fields["x-request-id"] == edge.records[-1].request_id
        assert await client.end() == b""
        assert [line.status for line in edge.records] == [status]
        assert edge.stack.statistics()["refused"] == 1


@pytest.mark.parametrize(
    ("request_", "seen"),
    [
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", b"/"),
        ("GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", b"/x"),
        ("\r\nGET /y HTTP/1.1\r\nHost: a\r\n\r\n", b"/y"),
    ],
    ids=["asterisk", "absolute", "blank line"],
)
async def test_unusual_and_legal(serving: Serving, request_: str, seen: bytes) -> None:
    """E3."""
    async with serving(app=hello) as edge:
        client = await edge.connect()
        await client.send(request_.encode())
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, seen)


async def test_a_head_may_come_byte_by_byte(serving: Serving) -> None:
    async with serving(app=hello) as edge:
        client = await edge.connect()
        for byte in b"GET /drop HTTP/1.1\r\nHost: a\r\n\r\n":
            await client.send(bytes((byte,)))
            await edge.settle()
        assert (await client.answer()).body == b"/drop"


# -- pipelining ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [15, 16, 17, 100])
async def test_pipelined_requests_for_files(serving: Serving, site: Path, count: int) -> None:
    """E4: in order; more than one turn's worth go on in the next turns."""
    for number in range(count):
        (site / f"{number}.txt").write_text(f"file {number}")
    async with serving(site=site) as edge:
        client = await edge.connect()
        await client.send(b"".join(b"GET /%d.txt HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(count)))
        for number in range(count):
            assert (await client.answer()).body == b"file %d" % number
        assert [line.target for line in edge.records] == [f"/{number}.txt" for number in range(count)]


@pytest.mark.parametrize("count", [2, 17, 100])
async def test_pipelined_requests_for_an_application(serving: Serving, count: int) -> None:
    """E4: each waits for the one before, also behind a call of the application."""
    async with serving(app=hello) as edge:
        client = await edge.connect()
        await client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(count)))
        for number in range(count):
            assert (await client.answer()).body == b"/%d" % number


async def test_bodies_in_a_pipeline(serving: Serving) -> None:
    """E4: a body's end is the next request's beginning, by length or in chunks, however the bytes were cut."""

    def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    requests = (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nfirst"
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nsec\r\n3;x=y\r\nond\r\n0\r\nT: t\r\n\r\n"
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    for step in (len(requests), 40, 7):
        async with serving(app=echo) as edge:
            client = await edge.connect()
            for at in range(0, len(requests), step):
                await client.send(requests[at : at + step])
                await edge.settle()
            assert [(await client.answer()).body for _ in range(4)] == [b"first", b"second", b"", b""]
            assert await client.end() == b""


async def test_pipelining_behind_an_error_ends_there(serving: Serving) -> None:
    """E1, E4: what follows an unreadable head is not read as a request."""
    async with serving(app=hello) as edge:
        await edge.talk("""
            >> GET /one HTTP/1.1
            >> Host: a
            >>
            >> BROKEN
            >>
            >> GET /two HTTP/1.1
            >> Host: a
            >>
            <~ 200
            <~ 400
            <!
        """)
        assert [line.target for line in edge.records] == ["/one", ""]


async def test_a_body_that_nobody_wants(serving: Serving, site: Path) -> None:
    """E4: one that is here whole is dropped and the connection goes on; one still to come closes it."""
    async with serving(site=site) as edge:
        await edge.talk("""
            >> GET /page.txt HTTP/1.1
            >> Host: a
            >> Content-Length: 5
            >>
            >| hello
            <~ 200
            >> GET /page.txt HTTP/1.1
            >> Host: a
            >> Content-Length: 500
            >>
            >| hello
            << HTTP/1.1 200 OK
            << {any}Connection: close
            << {end}
            <| a page\\n
            <!
        """)


SENT = (
    "GET /page.txt HTTP/1.1", "HEAD /page.txt HTTP/1.1", "GET /long.txt HTTP/1.1", "GET /nothing HTTP/1.1",
    "GET /page.txt HTTP/1.0", "no request at all",
)  # fmt: skip


@pytest.mark.parametrize("first", ["close", "keep-alive"])
@pytest.mark.parametrize("line", SENT)
async def test_bytes_sent_are_the_bytes_that_arrive(
    serving: Serving, site: Path, driver: str, line: str, first: str
) -> None:
    """$bytes_sent, and what the handshake agreed on."""
    async with serving(site=site) as edge:
        client = await edge.connect()
        await client.send(f"{line}\r\nHost: a\r\nConnection: {first}\r\n\r\n".encode())
        if first == "keep-alive":
            await client.more()
            await edge.settle()
            await client.half_close()
        received = await client.end()
        await edge.settle()
        (record,) = edge.records
        assert len(received) == record.bytes_sent
        assert record.tls.startswith("TLSv1.3 TLS_" if driver.endswith("tls") else "None None")


@pytest.mark.parametrize(("app", "framing"), [(hello, 0), (streamed, len(b"7\r\n\r\n5\r\n\r\n0\r\n\r\n"))])
async def test_bytes_sent_of_an_application(serving: Serving, app: Any, framing: int) -> None:
    """The same; chunks are counted without what frames them."""
    async with serving(app=app) as edge:
        for persistence in ("keep-alive", "close"):
            client = await edge.connect()
            await client.send(f"GET / HTTP/1.1\r\nHost: a\r\nConnection: {persistence}\r\n\r\n".encode())
            await edge.settle()
            await client.half_close()
            assert len(await client.end()) == edge.records[-1].bytes_sent + framing
