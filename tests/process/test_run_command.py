"""`edgestack run`: gunicorn's command line, its environment, and what is stronger than what.

Nothing is served: what the words mean is asked of `--print-config` and of the configuration that would be served.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from edgestack import cli
from edgestack.process import run_command
from edgestack.process.commands import Grouped
from edgestack.process.configuring import Configured
from edgestack.process.gunicorn.settings import SETTINGS

APPLICATION = """
def application(environ, start_response):
    start_response("204 No Content", [])
    return []
app = application
def create_app(): return application
"""


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("PORT", "WEB_CONCURRENCY", "GUNICORN_CMD_ARGS", "FORWARDED_ALLOW_IPS"):
        monkeypatch.delenv(name, raising=False)
    Path("shop.py").write_text(APPLICATION)
    for name in ("c.pem", "k.pem"):
        Path(name).touch()
    Path("inner").mkdir()
    yield
    sys.modules.pop("shop", None)  # --check-config loads it


class Meant:
    """What would be served, and what was told."""

    def __init__(self) -> None:
        self.configured: Configured | None = None
        self.result: Result | None = None


@pytest.fixture
def meant(monkeypatch: pytest.MonkeyPatch) -> Meant:
    """`edgestack run` that serves nothing."""
    found = Meant()

    def kept(configured: Configured, only: object = None) -> int:
        found.configured = configured
        for warning in configured.loaded.warnings:
            click.echo(warning.shown(), err=True)
        return 0

    monkeypatch.setattr(run_command, "serve_configured", kept)
    return found


def run(*words: str, **env: str) -> Result:
    return CliRunner().invoke(cli.main, ["run", *words], env=env)


def said(meant: Meant, *words: str, **env: str) -> Configured:
    result = run(*words, **env)
    assert result.exit_code == 0, result.stderr
    assert meant.configured is not None
    meant.result = result
    return meant.configured


# --- what holds -------------------------------------------------------------------------------------------------------


def test_the_defaults_are_gunicorns(meant: Meant) -> None:
    config = said(meant, "shop").config
    assert [(str(one), one.tls) for one in config.listeners] == [("127.0.0.1:8000", False)]
    assert config.server.log.access == "off"
    assert config.server.trusted_proxies == ("127.0.0.1", "::1", "unix:")
    assert (config.server.processes.workers, config.server.processes.worker_class) == (1, "gthread")
    assert config.routes[0].app is not None
    assert config.routes[0].app.target == "shop"


ORDER: list[tuple[list[str], dict[str, str], str, int]] = [
    ([], {}, "", 1),
    ([], {"WEB_CONCURRENCY": "2"}, "", 2),
    ([], {"WEB_CONCURRENCY": "2"}, "workers = 3", 3),
    ([], {"WEB_CONCURRENCY": "2", "GUNICORN_CMD_ARGS": "--workers 4"}, "workers = 3", 4),
    ([], {"GUNICORN_CMD_ARGS": "-w 4", "EDGESTACK_WORKERS": "5"}, "workers = 3", 5),
    (["-w", "6"], {"GUNICORN_CMD_ARGS": "-w 4", "EDGESTACK_WORKERS": "5"}, "workers = 3", 6),
]


@pytest.mark.parametrize(("words", "env", "file", "workers"), ORDER)
def test_what_is_stronger(words: list[str], env: dict[str, str], file: str, workers: int, meant: Meant) -> None:
    """Option, our environment, GUNICORN_CMD_ARGS, the file, the variables that are defaults, the default."""
    if file:
        Path("gunicorn.conf.py").write_text(file)
    assert said(meant, *words, "shop", **env).config.server.processes.workers == workers


def test_port_is_a_default_on_every_address(meant: Meant) -> None:
    assert [str(one) for one in said(meant, "shop", PORT="5000").config.listeners] == ["0.0.0.0:5000"]
    assert [str(one) for one in said(meant, "shop", "-b", ":1", PORT="5000").config.listeners] == [":1"]


def test_whom_to_believe(meant: Meant) -> None:
    env = {"FORWARDED_ALLOW_IPS": "*"}
    assert said(meant, "shop", **env).config.server.trusted_proxies == ("0.0.0.0/0", "::/0", "unix:")
    words = ("--forwarded-allow-ips", "10.0.0.1")
    assert said(meant, "shop", *words, **env).config.server.trusted_proxies == ("10.0.0.1", "unix:")


def test_a_certificate_makes_it_tls(meant: Meant) -> None:
    config = said(meant, "shop", "--certfile", "c.pem", "--keyfile", "k.pem").config
    assert config.listeners[0].tls
    assert config.tls.certificates == ((Path("c.pem"), Path("k.pem")),)


def test_every_option_of_gunicorn_is_understood() -> None:
    known = {word for one in run_command.run.params if isinstance(one, click.Option) for word in one.opts}
    assert {flag for one in SETTINGS.values() for flag in one.flags} <= known


def test_letters_mean_what_they_mean_there() -> None:
    spelled = {word: one for one in run_command.run.params if isinstance(one, click.Option) for word in one.opts}
    for one in SETTINGS.values():
        assert len({spelled[flag] for flag in one.flags}) <= 1


def test_gunicorns_words_say_our_keys(meant: Meant) -> None:
    config = said(
        meant, "-k", "gunicorn.workers.gthread.ThreadWorker", "--threads", "3", "-t", "60", "--keep-alive", "5",
        "--limit-request-field_size", "65536", "--limit-request-line", "0", "-e", "A=1", "-e", "B=2", "-n", "web",
        "--access-logfile", "-", "--access-logformat", "%(h)s %(D)s", "--worker-connections", "50", "-m", "022",
        "--error-logfile", "e.log", "--log-level", "WARNING", "--reload-extra-file", "k.pem", "--backlog", "64",
        "--max-requests", "100", "--max-requests-jitter", "5", "-p", "a.pid", "--pythonpath", "inner", "shop:app",
    ).config  # fmt: skip
    server, processes = config.server, config.server.processes
    assert (processes.worker_class, server.threads, processes.timeout) == ("gthread", 3, 60.0)
    assert (server.timeouts.keepalive, server.limits.head, server.limits.request_line) == (5.0, 81920, 1 << 20)
    assert (processes.env, processes.name, processes.umask) == ((("A", "1"), ("B", "2")), "web", "022")
    assert dict(config.log_formats)[server.log.format] == "${remote_addr} ${request_usec}"
    assert (server.limits.connections, server.log.access, server.log.error) == (50, "-", "e.log")
    assert (server.log.level, processes.reload_extra_files) == ("warning", (Path("k.pem"),))
    assert (processes.backlog, processes.max_requests, processes.max_requests_jitter) == (64, 100, 5)
    assert (server.pid, processes.pythonpath) == (Path("a.pid"), (Path("inner"),))


def test_the_proxy_protocol_and_the_loop_in_gunicorns_words(meant: Meant) -> None:
    """Whom to believe is said apart from `--forwarded-allow-ips`, and without a word it is this machine."""
    words = ("--proxy-protocol", "--forwarded-allow-ips", "10.1.2.3")
    (listener,) = said(meant, *words, "shop").config.listeners
    assert listener.proxy_protocol == ("127.0.0.1", "::1", "unix:")
    found = said(meant, *words, "--proxy-allow-from", "10.0.0.0/8", "--asgi-loop", "uvloop", "shop").config
    assert found.listeners[0].proxy_protocol == ("10.0.0.0/8", "unix:")
    assert found.server.trusted_proxies == ("10.1.2.3", "unix:")
    assert found.server.processes.asgi_loop == "asyncio"
    assert said(meant, "shop").config.listeners[0].proxy_protocol == ()


def test_what_is_not_supported_is_told(meant: Meant) -> None:
    words = ("--statsd-host", "localhost:8125", "--worker-tmp-dir", "/dev/shm", "--access-logformat", "%(z)s")
    said(meant, *words, "shop")
    assert meant.result is not None
    assert sorted(meant.result.stderr.splitlines()) == [
        "--access-logformat: %(z)s is not known here, and gives `-`",
        "--statsd-host: gunicorn's `statsd_host` does nothing here: counts are in `edgestack ctl status`, and each "
        "request is in the access log",
    ]
    said(meant, "shop", GUNICORN_CMD_ARGS="--no-sendfile")
    assert "GUNICORN_CMD_ARGS: gunicorn's `sendfile` does nothing here" in meant.result.stderr


def test_files_of_both_kinds(meant: Meant) -> None:
    Path("gunicorn.conf.py").write_text("workers = 2\nwsgi_app = 'shop:app'")
    found = said(meant)
    assert (found.config.server.processes.workers, found.options.found) == (2, True)
    Path("other").write_text("workers = 3")
    for words in (["-c", "other"], ["-c", "file:other"]):
        assert said(meant, *words, "shop").config.server.processes.workers == 3
    Path("edge.toml").write_text("[server]\nworkers = 4")
    for words in (["-c", "edge.toml"], ["-c", "file:edge.toml"]):
        config = said(meant, *words, "shop").config
        assert (config.server.processes.workers, config.listeners[0].tls) == (4, False)
    assert said(meant, "shop", GUNICORN_CMD_ARGS="-c other").config.server.processes.workers == 3


def test_an_edgestack_toml_of_the_folder_is_not_meant(meant: Meant) -> None:
    Path("edgestack.toml").write_text("nonsense")
    assert said(meant, "shop").options.file is None


# --- what makes no sense ----------------------------------------------------------------------------------------------

BAD: list[tuple[list[str], dict[str, str], str]] = [
    ([], {}, "no application is named (edgestack run MODULE:NAME)"),
    (["--static", "."], {}, "no application is named (edgestack run MODULE:NAME)"),
    (["shpo"], {}, 'MODULE:NAME: there is no module `shpo` (did you mean "shop"?)'),
    (["-D", "shop"], {}, "edgestack stays in the foreground: let systemd start it"),
    (["-k", "shop.Own", "shop"], {}, "'-k' / '--worker-class': there is no worker class 'shop.Own'"),
    (["-p", "8000", "shop"], {}, "'8000' would be a file of that name (-p is the pid file; did you mean -b :8000?)"),
    (["-w", "0", "shop"], {}, "'0' is neither a whole number from 1 on nor auto"),
    (["-w", "many", "shop"], {}, "'many' is neither a whole number from 1 on nor auto"),
    (["-t", "soon", "shop"], {}, "'soon' is not a duration"),
    (["-m", "9", "shop"], {}, "'9' is no umask"),
    (["-e", "A", "shop"], {}, "'A' is not NAME=VALUE"),
    (["--log-level", "loud", "shop"], {}, "'loud' is not one of"),
    (["--chdir", "none", "shop"], {}, "--chdir: the folder"),
    (["--max-requests", "-1", "shop"], {}, "'-1' is not a whole number"),
    (["-u", "nobody-of-that-name", "shop"], {}, "--user: there is no user 'nobody-of-that-name'"),
    (["-g", "no-such-group", "shop"], {}, "--group: there is no group 'no-such-group'"),
    (["--log-config", "none.ini", "shop"], {}, "--log-config: the file none.ini does not exist"),
    (["-c", "none.py", "shop"], {}, "the file none.py does not exist"),
    (["--certfile", "none.pem", "shop"], {}, "--cert: the file none.pem does not exist"),
    (["shop"], {"WEB_CONCURRENCY": "many"}, "WEB_CONCURRENCY: 'many' is not a whole number"),
    (["shop"], {"PORT": "x"}, "PORT: '0.0.0.0:x' has no port between 0 and 65535"),
    (["shop"], {"FORWARDED_ALLOW_IPS": "x"}, "FORWARDED_ALLOW_IPS: 'x' is neither an address nor a network"),
    (["shop"], {"GUNICORN_CMD_ARGS": "--nonsense"}, "GUNICORN_CMD_ARGS: no such option"),
    (["shop"], {"GUNICORN_CMD_ARGS": "-w '4"}, "GUNICORN_CMD_ARGS: no closing quotation"),
    (["shop"], {"GUNICORN_CMD_ARGS": "-w none"}, "GUNICORN_CMD_ARGS: invalid value for '-w' / '--workers'"),
    (["--check-config", "shop:none"], {}, "module 'shop' has no 'none'"),
]


@pytest.mark.parametrize(("words", "env", "why"), BAD)
def test_bad_values_get_one_clear_line(words: list[str], env: dict[str, str], why: str) -> None:
    result = run(*words, **env)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert why in result.stderr
    assert result.stderr.startswith("edgestack: ")
    assert result.stderr.count("\n") == 1, result.stderr


# --- looking ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """The application is imported as if for the first time."""
    monkeypatch.delitem(sys.modules, "shop", raising=False)


@pytest.mark.usefixtures("_fresh")
def test_check_config_loads_the_application_and_serves_nothing() -> None:
    assert run("--check-config", "shop:create_app()").exit_code == 0
    sys.modules.pop("shop")
    Path("shop.py").write_text("import nothing_of_that_name")
    result = run("--check-config", "shop")
    assert result.exit_code == 2
    assert "an import inside it failed" in result.stderr
    assert "Traceback" in result.stderr


@pytest.mark.usefixtures("_fresh")
def test_print_config_says_what_holds_and_who_said_it() -> None:
    Path("gunicorn.conf.py").write_text("threads = 3\n")
    result = run("--print-config", "-w", "2", "shop", PORT="5000")
    assert result.exit_code == 0
    told = {" ".join(line.split()) for line in result.stdout.splitlines()}
    assert {
        "server.workers = 2 # --workers",
        "server.threads = 3 # gunicorn.conf.py:1",
        'server.bind = ["0.0.0.0:5000"] # PORT',
        'route[0].app = "shop" # MODULE:NAME',
        "server.tls = false # default",
    } <= told


@pytest.mark.usefixtures("_fresh")
def test_print_config_names_the_file_that_is_not_there() -> None:
    assert run("--print-config", "shop").stdout.startswith("# no gunicorn.conf.py here")


def test_help_names_the_order_and_shows_gunicorns_defaults() -> None:
    text = run("--help").stdout
    assert "127.0.0.1:8000, or PORT" in text
    assert "GUNICORN_CMD_ARGS" in text
    for one in run_command.run.params:
        if isinstance(one, Grouped):
            assert one.help
            assert (one.opts[0] in text) is not one.hidden
