"""Several workers, one truth: limits are counted together, a purge reaches all, cookies mean the same peer."""

from __future__ import annotations

import http.client
import os
import signal
import socket
from collections import Counter
from pathlib import Path

from supervisor_kit import PATIENCE, Supervised, get

CACHED = """
import os

def app(environ, start_response):
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Cache-Control", "max-age=1000"), ("Content-Length", str(len(body)))])
    return [body]
"""


def test_a_rate_is_one_rate(tmp_path: Path) -> None:
    """1/m with a burst of 4, asked by new connections over 3 workers: 5 pass, whoever answers."""
    routes = '[[route]]\napp = "web:app"\nlimit = { rate = "1/m", burst = 4, delay = 4 }\n'
    with Supervised(tmp_path, "workers = 3", routes).ready() as server:
        answers = [get(server.port) for _ in range(20)]
        assert Counter(status for status, _ in answers) == {200: 5, 429: 15}
        victim = server.workers()[0]
        os.kill(victim, signal.SIGKILL)
        server.until_serving(3, but=victim)
        assert {get(server.port)[0] for _ in range(6)} == {429}  # nothing is forgotten, and nobody waits for the dead


def test_connections_are_counted_together_and_those_of_the_dead_forgotten(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    routes = '[[route]]\napp = "web:app"\nlimit = { connections = 2 }\n'
    with Supervised(tmp_path, "workers = 2", routes).ready() as server:
        held = []
        for _ in range(2):
            held.append(http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE))
            held[-1].request("GET", "/hang")
        hangs = tmp_path / "hangs"
        while not hangs.exists() or len(hangs.read_text()) < 2:
            server.workers()  # a round trip
        assert {get(server.port)[0] for _ in range(8)} == {429}
        workers = server.workers()
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        server.until("was killed by SIGKILL", 2)
        assert not set(server.until_serving(2)) & set(workers)
        assert get(server.port)[0] == 200
        for connection in held:
            connection.close()


def test_a_purge_reaches_every_worker(tmp_path: Path) -> None:
    """Each worker has its own memory; orders and answers go through the supervisor."""
    (tmp_path / "web.py").write_text(CACHED)
    routes = '[cache.main]\nmemory = "1MB"\n[[route]]\napp = "web:app"\ncache = "1h"\n'
    with Supervised(tmp_path, "workers = 2", routes).ready() as server:
        while len({get(server.port)[1] for _ in range(8)}) < 2:
            pass  # until both have stored their own answer
        stats = server.order(verb="cache", do="stats")
        assert stats["caches"]["main"]["entries"] == 2  # type: ignore[index]
        assert len(server.order(verb="cache", do="list")["stored"]) >= 1  # type: ignore[arg-type]
        assert server.order(verb="cache", do="purge", by="everything", what=True)["purged"] == 2
        assert server.order(verb="cache", do="stats")["caches"]["main"]["entries"] == 0  # type: ignore[index]
        refused = server.order(verb="cache", do="purge", by="tag", what="x", store="other")
        assert refused["ok"] is False
        assert "other" in str(refused["errors"])


def test_a_sticky_cookie_of_one_worker_is_known_to_the_other(tmp_path: Path) -> None:
    """Without a secret of the user's own, the supervisor has one for all."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [sock.getsockname()[1] for sock in (one, other)]
        servers = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
        routes = f'[upstream.both]\nservers = [{servers}]\nsticky = "cookie"\n[[route]]\nproxy = "http://both"\n'
        with Supervised(tmp_path, "workers = 2", routes).ready() as server:
            cookies = set()
            for _ in range(12):
                connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
                connection.request("GET", "/")
                for sock in (one, other):
                    sock.settimeout(0.5)
                peer = _answer(one, other)
                with connection.getresponse() as response:
                    cookies.add((peer, str(response.getheader("Set-Cookie")).partition(";")[0]))
                connection.close()
            assert len(cookies) == 2  # the same value for the same peer, whichever worker gave it


def _answer(*listeners: socket.socket) -> int:
    """Answer the one request that comes to one of two servers; which."""
    import select

    (ready, *_), _, _ = select.select(listeners, [], [], PATIENCE)
    link, _ = ready.accept()
    with link:
        link.settimeout(PATIENCE)
        while b"\r\n\r\n" not in link.recv(65536):
            pass
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    return listeners.index(ready)
