"""`edgestack systemd`: a unit for the server that the options after it would start.

    edgestack systemd -c /etc/edgestack/shop.toml > /etc/systemd/system/shop.service
    edgestack systemd run -w 4 shop.wsgi             the same for gunicorn's words
    edgestack systemd --socket …                     the socket unit beside it: systemd binds, and passes on

The words are those of `serve` or `run`, checked as these check them, and written into ExecStart=. What the unit says
beyond that is what edgestack does: readiness and watchdog by sd_notify(3), reload by SIGHUP, a drain that is waited
for.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import click

from edgestack.config.model import Config, Listener
from edgestack.process.commands import Sectioned
from edgestack.process.configuring import configure, sources
from edgestack.process.run_command import run, run_configured
from edgestack.process.serve_options import ENVIRONMENT, HELP, OPTIONS
from edgestack.process.supervised import is_supervised

__all__ = ["systemd", "unit"]

WATCHDOG = 30
"""Seconds without a sign of life after which systemd starts it anew: its loop hangs, which is a bug."""
BEYOND = 15
"""Seconds beyond the drain until systemd kills: calls to threads, logs."""
SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@[]")


class _Preceding(Sectioned):
    """What may stand before all that `run` takes."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """What comes behind `run` is its own; `ctx.obj` has it."""
        at = int(args[:1] == ["--socket"])
        if args[at : at + 1] == ["run"]:
            ctx.obj = run.make_context("run", args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)


@click.command(
    cls=_Preceding,
    params=[
        click.Option(["--socket"], is_flag=True, help="The socket unit, for addresses that systemd is to bind."),
        *OPTIONS,
    ],
    context_settings={**HELP, "auto_envvar_prefix": ENVIRONMENT},
)
@click.pass_context
def systemd(context: click.Context, /, socket: bool, **said: Any) -> None:
    """Print a systemd unit for `edgestack serve` with these options.

    For `edgestack run`, put its words behind: edgestack systemd run -w 4 shop.wsgi

    Write it to /etc/systemd/system/NAME.service; with --socket, its sibling to NAME.socket.
    """
    words = [word for word in _words(context) if word != "--socket"]
    if context.obj is not None:
        config = run_configured(context.obj).config
    else:
        file, found, overrides = sources(context)
        config = configure(file, overrides, found=found).config
        words = ["serve", *(["-c", str(file.absolute())] if file is not None and found else []), *words]
    click.echo(socket_unit(config) if socket else unit(config, words))


def unit(config: Config, words: list[str]) -> str:
    """The service.

    :param words: of the command line after `edgestack`.
    """
    processes = config.server.processes
    bindable = [one for one in config.listeners if one.fd < 0 and not one.path]
    supervised = is_supervised(processes)
    privileged = any(0 < one.port < 1024 for one in bindable)
    lines = [
        "[Unit]",
        "Description=edgestack",
        "After=network-online.target",
        "Wants=network-online.target",
        "",
        "[Service]",
        "Type=notify",
        "# a new supervisor, started by SIGUSR2, tells that it is the main process now",
        "NotifyAccess=all",
        f"ExecStart={' '.join(map(_quoted, [*_program(), *words]))}",
        "ExecReload=/bin/kill -HUP $MAINPID",
        f"WorkingDirectory={Path.cwd()}",
        *([f"User={processes.user}"] if processes.user else ["DynamicUser=yes", "StateDirectory=edgestack"]),
        *([f"Group={processes.group}"] if processes.group else []),
        "RuntimeDirectory=edgestack",
        "Environment=XDG_RUNTIME_DIR=%t/edgestack XDG_DATA_HOME=%S/edgestack",
        *(["AmbientCapabilities=CAP_NET_BIND_SERVICE"] if privileged else []),
        *(["# only the supervisor is told to stop; it tells its workers", "KillMode=mixed"] if supervised else []),
        f"TimeoutStopSec={config.server.timeouts.graceful + BEYOND:g}",
        f"WatchdogSec={WATCHDOG}",
        "Restart=on-failure",
        "LimitNOFILE=65536",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines)


def socket_unit(config: Config) -> str:
    """The sockets, for systemd to bind."""
    listens = [f"ListenStream={_address(one)}" for one in config.listeners if one.fd < 0]
    lines = ["[Unit]", "Description=edgestack, its sockets", "", "[Socket]", *listens, "Backlog=4096", ""]
    return "\n".join([*lines, "[Install]", "WantedBy=sockets.target"])


def _address(listener: Listener) -> str:
    """As systemd.socket(5) has it: without a host, both families."""
    if listener.path:
        return str(Path(listener.path).absolute())
    host = f"[{listener.host}]" if ":" in listener.host else listener.host
    return f"{host}:{listener.port}" if host else str(listener.port)


def _words(context: click.Context) -> list[str]:
    """The command line behind `systemd`, as it was typed."""
    at = sys.argv.index(context.info_name or "systemd")
    return sys.argv[at + 1 :]


def _program() -> list[str]:
    found = shutil.which("edgestack")
    return [found] if found else [sys.executable, "-m", "edgestack"]


def _quoted(word: str) -> str:
    """As systemd.service(5) reads it: % and $ mean something there."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if word and SAFE.issuperset(word) else f'"{escaped}"'
