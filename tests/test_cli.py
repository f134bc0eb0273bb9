"""The command line: what its words mean, and errors with status 2 where they make no sense (issues 2 and 3)."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from edgestack import __version__, cli
from edgestack.config.model import App, Config, Listener, Log, Route, Server, Static, Timeouts
from edgestack.process.commands import Grouped
from edgestack.process.configuring import configure, sources
from edgestack.process.options import Options


def run(*words: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli.main, list(words), env=env)


def meaning(*words: str) -> tuple[Config, Options]:
    """What `edgestack serve` with these words means; nothing is served."""
    command = cli.main.commands["serve"]
    context = command.make_context("serve", list(words))
    file, found, overrides = sources(context)
    configured = configure(file, overrides, found=found)
    return configured.config, replace(configured.options, overrides=())


@pytest.fixture(autouse=True)
def _in_a_small_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with little in it: files to serve, a module, and files that might be certificates."""
    monkeypatch.chdir(tmp_path)
    Path("a").mkdir()
    for name in ("m.py", "one.pem", "one.key", "two.pem", "two.key"):
        Path(name).touch()


# --- what words mean --------------------------------------------------------------------------------------------------


def test_the_defaults() -> None:
    config, options = meaning()
    assert config == Config(
        server=Server(threads=8, timeouts=Timeouts(keepalive=75.0, graceful=30.0), log=Log("-", "combined", "-")),
        listeners=(Listener("127.0.0.1", 8443, tls=True),),
        routes=(Route(static=Static(Path())),),
    )
    assert options == Options(
        inherit=True,
        development_certificate=True,
        notes=("None of --static, --app and --proxy was given: serving this folder.",),
    )


def test_a_site_folder_is_found() -> None:
    Path("site").mkdir()
    config, options = meaning()
    assert config.routes[0].static == Static(Path("site"))
    assert options.notes == ("None of --static, --app and --proxy was given: serving ./site.",)


HERE = Path("here")
"""Stands for the test's folder, which is not known before it runs."""

ROUTES: list[tuple[list[str], Route]] = [
    (["--static", "a"], Route(static=Static(Path("a")))),
    (["--app", "m:n"], Route(app=App("m:n", HERE))),
    (["--static", "a", "--app", "m:n"], Route(static=Static(Path("a")), app=App("m:n", HERE))),
    (["--static", "a", "--listing"], Route(static=Static(Path("a"), listing=True))),
    (["--static", "a", "--dev"], Route(static=Static(Path("a"), cache_control="no-store"))),
]


@pytest.mark.parametrize(("words", "route"), ROUTES)
def test_what_is_served(words: list[str], route: Route) -> None:
    config, options = meaning(*words)
    if route.app is not None:
        route = replace(route, app=replace(route.app, folder=Path.cwd()))
    assert config.routes == (route,)
    assert options.notes == ()


def test_both_are_files_first() -> None:
    """C9: one route with both."""
    assert len(meaning("--static", "a", "--app", "m:n")[0].routes) == 1


LISTENERS: list[tuple[list[str], tuple[Listener, ...]]] = [
    (["--no-tls"], (Listener("127.0.0.1", 8000),)),
    (["-b", ":1", "--bind", "unix:/a"], (Listener("", 1, tls=True), Listener(path="/a", tls=True))),
    (["--no-tls", "-b", "h"], (Listener("h", 8000),)),
    (["-b", "[::1]:0"], (Listener("::1", 0, tls=True),)),
    (["-b", "fd://3"], (Listener(fd=3, tls=True),)),
    (
        ["--redirect-http", "127.0.0.1"],
        (Listener("127.0.0.1", 8443, tls=True), Listener("127.0.0.1", 80, redirect=True)),
    ),
    (["--redirect-plain", "-b", ":1"], (Listener("", 1, tls=True, redirect_plain=True, redirect_port=1),)),
]


@pytest.mark.parametrize(("words", "listeners"), LISTENERS)
def test_where_to_listen(words: list[str], listeners: tuple[Listener, ...]) -> None:
    config, options = meaning(*words)
    assert config.listeners == listeners
    assert options.inherit is not ("-b" in words or "--bind" in words)


def test_limits_logs_and_files() -> None:
    limits = ["--max-body=1MiB", "--max-connections=7", "--keepalive=0", "--graceful-timeout=1m", "--threads=3"]
    logs = ["--access-log=off", "--log-format=json", "--error-log=e.log"]
    config, options = meaning(*limits, *logs, "--ready-file=r", "--pid=p", "--open")
    assert config.server.limits.body == 1 << 20
    assert config.server.limits.connections == 7
    assert (config.server.timeouts.keepalive, config.server.timeouts.graceful) == (0.0, 60.0)
    assert config.server.threads == 3
    assert config.server.log == Log("off", "json", "e.log")
    assert (options.ready_file, options.pid_file, options.open_browser) == (Path("r"), Path("p"), True)


def test_certificates_come_in_pairs() -> None:
    config, options = meaning("--cert", "one.pem", "--key", "one.key", "--cert", "two.pem", "--key", "two.key")
    assert config.tls.certificates == ((Path("one.pem"), Path("one.key")), (Path("two.pem"), Path("two.key")))
    assert not options.development_certificate
    assert not meaning("--no-tls")[1].development_certificate


ENVIRONMENT: list[tuple[str, str, list[str]]] = [
    ("CONFIG", "c.toml", ["-c", "c.toml"]),
    ("STATIC", "a", ["--static", "a"]),
    ("APP", "m:n", ["--app", "m:n"]),
    ("BIND", ":1 127.0.0.1:2,[::1]:3", ["-b", ":1", "-b", "127.0.0.1:2", "-b", "[::1]:3"]),
    ("TLS", "0", ["--no-tls"]),
    ("CERT", "a", ["--cert", "a"]),
    ("KEY", "a", ["--key", "a"]),
    ("THREADS", "3", ["--threads", "3"]),
    ("PROXY", "http://a:1, /b=http://b", ["--proxy", "http://a:1", "--proxy", "/b=http://b"]),
    ("LISTING", "1", ["--listing"]),
    ("MAX_BODY", "1k", ["--max-body", "1k"]),
    ("ACCESS_LOG", "off", ["--access-log", "off"]),
    ("ERROR_LOG", "e", ["--error-log", "e"]),
    ("LOG_FORMAT", "json", ["--log-format", "json"]),
    ("KEEPALIVE", "5s", ["--keepalive", "5s"]),
    ("GRACEFUL_TIMEOUT", "5s", ["--graceful-timeout", "5s"]),
    ("READY_FILE", "r", ["--ready-file", "r"]),
    ("PID", "p", ["--pid", "p"]),
    ("REDIRECT_HTTP", ":80", ["--redirect-http", ":80"]),
    ("REDIRECT_PLAIN", "1", ["--redirect-plain"]),
    ("MAX_CONNECTIONS", "9", ["--max-connections", "9"]),
    ("OPEN", "yes", ["--open"]),
    ("DEV", "true", ["--dev"]),
    ("CLIENT_CA", "a", ["--client-ca", "a"]),
    ("BACKLOG", "9", ["--backlog", "9"]),
    ("TRUSTED_PROXIES", "10.0.0.0/8", ["--trusted-proxies", "10.0.0.0/8"]),
    ("LIMIT_REQUEST_LINE", "1k", ["--limit-request-line", "1k"]),
    ("LIMIT_REQUEST_FIELDS", "9", ["--limit-request-fields", "9"]),
    ("LIMIT_REQUEST_HEAD", "1k", ["--limit-request-head", "1k"]),
    ("LOG_LEVEL", "debug", ["--log-level", "debug"]),
    ("LOG_CONFIG", "a", ["--log-config", "a"]),
    ("CAPTURE_OUTPUT", "1", ["--capture-output"]),
    ("WORKERS", "auto", ["-w", "auto"]),
    ("WORKER_CLASS", "sync", ["-k", "sync"]),
    ("TIMEOUT", "5s", ["-t", "5s"]),
    ("MAX_REQUESTS", "0", ["--max-requests", "0"]),
    ("MAX_REQUESTS_JITTER", "9", ["--max-requests-jitter", "9"]),
    ("PRELOAD", "1", ["--preload"]),
    ("ASGI_LOOP", "asyncio", ["--asgi-loop", "asyncio"]),
    ("PROXY_PROTOCOL", "1", ["--proxy-protocol"]),
    ("PROXY_PROTOCOL_FROM", "10.0.0.0/8", ["--proxy-protocol-from", "10.0.0.0/8"]),
    ("RELOAD", "1", ["--reload"]),
    ("RELOAD_EXTRA_FILES", "a", ["--reload-extra-file", "a"]),
    ("CHDIR", "a", ["--chdir", "a"]),
    ("PYTHONPATH", "a", ["--pythonpath", "a"]),
    ("ENV", "A=1", ["-e", "A=1"]),
    ("NAME", "shop", ["-n", "shop"]),
    ("USER", "nobody", ["-u", "nobody"]),
    ("GROUP", "nogroup", ["-g", "nogroup"]),
    ("UMASK", "027", ["-m", "027"]),
]


def parameters(*words: str) -> dict[str, Any]:
    return cli.main.commands["serve"].make_context("serve", list(words)).params


@pytest.mark.parametrize(("name", "value", "words"), ENVIRONMENT)
def test_every_option_has_an_environment_variable(
    name: str, value: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"EDGESTACK_{name}", value)
    assert parameters() == {**parameters(), **parameters(*words)} != {}
    monkeypatch.delenv(f"EDGESTACK_{name}")
    assert parameters() != parameters(*words)


def test_no_option_is_left_out_of_that_table() -> None:
    options = {
        option.name
        for option in cli.main.commands["serve"].params
        if isinstance(option, click.Option) and option.allow_from_autoenv
    }
    assert options == {name.lower() for name, _, _ in ENVIRONMENT}


def test_words_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESTACK_THREADS", "3")
    assert meaning("--threads", "4")[0].server.threads == 4


# --- what makes no sense ----------------------------------------------------------------------------------------------

BAD: list[tuple[str, str]] = [
    ("serv", "no such command: serv (did you mean serve?)"),
    ("zzz", "no such command: zzz (there are cache, certs, check, completion, config, ctl, explain, hash-password"),
    ("serve --statik a", "--static"),
    ("serve --proxy 9000", "'--proxy': '9000' is no URL (did you mean \"http://127.0.0.1:9000\"?)"),
    ("serve --proxy localhost:9000", 'did you mean "http://localhost:9000"?'),
    ("serve --proxy /a=ftp://x", "there is no proxying to ftp://"),
    ("serve --proxy a=http://x", 'did you mean "/a=http://x"?'),
    ("serve --proxy /a//b=http://x", 'did you mean "/a/b"?'),
    ("serve --proxy unix:/run/a.sock", 'did you mean "http://unix:/run/a.sock:/"?'),
    ("serve --proxy http://a --static a", "--proxy: --static answers at / already (give it a prefix: /api/=http://a)"),
    ("serve --proxy /b=http://a --proxy /b=http://b", "--proxy: another URL answers at /b already"),
    ("proxy", "missing argument '[PREFIX=]URL...'"),
    ("proxy 9000", "'9000' is no URL (did you mean \"http://127.0.0.1:9000\"?)"),
    ("proxy http://a http://b", "URL: another URL answers at / already"),
    ("proxy http://a --static a", "no such option"),
    ("serve --threads 0", "'--threads': '0' is not a whole number from 1 on"),
    ("serve --threads many", "'--threads': 'many' is not a whole number from 1 on"),
    ("serve --max-connections -1", "'--max-connections': '-1' is not a whole number from 1 on"),
    ("serve --max-body 1x", "'1x' is not a size (write bytes"),
    ("serve --keepalive soon", "'soon' is not a duration"),
    ("serve --graceful-timeout -1", "'-1' is not a duration"),
    ("serve -b 127.0.0.1:65536", "'127.0.0.1:65536' has no port between 0 and 65535"),
    ("serve -b https://localhost:1", "did you mean localhost:1?"),
    ("serve --redirect-http x:y", "'x:y' has no port"),
    ("serve --log-format xml", "--log-format: there is no log format 'xml'"),
    ("serve --cert one.pem", "--cert: this certificate comes without a key (add `key`"),
    ("serve --key one.key", "--key: this key comes without a certificate"),
    ("serve --cert none.pem --key one.key", '--cert: the file none.pem does not exist (did you mean "one.pem"?)'),
    ("serve --no-tls --cert one.pem --key one.key", "--cert: `cert` makes no sense without TLS"),
    ("serve --no-tls --redirect-http :80", "--redirect-http: there is no HTTPS to redirect to"),
    ("serve --no-tls --redirect-plain", "--redirect-plain: `redirect_plain` makes no sense without TLS"),
    ("serve -c none.toml", "the file none.toml cannot be read: no such file or directory"),
    ("serve --app mm:n", '--app: there is no module `mm` (did you mean "m:n"?)'),
    ("serve --app x:y", "--app: there is no module `x` (it is looked for in the current folder, then on sys.path)"),
    ("serve --app my-shop:app", "Python imports no name with a dash: rename the file"),
    ("check", "there is no edgestack.toml in this folder (name one with -c, or begin one with"),
    ("serve --app m:n --listing", "--listing: it shows folders, and none is served"),
    ("serve --static missing", "--static: the folder missing does not exist"),
    ("serve --pid missing/pid", "--pid: the folder missing does not exist"),
    ("serve --ready-file missing/ready", "--ready-file: the folder missing does not exist"),
    ("serve --access-log missing/log", "--access-log: the folder missing does not exist"),
    ("serve .", "`serve` takes options only, not '.' (did you mean --static .?)"),
    ("serve m:n", "`serve` takes options only, not 'm:n' (did you mean --app m:n?)"),
    ("serve shop.toml", "`serve` takes options only, not 'shop.toml' (did you mean -c shop.toml?)"),
    ("serve --dev now", "`serve` takes options only, not 'now' (did you mean --static, --app or --config?)"),
    ("serve --statsd-host x", "no such option '--statsd-host' (gunicorn's: counts are in `edgestack ctl status`"),
    ("ctl status --pid x", "no such option '--pid' (it stands before `status`: edgestack ctl --pid … status)"),
    ("ctl upstreams -c x", "no such option '-c' (it stands before `upstreams`: edgestack ctl -c … upstreams)"),
    ("serve --worker-tmp-dir x", "no such option '--worker-tmp-dir' (gunicorn's: signs of life need no file)"),
    ("serve -D", "edgestack stays in the foreground: let systemd start it"),
    ("serve --port 80", "no such option '--port' (did you mean --bind?)"),
    ("completion tcsh", "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
]


@pytest.mark.parametrize(("words", "expected"), BAD)
def test_bad_input_is_told_in_one_line(words: str, expected: str) -> None:
    result = run(*words.split())
    assert result.exit_code == 2
    assert result.stdout == ""
    assert expected in result.stderr
    assert result.stderr.startswith("edgestack: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr


def test_a_bad_environment_variable_is_told_too() -> None:
    result = run("serve", env={"EDGESTACK_MAX_BODY": "lots"})
    assert result.exit_code == 2
    assert "'lots' is not a size" in result.stderr


# --- help, version, completion ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help(word: str) -> None:
    assert "certs" in run(word).stdout
    text = run("serve", word).stdout
    for section in ("What to serve:", "Where to listen:", "Limits:", "Logs:", "This process:", "Examples:"):
        assert section in text
    for option in cli.main.commands["serve"].params:
        assert isinstance(option, Grouped)
        assert option.help
        assert all((name in text) is not option.hidden for name in option.opts if name not in option.also)


def test_no_command_shows_the_help() -> None:
    assert "Usage: edgestack" in run().output


def test_version() -> None:
    assert run("--version").stdout == f"edgestack {__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_EDGESTACK_COMPLETE" in result.stdout


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("edgestack se", "plain,serve"),
        ("edgestack config in", "plain,init"),
        ("edgestack serve --redirect-h", "plain,--redirect-http"),
    ],
)
def test_completion_completes(typed: str, expected: str) -> None:
    env = {"_EDGESTACK_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    assert run(env=env).stdout == expected + "\n"


def imported_with(module: str) -> set[str]:
    script = f"import sys, {module}, json; print(json.dumps(sorted(sys.modules)))"
    return set(json.loads(subprocess.check_output([sys.executable, "-c", script], cwd=Path(cli.__file__).parents[1])))


def test_what_is_slow_is_imported_late() -> None:
    """Start to first answer within 0.6 s: telling the version or a mistake needs none of it."""
    slow = {"trio", "ssl", "asyncio", "h11", "cryptography", "trustme", "edgestack.stack"}
    assert imported_with("edgestack.cli").isdisjoint(slow)


def test_a_worker_starts_without_what_few_applications_need() -> None:
    """Each reload waits for it."""
    assert imported_with("edgestack.process.worker").isdisjoint({"asyncio", "cryptography", "trustme", "wsproto"})


def test_python_m_edgestack() -> None:
    words = [sys.executable, "-m", "edgestack", "--version"]
    assert subprocess.check_output(words, cwd=Path(cli.__file__).parents[1]).startswith(b"edgestack ")
