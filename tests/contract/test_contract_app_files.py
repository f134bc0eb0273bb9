"""Files that applications and sites send, on the wire (criteria F12, F9, C11)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from contract_kit import ON_SOCKETS, Edge

Serving = Callable[..., AbstractAsyncContextManager[Edge]]
PATIENCE = 20.0


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
