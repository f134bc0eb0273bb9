"""`edgestack cache` and a real process: purge by URL, prefix and tag over the control socket, list, stats (D9, D11)."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0

APPLICATION = """
import edgestack.cache

asked = []

def app(environ, start_response):
    path = environ["PATH_INFO"]
    asked.append(path)
    fields = [("Content-Type", "text/plain"), ("Cache-Tag", "news" if "news" in path else "other")]
    if path == "/purge":
        edgestack.cache.purge(tag=environ["QUERY_STRING"])
        fields.append(("Cache-Control", "no-store"))
    start_response("200 OK", fields)
    return [f"{path} {len(asked)}".encode()]
"""

TEXT = """
[server]
bind = "127.0.0.1:0"
tls = false

[cache.main]
memory = "8MB"
disk = "kept"

[[route]]
app = "shop:app"
cache = { store = "main", valid = "1h" }
"""


class Server:
    """`edgestack serve -c edgestack.toml` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = os.environ | {"PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(folder), "TMPDIR": str(folder)}
        ready = folder / "ready.json"
        words = ["serve", "-c", "edgestack.toml", "--ready-file", str(ready), "--access-log", "off"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edgestack", *words], cwd=folder, env=self.environ, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + PATIENCE
        while not ready.exists() and self.process.poll() is None and time.monotonic() < until:
            os.sched_yield()
        try:
            self.port = urlsplit(json.loads(ready.read_text())[0]).port
        except BaseException:
            self.close()
            raise

    def get(self, target: str, host: str = "") -> tuple[str, str]:
        """Body and Cache-Status."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        client.request("GET", target, headers={"Host": host} if host else {})
        reply = client.getresponse()
        try:
            return reply.read().decode(), reply.getheader("Cache-Status") or ""
        finally:
            client.close()

    def cache(self, *words: str) -> tuple[int, str]:
        """Status and output of `edgestack cache …`."""
        done = subprocess.run(
            [sys.executable, "-m", "edgestack", "cache", *words],
            cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a short name: a socket's path has 108 bytes."""
    path = tmp_path_factory.mktemp("c")
    path.chmod(0o700)
    (path / "shop.py").write_text(APPLICATION)
    (path / "edgestack.toml").write_text(TEXT)
    return path


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    found = Server(folder)
    try:
        yield found
    finally:
        found.close()


def test_purge_list_and_stats(server: Server) -> None:
    for target in ("/news/1", "/news/2", "/about"):
        first, second = server.get(target), server.get(target)
        assert first[0] == second[0]
        assert "hit" in second[1]
    status, told = server.cache("list")
    assert status == 0
    assert len(told.splitlines()) == 3
    assert f"http://127.0.0.1:{server.port}/about  (other)" in told
    assert server.cache("purge", f"http://127.0.0.1:{server.port}/about") == (0, "purged 1 stored response\n")
    assert server.get("/about")[0] == "/about 4"
    assert server.cache("purge", "--prefix", "/news/") == (0, "purged 2 stored responses\n")
    assert server.get("/news/1")[0] == "/news/1 5"
    assert server.cache("purge", "--tag", "news", "--tag", "nothing") == (0, "purged 1 stored response\n")
    assert server.get("/news/1")[0] == "/news/1 6"
    status, told = server.cache("stats")
    assert status == 0
    assert told.startswith("[cache.main]\n  memory  ")
    assert server.cache("purge", "--all")[1] == "purged 2 stored responses\n"


def test_the_application_purges(server: Server) -> None:
    """D9: `edgestack.cache.purge(tag=…)` from application code, in the same process."""
    assert server.get("/news/1")[0] == server.get("/news/1")[0] == "/news/1 1"
    server.get("/purge?news")
    assert server.get("/news/1")[0] == "/news/1 3"


def test_what_is_on_disk_is_there_after_a_restart(server: Server, folder: Path) -> None:
    """D11."""
    assert server.get("/other")[0] == "/other 1"
    assert server.get("/about", "shop.example")[0] == "/about 2"
    server.stop()
    (folder / "ready.json").unlink(missing_ok=True)
    again = Server(folder)
    try:
        until = time.monotonic() + PATIENCE
        while "still being read" in again.cache("stats")[1]:
            assert time.monotonic() < until
        body, status = again.get("/about", "shop.example")
        assert (body, "; hit" in status) == ("/about 2", True)
    finally:
        again.close()


def test_what_is_not_understood(server: Server) -> None:
    assert server.cache("purge") == (2, "edgestack: name a URL, --prefix, --tag, or --all\n")
    for words in (("--store", "other", "stats"), ("stats", "--store", "other")):
        status, told = server.cache(*words)
        assert status == 2
        assert "no cache is called 'other'" in told
    told = "edgestack: news/1 is no URL: it begins with http://, https:// or /\n"
    assert server.cache("purge", "news/1") == server.cache("purge", "--prefix", "news/1") == (2, told)


def test_which_server_may_be_said_before_or_behind(server: Server) -> None:
    assert server.get("/about")[0] == "/about 1"
    for words in (("-c", "edgestack.toml", "stats"), ("stats", "-c", "edgestack.toml")):
        status, told = server.cache(*words)
        assert (status, "1 response\n" in told) == (0, True)
    assert server.cache("stats", "-c", "edgestack.toml", "--control", "x")[0] == 2
