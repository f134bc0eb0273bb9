"""A supervisor and its workers as real processes (issue 6, Supervisor): what goes wrong, and what orders do."""

from __future__ import annotations

import http.client
import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from supervisor_kit import APPLICATION, PATIENCE, Supervised, get

BROKEN = "import nothing_of_that_name\n"


def test_an_application_that_cannot_be_imported_is_told_and_ends_it(tmp_path: Path) -> None:
    """As with one process: the traceback, the line, status 2; and nobody tries again."""
    (tmp_path / "web.py").write_text(BROKEN)
    with Supervised(tmp_path, "workers = 2") as server:
        assert server.process.wait(PATIENCE) == 2
        server.until("edgestack: 1 error")
    said = "".join(server.said)
    assert "No module named 'nothing_of_that_name'" in said
    assert "edgestack.toml:" in said
    assert "(pid" not in said  # of those that were ended for it, nothing


def test_a_broken_reload_leaves_the_old_workers_serving(tmp_path: Path) -> None:
    """A broken file, then broken code: told to whoever asked, and logged; mended, it is served."""
    with Supervised(tmp_path, "workers = 2").ready() as server:
        before = set(server.workers())
        server.write("workers = many")
        answer = server.order(verb="reload")
        assert answer["ok"] is False
        assert "edgestack.toml" in str(answer["errors"])
        server.write("workers = 2")
        (tmp_path / "web.py").write_text(BROKEN)
        answer = server.order(verb="reload")
        assert answer["ok"] is False
        assert "nothing_of_that_name" in str(answer["errors"])
        server.until_serving(2)
        assert set(server.workers()) == before
        assert get(server.port)[1].endswith(b"VERSION")
        (tmp_path / "web.py").write_text(APPLICATION.replace("VERSION", "ANOTHER"))
        server.write("workers = 3")
        assert server.order(verb="reload") == {"ok": True, "warnings": []}
        after = server.until_serving(3)
        assert not before & set(after)
        assert get(server.port)[1].endswith(b"True ANOTHER")
        assert "".join(server.said).count("not reloaded, the workers before go on") == 2


def test_a_worker_that_comes_later_is_what_its_neighbours_are(tmp_path: Path) -> None:
    """The configuration is read by the supervisor alone: what somebody is writing there concerns no new worker."""
    with Supervised(tmp_path, "workers = 2").ready() as server:
        server.write("this is no TOML [")
        victim = server.workers()[0]
        os.kill(victim, signal.SIGKILL)
        server.until_serving(2, but=victim)
        assert get(server.port)[0] == 200


MARKED = """
import os
import resource

def app(environ, start_response):
    start_response("200 OK", [])
    os.umask(mask := os.umask(0))
    return [f"{os.getpid()} {os.environ.get('MARK')} {os.getcwd()} {mask:o}".encode()]
"""


def test_a_reload_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """What it would have set, and where it would have gone, concerns no worker that is started later."""
    (tmp_path / "web.py").write_text(MARKED)
    (tmp_path / "elsewhere").mkdir()
    with Supervised(tmp_path, "workers = 2").ready() as server:
        expected = get(server.port)[1].split()[1:]
        server.write('workers = 2\nenv = { MARK = "new" }\nchdir = "elsewhere"\numask = "0077"')
        (tmp_path / "web.py").write_text(BROKEN)
        assert server.order(verb="reload")["ok"] is False
        (tmp_path / "web.py").write_text(MARKED)
        before = server.workers()
        for victim in before:
            os.kill(victim, signal.SIGKILL)
        server.until("was killed by SIGKILL", 2)
        server.until_serving(2)
        assert get(server.port)[1].split()[1:] == expected


def test_all_of_them_die_at_once(tmp_path: Path) -> None:
    """One SIGCHLD may stand for several deaths; and workers that die young are not started in a frenzy."""
    with Supervised(tmp_path, "workers = 3").ready() as server:
        victims = server.workers()
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        server.until("was killed by SIGKILL", 3)
        assert not set(server.until_serving(3)) & set(victims)
        assert server.stop() == 0


def test_a_worker_whose_application_has_forked_is_missed(tmp_path: Path) -> None:
    """What it forked lives on, and holds the worker's end of the channel."""
    with Supervised(tmp_path, "workers = 1\nmax_requests = 100000").ready() as server:
        victim = int(get(server.port, "/fork")[1].split()[0])
        os.kill(victim, signal.SIGKILL)
        server.until(f"(pid {victim}) was killed by SIGKILL")
        server.until_serving(1, but=victim)
        assert get(server.port)[0] == 200


def test_stopped_while_it_starts(tmp_path: Path) -> None:
    """An import that takes its time is not waited for."""
    os.mkfifo(tmp_path / "go")
    (tmp_path / "web.py").write_text("open('go').read()\n")
    with Supervised(tmp_path, "workers = 2") as server, (tmp_path / "go").open("w"):
        assert server.stop() == 0


def test_a_worker_that_gives_no_sign_of_life_is_replaced(tmp_path: Path) -> None:
    """It is stopped here, which no signal but SIGKILL and SIGCONT gets it out of."""
    with Supervised(tmp_path, 'workers = 2\ntimeout = "1s"').ready() as server:
        victim = server.workers()[0]
        os.kill(victim, signal.SIGSTOP)
        server.until(f"(pid {victim}) gave no sign of life for 1 s")
        server.until(f"(pid {victim}) was killed by SIGKILL")
        server.until_serving(2, but=victim)


def test_a_worker_that_is_aborted_tells_where_it_stands(tmp_path: Path) -> None:
    """SIGABRT, which the supervisor sends to one that gives no sign of life, has all stacks written."""
    with Supervised(tmp_path, "workers = 2").ready() as server:
        victim = server.workers()[0]
        os.kill(victim, signal.SIGABRT)
        server.until("Fatal Python error: Aborted")
        server.until(f"(pid {victim}) ended with status 1")
        server.until_serving(2, but=victim)
        assert "serving.py" in "".join(server.said)


def test_hanging_requests_get_504_and_their_worker_is_replaced(tmp_path: Path) -> None:
    """Each hanging thread is told with its stack, its slot is another's; two of two, and the process is recycled."""
    with Supervised(tmp_path, 'workers = 1\nmax_requests = 100000\nthreads = 2\ntimeout = "1s"').ready() as server:
        (before,) = server.workers()
        answers: list[tuple[int, bytes]] = []
        clients = [threading.Thread(target=lambda: answers.append(get(server.port, "/hang"))) for _ in range(2)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(PATIENCE)
        assert [status for status, _ in answers] == [504, 504]
        assert get(server.port)[0] == 200
        server.until("the application gave no answer within 1 s: 504; it runs on app-", 2)
        server.until("threading.Event().wait()", 2)
        server.until("is replaced: 2 of its application threads hang")
        server.until_serving(1, but=before)
        assert get(server.port)[0] == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_stopping_at_once(tmp_path: Path, number: signal.Signals) -> None:
    """What is being answered is broken off; the workers are gone when the supervisor is."""
    os.mkfifo(tmp_path / "go")
    with Supervised(tmp_path, "workers = 2").ready() as server:
        workers = server.workers()
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
            client.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            with (tmp_path / "go").open("w"):  # the application has opened it too
                assert server.stop(number) == 130
            assert client.recv(100) == b""
        assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert "error" not in "".join(server.said)


def test_a_graceful_stop_finishes_what_was_begun(tmp_path: Path) -> None:
    """SIGTERM; and `ctl stop` is the same."""
    os.mkfifo(tmp_path / "go")
    with Supervised(tmp_path, "workers = 2").ready() as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        connection.request("GET", "/slow")
        with (tmp_path / "go").open("w"):
            assert server.order(verb="stop")["ok"] is True
        with closing(connection), connection.getresponse() as response:
            assert response.status == 200
            assert response.read().endswith(b"VERSION")
        assert server.process.wait(PATIENCE) == 0
        assert not (tmp_path / "ready.json").exists()


def test_logs_are_reopened_everywhere(tmp_path: Path) -> None:
    """SIGUSR1, after logrotate has moved them away."""
    keys = 'workers = 2\nerror_log = "error.log"'
    with Supervised(tmp_path, keys).ready() as server:
        log = tmp_path / "error.log"
        log.rename(tmp_path / "error.log.1")
        server.send(signal.SIGUSR1)
        deadline = time.monotonic() + PATIENCE
        while not log.exists() or log.read_text().count("logs reopened") < 3:  # the supervisor and both workers tell it
            assert time.monotonic() < deadline
            server.until_serving(2)  # a round trip
        victim = server.workers()[0]
        os.kill(victim, signal.SIGTERM)  # a worker that ends by itself is missed
        server.until_serving(2, but=victim)
        assert "ended with status 0" in log.read_text()
        assert log.read_text().count("logs reopened") == 3


def test_a_worker_without_its_supervisor_ends(tmp_path: Path) -> None:
    with Supervised(tmp_path, "workers = 2").ready() as server:
        workers = server.workers()
        server.process.kill()
        server.until("the supervisor has gone", 2)
        for pid in workers:
            with suppress(ProcessLookupError):  # it has ended already
                fd = os.pidfd_open(pid)
                assert select.select([fd], [], [], PATIENCE)[0]
                os.close(fd)


IMPORTING = """
import os

with open("begun", "w") as pipe:
    pipe.write(str(os.getpid()))
open("go").read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
@pytest.mark.parametrize("keys", ["max_requests = 9", "workers = 2\npreload = true"], ids=["fresh", "forked"])
def test_an_import_ends_with_its_supervisor(keys: str, tmp_path: Path) -> None:
    """It would hold the port until its end, which may never come."""
    for name in ("begun", "go"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "web.py").write_text(IMPORTING)
    with Supervised(tmp_path, keys) as server:
        pid = int((tmp_path / "begun").read_text())
        fd = os.pidfd_open(pid)
        server.process.kill()
        ended = select.select([fd], [], [], PATIENCE)[0]
        os.close(fd)
        assert ended


def test_a_burst_is_shared(tmp_path: Path) -> None:
    """Design 4.11: of 64 connections opened at once, no worker of 2 holds more than 60 %."""
    with Supervised(tmp_path, "workers = 2").ready() as server:
        clients = []
        for _ in range(64):
            clients.append(socket.socket())
            clients[-1].setblocking(False)
            clients[-1].connect_ex(("127.0.0.1", server.port))
        held: dict[bytes, int] = {}
        for client in clients:
            client.setblocking(True)
            client.settimeout(PATIENCE)
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = b""
            while b"VERSION" not in answer:
                answer += client.recv(65536)
            pid = answer.partition(b"\r\n\r\n")[2].split()[0]
            held[pid] = held.get(pid, 0) + 1
        for client in clients:
            client.close()
    assert len(held) == 2
    assert max(held.values()) <= 0.6 * 64, held


ORPHANS = """
import contextlib, os, subprocess

def state_of(name):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{name}/stat") as stat:
        return stat.read()
    return ""   # reaped since it was listed, which is what this is about

def app(environ, start_response):
    if environ["PATH_INFO"] == "/leave":
        subprocess.run(["sh", "-c", "sh -c 'exit 3' &"])     # its parent ends at once
    dead = [name for name in os.listdir("/proc") if name.isdigit() and ") Z 1 " in state_of(name)]
    body = f"{os.getppid()} {len(dead)}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child=KILL")


@pytest.mark.skipif(
    shutil.which("unshare") is None or subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode,
    reason="no process numbers of one's own without the right to them",
)
@pytest.mark.parametrize(
    "keys",
    [
        "workers = 2",
        "workers = 1",
        'worker_class = "process"',
        'worker_class = "process"\nworkers = 2\npreload = true',
    ],
    ids=["two", "one", "hosted", "forked"],
)
def test_as_process_one_it_reaps_what_others_leave(keys: str, tmp_path: Path) -> None:
    """As in a container: processes whose parents have ended are its children."""
    (tmp_path / "web.py").write_text(ORPHANS)
    with Supervised(tmp_path, keys, within=UNSHARE).ready() as server:
        for _ in range(3):
            assert get(server.port, "/leave")[0] == 200
        deadline = time.monotonic() + PATIENCE
        while not get(server.port)[1].endswith(b" 0"):
            assert time.monotonic() < deadline


NUMBERED = """
[[route]]
app = "web:app"
headers = { set = { X-Connection = "$connection" } }
"""


def test_numbers_are_never_given_out_twice(tmp_path: Path) -> None:
    """Those of requests and those of connections; forked workers, which have the same memory, too."""
    with Supervised(tmp_path, "workers = 2\npreload = true", NUMBERED).ready() as server:
        seen: dict[str, set[str]] = {}
        connections: list[str] = []
        while len(seen) < 2:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
            connection.request("GET", "/")
            with connection.getresponse() as response:
                number = str(response.getheader("X-Request-Id"))
                connections.append(str(response.getheader("X-Connection")))
                pid = re.match(rb"\d+", response.read())
            connection.close()
            assert pid
            seen.setdefault(pid[0].decode(), set()).add(number[:24])
        assert all(len(prefixes) == 1 for prefixes in seen.values())
        assert len(set.union(*seen.values())) == 2
        assert len(set(connections)) == len(connections)
        assert {number[:-9] for number in connections} == set(seen)


@pytest.mark.parametrize("preload", ["false", "true"])
def test_what_a_worker_starts_inherits_nothing(tmp_path: Path, preload: str) -> None:
    """Neither sockets, nor the line to the supervisor, nor the memory that workers share."""
    (tmp_path / "web.py").write_text(
        """
import subprocess

def app(environ, start_response):
    start_response("200 OK", [])
    return [subprocess.run(["ls", "-l", "/proc/self/fd"], close_fds=False, stdout=subprocess.PIPE).stdout]
"""
    )
    with Supervised(tmp_path, f"workers = 2\npreload = {preload}").ready() as server:
        told = get(server.port)[1].decode()
    assert "/dev/null" in told
    assert "socket:" not in told
    assert "memfd:" not in told


def processor_time(pid: int) -> float:
    """Seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_without_descriptors_it_waits_until_there_are_some(tmp_path: Path) -> None:
    """One line each time that it tries (E11), ever less often; a reload fails, and who serves goes on."""
    answers: list[dict[str, object]] = []
    with Supervised(tmp_path, "workers = 2").ready() as server:
        victim, other = server.workers()
        before = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        taken = len(os.listdir(f"/proc/{server.process.pid}/fd"))
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (taken, before[1]))
        os.kill(victim, signal.SIGKILL)
        server.until("a worker cannot be started: Too many open files; another try in 0.2 s")
        server.send(signal.SIGHUP)
        server.until("not reloaded, the workers before go on: ")
        server.send(signal.SIGUSR2)
        server.until("another supervisor cannot be started: Too many open files")
        asks = threading.Thread(target=lambda: answers.append(server.order(verb="status")))
        spent = processor_time(server.process.pid)
        asks.start()
        server.until("a worker cannot be started: Too many open files; another try in 1.6 s")
        assert get(server.port)[1].split()[0] == str(other).encode()
        assert (
            processor_time(server.process.pid) - spent < 0.5
        )  # it looks again from time to time, and not all the time
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, before)
        asks.join(PATIENCE)
        assert answers[0]["ok"] is True
        server.until_serving(2)
        assert server.order(verb="reload")["ok"] is True
        assert server.stop() == 0
    assert "Traceback" not in "".join(server.said)
