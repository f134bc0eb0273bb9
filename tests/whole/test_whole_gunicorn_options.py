"""Every option of gunicorn's command line that means something here, each with a real process that shows its effect.

What other files show already is not repeated: --reload, --timeout, --graceful-timeout, --log-config, --capture-output,
--pythonpath, and the worker classes have files of their own; `test_whole_gunicorn.py` has the environment.
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
import ssl
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
import trustme
from server_kit import PATIENCE, ROOT, Server, environment, exchange, running

APP = """
import json, logging, os, threading

with open("imported", "a") as file:
    file.write(f"{os.getpid()}\\n")

def app(environ, start_response):
    logging.getLogger("gunicorn.error").debug("a word of the application")
    mask = os.umask(0)
    os.umask(mask)
    told = {
        "pid": os.getpid(), "cwd": os.getcwd(), "umask": mask, "uid": os.getuid(), "gid": os.getgid(),
        "shop": os.environ.get("SHOP"), "thread": threading.current_thread().name,
        "multithread": environ["wsgi.multithread"], "multiprocess": environ["wsgi.multiprocess"],
        "scheme": environ["wsgi.url_scheme"], "remote": environ["REMOTE_ADDR"],
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the application `web:app`."""
    (tmp_path / "web.py").write_text(APP)
    return tmp_path


def told(server: Server, **fields: str) -> dict[str, object]:
    return server.get("/", **fields).json()


def run_to_its_end(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`edgestack run` with words that do not serve."""
    return subprocess.run(
        [sys.executable, "-m", "edgestack", "run", *words], cwd=folder, capture_output=True, text=True, check=False,
        timeout=PATIENCE, env=environment(folder, {"PYTHONPATH": str(ROOT)}),
    )  # fmt: skip


# --- where, and how many ----------------------------------------------------------------------------------------------


def test_bind_several_times(folder: Path) -> None:
    path = folder / "edge.sock"
    words = ("-b", "127.0.0.1:0", "--bind", f"unix:{path}")
    with running(folder, *words, "web:app", command="run", bind=False, cwd=folder) as server:
        assert told(server)["scheme"] == "http"
        with closing(socket.socket(socket.AF_UNIX)) as client:
            client.settimeout(PATIENCE)
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("words", [("-w", "2"), ("--workers=2",)], ids=str)
def test_workers(words: tuple[str, ...], folder: Path) -> None:
    with running(folder, *words, "web:app", command="run", cwd=folder) as server:
        assert told(server)["multiprocess"] is True
        assert told(server)["pid"] != server.process.pid
    assert len(set((folder / "imported").read_text().split())) == 2


def test_threads(folder: Path) -> None:
    """The threads have numbers; one of them is always enough for one request after the other."""
    with running(folder, "--threads", "3", "web:app", command="run", cwd=folder) as server:
        assert server.err.wait_for("(3 threads)")
        assert told(server)["multithread"] is True
    with running(folder, "--threads", "1", "web:app", command="run", cwd=folder) as server:
        assert told(server)["multithread"] is False


@pytest.mark.parametrize(
    ("words", "threaded"), [(("-k",), False), (("--threads", "8", "--worker-class"), True)], ids=str
)
def test_worker_class(words: tuple[str, ...], threaded: bool, folder: Path) -> None:
    """As in gunicorn, `sync` with threads is gthread."""
    with running(folder, *words, "sync", "web:app", command="run", cwd=folder) as server:
        assert told(server)["multithread"] is threaded


def test_worker_connections(folder: Path) -> None:
    """The second connection is told that it is one too many."""
    with (
        running(folder, "--worker-connections", "1", "web:app", command="run", cwd=folder) as server,
        closing(server.connect()) as first,
    ):
        assert exchange(first, "GET", "/").status == 200
        assert server.get("/").status == 503
        assert exchange(first, "GET", "/").status == 200


@pytest.mark.skipif(not Path("/usr/bin/ss").exists(), reason="`ss` (iproute2) tells how long a backlog is")
def test_backlog(folder: Path) -> None:
    with running(folder, "--backlog", "7", "web:app", command="run", cwd=folder) as server:
        listening = subprocess.run(
            ["ss", "-Hltn", f"sport = :{server.port}"], capture_output=True, text=True, check=True
        )
        assert listening.stdout.split()[2] == "7"


def test_max_requests(folder: Path) -> None:
    """A supervisor renews the worker, even where there is one."""
    words = ("--max-requests", "3", "--max-requests-jitter", "1", "-w", "1")
    with running(folder, *words, "web:app", command="run", cwd=folder) as server:
        answered = Counter(told(server)["pid"] for _ in range(6))
        server.err.wait_for("is replaced: it has answered")
        while len(answered) < 2:
            answered[told(server)["pid"]] += 1
    assert all(pid != server.process.pid for pid in answered)


def test_preload(folder: Path) -> None:
    """Imported once, by the process that the workers are forked from."""
    with running(folder, "--preload", "-w", "2", "web:app", command="run", cwd=folder) as server:
        (imported,) = (folder / "imported").read_text().split()
        assert told(server)["pid"] != int(imported)


def test_keep_alive(folder: Path) -> None:
    with running(folder, "--keep-alive", "0", "web:app", command="run", cwd=folder) as server:
        assert server.get("/")["Connection"] == "close"
    with running(folder, "--keep-alive", "9", "web:app", command="run", cwd=folder) as server:
        assert server.get("/").all("Connection") == []


# --- the process ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("-p", "-m", "-e"), ("--pid", "--umask", "--env")], ids=str)
def test_pid_umask_and_environment(words: tuple[str, str, str], folder: Path) -> None:
    pid, umask, env = words
    with running(
        folder, pid, "edge.pid", umask, "027", env, "SHOP=tea", "--chdir", str(folder), "web:app", command="run",
    ) as server:  # fmt: skip
        assert int((folder / "edge.pid").read_text()) == server.process.pid
        answer = told(server)
        assert (answer["umask"], answer["shop"], answer["cwd"]) == (0o027, "tea", str(folder))
    assert not (folder / "edge.pid").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
@pytest.mark.parametrize("words", [("-u", "-g"), ("--user", "--group")], ids=str)
def test_user_and_group(words: tuple[str, str], open_folder: Path) -> None:
    (open_folder / "web.py").write_text(APP.replace('open("imported", "a")', 'open(os.devnull, "a")'))
    nobody, other = pwd.getpwnam("nobody"), grp.getgrnam("daemon")
    user, group = words
    with running(
        open_folder, user, "nobody", group, "daemon", "-w", "2", "web:app", command="run", cwd=open_folder
    ) as server:
        assert (told(server)["uid"], told(server)["gid"]) == (nobody.pw_uid, other.gr_gid)


@pytest.mark.parametrize("word", ["-n", "--name"])
def test_name(word: str, folder: Path) -> None:
    pytest.importorskip("setproctitle")
    with running(folder, word, "tea-shop", "web:app", command="run", cwd=folder) as server:
        assert b"tea-shop" in Path(f"/proc/{server.process.pid}/cmdline").read_bytes()


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "spelling"), [("-c", "PATH"), ("--config", "file:PATH"), ("-c", "python:MODULE"), ("--config", "toml")]
)
def test_configuration(word: str, spelling: str, folder: Path) -> None:
    """gunicorn's files in its three spellings, and one of ours."""
    (folder / "conf").mkdir()
    (folder / "conf" / "shop_conf.py").write_text('raw_env = ["SHOP=tea"]\nthreads = 5\n')
    (folder / "edgestack.toml").write_text('[server]\nthreads = 5\nenv = { SHOP = "tea" }\n')
    (folder / "shop_conf.py").write_text("from conf.shop_conf import *\n")
    where = {
        "PATH": "conf/shop_conf.py", "file:PATH": "file:conf/shop_conf.py", "python:MODULE": "python:conf.shop_conf",
        "toml": "edgestack.toml",
    }  # fmt: skip
    with running(folder, word, where[spelling], "web:app", command="run", cwd=folder) as server:
        assert told(server)["shop"] == "tea"
        assert server.err.wait_for("5 threads")


def test_logs(folder: Path) -> None:
    words = ("--access-logfile", "a.log", "--access-logformat", '%(m)s %(U)s %(s)s "%({x-plan}i)s"', "--error-logfile",
             "e.log", "--log-level", "debug")  # fmt: skip
    with running(folder, *words, "web:app", command="run", cwd=folder) as server:
        server.get("/a?b", X_Plan="gold")
    assert (folder / "a.log").read_text() == 'GET /a 200 "gold"\n'
    assert "debug: a word of the application" in (folder / "e.log").read_text()


# --- the wire ---------------------------------------------------------------------------------------------------------


def test_certificates(folder: Path) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    leaf.private_key_pem.write_to_path(str(folder / "server.key"))
    leaf.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))
    words = ("--certfile", "server.pem", "--keyfile", "server.key")
    with running(folder, *words, "web:app", command="run", cwd=folder) as server:
        trusts = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
        with (
            socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as sock,
            trusts.wrap_socket(sock, server_hostname="localhost") as secure,
        ):
            secure.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert b'"scheme": "https"' in b"".join(iter(lambda: secure.recv(4096), b""))


@pytest.mark.parametrize(
    ("word", "most", "target", "field", "status"),
    [
        ("--limit-request-line", "100", "/" + 100 * "x", "x", 414),
        ("--limit-request-fields", "3", "/", "x", 431),
    ],
)
def test_limits(word: str, most: str, target: str, field: str, status: int, folder: Path) -> None:
    """A head that is over the limit, and one that is not."""
    with running(folder, word, most, "web:app", command="run", cwd=folder) as server:
        assert server.raw(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        many = "".join(f"X-{number}: {field}\r\n" for number in range(3))
        head = f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{many}\r\n"
        assert server.raw(head.encode()).startswith(f"HTTP/1.1 {status} ".encode())


def test_limit_request_field_size(folder: Path) -> None:
    """The limit here is on all fields together; it is raised where one of that size would not fit."""
    large = f"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Large: {40_000 * 'x'}\r\n\r\n".encode()
    with running(folder, "web:app", command="run", cwd=folder) as server:
        assert server.raw(large).startswith(b"HTTP/1.1 431 ")
    with running(folder, "--limit-request-field_size", "50000", "web:app", command="run", cwd=folder) as server:
        assert server.raw(large).startswith(b"HTTP/1.1 200 ")


def test_forwarded_allow_ips(folder: Path) -> None:
    said = {"X_Forwarded_Proto": "https", "X_Forwarded_For": "192.0.2.7"}
    for networks, scheme in (("10.0.0.0/8", "http"), ("*", "https")):
        with running(
            folder, "--forwarded-allow-ips", networks, "web:app", command="run", cwd=folder
        ) as server:  # fmt: skip
            assert told(server, **said)["scheme"] == scheme


# --- what does not serve ----------------------------------------------------------------------------------------------


def test_check_and_print(folder: Path) -> None:
    good = run_to_its_end(folder, "--check-config", "web:app")
    assert (good.returncode, good.stderr) == (0, "")
    bad = run_to_its_end(folder, "--check-config", "web:nothing")
    assert bad.returncode != 0
    assert "module 'web' has no 'nothing'" in bad.stderr
    shown = run_to_its_end(folder, "--print-config", "--threads", "5", "web:app")
    assert shown.returncode == 0
    assert any(line.split() == ["server.threads", "=", "5", "#", "--threads"] for line in shown.stdout.splitlines())


@pytest.mark.parametrize("word", ["-D", "--daemon"])
def test_daemon(word: str, folder: Path) -> None:
    """Refused, with advice."""
    refused = run_to_its_end(folder, word, "web:app")
    assert refused.returncode == 2
    assert "stays in the foreground" in refused.stderr
    assert "edgestack systemd" in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-w", "many"), "'many'"), (("--threads", "0"), "0"), (("-k", "fast"), "'fast'"), (("-b", "a:b:c"), "'a:b:c'"),
        (("-m", "worldwide"), "'worldwide'"), (("-u", "nobody-of-that-name"), "nobody-of-that-name"),
        (("-e", "SHOP"), "'SHOP'"), (("-c", "nowhere.py"), "nowhere.py"), (("--keep-alive", "-1"), "-1"),
        (("--certfile", "nowhere.pem"), "nowhere.pem"), (("--log-level", "loud"), "'loud'"), (("--chdir", "no"), "no"),
    ],
    ids=lambda one: one[0] if isinstance(one, tuple) else "",
)  # fmt: skip
def test_bad_values_get_one_clear_line(words: tuple[str, ...], said: str, folder: Path) -> None:
    bad = run_to_its_end(folder, *words, "web:app")
    assert bad.returncode == 2
    assert said in bad.stderr
    assert "Traceback" not in bad.stderr
