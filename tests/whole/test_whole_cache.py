"""A cache on disk in real processes (criterion D11): killed under load, on a full disk, damaged, and shared by two.

Each page says by itself what it is, so that a wrong byte is seen; and whatever becomes of the disk, pages are served.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import pytest
from server_kit import PATIENCE, Server, end, running, start

from edgestack.process.control import ask as order
from edgestack.process.control import sockets_here

APP = """
import itertools, zlib
import edgestack.cache

made = itertools.count(1)


def app(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    if path == "/purge":
        gone = edgestack.cache.purge(tag=query)
        start_response("200 OK", [("Cache-Control", "no-store")])
        return [b"%d" % gone]
    number, size = next(made), int(query or 100)
    line = f"{path} {size} {number} ".encode()
    body = (line * (size // len(line) + 1))[:size]
    fields = [("Cache-Control", "max-age=3600"), ("Cache-Tag", path[1:]), ("X-Sum", str(zlib.crc32(body)))]
    start_response("200 OK", fields)
    return (body[at : at + 100_000] for at in range(0, size, 100_000))
"""
CONFIG = """
[server]
bind = "127.0.0.1:0"
tls = false
access_log = "off"

[cache.main]
memory = "16MB"
disk = "kept"
disk_size = "64MB"

[[route]]
app = "summing:app"
cache = { store = "main" }
"""
SIZES = (0, 500, 130_000, 700_000, 3_000_000)
HOST = {"Host": "shop.example"}


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("k")
    (path / "summing.py").write_text(APP)
    (path / "edgestack.toml").write_text(CONFIG)
    return path


@contextmanager
def serving(folder: Path, name: str = "one", *through: str) -> Iterator[Server]:
    data = folder / name
    data.mkdir(exist_ok=True)
    words = ("-c", str(folder / "edgestack.toml"))
    with running(data, *words, cwd=folder, bind=False, through=through) as server:
        yield server


def ask(server: Server, target: str) -> tuple[int, bool]:
    """Which of the application's answers it was, -1 for an empty one; and whether it was stored. It must be right."""
    path, _, size = target.partition("?")
    reply = server.request("GET", target, fields=HOST)
    assert (reply.status, len(reply.body)) == (200, int(size))
    assert int(reply["X-Sum"]) == crc32(reply.body)
    assert not reply.body or reply.body.startswith(f"{path} {size} ".encode())
    words = reply.body[:100].split()
    return int(words[2]) if len(words) > 2 else -1, "; hit" in reply["Cache-Status"]


def ask_again_and_again(server: Server, seen: list[int], stop: threading.Event) -> None:
    """Until the server goes away; whatever came whole was right."""
    for number in range(1_000_000):
        if stop.is_set():
            return
        try:
            ask(server, f"/{number % 7}?{SIZES[number % 5]}")
            seen.append(number)
        except (OSError, EOFError):
            return
        except Exception as error:  # http.client: the connection broke within an answer
            if type(error).__module__ != "http.client":
                raise
            return


def test_d11_killed_under_load(folder: Path) -> None:
    """D11: kill -9 while four clients ask; what it left is served by the next one, and is right."""
    for _ in range(3):
        data = folder / "one"
        data.mkdir(exist_ok=True)
        server = start(data, "-c", str(folder / "edgestack.toml"), cwd=folder, bind=False)
        try:
            seen: list[int] = []
            stop = threading.Event()
            clients = [threading.Thread(target=ask_again_and_again, args=(server, seen, stop)) for _ in range(4)]
            for client in clients:
                client.start()
            while len(seen) < 60 and server.process.poll() is None:
                clients[0].join(0.01)
            server.signal(signal.SIGKILL)
        finally:
            stop.set()
            end(server)
        for client in clients:
            client.join(PATIENCE)
        (data / "ready.json").unlink()
    with serving(folder) as server:
        hits = [ask(server, f"/{number}?{size}")[1] for number in range(7) for size in SIZES for _ in range(2)]
        assert sum(hits) > len(hits) // 2
        assert not list((folder / "kept").glob("draft-*"))


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash sets the limit")
def test_d11_a_full_disk_stops_nobody(folder: Path) -> None:
    """D11: no file may be longer than 300 kB, as if the disk were full: the rest is served without it."""
    with serving(folder, "one", "bash", "-c", 'ulimit -f 300; exec "$@"', "sh") as server:
        for size in SIZES:
            first, second = ask(server, f"/a?{size}"), ask(server, f"/a?{size}")
            assert second[1] is (size < 1_000_000) or first[0] != second[0]  # memory keeps what is not too long for it
        server.logged(None, "cannot be written")
        for _ in known(server):  # the writer tidies up behind the answer
            if not list((folder / "kept").glob("draft-*")):
                break
        else:
            raise AssertionError("a draft stays")


def test_d11_damaged_files_are_fetched_anew(folder: Path) -> None:
    """D11: a byte in the middle of each file is another one, while nobody looks."""
    with serving(folder) as server:
        before = {size: ask(server, f"/a?{size}")[0] for size in SIZES[1:]}
    files = [path for path in (folder / "kept").glob("??/*") if path.is_file()]
    assert len(files) == len(before)
    for path in files:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    (folder / "one" / "ready.json").unlink(missing_ok=True)
    with serving(folder) as server:
        settled(server, len(before))
        for size in before:
            number, hit = ask(server, f"/a?{size}")
            assert not hit, (size, number)
            server.logged(None, "was removed")


def test_d11_two_processes_share_a_folder(folder: Path) -> None:
    """D11, D9: what one stored the other one serves, and what one purges is gone for both."""
    with serving(folder, "one") as one, serving(folder, "two") as two:
        for count, size in enumerate(SIZES[1:]):
            settled(one, count)
            settled(two, count)
            number, _ = ask(one, f"/a?{size}")
            settled(two, count + 1)
            assert ask(two, f"/a?{size}") == (number, True)
        assert one.get("/purge?a").body == b"4"
        for size in SIZES[1:]:
            until_purged(two, f"/a?{size}")


def until_purged(server: Server, target: str) -> None:
    """What another process purges is gone within milliseconds."""
    for _ in range(1000):
        if not ask(server, target)[1]:
            return
    raise AssertionError(target)


def settled(server: Server, files: int) -> None:
    """Wait until the folder was read, and this process knows of so many files in it."""
    now: dict[str, int] = {}
    for now in known(server):
        if not now["loading"] and now["files"] >= files:
            return
    raise AssertionError(now)


def known(server: Server) -> Iterator[dict[str, int]]:
    """What the server knows of its store, again and again."""
    path = next(path for path in sockets_here(os.environ) if path.stem == str(server.process.pid))
    for _ in range(5000):
        order(path, {"verb": "cache", "do": "list"}, PATIENCE)  # looks at what other processes did
        yield order(path, {"verb": "cache", "do": "stats"}, PATIENCE)["caches"]["main"]
