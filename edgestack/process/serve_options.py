"""The options of `serve`, as data: each is a key of the file, or says the content of the route "/".

Their defaults stand in the configuration, not here: an option that nobody gave says nothing, so that the file can.
gunicorn's names and letters mean what they mean there (`-p` is the pid file, `-D` is refused); where ours is another,
both are understood.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from edgestack.config.addresses import parse_address
from edgestack.config.load import FILE_NAME
from edgestack.config.model import Server
from edgestack.config.processes import WORKER_CLASSES
from edgestack.config.proxy_targets import parse_place
from edgestack.config.server import LOG_LEVELS
from edgestack.config.values import duration, size
from edgestack.http.variables import FORMATS
from edgestack.process.commands import Grouped, Value
from edgestack.process.option_values import (
    bound,
    called,
    count,
    looped,
    octal,
    pid_file,
    processes,
    refuse,
    variable,
    whole,
)

__all__ = ["CONFIG_FILE", "ENVIRONMENT", "HELP", "OPTIONS", "PROXY_OPTIONS", "TARGETS"]

ENVIRONMENT = "EDGESTACK"
"""What the names of environment variables begin with."""

HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

WHAT, WHERE, LIMITS, LOGS, PROCESS = "What to serve", "Where to listen", "Limits", "Logs", "This process"
WORKERS = "Applications and their workers"


def option(section: str, *names: str, says: str, shows: object = "", **more: Any) -> Grouped:
    """An option.

    :param section: its group in the help.
    :param shows: the default, as the help shows it.
    """
    if shows:
        says += f"  [default: {shows}]"
    if not more.get("multiple"):
        more["default"] = None
    return Grouped(names, section=section, help=says, **more)


def folders(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Have the shell complete the names of folders."""
    return [CompletionItem(incomplete, type="dir")]


def formats(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Have the shell complete the names of log formats; those of a file are known to it alone."""
    return [CompletionItem(name) for name in FORMATS if name.startswith(incomplete)]


def classes(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Have the shell complete the names of worker classes."""
    return [CompletionItem(name) for name in WORKER_CLASSES if name.startswith(incomplete)]


FILE: dict[str, Any] = {"type": click.Path(path_type=Path), "metavar": "FILE"}
FOLDER: dict[str, Any] = {**FILE, "metavar": "DIR", "shell_complete": folders}
ADDRESS: dict[str, Any] = {"type": Value("ADDR", parse_address, keep=True), "metavar": "ADDR"}
SIZE: dict[str, Any] = {"type": Value("SIZE", size, keep=True), "metavar": "SIZE"}
SECONDS: dict[str, Any] = {"type": Value("SECS", duration, keep=True), "metavar": "SECS"}
COUNT: dict[str, Any] = {"type": Value("N", count), "metavar": "N"}
WHOLE: dict[str, Any] = {"type": Value("N", whole), "metavar": "N"}
FLAG: dict[str, Any] = {"is_flag": True}
SEVERAL: dict[str, Any] = {"multiple": True}

# fmt: off
CONFIG_FILE = option(
    WHAT, "-c", "--config", **FILE, envvar=f"{ENVIRONMENT}_CONFIG",
    shows=f"{FILE_NAME} of this folder, if there is one",
    says="Read this file; what options and the environment say is stronger.",
)
"""The option of every command that reads the file."""

OPTIONS: list[click.Parameter] = [
    CONFIG_FILE,
    option(WHAT, "--static", **FOLDER, shows="./site or ., without --app", says="Serve the files of this folder."),
    option(WHAT, "--app", metavar="MODULE:NAME", says="Call this WSGI application for all that is no file."),
    option(WHAT, "--proxy", type=Value("[PREFIX=]URL", parse_place, keep=True), metavar="[PREFIX=]URL", **SEVERAL,
           says="Have another server answer, below the prefix or everywhere; may be repeated."),
    option(WHAT, "--listing", **FLAG, says="Show folders that have no index.html."),
    option(WORKERS, "-w", "--workers", type=Value("N", processes), metavar="N|auto", shows="1",
           says="Worker processes; auto is one for each core."),
    option(WORKERS, "--threads", **COUNT, shows=Server().threads, says="Threads of each that call the application."),
    option(WORKERS, "-k", "--worker-class", type=Value("CLASS", called), metavar="CLASS", shell_complete=classes,
           shows="gthread", says=f"How applications are called: {', '.join(WORKER_CLASSES)}."),
    option(WORKERS, "--asgi-loop", type=Value("LOOP", looped), metavar="LOOP", shows="auto",
           says="Where ASGI applications run: trio, asyncio, or auto."),
    option(WORKERS, "-t", "--timeout", **SECONDS, shows="30s",
           says="How long an answer may take to begin, and a worker to show no sign of life; 0 is no limit."),
    option(WORKERS, "--graceful-timeout", **SECONDS, shows="30s",
           says="How long a stop waits for answers under way."),
    option(WORKERS, "--max-requests", **WHOLE, shows="never", says="Requests after which a worker is replaced."),
    option(WORKERS, "--max-requests-jitter", **WHOLE, shows="0", says="Up to so many more, by chance."),
    option(WORKERS, "--preload", **FLAG, says="Load the application before workers are forked: they share its memory."),
    option(WORKERS, "--reload", **FLAG, says="Replace the application when its code changes."),
    option(WORKERS, "--reload-extra-files", also=["--reload-extra-file"], **FILE, **SEVERAL,
           says="A further file that counts as code; may be repeated."),
    option(WORKERS, "--chdir", **FOLDER, says="Look for applications, and run, in this folder."),
    option(WORKERS, "--pythonpath", metavar="DIR,…", says="Look for modules in these folders first."),
    option(WORKERS, "-e", "--env", type=Value("NAME=VALUE", variable), metavar="NAME=VALUE", **SEVERAL,
           says="An environment variable for the application; may be repeated."),
    option(WHERE, "-b", "--bind", **ADDRESS, **SEVERAL, shows="127.0.0.1:8443", says="Listen here; may be repeated."),
    option(WHERE, "--tls/--no-tls", shows="--tls", says="HTTPS, or plain HTTP."),
    option(WHERE, "--cert", also=["--certfile"], **FILE, **SEVERAL, shows="one for development",
           says="The certificate chain, PEM; may be repeated, each with its --key."),
    option(WHERE, "--key", also=["--keyfile"], **FILE, **SEVERAL, says="The key of the certificate, PEM."),
    option(WHERE, "--client-ca", **FILE, says="Clients must bring a certificate that this authority issued, PEM."),
    option(WHERE, "--redirect-http", **ADDRESS, says="Listen here as well, and redirect to HTTPS."),
    option(WHERE, "--redirect-plain", **FLAG, says="Redirect plain HTTP that comes to a TLS port; else it gets a 400."),
    option(WHERE, "--backlog", **COUNT, shows="2048", says="Connections that may wait to be accepted."),
    option(WHERE, "--trusted-proxies", metavar="NET,…", shows="nobody",
           says="Whose Forwarded and X-Forwarded-* fields are believed: networks, unix:, or how many are in front."),
    option(WHERE, "--forwarded-allow-ips", metavar="NET,…", allow_from_autoenv=False,
           says="The same in gunicorn's words: * is everybody; peers on unix sockets are believed too."),
    option(WHERE, "--proxy-protocol", **FLAG, says="Connections begin with a header of the PROXY protocol."),
    option(WHERE, "--proxy-protocol-from", metavar="NET,…", shows="--trusted-proxies",
           says="Whose header is believed: networks, unix:."),
    option(LIMITS, "--max-body", **SIZE, shows="100MB", says="The largest request body; beyond it 413."),
    option(LIMITS, "--max-connections", also=["--worker-connections"], **COUNT, shows="0.9 of the open files allowed",
           says="Open connections of each worker; beyond it 503."),
    option(LIMITS, "--keepalive", also=["--keep-alive"], **SECONDS, shows="75s",
           says="How long an idle connection stays open; 0 closes it after each answer."),
    option(LIMITS, "--limit-request-line", type=Value("SIZE", bound), metavar="SIZE", shows="8KiB",
           says="The longest request line; beyond it 414."),
    option(LIMITS, "--limit-request-fields", **COUNT, shows="100", says="The most fields of a request; beyond it 431."),
    option(LIMITS, "--limit-request-head", **SIZE, shows="32KiB", says="The largest head of a request; beyond it 431."),
    option(LIMITS, "--limit-request-field_size", type=Value("N", whole), metavar="N", allow_from_autoenv=False,
           says="The same in gunicorn's words: a head in which a field of that size fits."),
    option(LOGS, "--access-log", also=["--access-logfile"], metavar="FILE|-|off", shows="-",
           says="A line for each request; - is stdout. A named pipe needs no reader to start with."),
    option(LOGS, "--error-log", also=["--error-logfile", "--log-file"], metavar="FILE|-", shows="-",
           says="What went wrong; - is stderr."),
    option(LOGS, "--log-level", type=click.Choice(LOG_LEVELS, case_sensitive=False), shows="info",
           says="The least that is worth a line of the error log."),
    option(LOGS, "--access-logformat", "access_log_format", metavar="FORMAT", allow_from_autoenv=False,
           says='The form of the access log in gunicorn\'s words: %(h)s "%(r)s" %(s)s.'),
    option(LOGS, "--log-config", also=["--log-config-json"], **FILE,
           says="A file of Python's logging.config, .ini or .json, for both logs."),
    option(LOGS, "--capture-output", **FLAG, says="What applications print goes into the error log's file."),
    option(LOGS, "--log-format", metavar="FORMAT", shell_complete=formats, shows="combined",
           says="The form of both logs: combined, json, or one of the file's."),
    option(PROCESS, "--ready-file", **FILE, says="Write a JSON list of the URLs here, once they accept."),
    option(PROCESS, "-p", "--pid", type=Value("FILE", pid_file), metavar="FILE", says="Write the process id here."),
    option(PROCESS, "-n", "--name", metavar="NAME", shows="the application's",
           says="What the process is called in lists of processes (needs setproctitle)."),
    option(PROCESS, "-u", "--user", metavar="USER", says="Run workers as this user, once the listeners are open."),
    option(PROCESS, "-g", "--group", metavar="GROUP", shows="the user's", says="Run workers as this group."),
    option(PROCESS, "-m", "--umask", type=Value("MODE", octal), metavar="MODE",
           says="Mode bits that new files do not get."),
    option(PROCESS, "--open", **FLAG, says="Show it in the browser."),
    option(PROCESS, "--dev", **FLAG,
           says="Development: tracebacks for clients on this machine, logs at once, files not cached."),
    option(PROCESS, "--check-config", **FLAG, allow_from_autoenv=False,
           says="Load everything, the application too, tell what is wrong, and serve nothing."),
    option(PROCESS, "--print-config", **FLAG, allow_from_autoenv=False,
           says="The same, and show every value that holds, and who said it."),
    option(PROCESS, "-D", "--daemon", **FLAG, allow_from_autoenv=False, hidden=True, expose_value=False,
           callback=refuse, says="Refused: what starts edgestack keeps it."),
]
"""In the order and the groups of the help."""

TARGETS = click.Argument(
    ["targets"], type=Value("[PREFIX=]URL", parse_place, keep=True), metavar="[PREFIX=]URL...", nargs=-1, required=True
)
"""What `proxy` is told."""

OF_APPLICATIONS = {
    "threads", "worker_class", "asgi_loop", "timeout", "preload", "reload", "reload_extra_files", "chdir", "pythonpath",
    "env", "dev",
}  # fmt: skip
"""Options that mean nothing where no application is served, or not the same."""

PROXY_OPTIONS: list[click.Parameter] = [
    *(one for one in OPTIONS if isinstance(one, Grouped) and one.section != WHAT and one.name not in OF_APPLICATIONS),
    option(PROCESS, "--dev/--no-dev", shows="--dev",
           says="Development: what goes wrong is told to clients on this machine, logs at once."),
]
"""Those of `serve` that say nothing about what is served."""
# fmt: on
