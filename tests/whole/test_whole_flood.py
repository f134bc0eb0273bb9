"""Criterion D11, measured from outside: a flood of distinct URLs, and what the process takes of the machine for it.

Two things are looked at: what the cache counts, and how much larger the process has become (its resident set). Both
stay within the bound, the second within a tenth: so much may be holes that the allocator makes.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from server_kit import PATIENCE, ROOT, Server, environment, running

MEMORY = 48_000_000
APP = """
import itertools

SIZES = itertools.cycle([200, 3_000, 9_000, 17_000, 41_000, 60_000])


def app(environ, start_response):
    number = environ["QUERY_STRING"]
    size = next(SIZES)
    fields = [("Content-Type", "application/octet-stream"), ("X-Number", number)]
    if environ["PATH_INFO"] == "/pieces":
        start_response("200 OK", fields)
        return (number.encode().ljust(size // 4 + 1) for _ in range(4))
    start_response("200 OK", [*fields, ("Content-Length", str(size))])
    return [number.encode().ljust(size)]
"""
CONFIG = f"""
[server]
bind = "127.0.0.1:0"
tls = false
access_log = "off"

[cache.main]
memory = {MEMORY}
DISK

[[route]]
match = "/"
app = "flooded:app"
cache = {{ store = "main", valid = "1h" }}

[[route]]
match = "/plain/"
app = "flooded:app"
"""


@pytest.fixture(params=["memory", "disk"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("f")
    folder.chmod(0o700)
    (folder / "flooded.py").write_text(APP)
    disk = 'disk = "kept"\ndisk_size = "60MB"' if request.param == "disk" else ""
    (folder / "edgestack.toml").write_text(CONFIG.replace("DISK", disk))
    environ = {"XDG_RUNTIME_DIR": str(folder), "TMPDIR": str(folder)}
    with running(folder, "-c", "edgestack.toml", cwd=folder, bind=False, env=environ) as found:
        yield found


def flood(server: Server, path: str, first: int, count: int, depth: int = 16) -> None:
    """So many requests on one connection, some at a time."""
    with ExitStack() as stack:
        sock = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE))
        reader = stack.enter_context(sock.makefile("rb"))
        for at in range(first, first + count, depth):
            numbers = range(at, min(at + depth, first + count))
            sock.sendall(b"".join(b"GET %b?%d HTTP/1.1\r\nHost: a\r\n\r\n" % (path.encode(), one) for one in numbers))
            for number in numbers:
                assert read(reader).startswith(b"%d " % number)


def read(reader: object) -> bytes:
    """The body of one answer."""
    assert reader.readline() == b"HTTP/1.1 200 OK\r\n"  # type: ignore[attr-defined]
    length = -1
    while (line := reader.readline()) != b"\r\n":  # type: ignore[attr-defined]
        name, _, value = line.partition(b": ")
        length = int(value) if name.lower() == b"content-length" else length
    if length >= 0:
        return bytes(reader.read(length))  # type: ignore[attr-defined]
    body = b""
    while size := int(reader.readline(), 16):  # type: ignore[attr-defined]
        body += reader.read(size)  # type: ignore[attr-defined]
        reader.readline()  # type: ignore[attr-defined]
    reader.readline()  # type: ignore[attr-defined]
    return body


def at_once(server: Server, path: str, first: int, each: int, clients: int) -> None:
    """The same from several clients."""
    failures: list[BaseException] = []

    def one(number: int) -> None:
        try:
            flood(server, path, first + number * each, each)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


def resident(server: Server) -> int:
    """Bytes of the process that are in memory, without pages of files."""
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


def stats(server: Server) -> str:
    folder = server.ready_file.parent
    environ = environment(folder, {"PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(folder), "TMPDIR": str(folder)})
    done = subprocess.run(
        [sys.executable, "-m", "edgestack", "cache", "stats"],
        cwd=folder, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    return done.stdout


def test_d11_memory_is_bounded_under_a_flood_of_distinct_urls(server: Server) -> None:
    """D11, measured: three times as much as there is room for, in answers at once and in pieces, from 8 clients."""
    at_once(server, "/plain/", 0, 200, 8)
    before = resident(server)
    for turn, path in enumerate(("/", "/pieces", "/")):
        at_once(server, path, 1 + turn * 10_000, 280, 8)
        grown = resident(server) - before
        assert grown <= MEMORY * 1.1, (turn, grown)
    assert grown >= MEMORY * 0.6  # it was full
    line = stats(server).splitlines()[1]
    assert line.startswith("  memory  ")
    assert line.split()[3:5] == ["of", "48"]
    assert 30 <= float(line.split()[1]) <= 48, line
