"""gunicorn's configuration files: what they say, where errors stand, and what a worker gets of them."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from edgestack.config.model import Config
from edgestack.config.overrides import Override
from edgestack.config.problems import ConfigErrors, Problem
from edgestack.process.configuring import Configured, configure, configure_again
from edgestack.process.gunicorn.words import defaults
from edgestack.process.hooks import hooks_of

FILE = Path("gunicorn.conf.py")


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "__config__", raising=False)
    Path("shop.py").touch()
    for name in ("c.pem", "k.pem"):
        Path(name).touch()


def read(text: str, *overrides: Override, application: bool = True) -> Configured:
    """What such a file means to `edgestack run shop`."""
    FILE.write_text(text)
    app = [Override("app", "shop:app", "MODULE:NAME")] if application else []
    return configure(FILE, [*defaults({}), *overrides, *app], application=True)


def config(text: str) -> Config:
    return read(text).config


def errors(text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        read(text)
    return [one.shown() if isinstance(one, Problem) else str(one) for one in caught.value.errors]


def test_a_file_as_its_users_write_it() -> None:
    made = read(
        "import multiprocessing, os\n"
        "bind = '0.0.0.0:' + os.environ.get('NOBODY_SETS_THIS', '9000')\n"
        "workers = min(multiprocessing.cpu_count() * 2 + 1, 9)\n"
        "worker_class = 'gthread'\nthreads = 4\ntimeout = 120\ngraceful_timeout = 20\nkeepalive = 5\n"
        "max_requests = 1000\nmax_requests_jitter = 50\npreload_app = True\nproc_name = 'shop'\n"
        "accesslog = '-'\nerrorlog = '-'\nloglevel = 'warning'\nraw_env = ['A=1']\nlimit_request_line = 8190\n"
        "def mine(): pass\nSOMETHING = 3\n"
    )
    server, processes = made.config.server, made.config.server.processes
    assert [str(one) for one in made.config.listeners] == ["0.0.0.0:9000"]
    assert (processes.worker_class, server.threads, processes.timeout) == ("gthread", 4, 120.0)
    assert (server.timeouts.graceful, server.timeouts.keepalive) == (20.0, 5.0)
    assert (processes.max_requests, processes.max_requests_jitter, processes.preload) == (1000, 50, True)
    assert (processes.name, processes.env, server.limits.request_line) == ("shop", (("A", "1"),), 8190)
    assert (server.log.access, server.log.error, server.log.level) == ("-", "-", "warning")
    assert made.config.listeners[0].tls is False
    assert made.loaded.warnings == ()
    assert made.config.server.private_paths == (FILE.absolute(),)


def test_the_application_may_be_named_there() -> None:
    made = read("wsgi_app = 'shop:other'", application=False)
    assert made.config.routes[0].app is not None
    assert made.config.routes[0].app.target == "shop:other"
    assert read("wsgi_app = 'shop:other'").config.routes[0].app.target == "shop:app"  # type: ignore[union-attr]


def test_certificates_make_it_tls() -> None:
    tls = config("certfile = 'c.pem'\nkeyfile = 'k.pem'").tls
    assert tls.certificates == ((Path("c.pem"), Path("k.pem")),)
    assert config("certfile = 'c.pem'").tls.certificates == ((Path("c.pem"), Path("c.pem")),)
    assert config("certfile = 'c.pem'\nca_certs = 'k.pem'").tls.client_ca is None
    assert config("certfile = 'c.pem'\nca_certs = 'k.pem'\ncert_reqs = 2").tls.client_ca == Path("k.pem")


def test_sync_with_threads_is_gthread_as_in_gunicorn() -> None:
    assert config("worker_class = 'sync'").server.processes.worker_class == "sync"
    assert config("worker_class = 'sync'\nthreads = 1").server.processes.worker_class == "sync"
    assert config("worker_class = 'sync'\nthreads = 2").server.processes.worker_class == "gthread"


def test_the_proxy_protocol_is_that_of_every_listener() -> None:
    """Its own table of whom to believe, and gunicorn's word for the loop."""
    text = "bind = ['127.0.0.1:1', 'unix:a.sock']\nproxy_protocol = 'auto'\nproxy_allow_ips = '10.0.0.0/8'\n"
    found = config(text + "asgi_loop = 'asyncio'\n")
    assert [one.proxy_protocol for one in found.listeners] == [("10.0.0.0/8", "unix:")] * 2
    assert found.server.processes.asgi_loop == "asyncio"
    assert [one.proxy_protocol for one in config("proxy_protocol = False").listeners] == [()]


def test_what_does_nothing_is_told_at_its_line() -> None:
    warnings = read("statsd_host = 'localhost:8125'\naccess_log_format = '%(h)s %(z)s'").loaded.warnings
    assert [one.shown().splitlines()[:2] for one in warnings] == [
        [
            "gunicorn.conf.py:1:15: gunicorn's `statsd_host` does nothing here: counts are in `edgestack ctl status`, "
            "and each request is in the access log",
            "1 | statsd_host = 'localhost:8125'",
        ],
        ["gunicorn.conf.py:2:21: %(z)s is not known here, and gives `-`", "2 | access_log_format = '%(h)s %(z)s'"],
    ]


WRONG: list[tuple[str, str]] = [
    (
        "bind = ':8000'\ntimeout = 'soon'",
        "gunicorn.conf.py:2:11: 'soon' is not a duration\n2 | timeout = 'soon'\n  |           ^^^^^^ "
        "write seconds, or use ms, s, m, h: 75, 500ms, 1h 30m",
    ),
    (
        "if True:\n    worker_class = 'shop.Own'",
        "gunicorn.conf.py:2:20: there is no worker class 'shop.Own'\n2 |     worker_class = 'shop.Own'\n"
        "  |                    ^^^^^^^^^^ there are gthread, sync, process, asgi, gevent, eventlet, tornado",
    ),
    (
        "try:\n    import none_of_that_name\nexcept ImportError:\n    if True:\n        for _ in range(2):\n"
        "            loglevel = 'é', (\n    1)\n",
        'gunicorn.conf.py:6:24: `log_level` is "debug", "info", "warning", "error" or "critical", not that\n'
        "6 |             loglevel = 'é', (\n"
        '  |                        ^^^^^^ for instance `log_level = "warning"`',
    ),
    (
        "def post_fork(server):\n    pass",
        "gunicorn.conf.py:1:1: `post_fork` is called with 2 arguments\n1 | def post_fork(server):\n"
        "  | ^^^^^^^^^^^^^ def post_fork(server, worker):",
    ),
    (
        "x = 1\nworkers = x / 0",
        "gunicorn.conf.py:2:1: the configuration failed: ZeroDivisionError: division by zero\n2 | workers = x / 0\n"
        "  | ^^^^^^^^^^^^^^^",
    ),
    (
        "workers = = 3",
        "gunicorn.conf.py:1:1: the configuration failed: SyntaxError: invalid syntax\n1 | workers = = 3\n"
        "  | ^^^^^^^^^^^^^",
    ),
    (
        "daemon = True",
        "gunicorn.conf.py:1:10: edgestack stays in the foreground\n1 | daemon = True\n  |          ^^^^\n"
        "  = let systemd start it (`edgestack systemd run …` prints a unit), or a container; in a shell: "
        "nohup edgestack … &",
    ),
    (
        "umask = 0o7777",
        "gunicorn.conf.py:1:9: '7777' is no umask\n1 | umask = 0o7777\n  |         ^^^^^^ "
        'write up to three octal digits, for instance "027"',
    ),
    (
        "raw_env = ['A']",
        "gunicorn.conf.py:1:11: 'A' is not NAME=VALUE\n1 | raw_env = ['A']\n  |           ^^^^^",
    ),
    (
        "pidfile = 'none/a.pid'",
        "gunicorn.conf.py:1:11: the folder none does not exist\n1 | pidfile = 'none/a.pid'\n  |           ^^^^^^^^^^^^",
    ),
]


@pytest.mark.parametrize(("text", "told"), WRONG)
def test_errors_have_their_place(text: str, told: str) -> None:
    assert errors(text) == [told]


def test_a_failure_inside_something_else_shows_its_traceback() -> None:
    Path("mine.py").write_text("def f():\n    raise KeyError('x')\n")
    FILE.write_text("import mine\nworkers = mine.f()")
    with pytest.raises(ConfigErrors) as caught:
        configure(FILE, application=True)
    assert "KeyError" in caught.value.errors[0].why
    assert caught.value.errors[0].line == 2
    assert 'mine.py", line 2, in f' in caught.value.traceback_text
    del sys.modules["mine"]


def test_a_file_may_have_any_name_and_a_module_is_found() -> None:
    Path("gunicorn.ini").write_text("threads = 5\nwsgi_app = 'shop:app'")
    assert configure(Path("file:gunicorn.ini"), application=True).config.server.threads == 5
    Path("settings.py").write_text("threads = 6\nwsgi_app = 'shop:app'")
    first = configure(Path("python:settings"), application=True)
    assert first.config.server.threads == 6
    Path("settings.py").write_text("threads = 77\nwsgi_app = 'shop:app'")
    assert configure_again(first.options).config.server.threads == 77
    del sys.modules["settings"]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("none.conf.py", "the file none.conf.py does not exist"),
        ("file:nowhere", "the file nowhere does not exist"),
        ("python:nowhere.at.all", "there is no module 'nowhere.at.all' to read a configuration from"),
    ],
)
def test_what_is_not_there_is_told(path: str, why: str) -> None:
    with pytest.raises(ConfigErrors, match=why):
        configure(Path(path), application=True)


# --- another folder ---------------------------------------------------------------------------------------------------


def test_paths_are_relative_to_chdir_as_in_gunicorn(tmp_path: Path) -> None:
    Path("inner").mkdir()
    Path("inner/web.py").touch()
    FILE.write_text("chdir = 'inner'\npidfile = 'a.pid'")
    made = configure(FILE, [Override("app", "web:app", "MODULE:NAME")], application=True)
    inner = tmp_path / "inner"
    assert made.config.server.processes.chdir == inner
    assert made.options.pid_file == inner / "a.pid"
    assert made.options.file == tmp_path / FILE
    app = made.config.routes[0].app
    assert app is not None
    assert app.folder == inner
    outside = configure(
        FILE, [Override("chdir", ".", "--chdir"), Override("app", "shop:app", "MODULE:NAME")], application=True
    )
    assert outside.config.server.processes.chdir == tmp_path
    assert outside.options.pid_file == tmp_path / "a.pid"


def test_a_reload_from_the_other_folder_means_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("inner").mkdir()
    Path("inner/web.py").touch()
    FILE.write_text("chdir = 'inner'\nerrorlog = 'e.log'")
    made = configure(FILE, [Override("app", "web:app", "MODULE:NAME")], application=True)
    monkeypatch.chdir("inner")
    again = configure_again(made.options)
    assert again.config == made.config


def test_relative_paths_of_serve_are_relative_to_where_it_was_started(tmp_path: Path) -> None:
    Path("site").mkdir()
    Path("inner").mkdir()
    Path("edgestack.toml").write_text("[server]\npid = 'a.pid'\nchdir = 'inner'")
    made = configure(Path("edgestack.toml"), [Override("static", "site", "--static")])
    assert made.config.routes[0].static is not None
    assert made.config.routes[0].static.root == tmp_path / "site"
    assert made.options.pid_file == tmp_path / "a.pid"


# --- what workers get -------------------------------------------------------------------------------------------------

HOOKED = """
threads = 3
seen = []
def post_fork(server, worker):
    seen.append(worker)
def ssl_context(conf, default): return default()
logconfig_dict = {"loggers": {}}
"""


def sent(options: Any) -> Any:
    """As a worker gets it."""
    return pickle.loads(pickle.dumps(options))


def test_a_worker_runs_the_text_that_was_read_not_the_file() -> None:
    options = read(HOOKED).options
    FILE.write_text("this is no Python any more")
    there = sent(options)
    hooks = hooks_of(there)
    hooks.call("post_fork", "server", "worker")
    assert sys.modules["__config__"].seen == ["worker"]
    assert there.gunicorn.logging == {"loggers": {}}
    assert there.gunicorn.context is not None


def test_cfg_says_what_holds() -> None:
    made = read(HOOKED, Override("timeout", 7, "--timeout"), Override("bind", ["127.0.0.1:1"], "--bind"))
    for options in (made.options, sent(made.options)):
        cfg: Any = hooks_of(options).cfg
        assert (cfg.threads, cfg.timeout, cfg.bind, cfg.address) == (3, 7, ["127.0.0.1:1"], [("127.0.0.1", 1)])
        assert (cfg.proc_name, cfg.worker_class_str, cfg.is_ssl, cfg.env) == ("shop:app", "gthread", False, {})
        assert cfg.settings["statsd_host"] is None


def test_without_a_gunicorn_file_there_are_no_hooks() -> None:
    assert hooks_of(configure(None, [Override("app", "shop:app", "--app")]).options).functions == {}
