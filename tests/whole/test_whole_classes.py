"""Worker classes with real processes: what an application sees, what a crash takes down, how it all begins and ends."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from server_kit import APPS, PATIENCE, ROOT, Server, environment, exchange, needs, read_to_end, running
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

CLASSES = ("process", "gevent", "eventlet", "tornado")
PATHS = {"PYTHONPATH": f"{ROOT}:{APPS}"}
SAME = (
    "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REQUEST_URI", "RAW_URI", "REQUEST_METHOD", "REMOTE_ADDR",
    "SERVER_NAME", "wsgi.url_scheme", "HTTP_X_ONE", "CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_COOKIE", "SERVER_SOFTWARE",
    "SERVER_PROTOCOL", "wsgi.input_terminated",
)  # fmt: skip
"""What an application must see alike, wherever it runs."""
STRANGE = (
    "HTTP_X_FORWARDED_FOR",
    "HTTP_PROXY",
    "HTTP_X_EDGESTACK_HOP",
    "HTTP_X_REAL_IP",
    "HTTP_X_SCHEME",
    "HTTP_X_UNDER",
)


def configured(
    folder: Path, worker_class: str, app: str | dict[str, str] = "hosted:app", workers: int = 1, more: str = ""
) -> tuple[str, ...]:
    """The words that serve an application at /api/, and the same one at /; `app` may be a table of places."""
    folder.mkdir(exist_ok=True)
    file = folder / "edgestack.toml"
    places = app if isinstance(app, dict) else {"/api/": app, "/": app}
    routes = "".join(f'[[route]]\nmatch = "{match}"\napp = "{name}"\n' for match, name in places.items())
    file.write_text(f'[server]\nworker_class = "{worker_class}"\nworkers = {workers}\n{more}\n{routes}')
    return ("-c", str(file))


@pytest.fixture(scope="module", params=CLASSES)
def worker_class(request: pytest.FixtureRequest) -> str:
    if request.param != "process":
        needs(request.param)
    return str(request.param)


@pytest.fixture(scope="module")
def hosted(worker_class: str, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The bare application; Flask's at /flask/, and in the class `process` an ASGI one at /asgi/."""
    folder = tmp_path_factory.mktemp(worker_class)
    places = {"/api/": "hosted:app", "/": "hosted:app", "/flask/": "flask_app:app"}
    if worker_class == "process":
        places["/asgi/"] = "asgi_bare:app"
    if worker_class == "tornado":
        places["/who"] = "tornado_app:app"
    with running(folder, *configured(folder, worker_class, places), data=data, env=PATHS) as server:
        yield server


@pytest.fixture(scope="module")
def inside(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same application in the edge's own process."""
    folder = tmp_path_factory.mktemp("gthread")
    with running(folder, *configured(folder, "gthread"), data=data, env=PATHS) as server:
        yield server


def until(found: Callable[[], bool]) -> None:
    """Ask until it is so; what is asked is a round trip, and so no busy loop."""
    limit = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < limit, "it never came to be"


def gone(pid: int) -> bool:
    """Whether no such process runs any more; a zombie of somebody else's does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def parent(pid: int) -> int:
    """The process that forked it (proc(5))."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


# --- what an application sees -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/api/environ", None),
        ("GET", "/api/environ/caf%C3%A9%20x?a=b&c=%20", None),
        ("GET", "/environ//two/./x/../y", None),
        ("POST", "/api/environ", b"a=b"),
    ],
)
def test_the_environ_survives_the_hop(
    hosted: Server, inside: Server, method: str, target: str, body: bytes | None
) -> None:
    """PEP 3333's facts are those that the application would see in the edge's own process."""
    fields = {
        "X-One": "1", "Cookie": "a=b; c=d", "X-Forwarded-For": "6.6.6.6", "X-Real-IP": "6.6.6.6", "Proxy": "evil",
        "X-Edgestack-Hop": "0 []", "X-Edgestack-Target": "/evil", "X_Under": "no", "Content-Type": "text/x-odd",
    }  # fmt: skip
    there, here = (server.request(method, target, body, fields) for server in (hosted, inside))
    seen, expected = there.json(), here.json()
    assert {name: seen.get(name) for name in SAME} == {name: expected.get(name) for name in SAME}
    assert seen["edgestack.request_id"] == there["X-Request-Id"]
    assert seen["HTTP_HOST"] == f"localhost:{hosted.port}"
    assert seen["SERVER_PORT"] == str(hosted.port)
    assert not seen.keys() & set(STRANGE)


@pytest.mark.parametrize("body", [b"", b"abc", b"y" * 300_000], ids=len)
def test_bodies(hosted: Server, body: bytes) -> None:
    """Announced, and in chunks."""
    assert hosted.request("POST", "/api/echo", body).body == body
    assert hosted.request("POST", "/api/echo", iter([body[:2], body[2:]])).body == body


def test_a_framework(hosted: Server) -> None:
    """Flask, which answers pages and its own errors."""
    assert hosted.get("/flask/page/x").status == 200
    assert hosted.get("/flask/nowhere/at/all").status == 404


def test_what_it_starts_inherits_nothing(hosted: Server) -> None:
    """Neither its listening socket nor its line to the edge."""
    told = hosted.get("/inherited").text
    assert "/dev/null" in told
    assert "socket:" not in told


def test_a_crash_is_one_request_and_no_more(hosted: Server, worker_class: str) -> None:
    """The edge answers 502, says why the process died, and begins another one, for which the next request waits."""
    before = hosted.get("/process").text
    assert hosted.get("/exit").status == 502
    assert hosted.get("/process").text != before
    hosted.logged(None, "ended with status 7; another one is begun")
    hosted.claimed += ["the server closed before it answered", "ended with status 7"]
    assert hosted.get("/flask/page/x").status == 200


def test_processes_that_have_answered_enough_are_replaced(worker_class: str, data: Path, tmp_path: Path) -> None:
    """max_requests: the next one is ready first, who never stops asking is always answered, and the old one leaves."""
    keys = "max_requests = 15\nmax_requests_jitter = 5"
    with running(tmp_path, *configured(tmp_path, worker_class, more=keys), data=data, env=PATHS) as server:
        answers: list[tuple[int, str]] = []
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                reply = server.get("/process")
                answers.append((reply.status, reply.text))

        asking = [threading.Thread(target=ask) for _ in range(3)]
        for one in asking:
            one.start()
        until(lambda: len({pid for _, pid in answers[:]}) >= 3)
        over.set()
        for one in asking:
            one.join(PATIENCE)
        assert {status for status, _ in answers} == {200}
        first, *_ = dict.fromkeys(int(pid) for _, pid in answers)
        until(lambda: gone(first))
        counts = re.findall(r"is replaced: it has answered (\d+) requests", "".join(server.err.lines))
        assert counts
        assert min(map(int, counts)) >= 15


def test_a_request_under_way_outlives_the_replacement(worker_class: str, data: Path, tmp_path: Path) -> None:
    """The old process answers it, and leaves only then."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    if worker_class in ("gevent", "eventlet"):
        pytest.skip("a FIFO holds its whole process")
    keys = "max_requests = 2"
    with running(tmp_path, *configured(tmp_path, worker_class, more=keys), data=data, env=PATHS) as server:
        first = server.get("/process").text
        held: list[bytes] = []
        waiting = threading.Thread(target=lambda: held.append(server.get(f"/held?{fifo}").body))
        waiting.start()
        with fifo.open("wb") as pipe:
            until(lambda: server.get("/process").text != first)
            assert not gone(int(first))
            pipe.write(b"let go")
        waiting.join(PATIENCE)
        assert held == [b"let go"]
        until(lambda: gone(int(first)))


def test_a_next_process_that_cannot_begin(data: Path, tmp_path: Path) -> None:
    """The one that has answered enough goes on."""
    (tmp_path / "early.py").write_text(
        "import pathlib\n"
        "(pathlib.Path(__file__).parent / 'needed').read_text()\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Length', '2')])\n"
        "    return [b'ok']\n"
    )
    (tmp_path / "needed").touch()
    keys = "max_requests = 2"
    words = configured(tmp_path, "process", "early:app", more=keys)
    with running(tmp_path, *words, data=data, env=PATHS) as server:
        (tmp_path / "needed").unlink()
        for _ in range(3):
            assert server.get("/").text == "ok"
        server.logged(None, "the process before goes on, another try in 30 s")
        assert server.get("/").text == "ok"


def test_preloaded_processes(worker_class: str, data: Path, tmp_path: Path) -> None:
    """Forked from one that has loaded the application; each dies, is begun again and is replaced like any other."""
    keys = "preload = true\nmax_requests = 30"
    with running(tmp_path, *configured(tmp_path, worker_class, workers=2, more=keys), data=data, env=PATHS) as server:
        pids = {int(server.get("/process").text) for _ in range(6)}
        parents = {parent(pid) for pid in pids}
        assert len(parents) == 1
        assert parents != {server.process.pid}
        assert server.get("/exit").status == 502
        server.logged(None, "ended with status 7; another one is begun")
        server.claimed.append("the server closed before it answered")
        until(lambda: len({server.get("/process").text for _ in range(4)}) == 2)
        until(lambda: int(server.get("/process").text) not in pids and "is replaced" in "".join(server.err.lines))
        assert parent(int(server.get("/process").text)) in parents


@pytest.mark.parametrize("worker_class", ["process"])
def test_a_fork_server_that_dies_is_begun_again(worker_class: str, data: Path, tmp_path: Path) -> None:
    """And with it its processes, one way or another."""
    words = configured(tmp_path, worker_class, more="preload = true")
    with running(tmp_path, *words, data=data, env=PATHS) as server:
        pid = int(server.get("/process").text)
        os.kill(parent(pid), signal.SIGKILL)
        until(lambda: gone(pid))
        server.logged(None, "ended with status 1; another one is begun")
        assert int(server.get("/process").text) != pid


@pytest.mark.parametrize("worker_class", CLASSES)
def test_a_preload_that_fails_ends_the_start(worker_class: str, data: Path, tmp_path: Path) -> None:
    if worker_class != "process":
        needs(worker_class)
    (tmp_path / "wrong.py").write_text("import nothing_of_that_name\n")
    words = configured(tmp_path, worker_class, "wrong:app", workers=2, more="preload = true")
    done = failing_start(tmp_path, data, *words)
    assert done.returncode == 2, done.stderr
    assert "an import inside it failed: No module named 'nothing_of_that_name'" in done.stderr
    assert 'wrong.py", line 1' in done.stderr


# --- class process ----------------------------------------------------------------------------------------------------


def test_a_crash_in_native_code(data: Path, tmp_path: Path) -> None:
    with running(tmp_path, *configured(tmp_path, "process"), data=data, env=PATHS) as server:
        server.crashes = True
        assert server.get("/crash").status == 502
        server.err.wait_for("Fatal Python error: Segmentation fault")
        server.claimed += ["the server closed before it answered", "SIGSEGV"]
        server.logged(None, "was killed by SIGSEGV (it crashed)")
        assert server.get("/process").status == 200


@pytest.mark.parametrize("worker_class", CLASSES)
def test_who_hangs_is_killed(worker_class: str, data: Path, tmp_path: Path) -> None:
    """Without a sign of life for longer than `timeout`: its stacks are told, and another one is begun."""
    if worker_class != "process":
        needs(worker_class)
    words = configured(tmp_path, worker_class, more="timeout = 1")
    with running(tmp_path, *words, data=data, env=PATHS) as server:
        before = server.get("/process").text
        assert server.get("/hang").status == 504
        server.logged(None, f"({before}) gave no sign of life for {5 if worker_class == 'process' else 3} s")
        server.err.wait_for("hosted.py")  # in the stack
        server.logged(None, f"({before}) was killed by SIGABRT")
        until(lambda: server.get("/process").status == 200)
        assert server.get("/process").text != before
        server.claimed.append("/hang")
        server.process.kill()  # what was told of stacks is no record
        server.process.wait(PATIENCE)


def test_asgi_that_blocks_its_loop_gets_504(data: Path, tmp_path: Path) -> None:
    """Nobody in its process can answer any more, and the edge does before that is killed."""
    words = configured(tmp_path, "process", "asgi_bare:app", more="timeout = 1")
    with running(tmp_path, *words, data=data, env=PATHS) as server:
        server.crashes = True
        reply = server.get("/block")
        assert reply.status == 504
        server.logged(reply, "nothing came for 3 s")
        server.logged(None, "gave no sign of life for 5 s")
        server.logged(None, "was killed by SIGABRT")
        assert server.get("/show").status == 200


def test_a_death_is_seen_whatever_is_left_behind(data: Path, tmp_path: Path) -> None:
    """A child that the application forked keeps every descriptor open; the process is begun again all the same."""
    with running(tmp_path, *configured(tmp_path, "process"), data=data, env=PATHS) as server:
        assert server.get("/orphan").status == 502
        server.logged(None, "ended with status 8; another one is begun")
        server.claimed.append("the server closed before it answered")
        assert server.get("/process").status == 200


@pytest.mark.parametrize("more", ["", "preload = true"], ids=["fresh", "forked"])
def test_without_descriptors_it_is_tried_again(more: str, data: Path, tmp_path: Path) -> None:
    """One line each time; the edge lives, and as soon as there are some, so does the application (E11)."""
    with running(tmp_path, *configured(tmp_path, "process", more=more), data=data, env=PATHS) as server:
        victim, edge = int(server.get("/process").text), server.process.pid
        before = resource.prlimit(edge, resource.RLIMIT_NOFILE)
        resource.prlimit(edge, resource.RLIMIT_NOFILE, (3, before[1]))
        os.kill(victim, signal.SIGKILL)
        server.logged(None, "was killed by SIGKILL")
        server.logged(None, "no process can be started for hosted:app: Too many open files; another one is begun in")
        resource.prlimit(edge, resource.RLIMIT_NOFILE, before)
        until(lambda: server.get("/process").status == 200)


def test_several_processes_share_the_work(data: Path, tmp_path: Path) -> None:
    """Two processes; one that is held leaves the other one free, and a kill of one is nobody's trouble."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with running(
        tmp_path, *configured(tmp_path, "process", workers=2, more="threads = 1"), data=data, env=PATHS
    ) as server:
        held: list[bytes] = []
        waiting = threading.Thread(target=lambda: held.append(server.get(f"/held?{fifo}").body))
        waiting.start()
        with fifo.open("wb") as pipe:  # it is open on both sides: the application waits
            free = {server.get("/process").text for _ in range(4)}
            assert len(free) == 1
            pipe.write(b"let go")
        waiting.join(PATIENCE)
        assert held == [b"let go"]
        os.kill(int(free.pop()), signal.SIGKILL)
        server.logged(None, "was killed by SIGKILL")
        server.claimed += ["was killed by SIGKILL"]
        assert [server.get("/process").status for _ in range(8)] == [200] * 8


@pytest.mark.parametrize("path", ["/fail", "/late"])
def test_errors_of_the_application(hosted: Server, path: str) -> None:
    """A 500 with a page of this house, and one record: the traceback, under the very id that the client has."""
    before = len(list(hosted.records()))
    reply = hosted.get(path)
    assert reply.status == 500
    assert reply.text.endswith(f"Request id: {reply['X-Request-Id']}\n")
    assert not reply.all("X-Edgestack-Failed")
    hosted.claimed.append(reply["X-Request-Id"])
    hosted.err.wait_for(lambda line: reply["X-Request-Id"] in line and "raised ValueError: as it was asked to" in line)
    assert hosted.get("/process").status == 200
    assert len(list(hosted.records())) == before + 1


def test_pages_of_errors(worker_class: str, data: Path, tmp_path: Path) -> None:
    """`errors` has the page for an application that fails, wherever it runs; what it answers itself is its own."""
    places = {"/": "hosted:app", "/asgi/": "asgi_bare:app"} if worker_class == "process" else {"/": "hosted:app"}
    (tmp_path / "sorry").mkdir()
    (tmp_path / "sorry" / "500.html").write_text("so sorry")
    words = configured(tmp_path, worker_class, places)
    file = tmp_path / "edgestack.toml"
    pages = 'errors = { 5xx = "/sorry/500.html" }\n'
    sorry = '[[route]]\nmatch = "/sorry/"\nstatic = "sorry"\n'
    file.write_text(re.sub(r"(app = .*\n)", rf"\1{pages}", file.read_text()) + sorry)
    with running(tmp_path, *words, data=data, env=PATHS) as server:
        server.claimed += ["raised ValueError"]
        assert (server.get("/fail").status, server.get("/fail").text) == (500, "so sorry")
        assert (server.get("/own").status, server.get("/own").text) == (500, "the application's own")
        if worker_class == "process":
            assert server.get("/asgi/fail").text == "so sorry"


# --- what an application may answer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [200, 204, 304, 999])
def test_a_body_where_none_may_be(hosted: Server, inside: Server, method: str, status: int) -> None:
    """What has no body gets none, whatever the application gives, and says the same as at the edge."""
    with closing(hosted.connect()) as there, closing(inside.connect()) as here:
        seen, expected = (exchange(one, method, f"/given?{status}") for one in (there, here))
        assert (seen.status, seen.reason, seen.body) == (expected.status, expected.reason, expected.body)
        assert seen.all("Content-Length") == expected.all("Content-Length")
        assert exchange(there, "GET", "/moved?/x").status == 302


@pytest.mark.parametrize("status", ["099", "103", "abc"])
def test_a_status_that_is_none(hosted: Server, status: str) -> None:
    """A 500, and the log says why."""
    reply = hosted.get(f"/given?{status}")
    assert reply.status == 500
    hosted.logged(reply, "'NNN reason' is asked for")


def test_an_answer_that_is_too_short(hosted: Server) -> None:
    """The client sees the truncation at once, and does not wait for the rest."""
    told = hosted.raw(b"GET /short HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert told.endswith(b"\r\n\r\nshort")
    hosted.logged(None, "announced 100 bytes and gave 5")
    hosted.claimed.append("the answer is broken off")


def test_an_answer_that_breaks_off(hosted: Server) -> None:
    """What has left stands; there is no last chunk."""
    told = hosted.raw(b"GET /breaks HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert told.endswith(b"5\r\nbegun\r\n")
    hosted.logged(None, "ValueError: within the answer")
    hosted.claimed.append("the answer is broken off")


def test_pieces_leave_as_they_come(hosted: Server, tmp_path: Path) -> None:
    """Nothing is held back until there is more of it."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with closing(hosted.connect()) as connection:
        connection.request("GET", f"/pieces?{fifo}")
        reply = connection.getresponse()
        assert reply.read(3) == b"one"
        fifo.write_bytes(b"two")
        assert reply.read() == b"two"


def test_where_it_leads_is_not_changed(hosted: Server) -> None:
    """The name that the hop has in this program means nothing to an application."""
    assert hosted.get("/moved?http://application/x")["Location"] == "http://application/x"


# --- what an application may be asked ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        b"Host: localhost\r\n" + b"".join(b"X-%d: 1\r\n" % number for number in range(98)),
        b"Host: localhost\r\nCookie: " + b"c" * 20_000 + b"\r\n",
    ],
    ids=["many", "long"],
)
def test_what_passes_the_edge_passes(hosted: Server, head: bytes) -> None:
    """The libraries' own limits are tighter than the edge's, and are not asked."""
    told = hosted.raw(b"GET /process HTTP/1.1\r\nConnection: close\r\n" + head + b"\r\n")
    assert told.startswith(b"HTTP/1.1 200 OK")


def test_a_client_that_names_no_host(hosted: Server) -> None:
    """HTTP/1.0, as monitors speak it: the application sees our address, and no type of a body."""
    told = hosted.raw(b"GET /environ HTTP/1.0\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 200 OK")
    assert f'"HTTP_HOST": "127.0.0.1:{hosted.port}"'.encode() in told
    assert b"CONTENT_TYPE" not in told


@pytest.mark.parametrize("worker_class", ["process"], indirect=True, scope="module")
def test_asgi_is_hosted_too(hosted: Server) -> None:
    """Lifespan, pages and WebSockets pass through the edge."""
    scope = hosted.get("/asgi/show").json()
    assert (scope["root_path"], scope["path"], scope["scheme"]) == ("/asgi", "/asgi/show", "https")
    assert scope["state"] == {"begun": "begun"}
    with connect(f"wss://localhost:{hosted.port}/asgi/chat", ssl=hosted.tls(), proxy=None) as client:
        client.send("through two processes")
        assert client.recv() == "through two processes"


# --- who takes too long -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("worker_class", CLASSES)
def test_who_takes_too_long(worker_class: str, data: Path, tmp_path: Path) -> None:
    """504 in any class; then each ends what it can end, and a process that is of no more use is replaced."""
    if worker_class != "process":
        needs(worker_class)
    more = "timeout = 1\nthreads = 2"
    with running(tmp_path, *configured(tmp_path, worker_class, more=more), data=data, env=PATHS) as server:
        server.claimed += ["gave no answer within", "504"]
        if worker_class in ("gevent", "eventlet"):
            green_threads_that_wait_are_ended(server)
        else:
            threads_that_hang_are_replaced(server)


def green_threads_that_wait_are_ended(server: Server) -> None:
    """Where they wait: what they hold is let go of, and their process goes on. What has begun is never cut."""
    process = server.get("/process").text
    came: list[str] = []
    reading = threading.Thread(target=lambda: came.append(server.get("/slow-stream").text))
    reading.start()
    for path in ("/sleepy", "/sleepy-stream"):
        reply = server.get(path)
        assert reply.status == 504
        told = server.err.wait_for(f"{reply['X-Request-Id']}: GET {path}: the application gave no answer within 3 s")
        assert told.endswith("and was ended:")
    until(lambda: server.get("/ended").text == "sleepy sleepy-stream")
    assert server.get("/process").text == process
    assert server.get("/release").text == "released"
    reading.join(PATIENCE)
    assert came == ["begun, ended"]


def threads_that_hang_are_replaced(server: Server) -> None:
    """The stack is told, and another thread takes the slot; with as many as there are slots, the process leaves."""
    process = server.get("/process").text
    assert server.get("/sleepy").status == 504
    server.err.wait_for("in sleepy (")
    assert server.get("/process").text == process
    assert server.get("/sleepy").status == 504
    server.err.wait_for("2 application threads hang: their process leaves, and another one is begun")
    server.err.wait_for("ended with status 4; another one is begun")
    until(lambda: server.get("/process").text != process)
    server.claimed += ["threads hang", "ended with status 4", "left behind", "closed before it answered"]


def test_what_is_under_way_is_finished(data: Path, tmp_path: Path) -> None:
    """SIGTERM to the edge: the request in a process gets its answer, and no process is left."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with running(tmp_path, *configured(tmp_path, "process"), data=data, env=PATHS) as server:
        pid = int(server.get("/process").text)
        held: list[bytes] = []
        waiting = threading.Thread(target=lambda: held.append(server.get(f"/held?{fifo}").body))
        waiting.start()
        with fifo.open("wb") as pipe:
            server.signal(signal.SIGTERM)
            pipe.write(b"in time")
        waiting.join(PATIENCE)
        assert server.wait() == 0
    assert held == [b"in time"]
    assert gone(pid)


def test_websockets_say_goodbye(data: Path, tmp_path: Path) -> None:
    """A talk that would go on for ever gets 1001 when the edge is told to stop, and the edge does not wait for it."""
    with running(tmp_path, *configured(tmp_path, "process", "asgi_bare:app"), data=data, env=PATHS) as server:
        with connect(f"wss://localhost:{server.port}/chat", ssl=server.tls(), proxy=None) as client:
            client.send("here")
            client.recv()
            server.signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as closed:
                client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        assert server.wait() == 0


def test_a_hurried_stop_waits_for_nothing(data: Path, tmp_path: Path) -> None:
    """SIGQUIT: the processes are ended at once, whatever they do."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with running(tmp_path, *configured(tmp_path, "process"), data=data, env=PATHS) as server:
        pid = int(server.get("/process").text)
        with server.socket() as sock:
            sock.sendall(f"GET /held?{fifo} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            with fifo.open("wb"):
                server.signal(signal.SIGQUIT)
                assert server.wait() == 130
    assert gone(pid)


@pytest.mark.parametrize("preload", [False, True], ids=["fresh", "forked"])
@pytest.mark.parametrize("worker_class", ["process", "gevent"])
def test_no_orphan_is_left(worker_class: str, preload: bool, data: Path, tmp_path: Path) -> None:
    """kill -9 of the edge takes the processes along, with their sockets and the folder of those."""
    if worker_class != "process":
        needs(worker_class)
    folder = tmp_path / "t"
    folder.mkdir()
    words = configured(tmp_path, worker_class, workers=2, more="preload = true" if preload else "")
    with running(tmp_path, *words, data=data, env={**PATHS, "TMPDIR": str(folder)}) as server:
        pid = int(server.get("/process").text)
        assert len(list(folder.glob("*/*.sock"))) == 2
        server.signal(signal.SIGKILL)
        server.process.wait(PATIENCE)
        until(lambda: gone(pid))
        until(lambda: not list(folder.iterdir()))


@pytest.mark.parametrize("worker_class", ["tornado"], indirect=True, scope="module")
def test_tornados_own_applications(hosted: Server) -> None:
    """They learn who asks, and no client can tell them another story."""
    told = hosted.request("GET", "/who?a=b", fields={"X-Real-IP": "6.6.6.6", "X-Scheme": "http"}).json()
    assert told == {"ip": "127.0.0.1", "scheme": "https", "host": f"localhost:{hosted.port}", "uri": "/who?a=b"}


CODE = """
def app(environ, start_response):
    body = b"{}"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.mark.parametrize("command", ["serve", "run"])
def test_sighup_means_new_code_without_a_file_too(command: str, data: Path, tmp_path: Path) -> None:
    """SIGHUP and `edgestack reload`: fresh processes, as in gunicorn; code that is broken changes nothing."""
    module = tmp_path / "fresh.py"
    module.write_text(CODE.format("first"))
    words = ["fresh:app"] if command == "run" else ["--app", "fresh:app"]
    with running(
        tmp_path, "-k", "process", *words, command=command, data=data, env={"PYTHONPATH": f"{ROOT}:{tmp_path}"}
    ) as server:
        assert server.get("/").text == "first"
        module.write_text(CODE.format("the second"))
        server.signal(signal.SIGHUP)
        server.err.wait_for("reloaded what is served")
        assert server.get("/").text == "the second"
        module.write_text("import nothing_of_that_name\n")
        server.signal(signal.SIGHUP)
        server.logged(None, "not reloaded")
        assert server.get("/").text == "the second"


def test_an_upload_outlives_a_reload(worker_class: str, data: Path, tmp_path: Path) -> None:
    """It began before the reload, and its application is asked after it: by the old processes, which wait for that."""
    words = configured(tmp_path, worker_class)
    with running(tmp_path, *words, data=data, env=PATHS) as server, server.socket() as sock:
        first = int(server.get("/process").text)
        head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 10\r\n\r\nhalf "
        sock.sendall(head.encode())
        server.get("/process")  # it was read by then
        server.signal(signal.SIGHUP)
        server.err.wait_for("reloaded")
        assert int(server.get("/process").text) != first
        sock.sendall(b"whole")
        assert read_to_end(sock).endswith(b"half whole")
        until(lambda: gone(first))


# --- its start --------------------------------------------------------------------------------------------------------


def failing_start(folder: Path, data: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgestack", "serve", "--bind", "127.0.0.1:0", *words],
        cwd=folder, env=environment(data, {**PATHS, **env}), capture_output=True, text=True, timeout=50,
    )  # fmt: skip


@pytest.mark.parametrize("worker_class", CLASSES)
def test_an_import_error_ends_the_start(worker_class: str, data: Path, tmp_path: Path) -> None:
    """As for an application in the edge's own process: status 2, one line, and the application's own traceback."""
    if worker_class != "process":
        needs(worker_class)
    (tmp_path / "wrong.py").write_text("import nothing_of_that_name\n")
    done = failing_start(tmp_path, data, *configured(tmp_path, worker_class, "wrong:app"))
    assert done.returncode == 2, done.stderr
    assert "an import inside it failed: No module named 'nothing_of_that_name'" in done.stderr
    assert 'wrong.py", line 1' in done.stderr


def test_asgi_on_a_server_of_wsgi(data: Path, tmp_path: Path) -> None:
    """Refused at the start, and not at each request."""
    needs("gevent")
    done = failing_start(tmp_path, data, *configured(tmp_path, "gevent", "asgi_bare:app"))
    assert done.returncode == 2, done.stderr
    assert "an ASGI application runs in the worker classes gthread, asgi and process" in done.stderr


def test_an_asgi_startup_that_fails_ends_the_start(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("starlette")
    done = failing_start(tmp_path, data, *configured(tmp_path, "process", "starlette_app:failing"))
    assert done.returncode == 2, done.stderr
    assert "the startup of starlette_app:failing failed: LookupError: the database is not there" in done.stderr


def test_a_process_that_ends_while_it_loads(data: Path, tmp_path: Path) -> None:
    (tmp_path / "leaves.py").write_text("import os\nos._exit(9)\n")
    done = failing_start(tmp_path, data, *configured(tmp_path, "process", "leaves:app"))
    assert done.returncode == 2
    assert "the process for leaves:app ended with status 9 before it was ready" in done.stderr


# --- class sync -------------------------------------------------------------------------------------------------------


def test_sync_is_one_at_a_time(data: Path, tmp_path: Path) -> None:
    """However many ask at once; the environ tells the truth. (With `threads` it is `gthread`, as in gunicorn.)"""
    with running(tmp_path, *configured(tmp_path, "sync"), data=data, env=PATHS) as server:
        answers: list[str] = []
        asking = [threading.Thread(target=lambda: answers.append(server.get("/alone").text)) for _ in range(8)]
        for one in asking:
            one.start()
        for one in asking:
            one.join(PATIENCE)
        assert answers == ["alone"] * 8
        assert json.loads(server.get("/environ").text)["wsgi.multithread"] is False
