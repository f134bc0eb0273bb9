"""`preload`: workers forked from a process that has loaded the application share its memory and its ticket keys."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from supervisor_kit import PATIENCE, Supervised, get

HEAVY = """
import os
DATA = [{"number": number, "text": "x" * 20 + str(number)} for number in range(180_000)]   # some 60 MB

def app(environ, start_response):
    body = b"%d %d" % (os.getpid(), sum(len(one["text"]) for one in DATA[::1000]))
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def private(pid: int) -> int:
    """Bytes that a process shares with nobody (proc(5): smaps_rollup)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def weigh(folder: Path, keys: str) -> list[int]:
    (folder / "web.py").write_text(HEAVY)
    with Supervised(folder, f"workers = 2\n{keys}").ready() as server:
        for _ in range(20):
            assert get(server.port)[0] == 200
        return [private(pid) for pid in server.workers()]


def weigh_hosted(folder: Path, keys: str) -> list[int]:
    (folder / "web.py").write_text(HEAVY)
    with Supervised(folder, f'workers = 2\nworker_class = "process"\n{keys}').ready() as server:
        seen = [int(get(server.port)[1].split()[0]) for _ in range(40)]
        assert len(set(seen)) == 2
        return [private(pid) for pid in set(seen)]


@pytest.mark.parametrize("measure", [weigh, weigh_hosted])
def test_private_memory(measure: Callable[[Path, str], list[int]], tmp_path: Path) -> None:
    """Each worker's is at most 0.65 of that without, for an application of 50 MB or more; a hosting process's too."""
    alone = measure(tmp_path, "")
    forked = measure(tmp_path, "preload = true")
    assert min(alone) > 50e6
    assert max(forked) <= 0.65 * min(alone), (forked, alone)


def test_a_forked_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    """Its parent is the preloader, which tells the supervisor; and a reload means another preloader, with new code."""
    with Supervised(tmp_path, "workers = 2\npreload = true").ready() as server:
        victim = server.workers()[0]
        os.kill(victim, signal.SIGKILL)
        server.until(f"(pid {victim}) was killed by SIGKILL")
        before = server.until_serving(2, but=victim)
        (tmp_path / "web.py").write_text((tmp_path / "web.py").read_text().replace("VERSION", "ANOTHER"))
        server.send(signal.SIGHUP)
        server.until("reloaded: 2 new workers serve")
        assert not set(server.until_serving(2)) & set(before)
        assert get(server.port)[1].endswith(b"ANOTHER")
        assert server.stop() == 0


def test_a_preloader_that_dies_is_replaced(tmp_path: Path) -> None:
    """Its workers go on until those of another one serve."""
    with Supervised(tmp_path, "workers = 2\npreload = true").ready() as server:
        before = server.workers()
        preloader = int(Path(f"/proc/{before[0]}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(preloader, signal.SIGKILL)
        server.until("reloaded: 2 new workers serve")
        assert not set(server.until_serving(2)) & set(before)


def test_without_a_preloader_nobody_is_waited_for(tmp_path: Path) -> None:
    """It died, and the code of today cannot be loaded: a worker that dies is not replaced, and the end is an end."""
    with Supervised(tmp_path, "workers = 2\npreload = true").ready() as server:
        first, second = server.workers()
        preloader = int(Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[1])
        (tmp_path / "web.py").write_text("1 / 0\n")
        os.kill(preloader, signal.SIGKILL)
        server.until("not reloaded, the workers before go on")
        os.kill(first, signal.SIGKILL)
        server.until("a worker cannot be started: the process that loads the application has ended")
        assert get(server.port)[1].split()[0] == str(second).encode()
        assert server.stop() == 0


@pytest.mark.parametrize(("order", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["term", "int"])
def test_a_stop_does_not_wait_for_an_import(tmp_path: Path, order: signal.Signals, status: int) -> None:
    """An application that takes its time to load is left at that."""
    os.mkfifo(tmp_path / "go")
    (tmp_path / "web.py").write_text('open("go").read()\n')
    with Supervised(tmp_path, "workers = 2\npreload = true") as server, (tmp_path / "go").open("w"):
        assert server.stop(order) == status  # it is there, and waits: else nobody could write


def test_what_cannot_be_imported_ends_it(tmp_path: Path) -> None:
    (tmp_path / "web.py").write_text("1 / 0\n")
    with Supervised(tmp_path, "workers = 2\npreload = true") as server:
        assert server.process.wait(PATIENCE) == 2
        server.until("ZeroDivisionError")
        server.until("edgestack: 1 error")


@pytest.fixture
def certificate(tmp_path: Path) -> ssl.SSLContext:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # where a session is known right after the handshake
    return context


def test_tls_sessions_resume_with_any_worker(tmp_path: Path, certificate: ssl.SSLContext) -> None:
    """The keys of the tickets were made before the fork."""
    keys = "workers = 2\npreload = true"
    routes = '[tls]\ncert = "both.pem"\nkey = "both.pem"\n[[route]]\napp = "web:app"\n'
    with Supervised(tmp_path, keys, routes, EDGESTACK_TLS="true").ready() as server:
        session, resumed = None, dict[bytes, bool]()
        while len(resumed) < 2:
            raw = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
            with certificate.wrap_socket(raw, server_hostname="localhost", session=session) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answer = b""
                while data := client.recv(65536):
                    answer += data
                if session is not None:
                    resumed[answer.partition(b"\r\n\r\n")[2].split()[0]] = bool(client.session_reused)
                session = session or client.session
        assert set(resumed.values()) == {True}
