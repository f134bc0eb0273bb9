"""Applications as clients see them (criteria F5 to F12, F14, and C11 for the files that they and the site send)."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio
from contract_kit import Edge

Serving = Callable[..., AbstractAsyncContextManager[Edge]]
PATIENCE = 20.0


async def test_the_head_waits_for_the_first_piece(serving: Serving) -> None:
    """F5: start_response during the first next(); nothing leaves before a piece that is not empty."""
    gate, arrived = threading.Event(), threading.Event()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b""
        arrived.set()
        assert gate.wait(PATIENCE)
        yield b"now"

    async with serving(app=app) as edge:
        client = await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
        """)
        assert await trio.to_thread.run_sync(arrived.wait, PATIENCE)
        await edge.settle(threads=False)
        assert client.received == b""
        gate.set()
        await edge.talk("""
            << HTTP/1.1 200 OK
            << {any}
            << {end}
            << 3
            << now
            << 0
            <<
        """, client)  # fmt: skip


async def test_each_piece_leaves_at_once(serving: Serving) -> None:
    """F5, F6: a piece is on the wire before the next one is asked for; write() keeps order with the iterable."""
    gate = threading.Semaphore(0)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        write = start_response("200 OK", [])
        write(b"written;")
        for word in (b"one;", b"two;"):
            assert gate.acquire(timeout=PATIENCE)
            yield word

    async with serving(app=app) as edge:
        client = await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 200 OK
            << {any}
            << {end}
            << 8
            << written;
        """)
        gate.release()
        await client.until(b"4\r\none;\r\n")
        gate.release()
        await client.until(b"4\r\ntwo;\r\n0\r\n\r\n")


async def test_an_empty_iterable_has_a_head_all_the_same(serving: Serving) -> None:
    """F5."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("202 Accepted", [("X-Here", "yes")])
        return []

    async with serving(app=app) as edge:
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 202 Accepted
            << Server: edgestack
            << X-Here: yes
            << Content-Length: 0
            << {end}
        """)


async def test_a_change_of_mind_before_the_first_piece(serving: Serving) -> None:
    """F7."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("X-First", "yes")])
        try:
            raise KeyError("sorry")
        except KeyError:
            start_response("503 Sorry", [], sys.exc_info())
        return [b"sorry"]

    async with serving(app=app) as edge:
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 503 Sorry
            << Server: edgestack
            << Content-Length: 5
            << {end}
            <| sorry
        """)


class Closing:
    """An iterable that counts its close()."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = iter(pieces)
        self.closed = 0
        self.threads: set[int] = set()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self.threads.add(threading.get_ident())
        piece = next(self.pieces)
        if isinstance(piece, Exception):
            raise piece
        return piece

    def close(self) -> None:
        self.threads.add(threading.get_ident())
        self.closed += 1


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_close_is_called_once_on_the_same_thread(serving: Serving, method: str) -> None:
    """F8."""
    result = Closing(b"one", b"two")

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        return result

    async with serving(app=app) as edge:
        client = await edge.connect()
        await client.send(f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert (await client.answer(method)).body == (b"" if method == "HEAD" else b"onetwo")
        await edge.settle()
        assert (result.closed, len(result.threads)) == (1, 1)


@pytest.mark.parametrize("length", [5, 6, 7])
async def test_content_length_and_what_is_given(
    serving: Serving, length: int, caplog: pytest.LogCaptureFixture
) -> None:
    """F9: six bytes where n-1, n or n+1 are announced: cut, whole, or broken so that the client sees it."""
    result = Closing(b"abc", b"def")

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", str(length))])
        return result

    async with serving(app=app) as edge:
        client = await edge.talk(f"""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 200 OK
            << Server: edgestack
            << Content-Length: {length}
            << {{end}}
            <| {"abcdef"[:length]}
        """)
        await edge.settle()
        assert result.closed == 1
        assert edge.stack.statistics()["connections"] == (length <= 6)
        assert client.received == b""
        assert [line.bytes_out for line in edge.records] == [min(length, 6)]
    assert (f"announced {length} bytes" in caplog.text) == (length != 6)


async def test_an_exception_before_the_head(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    """F11: a 500 without traceback, the log has it; the connection goes on."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        raise ZeroDivisionError("secret")

    async with serving(app=app) as edge:
        client = await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
        """)
        answer = await client.answer()
        assert answer.status == 500
        assert b"secret" not in answer.body
        assert b"Traceback" not in answer.body
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 500
        """, client)  # fmt: skip
        assert edge.stack.statistics()["failures"] == 0
        assert [line.status for line in edge.records] == [500, 500]
        said = f"{answer.fields['x-request-id']}: GET /: the application raised ZeroDivisionError: secret"
        assert said in caplog.text


@pytest.mark.parametrize("announced", [False, True], ids=["chunks", "length"])
async def test_an_exception_after_the_head(serving: Serving, announced: bool, caplog: pytest.LogCaptureFixture) -> None:
    """F8, F11: the client sees the truncation: no last chunk, or bytes missing; and close() is called."""
    result = Closing(b"abc", KeyError("oops"))

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "9")] if announced else [])
        return result

    async with serving(app=app) as edge:
        client = await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 200 OK
            << {any}
            << {end}
        """)
        assert (await client.end()).removesuffix(b"<reset>") == (b"abc" if announced else b"3\r\nabc\r\n")
        await edge.settle()
        assert result.closed == 1
        assert [(line.status, line.bytes_out) for line in edge.records] == [(200, 3)]
        assert [line.completion for line in edge.records] == [""]
    assert "KeyError" in caplog.text


@pytest.mark.parametrize("field", [("Connection", "close"), ("X", "a\r\nb"), ("X", b"bytes")], ids=str)
async def test_fields_that_are_refused(serving: Serving, field: tuple[str, Any], caplog: Any) -> None:
    """F10."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [field])
        return [b"x"]

    async with serving(app=app) as edge:
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 500
        """)
    assert "start_response" in caplog.text


async def test_the_errors_of_an_application_go_to_the_log(serving: Serving, caplog: Any) -> None:
    """F13."""
    caplog.set_level(logging.ERROR)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.errors"].write("one line\nand a ")
        start_response("200 OK", [])
        return [b"x"]

    async with serving(app=app) as edge:
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """)
        await edge.settle()
        assert f"{edge.records[0].request_id}: one line" in caplog.text
        assert f"{edge.records[0].request_id}: and a " in caplog.text
