"""Projects of gunicorn's users, unchanged: `edgestack run` in the place of `gunicorn`, with the same file and words.

Real processes; what a hook does, it writes into a file or a log that the test reads.
"""

from __future__ import annotations

import http.client
import json
import os
import pwd
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
from server_kit import PATIENCE, ROOT, Server, environment, running

NOBODY = pwd.getpwnam("nobody")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")


def write(folder: Path, **files: str) -> Path:
    """A project: `shop__init` is shop/__init__.py."""
    for name, text in files.items():
        path = folder.joinpath(*name.replace("__init", "/__init__").split("/")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    return folder


def project(folder: Path, conf: str, app: str) -> Path:
    """A folder with a gunicorn.conf.py and a module."""
    (folder / "gunicorn.conf.py").write_text(conf)
    (folder / "web.py").write_text(app)
    return folder


# --- Flask ------------------------------------------------------------------------------------------------------------

FLASK_CONF = """
# -*- coding: utf-8 -*-
import multiprocessing
import os

bind = "127.0.0.1:0"
workers = int(os.environ.get("GUNICORN_WORKERS", min(2, multiprocessing.cpu_count() * 2 + 1)))
worker_class = "gthread"
threads = 4
worker_tmp_dir = "/dev/shm"
timeout = 60
keepalive = 5
max_requests = 1000
max_requests_jitter = 50
proc_name = "shop"

accesslog = "access.log"
errorlog = "-"
loglevel = "info"
access_log_format = '%(h)s %(l)s %(u)s "%(r)s" %(s)s %(b)s "%({X-Plan}i)s" %(D)s %(p)s'

raw_env = ["SHOP_GREETING=hello from the shop"]


def on_starting(server):
    server.log.info("starting %s with %s workers", server.cfg.proc_name, server.cfg.workers)


def when_ready(server):
    server.log.info("Server is ready. Spawning workers")


def pre_fork(server, worker):
    pass


def post_fork(server, worker):
    server.log.info("Worker spawned (age: %s)", worker.age)
    import shop_state
    shop_state.age = worker.age


def worker_exit(server, worker):
    with open("left", "a") as file:
        file.write(f"{worker.pid}\\n")


def child_exit(server, worker):
    server.log.info("child %s exited", worker.pid)
"""

FLASK_SHOP = """
import logging
import os

from flask import Flask, jsonify, request

import shop_state


def create_app(config=None):
    app = Flask(__name__)
    gunicorn_logger = logging.getLogger("gunicorn.error")
    app.logger.handlers = gunicorn_logger.handlers
    app.logger.setLevel(gunicorn_logger.level)

    @app.route("/")
    def home():
        app.logger.info("somebody asks for %s", request.path)
        return jsonify(greeting=os.environ["SHOP_GREETING"], age=shop_state.age, pid=os.getpid())

    @app.route("/orders", methods=["POST"])
    def order():
        return jsonify(request.get_json()), 201

    return app
"""


def test_a_flask_project_runs_unchanged(tmp_path: Path) -> None:
    pytest.importorskip("flask")
    write(tmp_path, shop__init=FLASK_SHOP, wsgi="from shop import create_app\napp = create_app()\n")
    (tmp_path / "shop_state.py").write_text("age = 0\n")
    (tmp_path / "gunicorn.conf.py").write_text(FLASK_CONF)
    with running(tmp_path, "wsgi:app", command="run", bind=False, cwd=tmp_path) as server:
        home = server.get("/", X_Plan="gold").json()
        assert home["greeting"] == "hello from the shop"
        assert home["age"] in (1, 2)
        order = server.request("POST", "/orders", b'{"what": "tea"}', {"Content-Type": "application/json"})
        assert (order.status, order.json()) == (201, {"what": "tea"})
        for text in ("starting shop with 2 workers", "Server is ready", "Worker spawned", "somebody asks for /"):
            server.err.wait_for(text)
    said = "\n".join(server.err.lines)
    assert said.count("Worker spawned") == said.count("exited") == 2
    assert len((tmp_path / "left").read_text().split()) == 2
    lines = (tmp_path / "access.log").read_text().splitlines()
    assert len(lines) == 2
    first = next(line for line in lines if "GET" in line)
    assert first.startswith('127.0.0.1 - - "GET / HTTP/1.1" 200 ')
    assert first.split('"')[3] == "gold"
    assert first.endswith(f"<{home['pid']}>")


# --- Django -----------------------------------------------------------------------------------------------------------

DJANGO_SETTINGS = """
import os
SECRET_KEY = os.environ["DJANGO_SECRET_KEY"]
DEBUG = False
ALLOWED_HOSTS = ["localhost"]
ROOT_URLCONF = "mysite.urls"
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"mysite": {"handlers": ["console"], "level": "INFO", "propagate": False}},
}
"""

DJANGO_URLS = """
import logging
import os
from django.http import JsonResponse
from django.urls import path

def home(request):
    logging.getLogger("mysite").info("2000-01-01 00:00:00 +0000 info: a view logs")
    return JsonResponse({"secure": request.is_secure(), "folder": os.getcwd(), "user": os.getuid(),
                         "host": request.get_host(), "shared": os.getppid() != 1})

urlpatterns = [path("", home)]
"""

DJANGO_WSGI = """
import os
from django.core.wsgi import get_wsgi_application
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
application = get_wsgi_application()
"""

DJANGO_CONF = """
wsgi_app = "mysite.wsgi:application"
bind = ["127.0.0.1:0"]
workers = 1
preload_app = True
chdir = "backend"
pidfile = "gunicorn.pid"
umask = 0o007
raw_env = ["DJANGO_SECRET_KEY=not-a-secret"]
forwarded_allow_ips = "*"
limit_request_field_size = 16380
statsd_host = None

def post_worker_init(worker):
    worker.log.info("worker %s is initialised", worker.age)
"""


def test_a_django_project_runs_unchanged(tmp_path: Path) -> None:
    pytest.importorskip("django")
    site = {"mysite__init": "", "mysite/settings": DJANGO_SETTINGS, "mysite/urls": DJANGO_URLS}
    write(tmp_path / "backend", **site, **{"mysite/wsgi": DJANGO_WSGI})
    (tmp_path / "gunicorn.conf.py").write_text(DJANGO_CONF)
    with running(tmp_path, command="run", bind=False, cwd=tmp_path) as server:
        plain = server.get("/").json()
        assert plain["folder"] == str(tmp_path / "backend")
        assert plain["secure"] is False
        assert server.get("/", X_Forwarded_Proto="https").json()["secure"] is True
        assert server.get("/", X_Large="x" * 16000).status == 200
        assert (tmp_path / "backend" / "gunicorn.pid").read_text() == f"{server.process.pid}\n"
        server.err.wait_for("worker 1 is initialised")
    assert not (tmp_path / "backend" / "gunicorn.pid").exists()


# --- one process ------------------------------------------------------------------------------------------------------

TELLING = """
import logging, os, sys

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/log":
        logging.getLogger("gunicorn.error").warning("a warning of the application")
        logging.getLogger("gunicorn.access").info("an access of the application")
    if path == "/print":
        print("printed by the application")
    body = f"{os.getuid()} {os.getgid()} {os.getcwd()} {environ['wsgi.multithread']}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def test_an_application_that_a_reload_brings_has_hooks_too(tmp_path: Path) -> None:
    """One process: what the file says by then, the application and its hooks, is what is called."""
    conf = """
wsgi_app = "{module}:app"
def pre_request(worker, req):
    with open("notes", "a") as file:
        print("{module}", req.path, file=file)
"""
    for module in ("one", "two"):
        (tmp_path / f"{module}.py").write_text(TELLING)
    (tmp_path / "gunicorn.conf.py").write_text(conf.format(module="one"))
    with running(tmp_path, command="run", cwd=tmp_path) as server:
        assert server.get("/a").status == 200
        (tmp_path / "gunicorn.conf.py").write_text(conf.format(module="two"))
        server.signal(signal.SIGHUP)
        server.err.wait_for("reloaded")
        assert server.get("/b").status == 200
    assert (tmp_path / "notes").read_text().splitlines() == ["one /a", "two /b"]


def test_every_moment_has_its_hook(tmp_path: Path) -> None:
    """One process: the server and its worker are the same, as hooks see it."""
    hooks = """
def note(*what):
    with open("notes", "a") as file:
        print(*what, file=file)
def on_starting(server): note("on_starting", server.num_workers, server.address[0][0])
def when_ready(server): note("when_ready", sorted(server.workers) == [server.pid])
def pre_fork(server, worker): note("pre_fork", worker.age)
def post_fork(server, worker): note("post_fork", worker.pid == worker.ppid == server.pid)
def worker_exit(server, worker): note("worker_exit", worker.age, worker.nr)
def child_exit(server, worker): note("child_exit", worker.age)
def post_worker_init(worker): note("post_worker_init", worker.age, worker.alive, worker.nr, worker.wsgi.__name__)
def pre_request(worker, req): note("pre_request", req.method, req.path, req.query, dict(req.headers).get("X-PLAN"))
def post_request(worker, req, environ, resp): note("post_request", resp.status, environ["PATH_INFO"], resp.sent)
def on_reload(server): note("on_reload")
def on_exit(server): note("on_exit")
"""
    project(tmp_path, hooks, TELLING)
    with running(tmp_path, "web:app", command="run", cwd=tmp_path) as server:
        reply = server.get("/a%2Fb?b=c", X_Plan="gold")
        server.signal(signal.SIGHUP)
        server.err.wait_for("reloaded gunicorn.conf.py")
    assert (tmp_path / "notes").read_text().splitlines() == [
        "on_starting 1 127.0.0.1",
        "pre_fork 1",
        "post_fork True",
        "post_worker_init 1 True 0 app",
        "when_ready True",
        "pre_request GET /a%2Fb b=c gold",
        f"post_request 200 OK /a/b {len(reply.body)}",
        "on_reload",
        "worker_exit 1 1",
        "child_exit 1",
        "on_exit",
    ]


def test_hooks_that_hosted_applications_have_not(tmp_path: Path) -> None:
    """They are named, and not left out in silence."""
    hooks = "def post_fork(server, worker): pass\ndef pre_request(worker, req): pass\ndef when_ready(server): pass\n"
    project(tmp_path, hooks, TELLING)
    with running(tmp_path, "-k", "process", "web:app", command="run", cwd=tmp_path) as server:
        server.logged(None, "not called, since applications are hosted by other processes: post_fork, pre_request")


def test_the_hooks_of_workers_and_their_supervisor(tmp_path: Path) -> None:
    """TTIN, an abort, an upgrade that fails, and the order to stop at once."""
    conf = """
workers = 1
preload_app = True
def nworkers_changed(server, new, old): server.log.info("number %s after %s", new, old)
def worker_abort(worker): worker.log.info("abort %s", worker.age)
def worker_int(worker): worker.log.info("int %s", worker.age)
def pre_exec(server): server.log.info("pre_exec %s", server.pid)
"""
    project(tmp_path, conf, "import os\n" + TELLING.replace("os.getuid()", "os.getpid()"))
    with running(tmp_path, "web:app", command="run", cwd=tmp_path) as server:
        server.err.wait_for("number 1 after None")
        os.kill(int(server.get("/").text.split()[0]), signal.SIGABRT)
        server.err.wait_for("abort 1")
        server.signal(signal.SIGTTIN)
        server.err.wait_for("number 2 after 1")
        (tmp_path / "gunicorn.conf.py").write_text("workers = nothing")
        server.signal(signal.SIGUSR2)
        server.err.wait_for(f"pre_exec {server.process.pid}")
        server.err.wait_for("this one goes on")
        assert server.get("/").status == 200
        server.signal(signal.SIGQUIT)
        assert server.wait() == 130
    said = "\n".join(server.err.lines)
    assert (said.count("info: int 2"), said.count("info: int 3")) == (1, 1)


def test_a_broken_file_leaves_the_old_one_serving(tmp_path: Path) -> None:
    project(tmp_path, "threads = 2", TELLING)
    with running(tmp_path, "web:app", command="run", cwd=tmp_path) as server:
        (tmp_path / "gunicorn.conf.py").write_text("threads = 1 / 0")
        server.signal(signal.SIGHUP)
        server.logged(None, "not reloaded, the configuration before goes on")
        assert server.get("/").status == 200


def test_another_file_brings_other_workers_variables_and_hooks(tmp_path: Path) -> None:
    """SIGHUP with workers: everything anew, the hooks of the supervisor too."""
    conf = "workers = 2\nraw_env = ['MARK={}']\ndef when_ready(server): pass\ndef child_exit(server, worker): "
    conf += "server.log.info('{} has seen %s go', worker.age)\n"
    app = "import os\ndef app(environ, start_response):\n    start_response('200 OK', [])\n"
    app += "    return [os.environ['MARK'].encode()]\n"
    project(tmp_path, conf.format("old", "old"), app)
    with running(tmp_path, "web:app", command="run", cwd=tmp_path) as server:
        assert server.get("/").text == "old"
        (tmp_path / "gunicorn.conf.py").write_text(conf.format("new", "new"))
        server.signal(signal.SIGHUP)
        server.err.wait_for("reloaded: 2 new workers serve")
        server.err.wait_for("new has seen 2 go")
        server.err.wait_for("new has seen 1 go")
        assert server.get("/").text == "new"


def test_what_applications_log_is_heard(tmp_path: Path) -> None:
    project(tmp_path, "", TELLING)
    with running(tmp_path, "web:app", command="run", cwd=tmp_path) as server:
        server.get("/log")
        server.logged(None, "a warning of the application")
        server.err.wait_for("an access of the application")


def test_captured_output_is_in_the_error_log(tmp_path: Path) -> None:
    """Even the banner: so nobody is told on standard error when it is ready, and the file is asked."""
    project(tmp_path, "", TELLING)
    words = ("--log-level", "error", "--capture-output", "--error-logfile", "e.log", "web:app")
    with quiet(tmp_path, *words) as port:
        for target in ("/print", "/log"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            connection.request("GET", target)
            with connection.getresponse() as response:
                assert response.read()
            connection.close()
    said = (tmp_path / "e.log").read_text()
    assert "printed by the application" in said
    assert "Ctrl-C stops." in said
    assert "a warning of the application" not in said


@contextmanager
def quiet(folder: Path, *words: str) -> Iterator[int]:
    """A server that says nothing on its standard error, and its port, once it is ready."""
    ready = folder / "ready"
    process = subprocess.Popen(
        [sys.executable, "-m", "edgestack", "run", "-b", "127.0.0.1:0", "--ready-file", str(ready), *words],
        cwd=folder, env=environment(folder, {"PYTHONPATH": str(ROOT)}), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield port_of(ready, process)
        process.terminate()
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait(PATIENCE)


def port_of(ready: Path, process: subprocess.Popen[bytes]) -> int:
    """What the ready file says, once it is there."""
    tick = threading.Event()
    for _ in range(int(PATIENCE * 20)):
        if ready.exists():
            return int(json.loads(ready.read_text())[0].rpartition(":")[2])
        assert process.poll() is None
        tick.wait(0.05)  # between two looks at a process that tells nobody
    raise AssertionError("it never was ready")


# --- logging's own configuration --------------------------------------------------------------------------------------

INI = """
[loggers]
keys = root, gunicorn.error, gunicorn.access

[handlers]
keys = errors, accesses

[formatters]
keys = plain

[logger_root]
level = INFO
handlers = errors

[logger_gunicorn.error]
level = INFO
handlers = errors
propagate = 0
qualname = gunicorn.error

[logger_gunicorn.access]
level = INFO
handlers = accesses
propagate = 0
qualname = gunicorn.access

[handler_errors]
class = FileHandler
formatter = plain
args = ("theirs-errors.log",)

[handler_accesses]
class = FileHandler
formatter = plain
args = ("theirs-accesses.log",)

[formatter_plain]
format = [%(name)s] %(message)s
"""


def table(name: str) -> dict[str, object]:
    """The same for dictConfig."""
    logger = {"level": "INFO", "propagate": False}
    file = {"class": "logging.FileHandler", "formatter": "plain"}
    return {
        "version": 1,
        "formatters": {"plain": {"format": "[%(name)s] %(message)s"}},
        "handlers": {
            "errors": {**file, "filename": "theirs-errors.log"},
            "accesses": {**file, "filename": "theirs-accesses.log"},
        },
        "loggers": {
            "gunicorn.error": {**logger, "handlers": ["errors"]},
            "gunicorn.access": {**logger, "handlers": ["accesses"]},
        },
    }


@pytest.mark.parametrize("kind", ["ini", "json", "dict"])
def test_where_lines_go_may_be_loggings_own_business(kind: str, tmp_path: Path) -> None:
    words: tuple[str, ...] = ()
    conf = "access_log_format = '%(m)s %(U)s %(s)s'\n"
    if kind == "ini":
        (tmp_path / "l.ini").write_text(INI)
        words = ("--log-config", "l.ini")
    elif kind == "json":
        (tmp_path / "l.json").write_text(json.dumps(table(kind)))
        words = ("--log-config-json", "l.json")
    else:
        conf += f"logconfig_dict = {table(kind)!r}\n"
    project(tmp_path, conf, TELLING)
    with running(tmp_path, *words, "web:app", command="run", cwd=tmp_path) as server:
        assert server.get("/log").status == 200
    assert "[gunicorn.access] GET /log 200" in (tmp_path / "theirs-accesses.log").read_text().splitlines()
    errors = (tmp_path / "theirs-errors.log").read_text()
    assert "[gunicorn.error] a warning of the application" in errors
    assert server.out.lines == []


# --- users, sockets, certificates -------------------------------------------------------------------------------------


@AS_ROOT
@pytest.mark.parametrize("workers", ["1", "2"])
def test_workers_become_another_user(workers: str, open_folder: Path) -> None:
    """Keys that only root may read are read before; logs and sockets belong to that user after."""
    folder = open_folder
    project(folder, "", TELLING)
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    (folder / "server.pem").chmod(0o600)
    sock = folder / "edge.sock"
    words = ("-u", "nobody", "-w", workers, "--certfile", "server.pem", "-b", f"unix:{sock}", "--error-log", "-",
             "--access-log", "a.log", "-b", "127.0.0.1:0")  # fmt: skip
    with running(folder, *words, "web:app", command="run", bind=False, cwd=folder) as server:
        port = next(int(url.rpartition(":")[2]) for url in server.urls if url.startswith("https://127"))
        trusts = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
        connection = http.client.HTTPSConnection("localhost", port, timeout=20, context=trusts)
        connection.request("GET", "/")
        with connection.getresponse() as response:
            uid, gid = response.read().split()[:2]
        connection.close()
        assert (int(uid), int(gid)) == (NOBODY.pw_uid, NOBODY.pw_gid)
        assert sock.stat().st_uid == NOBODY.pw_uid
        assert (folder / "a.log").stat().st_uid == NOBODY.pw_uid
        assert os.stat(f"/proc/{server.process.pid}").st_uid == 0  # it keeps what only root may open


def test_the_hook_ssl_context_has_the_last_word(tmp_path: Path) -> None:
    conf = """
import ssl
certfile = "server.pem"
def ssl_context(conf, default_ssl_context_factory):
    context = default_ssl_context_factory()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context
"""
    project(tmp_path, conf, TELLING)
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    with running(tmp_path, "web:app", command="run", cwd=tmp_path) as server:
        context = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
        with (
            socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock,
            context.wrap_socket(sock, server_hostname="localhost") as secure,
        ):
            assert secure.version() == "TLSv1.2"


def test_the_application_finds_folder_modules_and_variables(tmp_path: Path) -> None:
    """--chdir, --pythonpath and --env are in force before anything is imported."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "lib").mkdir()
    (tmp_path / "inner" / "lib" / "library.py").write_text("import os\nwhere = os.getcwd() + os.environ['MARK']\n")
    (tmp_path / "inner" / "web.py").write_text(
        "import library\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [library.where.encode()]\n"
    )
    words = ("--chdir", "inner", "--pythonpath", "lib", "-e", "MARK=!", "web:app")
    with running(tmp_path, *words, command="run", cwd=tmp_path) as server:
        assert server.get("/").text == f"{tmp_path}/inner!"


def title_of(server: Server) -> str:
    return Path(f"/proc/{server.process.pid}/cmdline").read_bytes().rstrip(b"\0").decode()


@pytest.mark.skipif(sys.platform != "linux", reason="titles are read from /proc")
def test_what_the_environment_says(tmp_path: Path) -> None:
    """gunicorn's variables; its words there are stronger than the file, and weaker than those of the command line."""
    app = """
def app(environ, start_response):
    said = (environ[name] for name in ("wsgi.multithread", "wsgi.multiprocess", "wsgi.url_scheme"))
    start_response("200 OK", [])
    return [" ".join(map(str, said)).encode()]
"""
    project(tmp_path, "threads = 1\ntimeout = 7", app)
    said = {
        "WEB_CONCURRENCY": "2", "GUNICORN_CMD_ARGS": "--threads 4 -t 9 --access-logfile=words.log",
        "FORWARDED_ALLOW_IPS": "10.0.0.1",
    }  # fmt: skip
    with running(tmp_path, "--timeout", "5", "web:app", command="run", cwd=tmp_path, env=said) as server:
        assert server.get("/", X_Forwarded_Proto="https").text == "True True http"
        assert server.err.wait_for("2 workers and their supervisor")
    assert (tmp_path / "words.log").read_text().count('"GET / HTTP/1.1" 200') == 1


def test_a_process_is_called_by_its_name(tmp_path: Path) -> None:
    pytest.importorskip("setproctitle")
    project(tmp_path, "", TELLING)
    with running(tmp_path, "-n", "the shop", "web:app", command="run", cwd=tmp_path) as server:
        assert title_of(server).startswith("edgestack: [the shop]")
