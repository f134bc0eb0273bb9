"""Applications as clients see them (criteria F5 to F12, F14, and C11 for the files that they and the site send)."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio
from contract_kit import ON_SOCKETS, Edge

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


# -- files -------------------------------------------------------------------------------------------------------------


def wrapped(path: Path, length: int | None = None, offset: int = 0, before: bytes = b"") -> Callable[..., Any]:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        fields = [] if length is None else [("Content-Length", str(length))]
        write = start_response("200 OK", fields)
        if before:
            write(before)
        file = path.open("rb")
        file.seek(offset)
        result: Iterable[bytes] = environ["wsgi.file_wrapper"](file, 4096)
        return result

    return app


@pytest.mark.parametrize("size", [0, 1, 100_000, 2_500_000])
async def test_a_wrapped_file(serving: Serving, tmp_path: Path, size: int) -> None:
    """F12: from its position on, with its length, by the static road; HEAD has no body; the connection goes on."""
    content = os.urandom(size + 10)
    (tmp_path / "file").write_bytes(content)
    async with serving(app=wrapped(tmp_path / "file", offset=10)) as edge:
        client = await edge.connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
        for _ in range(2):
            answer = await client.answer()
            assert answer.fields["content-length"] == str(size)
            assert answer.body == content[10:]
            head = await client.answer("HEAD")
            assert head.fields["content-length"] == str(size)
        await edge.settle()
        assert [line.bytes_out for line in edge.records] == [size, 0] * 2


@pytest.mark.parametrize("read_late", [False, True])
async def test_a_file_after_written_pieces(serving: Serving, tmp_path: Path, read_late: bool) -> None:
    """F6, F12, F14: what was written stands before the file, however much of it waits."""
    content, before = os.urandom(400_000), os.urandom(700_000)
    (tmp_path / "file").write_bytes(content)
    app = wrapped(tmp_path / "file", before=before)
    async with serving(app=app, send_buffer=8192) as edge:
        client = await edge.connect(receive_buffer=8192)
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
        if read_late:
            await edge.settle(threads=False)
        for _ in range(2):
            assert (await client.answer()).body == before + content


async def test_a_wrapped_file_that_is_too_short(serving: Serving, tmp_path: Path, caplog: Any) -> None:
    """F9, C11: fewer bytes than announced: the connection is broken, and the log says so."""
    (tmp_path / "file").write_bytes(b"short")
    async with serving(app=wrapped(tmp_path / "file", length=9)) as edge:
        client = await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 200 OK
            << Server: edgestack
            << Content-Length: 9
            << {end}
        """)
        assert (await client.end()).removesuffix(b"<reset>") == b"short"
    assert "announced 9 bytes" in caplog.text


@pytest.mark.parametrize("driver", ON_SOCKETS, indirect=True)
@pytest.mark.parametrize("change", ["shorter", "longer"])
async def test_a_file_that_changes_while_it_is_sent(
    serving: Serving, tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    """C11: never more than announced; a file that became shorter closes the connection and is logged."""
    size = 3_000_000
    (tmp_path / "file.bin").write_bytes(b"x" * size)
    async with serving(site=tmp_path, send_buffer=8192) as edge:
        client = await edge.connect(receive_buffer=8192)
        await client.send(b"GET /file.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.until(rb"HTTP/1.1 200 OK(?s:.*?)\r\n\r\n")
        await edge.settle()
        with (tmp_path / "file.bin").open("r+b") as file:
            file.truncate(1_000_000 if change == "shorter" else size + 1000)
        if change == "longer":
            assert await client.exactly(size) == b"x" * size
            await edge.settle()
            assert client.received == b""
        else:
            assert len((await client.end()).removesuffix(b"<reset>")) <= 1_000_000
            assert "bytes shorter while it was sent" in caplog.text
            assert edge.records[0].bytes_out <= 1_000_000


# -- threads -----------------------------------------------------------------------------------------------------------


async def test_no_thread_waits_for_a_slow_upload(serving: Serving) -> None:
    """F14: with one thread, a slow body lets others pass."""
    order = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.input"].read()
        order.append(environ["PATH_INFO"])
        start_response("200 OK", [])
        return [b"x"]

    async with serving(app=app, threads=1) as edge:
        slow = await edge.talk("""
            >> POST /slow HTTP/1.1
            >> Host: a
            >> Content-Length: 10
            >>
            >| hello
            <-
        """)
        await edge.talk("""
            >> GET /fast HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """)
        await edge.talk("""
            >| world
            <~ 200
        """, slow)  # fmt: skip
        assert order == ["/fast", "/slow"]


@pytest.mark.parametrize("queue", [1, 2])
async def test_the_queue_for_threads_is_bounded(serving: Serving, queue: int) -> None:
    """F14: past it, 503 with Retry-After at once; at n it still waits; and a refused client may ask again."""
    gate, arrived = threading.Semaphore(0), threading.Semaphore(0)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        arrived.release()
        assert gate.acquire(timeout=PATIENCE)
        start_response("200 OK", [])
        return [b"x"]

    async with serving(app=app, threads=1, queue=queue) as edge:
        clients = [await edge.connect() for _ in range(queue + 2)]
        for client in clients:
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await edge.settle(threads=False)
        refused = await clients[-1].answer()
        assert (refused.status, refused.fields["retry-after"]) == (503, "1")
        for _ in range(queue + 1):
            gate.release()
        for client in clients[:-1]:
            assert (await client.answer()).status == 200
        await edge.settle()
        gate.release()
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """, clients[-1])  # fmt: skip


@pytest.mark.parametrize("driver", ON_SOCKETS, indirect=True)
async def test_a_full_spool_holds_the_thread_no_longer_than_the_send_gap(serving: Serving) -> None:
    """F14: bounded buffer, spool, deadline: a client that reads nothing costs a thread at most the gap."""
    size = 3_000_000

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", str(20 * size))])
        for _ in range(20):
            yield b"x" * size

    async with serving(
        app=app, threads=1, send_buffer=8192, limits={"spool": 2 * size}, timeouts={"send_gap": 0.2}
    ) as edge:
        client = await edge.connect(receive_buffer=8192)
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await edge.settle()  # the thread came free by itself: its waits are in real time
        await edge.advance(3)
        assert edge.stack.statistics()["connections"] == 0
        assert edge.records[0].bytes_out < 20 * size


async def test_a_client_that_reads_slowly_gets_it_all_through_a_small_spool(serving: Serving) -> None:
    """F14: the thread waits for room and goes on; nothing is lost, nothing is taken for a client that stopped."""
    pieces = [os.urandom(size) for size in (200_000, 10_000, 1000, 70_000, 300_000, 5) * 4]

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        return iter(pieces)

    async with serving(app=app, threads=1, send_buffer=8192, limits={"spool": 100_000}) as edge:
        client = await edge.connect(receive_buffer=8192)
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer()).body == b"".join(pieces)


async def test_the_spools_of_all_answers_together_are_bounded(serving: Serving) -> None:
    """F14: Limits.spools; who finds nothing left waits for its own client, and gets on when that reads."""
    body = [os.urandom(50_000) for _ in range(20)]

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        return iter(body)

    async with serving(app=app, threads=2, send_buffer=8192, limits={"spools": 1_200_000}) as edge:
        clients = [await edge.connect(receive_buffer=8192) for _ in range(2)]
        for client in clients:
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await edge.settle(threads=False)
        for client in reversed(clients):
            assert (await client.answer()).body == b"".join(body)
        driver = edge.stack._driver
        assert driver is not None
        assert driver.spools.held == 0


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
