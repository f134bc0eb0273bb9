"""`edgestack serve` as a real process: signals, files, logs, errors (issue 2, §6; E10, E11).

Nothing is slept for: a process is ready when it has written the last line of its banner, and each wait has a bound.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0
"""Seconds that one step may take on a busy machine before the test fails."""

APPLICATION = """
import os, resource, sys, threading, time
never = threading.Event()

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        open("begun", "w").close()
        with open("go") as pipe:     # a named pipe: waits for the test
            pipe.read()
    if path == "/stuck":
        open("begun", "w").close()
        never.wait()
    if path == "/facts":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        body = f"{soft == hard} {sys.getswitchinterval()} {environ['wsgi.url_scheme']}".encode()
    else:
        body = b"hello from the application"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


class Server:
    """A running `edgestack serve`."""

    def __init__(self, folder: Path, *words: str, env: dict[str, str] | None = None, **popen: object) -> None:
        self.folder = folder
        self.process = subprocess.Popen(  # type: ignore[call-overload]
            [sys.executable, "-m", "edgestack", "serve", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder), "NO_COLOR": "1", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **popen,
        )
        self.said = ""
        self._bound = threading.Timer(PATIENCE, self.process.kill)
        self._bound.daemon = True
        self._bound.start()

    def ready(self) -> Server:
        """Wait for the end of the banner."""
        self.until("Ctrl-C stops.")
        return self

    def until(self, text: str) -> str:
        """Wait for a line on standard error with `text` in it."""
        for line in self.process.stderr:
            self.said += line
            if text in line:
                return str(line)
        raise AssertionError(f"it ended with {self.process.wait()} and never said {text!r}: {self.said}")

    @property
    def urls(self) -> list[str]:
        return [line.split()[1] for line in self.said.splitlines() if line.startswith("  → ")]

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", urlsplit(self.urls[0]).port, timeout=PATIENCE)

    def get(self, path: str = "/") -> str:
        connection = self.connect()
        connection.request("GET", path)
        with connection.getresponse() as response:
            body = response.read().decode()
        connection.close()
        return body

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str, str]:
        """Wait for its end: status, standard output, standard error."""
        out, err = self.process.communicate(timeout=PATIENCE)
        self._bound.cancel()
        self._bound.join()
        return self.process.returncode, out, self.said + err

    def stop(self) -> tuple[int, str, str]:
        self.signal(signal.SIGTERM)
        return self.end()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self._bound.cancel()
        self._bound.join()
        self.process.communicate()


class Servers:
    """Starts servers in one folder, and sees to it that none outlives the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Server] = []

    def __call__(self, *words: str, **more: object) -> Server:
        server = Server(self.folder, *words, **more)  # type: ignore[arg-type]
        self.started.append(server)
        return server


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Servers]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("hello from a file")
    (tmp_path / "web.py").write_text(APPLICATION)
    servers = Servers(tmp_path)
    yield servers
    for server in servers.started:
        server.close()


PLAIN = ("--no-tls", "-b", "127.0.0.1:0")


# --- a good life ------------------------------------------------------------------------------------------------------


def test_files_and_application_until_sigterm(serve: Servers) -> None:
    server = serve(*PLAIN, "--static", "site", "--app", "web:app").ready()
    assert server.get("/") == "hello from a file"
    assert server.get("/other") == "hello from the application"
    status, out, err = server.stop()
    assert status == 0
    assert [line.split('"')[1] for line in out.splitlines()] == ["GET / HTTP/1.1", "GET /other HTTP/1.1"]
    assert "files        site/" in err
    assert "application  web:app" in err


def test_with_no_option_it_serves_the_site_and_says_so(serve: Servers) -> None:
    server = serve(*PLAIN).ready()
    assert "serving ./site" in server.said
    assert server.get("/") == "hello from a file"
    assert server.stop()[0] == 0


def test_limits_are_raised_and_threads_take_turns_quickly(serve: Servers) -> None:
    """E11: RLIMIT_NOFILE at its hard limit; design §4.10: the switch interval."""
    server = serve(*PLAIN, "--app", "web:app").ready()
    assert server.get("/facts") == "True 0.0005 http"
    assert server.stop()[0] == 0


def test_the_banner_says_what_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make run` starts a program that is not on the PATH."""
    from edgestack.process.scene import program_name

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [".venv/bin/edgestack", "serve"])
    assert program_name() == ".venv/bin/edgestack"
    monkeypatch.setattr(sys, "argv", ["/x/edgestack/__main__.py", "serve"])
    assert program_name().endswith(f"{Path(sys.executable).name} -m edgestack")
    (tmp_path / "edgestack").touch(mode=0o755)
    assert program_name() == "edgestack"


def test_https_with_the_development_certificate(serve: Servers) -> None:
    (serve.folder / "certs").mkdir()
    server = serve("-b", "127.0.0.1:0", "--app", "web:app").ready()
    assert "certificate  for development, signed by certs/edgestack-ca.pem" in server.said
    assert "edgestack certs trust" in server.said
    trust = ssl.create_default_context(cafile=str(serve.folder / "certs/edgestack-ca.pem"))
    port = urlsplit(server.urls[0]).port
    connection = http.client.HTTPSConnection("localhost", port, timeout=PATIENCE, context=trust)
    connection.request("GET", "/facts")
    assert connection.getresponse().read().decode().endswith("https")
    connection.close()
    assert server.stop()[0] == 0


def test_the_ready_file_and_the_pid_file(serve: Servers) -> None:
    ready, pid = serve.folder / "ready.json", serve.folder / "pid"
    server = serve(*PLAIN, "--ready-file", "ready.json", "--pid", "pid").ready()
    urls = json.loads(ready.read_text())
    assert urls == [server.urls[0].replace("localhost", "127.0.0.1")]
    assert int(pid.read_text()) == server.process.pid
    second = serve(*PLAIN, "--pid", "pid")
    status, _, err = second.end()
    assert status == 2
    assert f"(pid {server.process.pid})" in err
    assert int(pid.read_text()) == server.process.pid
    assert server.stop()[0] == 0
    assert not ready.exists()
    assert not pid.exists()


def test_a_unix_socket_comes_and_goes(serve: Servers) -> None:
    path = serve.folder / "a.sock"
    server = serve("--no-tls", "-b", f"unix:{path}", "--app", "web:app").ready()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        with client.makefile("rb") as answer:
            assert answer.read().endswith(b"hello from the application")
    assert server.stop()[0] == 0
    assert not path.exists()


def test_an_inherited_descriptor(serve: Servers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        fd = given.fileno()
        server = serve("--no-tls", "-b", f"fd://{fd}", "--app", "web:app", pass_fds=(fd,)).ready()
        assert urlsplit(server.urls[0]).port == given.getsockname()[1]
        assert server.get("/") == "hello from the application"
        assert server.stop()[0] == 0


def test_a_socket_that_systemd_passes(serve: Servers) -> None:
    """sd_listen_fds(3): descriptor 3, and our own process id, as a shell can say it before it becomes us."""
    with socket.create_server(("127.0.0.1", 0)) as given:
        program = f"{sys.executable} -m edgestack serve --no-tls --app web:app"
        passing = f"exec 3<&{given.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec {program}"
        server = Server.__new__(Server)
        serve.started.append(server)
        server.folder = serve.folder
        server.process = subprocess.Popen(
            ["bash", "-c", passing],
            cwd=serve.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            pass_fds=(given.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        server.said = ""
        server._bound = threading.Timer(PATIENCE, server.process.kill)
        server._bound.start()
        server.ready()
        assert urlsplit(server.urls[0]).port == given.getsockname()[1]
        assert server.get("/") == "hello from the application"
        assert server.stop()[0] == 0


def test_the_browser_is_opened(serve: Servers) -> None:
    opener = serve.folder / "opener"
    opener.write_text('#!/bin/sh\necho "opened $1" >&2\n')
    opener.chmod(0o700)
    server = serve(*PLAIN, "--open", env={"BROWSER": f"{opener} %s"}).ready()
    assert server.until("opened ").strip() == f"opened {server.urls[0]}"
    assert server.stop()[0] == 0


# --- logs -------------------------------------------------------------------------------------------------------------


def test_sigusr1_reopens_the_logs(serve: Servers) -> None:
    access, error = serve.folder / "access.log", serve.folder / "error.log"
    server = serve(*PLAIN, "--access-log", "access.log", "--error-log", "error.log", "--static", "site").ready()
    server.get("/one")
    for path in (access, error):
        path.rename(path.with_suffix(".1"))
    os.mkfifo(error)  # whoever reads it sees the moment when the log is opened anew
    with open(os.open(error, os.O_RDONLY | os.O_NONBLOCK)) as moment:
        os.set_blocking(moment.fileno(), True)
        server.signal(signal.SIGUSR1)
        with open(error, "w"):  # keeps the reader from seeing the end before the server comes
            assert "logs reopened" in moment.readline()
        server.get("/two")
        assert server.stop()[0] == 0
    assert '"GET /one HTTP/1.1" 404' in access.with_suffix(".1").read_text()
    assert '"GET /two HTTP/1.1" 404' in access.read_text()
    assert "/one" not in access.read_text()


def test_json_lines_share_the_request_id_with_the_answer(serve: Servers) -> None:
    server = serve(*PLAIN, "--log-format", "json", "--app", "web:app").ready()
    connection = server.connect()
    connection.request("GET", "/a?b", headers={"User-Agent": "tests"})
    response = connection.getresponse()
    response.read()
    connection.close()
    _, out, _ = server.stop()
    said = json.loads(out)
    assert said["request_id"] == response.headers["X-Request-Id"]
    assert (said["target"], said["status"], said["user_agent"]) == ("/a?b", 200, "tests")


def test_development_logs_at_once(serve: Servers) -> None:
    server = serve(*PLAIN, "--dev").ready()
    assert "Development:" in server.said
    server.get("/")
    assert '"GET / HTTP/1.1" 200' in server.process.stdout.readline()
    assert server.stop()[0] == 0


def test_no_access_log(serve: Servers) -> None:
    server = serve(*PLAIN, "--access-log", "off").ready()
    server.get("/")
    assert server.stop()[:2] == (0, "")


# --- stopping ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_under_way_is_answered(serve: Servers, number: signal.Signals) -> None:
    """E10: what is in flight is finished, and nothing new is accepted."""
    os.mkfifo(serve.folder / "go")
    server = serve(*PLAIN, "--app", "web:app").ready()
    connection = server.connect()
    connection.request("GET", "/slow")
    with open(serve.folder / "go", "w"):  # opened when the application waits
        server.signal(number)
        closed_to_newcomers(server)
    assert connection.getresponse().read() == b"hello from the application"
    connection.close()
    status, out, _ = server.end()
    assert status == 0
    assert '"GET /slow HTTP/1.1" 200' in out


def closed_to_newcomers(server: Server) -> None:
    """Return when the listening socket is gone."""
    port = urlsplit(server.urls[0]).port
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port or 0), PATIENCE) as probe:
                probe.recv(1)
        except ConnectionError:
            return


def test_a_second_sigint_stops_at_once(serve: Servers) -> None:
    os.mkfifo(serve.folder / "go")
    server = serve(*PLAIN, "--app", "web:app", "--pid", "pid", "--graceful-timeout", "1h").ready()
    connection = server.connect()
    connection.request("GET", "/slow")
    with open(serve.folder / "go", "w"):
        server.signal(signal.SIGINT)
        closed_to_newcomers(server)
        server.signal(signal.SIGINT)
        assert server.end()[0] == 130
    connection.close()
    assert not (serve.folder / "pid").exists()


def test_a_thread_that_never_ends_is_named_and_left_behind(serve: Servers) -> None:
    os.mkfifo(serve.folder / "begun")
    server = serve(*PLAIN, "--app", "web:app", "--graceful-timeout", "100ms").ready()
    connection = server.connect()
    connection.request("GET", "/stuck")
    with open(serve.folder / "begun") as begun:
        begun.read()
    status, _, err = server.stop()
    connection.close()
    assert status == 0
    assert "still ran and was left behind" in err
    assert "never.wait()" in err


# --- bad input --------------------------------------------------------------------------------------------------------


def test_a_port_in_use_is_told_with_its_holder(serve: Servers) -> None:
    server = serve(*PLAIN).ready()
    port = urlsplit(server.urls[0]).port
    status, out, err = serve("--no-tls", "-b", f"127.0.0.1:{port}", "--app", "web:no_such").end()
    assert (status, out) == (2, "")
    assert err.startswith(f"edgestack: port {port} is already in use by ")
    assert f"(pid {server.process.pid})" in err
    assert err.count("\n") == 1
    assert server.stop()[0] == 0


@pytest.mark.parametrize(
    ("target", "expected"),
    [("nothing:app", "no module `nothing`"), ("web:ap", "did you mean app?"), ("web:APPLE", "has no 'APPLE'")],
)
def test_an_application_that_is_not_there(serve: Servers, target: str, expected: str) -> None:
    status, _, err = serve(*PLAIN, "--app", target).end()
    assert status == 2
    assert expected in err
    assert err.count("\n") == 1


def test_an_import_that_fails_shows_the_application_s_own_traceback(serve: Servers) -> None:
    (serve.folder / "broken.py").write_text("import sys\nimport no_such_library\n")
    status, _, err = serve(*PLAIN, "--app", "broken:app").end()
    assert status == 2
    assert "import no_such_library" in err
    assert "edgestack/" not in err
    assert err.splitlines()[-1].startswith("edgestack: ")


def test_a_certificate_that_does_not_match_its_key(serve: Servers) -> None:
    import trustme

    one, other = trustme.CA().issue_cert("localhost"), trustme.CA().issue_cert("localhost")
    one.cert_chain_pems[0].write_to_path(serve.folder / "cert.pem")
    other.private_key_pem.write_to_path(serve.folder / "key.pem")
    status, _, err = serve("-b", "127.0.0.1:0", "--cert", "cert.pem", "--key", "key.pem").end()
    assert status == 2
    assert "does not belong to" in err
    assert err.count("\n") == 1


def test_nothing_is_left_behind_by_a_start_that_failed(serve: Servers) -> None:
    words = ("-b", "unix:a.sock", "--pid", "pid", "--ready-file", "ready.json", "--app", "nothing:app")
    assert serve("--no-tls", *words).end()[0] == 2
    assert sorted(os.listdir(serve.folder)) == ["site", "web.py"]
