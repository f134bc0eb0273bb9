"""Reload of a real process (issue 3): SIGHUP, `edgestack reload`, errors, and clients that notice nothing.

Nothing is slept for: the control socket answers when the reload is done, and after SIGHUP the error log says so.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from edgestack.process.control import ask, sockets_here

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0
"""Seconds that one step may take on a busy machine before the test fails."""
LONG = bool(os.environ.get("EDGESTACK_LONG"))
RELOADS = 200
"""Reloads under load; some 10 s where the machine does nothing else."""

APPLICATION = """
loaded = []

def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        open("begun", "w").close()
        with open("go") as pipe:     # a named pipe: waits for the test
            pipe.read()
    body = (environ.get("wsgi.url_scheme", "") + " app " + str(id(loaded))).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""

NUMBERS = itertools.count(1)
HEAD = '[server]\nbind = "127.0.0.1:0"\ntls = false\n'


class Server:
    """A running `edgestack serve -c edgestack.toml`."""

    def __init__(self, folder: Path, text: str, *words: str, named: bool = True, **popen: object) -> None:
        self.folder = folder
        self.file = folder / "edgestack.toml"
        self.ready = Path(f"{folder}/ready-{next(NUMBERS)}.json")
        self.write(text)
        file = ["-c", str(self.file)] if named else []
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("EDGESTACK_", "LISTEN_"))},
            "PYTHONPATH": str(ROOT), "HOME": str(folder), "XDG_DATA_HOME": str(folder), "NO_COLOR": "1",
        }  # fmt: skip
        self.process = subprocess.Popen(  # type: ignore[call-overload]
            [sys.executable, "-m", "edgestack", "serve", *file, "--ready-file", str(self.ready), *words],
            cwd=folder, env=self.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, **popen,
        )  # fmt: skip
        self.said: list[str] = []
        self._told = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stderr, self.said), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stdout, []), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        self.until("Ctrl-C stops.")

    def _read(self, pipe: object, lines: list[str]) -> None:
        for line in pipe:  # type: ignore[attr-defined]
            with self._told:
                lines.append(line)
                self._told.notify_all()

    def write(self, text: str) -> None:
        """As editors do: a new file in the place of the old one."""
        fresh = self.file.with_name(".fresh")
        fresh.write_text(text)
        fresh.replace(self.file)

    def until(self, text: str, times: int = 1) -> None:
        with self._told:
            there = self._told.wait_for(lambda: "".join(self.said).count(text) >= times, PATIENCE)
        assert there, f"never said {text!r}: {''.join(self.said)}"

    @property
    def control(self) -> Path:
        name = f"{self.process.pid}.sock"
        return next(path for path in sockets_here(self.environ) if path.name == name)

    def reload(self, text: str) -> dict[str, object]:
        self.write(text)
        return ask(self.control, {"verb": "reload"}, PATIENCE)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "edgestack", "reload", *words], cwd=self.folder, env=self.environ,
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip

    def urls(self) -> list[str]:
        found = json.loads(self.ready.read_text())
        assert isinstance(found, list)
        return found

    def connect(self, at: int = 0) -> http.client.HTTPConnection:
        url = urlsplit(self.urls()[at])
        assert url.port
        if url.scheme == "https":
            trust = ssl.create_default_context(cafile=str(self.folder / "edgestack/edgestack-ca.pem"))
            return http.client.HTTPSConnection("localhost", url.port, timeout=PATIENCE, context=trust)
        return http.client.HTTPConnection("127.0.0.1", url.port, timeout=PATIENCE)

    def get(self, path: str = "/", at: int = 0) -> tuple[int, str]:
        connection = self.connect(at)
        try:
            return exchange(connection, path)
        finally:
            connection.close()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    def stop(self) -> int:
        control = self.control
        self.process.terminate()
        status = self.process.wait(PATIENCE)
        assert not control.exists()
        return status


def exchange(connection: http.client.HTTPConnection, path: str) -> tuple[int, str]:
    connection.request("GET", path)
    with connection.getresponse() as response:
        return response.status, response.read().decode()


class Servers(list[Server]):
    """Starts servers in one folder, and sees to it that none outlives the test."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def __call__(self, text: str, *words: str, **more: object) -> Server:
        self.append(Server(self.folder, text, *words, **more))  # type: ignore[arg-type]
        return self[-1]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Servers]:
    (tmp_path / "web.py").write_text(APPLICATION)
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("a file")
    servers = Servers(tmp_path)
    yield servers
    for server in servers:
        server.close()


def saying(text: str, head: str = HEAD) -> str:
    return f'{head}\n[[route]]\nrespond = "{text}"\n'


# --- how it is asked for ----------------------------------------------------------------------------------------------


def test_sighup_reads_the_file_again(serve: Servers) -> None:
    server = serve(saying("one"))
    assert server.get() == (200, "one")
    server.write(saying("two"))
    server.process.send_signal(signal.SIGHUP)
    server.until("info: reloaded")
    assert server.get() == (200, "two")
    assert server.stop() == 0


def test_sighup_with_a_broken_file_is_logged_and_changes_nothing(serve: Servers) -> None:
    server = serve(saying("one"))
    server.write(saying("two").replace("respond", "respnd"))
    server.process.send_signal(signal.SIGHUP)
    server.until("error: not reloaded")
    server.until("did you mean `respond`?")
    assert server.get() == (200, "one")
    assert server.stop() == 0


def test_a_file_that_was_found_is_read_again_where_no_terminal_controls(serve: Servers) -> None:
    server = serve(saying("one"), named=False, start_new_session=True)
    server.write(saying("two"))
    server.process.send_signal(signal.SIGHUP)
    server.until("info: reloaded")
    assert server.get() == (200, "two")
    assert server.stop() == 0


@pytest.mark.parametrize("how", ["nothing", "file", "control", "pid"])
def test_the_command(serve: Servers, how: str) -> None:
    """It tells what the server says: exit status 0 with the new configuration, 2 with the old one and the errors."""
    server = serve(saying("one"), "--pid", "pid")
    words = {"nothing": [], "file": ["-c", "edgestack.toml"], "control": ["--control", str(server.control)]}
    line = words.get(how, ["--pid", "pid"])
    server.write(saying("two"))
    done = server.command(*line)
    assert (done.returncode, done.stdout, done.stderr) == (0, "reloaded\n", "")
    assert server.get() == (200, "two")
    server.write(saying("three") + 'respnd = "four"\n')
    done = server.command(*line)
    assert done.returncode == 2
    assert "edgestack.toml:7:1: there is no key `respnd` in a route\n7 | respnd" in done.stderr
    assert "not reloaded" in done.stderr
    assert server.get() == (200, "two")
    assert server.stop() == 0


def test_the_command_sends_sighup_where_there_is_only_a_pid_file(serve: Servers) -> None:
    server = serve(saying("one"), "--pid", "pid")
    control = server.control
    control.rename(control.with_suffix(".away"))
    server.write(saying("two"))
    done = server.command("--pid", "pid")
    assert done.returncode == 0
    assert f"told process {server.process.pid}" in done.stdout
    server.until("info: reloaded")
    assert server.get() == (200, "two")
    control.with_suffix(".away").rename(control)
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--pid", "none"], "the pid file none does not exist"),
        (["--pid", "old"], "the pid file old names no process that runs"),
        (["--control", "none.sock"], "nobody answers at none.sock: No such file or directory"),
        (["-c", "other.toml"], "the file other.toml does not exist"),
        (["-c", "lonely.toml"], "no server of yours is running that uses lonely.toml"),
        (["--pid", "old", "-c", "lonely.toml"], "give one of them"),
    ],
)
def test_the_command_finds_nobody(tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "old").write_text("0\n")
    (tmp_path / "lonely.toml").write_text(saying("x"))
    done = subprocess.run(
        [sys.executable, "-m", "edgestack", "reload", *words], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr


def test_status_tells_who_it_is(serve: Servers) -> None:
    server = serve(saying("one"))
    server.reload(saying("two"))
    server.reload("nonsense")
    status = ask(server.control, {"verb": "status"}, PATIENCE)
    assert status["pid"] == server.process.pid
    assert status["file"] == str(server.file)
    assert status["urls"] == server.urls()
    assert (status["reloads"], status["failed_reloads"]) == (1, 1)
    assert server.stop() == 0


def test_two_servers_have_their_own(serve: Servers) -> None:
    one, two = serve(saying("one")), serve(saying("one"))
    assert one.control != two.control
    done = one.command()
    assert done.returncode == 2
    assert "there are 2 servers" in done.stderr
    assert all(f"--control {server.control}" in done.stderr for server in (one, two))
    assert one.reload(saying("two"))["ok"]
    assert (one.get(), two.get()) == ((200, "two"), (200, "one"))
    assert (one.stop(), two.stop()) == (0, 0)


# --- what changes, and what does not ----------------------------------------------------------------------------------


def test_application_code_is_not_read_again(serve: Servers) -> None:
    """The section is unchanged, so the object is; a later section that names the same module gets the same module."""
    text = HEAD + '[[route]]\napp = "web:app"\n'
    server = serve(text)
    before = server.get()
    (serve.folder / "web.py").write_text("raise RuntimeError('nobody reads this')\n")
    assert server.reload(text + '[[route]]\nmatch = "/x"\nrespond = "x"\n')["ok"]
    assert server.get() == before
    assert server.get("/x") == (200, "x")
    assert server.stop() == 0


def test_an_application_that_cannot_be_imported_is_told_with_its_place(serve: Servers) -> None:
    server = serve(saying("one"))
    (serve.folder / "bad.py").write_text("1 / 0\n")
    answer = server.reload(HEAD + '[[route]]\napp = "bad:app"\n')
    assert answer["ok"] is False
    assert "edgestack.toml:5" in str(answer["errors"])
    server.until("ZeroDivisionError")
    assert server.get() == (200, "one")
    assert server.stop() == 0


def test_a_listener_is_added_and_taken_away(serve: Servers) -> None:
    """The ready file follows; the file of a unix socket comes and goes; the first listener is never touched."""
    server = serve(saying("one"))
    (first,) = server.urls()
    both = HEAD.replace('"127.0.0.1:0"', '["127.0.0.1:0", "127.0.0.1:0", "unix:a.sock"]')
    assert server.reload(saying("three", both))["ok"]
    assert server.urls()[0] == first
    assert len(server.urls()) == 3
    assert server.get(at=1) == (200, "three")
    assert (serve.folder / "a.sock").exists()
    second = urlsplit(server.urls()[1]).port
    assert server.reload(saying("one again"))["ok"]
    assert server.urls() == [first]
    assert not (serve.folder / "a.sock").exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", second), timeout=PATIENCE)
    assert server.get() == (200, "one again")
    assert server.stop() == 0


def test_an_address_in_use_is_told_and_changes_nothing(serve: Servers) -> None:
    server = serve(saying("one"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        new = HEAD.replace('"127.0.0.1:0"', f'["127.0.0.1:0", "unix:a.sock", "127.0.0.1:{port}"]')
        answer = server.reload(saying("two", new))
    assert f"port {port} is already in use" in str(answer["errors"])
    assert not (serve.folder / "a.sock").exists()
    assert server.get() == (200, "one")
    own = HEAD.replace("127.0.0.1:0", f"0.0.0.0:{urlsplit(server.urls()[0]).port}")
    assert "cannot be added while this server listens on 127.0.0.1:0" in str(server.reload(saying("x", own))["errors"])
    assert server.get() == (200, "one")
    assert server.stop() == 0


def test_logs_change_their_place_and_form(serve: Servers) -> None:
    server = serve(saying("one"))
    log = 'access_log = "access.log"\nlog_format = "json"\nerror_log = "error.log"\n'
    assert server.reload(saying("two", HEAD + log))["ok"]
    server.get("/noted")
    assert server.stop() == 0
    (line,) = (serve.folder / "access.log").read_text().splitlines()
    assert "/noted" in json.dumps(json.loads(line))
    assert "reloaded" in (serve.folder / "error.log").read_text()


def test_what_only_a_start_can_change_is_told(serve: Servers) -> None:
    server = serve(saying("one"))
    answer = server.reload(saying("two", HEAD + 'pid = "pid"\n'))
    assert answer == {"ok": True, "warnings": ["`pid` is only looked at when the server starts"]}
    assert not (serve.folder / "pid").exists()
    assert server.stop() == 0


def test_what_is_in_flight_ends_on_the_old_chain(serve: Servers) -> None:
    os.mkfifo(serve.folder / "go")
    server = serve(HEAD + '[[route]]\napp = "web:app"\n')
    connection = server.connect()
    connection.request("GET", "/slow")
    with open(serve.folder / "go", "w"):  # opens when the application does
        assert server.reload(saying("new"))["ok"]
        assert server.get("/slow") == (200, "new")
    with connection.getresponse() as response:
        assert response.read().decode().startswith("http app ")
    assert exchange(connection, "/") == (200, "new")
    connection.close()
    assert server.stop() == 0


# --- under load -------------------------------------------------------------------------------------------------------


class Client(threading.Thread):
    """Asks without a pause, on one connection or on a new one each time; every answer has to be right."""

    def __init__(self, server: Server, keep: bool, at: int, path: str) -> None:
        super().__init__(daemon=True)
        self.server, self.keep, self.at, self.path = server, keep, at, path
        self.done = threading.Event()
        self.answers = 0
        self.gap = 0.0
        """The longest time that one request took, in seconds."""
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._ask()
        except BaseException as error:
            self.failure = error

    def _ask(self) -> None:
        connection = self.server.connect(self.at)
        while not self.done.is_set():
            began = time.monotonic()
            status, body = exchange(connection, self.path)
            assert status == 200, (status, body)
            assert body.startswith(("config ", "https app", "http app", "a file")), body
            self.gap = max(self.gap, time.monotonic() - began)
            self.answers += 1
            if not self.keep:
                connection.close()
        connection.close()


def load_text(number: int) -> str:
    """A configuration like the one before, but for texts, threads, timeouts, routes, and one listener."""
    listeners = '"unix:extra.sock"' if number % 3 else '"127.0.0.1:0"'
    routes = "".join(f'[[route]]\nmatch = "/r{at}/"\nrespond = "{at}"\n' for at in range(number % 7))
    return (
        f'[server]\nthreads = {2 + number % 2}\nkeepalive = "{60 + number % 5}s"\n'
        '[[listen]]\nat = "127.0.0.1:0"\ntls = false\n[[listen]]\nat = "127.0.0.1:0"\ntls = true\n'
        f"[[listen]]\nat = {listeners}\ntls = false\n"
        f'[[route]]\nmatch = "/config"\nrespond = "config {number}"\n[[route]]\nmatch = "/app"\napp = "web:app"\n'
        f'[[route]]\nstatic = "site/"\nheaders = {{ set = {{ X-Number = "{number}" }} }}\n{routes}'
    )


BAD = (
    "nonsense",
    '[server]\nthreads = "many"\n',
    '[[route]]\napp = "missing:app"\n',
    '[tls]\ncert = "site/index.html"\n',
)


@pytest.mark.timeout(180)
def test_reloads_under_load_lose_no_request(serve: Servers) -> None:
    """Good and bad ones, while clients ask in a loop: kept and new connections, plain and TLS."""
    server = serve(load_text(0))
    paths = ("/config", "/app", "/")
    clients = [Client(server, keep, at, path) for keep in (True, False) for at in (0, 1) for path in paths]
    for client in clients:
        client.start()
    choose = random.Random(3)
    good = 0
    began = time.monotonic()
    for number in range(1, RELOADS + 1):
        bad = choose.random() < 0.3
        answer = server.reload(choose.choice(BAD) if bad else load_text(number))
        assert answer["ok"] is not bad, answer
        good += not bad
    took = time.monotonic() - began
    for client in clients:
        client.done.set()
    for client in clients:
        client.join(PATIENCE)
    assert [client.failure for client in clients] == [None] * len(clients)
    assert all(client.answers for client in clients)
    status = ask(server.control, {"verb": "status"}, PATIENCE)
    assert (status["reloads"], status["failed_reloads"], status["failures"]) == (good, RELOADS - good, 0)
    server.write(load_text(0))
    if LONG:
        total, gap = sum(client.answers for client in clients), max(client.gap for client in clients)
        sys.stderr.write(f"{RELOADS} reloads in {took:.1f} s, {total} answers, the longest took {gap * 1000:.0f} ms\n")
    assert server.stop() == 0
