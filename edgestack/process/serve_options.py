"""The options of `serve`, as data: each is a key of the file, or says the content of the route "/".

Their defaults stand in the configuration, not here: an option that nobody gave says nothing, so that the file can.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from edgestack.config.addresses import parse_address
from edgestack.config.load import FILE_NAME
from edgestack.config.model import Server
from edgestack.config.proxy_targets import parse_place
from edgestack.config.values import duration, size
from edgestack.errors import ConfigError
from edgestack.http.variables import FORMATS
from edgestack.process.commands import Grouped, Value

__all__ = ["CONFIG_FILE", "ENVIRONMENT", "HELP", "OPTIONS", "PROXY_OPTIONS", "TARGETS"]

ENVIRONMENT = "EDGESTACK"
"""What the names of environment variables begin with."""

HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

DIGITS = re.compile("[0-9]{1,9}")
"""More of anything than nine digits can say is not meant."""

WHAT, WHERE, LIMITS, LOGS, PROCESS = "What to serve", "Where to listen", "Limits", "Logs", "This process"


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


def count(text: str) -> int:
    """A number of things.

    :raises ConfigError: when `text` is no whole number, or 0.
    """
    if not DIGITS.fullmatch(text) or not int(text):
        raise ConfigError(f"{text!r} is not a whole number from 1 on")
    return int(text)


FILE: dict[str, Any] = {"type": click.Path(path_type=Path), "metavar": "FILE"}
FOLDER: dict[str, Any] = {**FILE, "metavar": "DIR", "shell_complete": folders}
ADDRESS: dict[str, Any] = {"type": Value("ADDR", parse_address, keep=True), "metavar": "ADDR"}
SIZE: dict[str, Any] = {"type": Value("SIZE", size, keep=True), "metavar": "SIZE"}
SECONDS: dict[str, Any] = {"type": Value("SECS", duration, keep=True), "metavar": "SECS"}
COUNT: dict[str, Any] = {"type": Value("N", count), "metavar": "N"}
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
    option(WHAT, "--threads", **COUNT, shows=Server().threads, says="Threads that call the application."),
    option(WHERE, "-b", "--bind", **ADDRESS, **SEVERAL, shows="127.0.0.1:8443", says="Listen here; may be repeated."),
    option(WHERE, "--tls/--no-tls", shows="--tls", says="HTTPS, or plain HTTP."),
    option(WHERE, "--cert", **FILE, **SEVERAL, shows="one for development",
           says="The certificate chain, PEM; may be repeated, each with its --key."),
    option(WHERE, "--key", **FILE, **SEVERAL, says="The key of the certificate, PEM."),
    option(WHERE, "--redirect-http", **ADDRESS, says="Listen here as well, and redirect to HTTPS."),
    option(WHERE, "--redirect-plain", **FLAG, says="Redirect plain HTTP that comes to a TLS port; else it gets a 400."),
    option(LIMITS, "--max-body", **SIZE, shows="100MB", says="The largest request body; beyond it 413."),
    option(LIMITS, "--max-connections", **COUNT, shows="0.9 of the open files allowed",
           says="Open connections; beyond it 503."),
    option(LIMITS, "--keepalive", **SECONDS, shows="75s",
           says="How long an idle connection stays open; 0 closes it after each answer."),
    option(LIMITS, "--graceful-timeout", **SECONDS, shows="30s",
           says="How long a stop waits for answers under way."),
    option(LOGS, "--access-log", metavar="FILE|-|off", shows="-",
           says="A line for each request; - is stdout. A named pipe needs no reader to start with."),
    option(LOGS, "--error-log", metavar="FILE|-", shows="-", says="What went wrong; - is stderr."),
    option(LOGS, "--log-format", metavar="FORMAT", shell_complete=formats, shows="combined",
           says="The form of both logs: combined, json, or one of the file's."),
    option(PROCESS, "--ready-file", **FILE, says="Write a JSON list of the URLs here, once they accept."),
    option(PROCESS, "--pid", **FILE, says="Write the process id here."),
    option(PROCESS, "--open", **FLAG, says="Show it in the browser."),
    option(PROCESS, "--dev", **FLAG,
           says="Development: tracebacks for clients on this machine, logs at once, files not cached."),
]
"""In the order and the groups of the help."""

TARGETS = click.Argument(
    ["targets"], type=Value("[PREFIX=]URL", parse_place, keep=True), metavar="[PREFIX=]URL...", nargs=-1, required=True
)
"""What `proxy` is told."""

PROXY_OPTIONS: list[click.Parameter] = [
    *(one for one in OPTIONS if isinstance(one, Grouped) and one.section != WHAT and one.name != "dev"),
    option(PROCESS, "--dev/--no-dev", shows="--dev",
           says="Development: what goes wrong is told to clients on this machine, logs at once."),
]
"""Those of `serve` that say nothing about what is served."""
# fmt: on
