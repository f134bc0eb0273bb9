"""The command line: words in, a `Config` and `Options` out, and one clear line with status 2 when they make no sense.

    edgestack serve        a site, an application, or both, over HTTPS     -> process/run.py
    edgestack certs        the development certificates                    -> certs/commands.py
    edgestack completion   the script that completes all this in a shell

Every option of `serve` is an environment variable too: EDGESTACK_ and its long name. Nothing heavy is imported before
the command is known: trio, ssl and the application cost more than all of this file. How errors are told, and how the
help is grouped, is in `process/commands.py`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from edgestack import __version__
from edgestack.config.addresses import DEFAULT_HOST, parse_address
from edgestack.config.model import App, Config, Limits, Listener, Log, Route, Server, Static, Timeouts, Tls
from edgestack.config.values import duration, size
from edgestack.errors import ConfigError
from edgestack.http.variables import FORMATS
from edgestack.process.commands import Grouped, Program, Sectioned, Value
from edgestack.process.options import Options

__all__ = ["configuration", "main"]

HTTP_PORT = 80
HELP = {"help_option_names": ["-h", "--help"]}

WHAT, WHERE, LIMITS, LOGS, PROCESS = "What to serve", "Where to listen", "Limits", "Logs", "This process"

EPILOG = """\b
Examples:
  edgestack serve                                    ./site, or this folder
  edgestack serve --static site/ --app src.main:app  files first, then the app
  edgestack serve --app shop.wsgi --dev              tracebacks in the browser
  edgestack serve -b :443 --redirect-http :80 --cert chain.pem --key key.pem

\b
Addresses:
  HOST:PORT, HOST        the port is 8443 unless given; 8000 with --no-tls
  :PORT                  every address of this machine, IPv4 and IPv6
  PORT                   on 127.0.0.1; port 0 picks a free one
  [IPV6]:PORT            such as [::1]:8443
  unix:PATH, fd://N      a unix socket; an inherited descriptor
  Without -b, sockets that systemd passes (LISTEN_FDS) are taken.

\b
Sizes: 65536, 64k, 100MB, 1GiB.     Durations: 30, 1.5, 500ms, 2m, 1h 30m.

Every option is an environment variable too: EDGESTACK_STATIC, EDGESTACK_MAX_BODY, EDGESTACK_BIND (several, separated
by spaces or commas), and so on; yes and no are 1 and 0.

SIGTERM and Ctrl-C stop gracefully, a second Ctrl-C stops at once, and SIGUSR1 reopens the logs."""


@click.group(
    cls=Program,
    program="edgestack",
    lazy={"certs": "edgestack.certs.commands:certs"},
    context_settings=HELP,
)
@click.version_option(__version__, prog_name="edgestack", message="%(prog)s %(version)s")
def main() -> None:
    """HTTPS, static files and a WSGI application from one process."""


def option(section: str, *names: str, says: str, default: Any = None, shows: str = "", **more: Any) -> Grouped:
    """An option of `serve`.

    :param section: its group in the help.
    :param shows: the default as the help shows it, where `default` does not say it.
    """
    if shows:
        says += f"  [default: {shows}]"
    elif isinstance(default, str | int) and not isinstance(default, bool):
        says += f"  [default: {default}]"
    if more.get("multiple"):
        return Grouped(names, section=section, help=says, **more)
    return Grouped(names, section=section, help=says, default=default, **more)


def folders(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Have the shell complete the names of folders."""
    return [CompletionItem(incomplete, type="dir")]


FILE: dict[str, Any] = {"type": click.Path(path_type=Path), "metavar": "FILE"}
FOLDER: dict[str, Any] = {**FILE, "metavar": "DIR", "shell_complete": folders}
ADDRESS: dict[str, Any] = {"type": Value("ADDR", parse_address, keep=True), "metavar": "ADDR"}
SIZE: dict[str, Any] = {"type": Value("SIZE", size), "metavar": "SIZE"}
SECONDS: dict[str, Any] = {"type": Value("SECS", duration), "metavar": "SECS"}
COUNT: dict[str, Any] = {"type": click.IntRange(1), "metavar": "N"}
FORMAT: dict[str, Any] = {"type": click.Choice(FORMATS)}
FLAG: dict[str, Any] = {"is_flag": True, "default": False}
SEVERAL: dict[str, Any] = {"multiple": True}

# fmt: off
OPTIONS: list[click.Parameter] = [
    option(WHAT, "--static", **FOLDER, shows="./site or ., without --app", says="Serve the files of this folder."),
    option(WHAT, "--app", metavar="MODULE:NAME", says="Call this WSGI application for all that is no file."),
    option(WHAT, "--listing", **FLAG, says="Show folders that have no index.html."),
    option(WHAT, "--threads", **COUNT, default=Server().threads, says="Threads that call the application."),
    option(WHERE, "-b", "--bind", **ADDRESS, **SEVERAL, shows="127.0.0.1:8443", says="Listen here; may be repeated."),
    option(WHERE, "--tls/--no-tls", default=True, shows="--tls", says="HTTPS, or plain HTTP."),
    option(WHERE, "--cert", **FILE, **SEVERAL, shows="one for development",
           says="The certificate chain, PEM; may be repeated, each with its --key."),
    option(WHERE, "--key", **FILE, **SEVERAL, says="The key of the certificate, PEM."),
    option(WHERE, "--redirect-http", **ADDRESS, says="Listen here as well, and redirect to HTTPS."),
    option(LIMITS, "--max-body", **SIZE, default="100MB", says="The largest request body; beyond it 413."),
    option(LIMITS, "--max-connections", **COUNT, shows="0.9 of the open files allowed",
           says="Open connections; beyond it 503."),
    option(LIMITS, "--keepalive", **SECONDS, default="75s",
           says="How long an idle connection stays open; 0 closes it after each answer."),
    option(LIMITS, "--graceful-timeout", **SECONDS, default="30s",
           says="How long a stop waits for answers under way."),
    option(LOGS, "--access-log", metavar="FILE|-|off", default="-", says="A line for each request; - is stdout."),
    option(LOGS, "--error-log", metavar="FILE|-", default="-", says="What went wrong; - is stderr."),
    option(LOGS, "--log-format", **FORMAT, default="combined", says="The form of both logs."),
    option(PROCESS, "--ready-file", **FILE, says="Write a JSON list of the URLs here, once they accept."),
    option(PROCESS, "--pid", **FILE, says="Write the process id here."),
    option(PROCESS, "--open", **FLAG, says="Show it in the browser."),
    option(PROCESS, "--dev", **FLAG,
           says="Development: tracebacks for clients on this machine, logs at once, files not cached."),
]
"""The options of `serve`, in the order and the groups of its help."""
# fmt: on


@main.command(
    cls=Sectioned,
    params=OPTIONS,
    epilog=EPILOG,
    context_settings={**HELP, "auto_envvar_prefix": "EDGESTACK", "max_content_width": 100},
)
def serve(**said: Any) -> int:
    """Serve files, a WSGI application, or both, over HTTPS.

    Files come first, where both are given: GET and HEAD of a file that is there; everything else goes to the
    application. Without a certificate of your own, one for development is made; `edgestack certs trust` makes
    browsers accept it.
    """
    config, options = configuration(said)
    from edgestack.process.run import serve as run

    return run(config, options)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes edgestack's options.

    \b
    bash:  edgestack completion bash >> ~/.bashrc
    zsh:   edgestack completion zsh >> ~/.zshrc
    fish:  edgestack completion fish > ~/.config/fish/completions/edgestack.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(main, {}, "edgestack", "_EDGESTACK_COMPLETE").source())


def configuration(said: dict[str, Any]) -> tuple[Config, Options]:
    """What the options of `serve` mean.

    :param said: the values of all options, by name.
    :raises ConfigError: two of them do not go together.
    """
    route, notes = _route(said)
    pairs = _certificates(said)
    server = Server(
        threads=said["threads"],
        dev=said["dev"],
        timeouts=Timeouts(keepalive=said["keepalive"], graceful=said["graceful_timeout"]),
        limits=Limits(body=said["max_body"], connections=said["max_connections"] or 0),
        log=Log(said["access_log"], said["log_format"], said["error_log"]),
    )
    options = Options(
        ready_file=said["ready_file"],
        pid_file=said["pid"],
        open_browser=said["open"],
        inherit=not said["bind"],
        development_certificate=said["tls"] and not pairs,
        notes=notes,
    )
    return Config(server, _listeners(said), Tls(pairs), (route,)), options


def _route(said: dict[str, Any]) -> tuple[Route, tuple[str, ...]]:
    """Files, application or both; and a note when neither was named."""
    root, app = said["static"], said["app"]
    notes: tuple[str, ...] = ()
    if root is None and not app:
        root = Path("site") if Path("site").is_dir() else Path()
        shown = "./site" if root.name else "this folder"
        notes = (f"Neither --static nor --app was given: serving {shown}.",)
    if root is None and said["listing"]:
        raise ConfigError("it shows folders, and none is served", hint="add --static DIR", key="listing")
    static = None
    if root is not None:
        static = Static(root, listing=said["listing"], cache_control="no-store" if said["dev"] else "")
    return Route("/", static, App(app) if app else None), notes


def _certificates(said: dict[str, Any]) -> tuple[tuple[Path, Path], ...]:
    certs, keys = said["cert"], said["key"]
    if len(certs) > len(keys):
        raise ConfigError(f"the certificate {certs[len(keys)]} comes without a key", hint="add --key FILE", key="cert")
    if len(keys) > len(certs):
        raise ConfigError(f"the key {keys[len(certs)]} comes without a certificate", hint="add --cert", key="key")
    if certs and not said["tls"]:
        raise ConfigError("a certificate makes no sense without TLS", hint="leave out --no-tls or --cert", key="cert")
    return tuple(zip(certs, keys, strict=True))


def _listeners(said: dict[str, Any]) -> tuple[Listener, ...]:
    tls = said["tls"]
    listeners = [parse_address(address, tls=tls) for address in said["bind"] or (DEFAULT_HOST,)]
    if said["redirect_http"]:
        if not tls:
            raise ConfigError("there is no HTTPS to redirect to", hint="leave out --no-tls", key="redirect-http")
        listener = parse_address(said["redirect_http"], default_port=HTTP_PORT, key="redirect-http")
        listeners.append(replace(listener, redirect=True))
    return tuple(listeners)
