"""`edgestack reload`: have a running server read its configuration again, and tell what it says to that.

    --control PATH     this control socket
    --pid FILE         the server that wrote this pid file: by its control socket, else by SIGHUP
    -c FILE            the server that uses this file
    nothing            the server that uses ./edgestack.toml, else the only one there is

Exit status 0 when the new configuration is served, 2 when it is not: then the one before is, and the errors are shown.
After SIGHUP only the server's error log knows.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import click

from edgestack.errors import ConfigError
from edgestack.process.commands import BAD_INPUT
from edgestack.process.markers import living
from edgestack.process.serve_options import FILE, HELP
from edgestack.process.servers import asked, of_file, of_pid

__all__ = ["ordered_reload", "reload"]

RELOAD = 120.0
"""Seconds to wait for a reload: it may have to import an application."""


@click.command(context_settings=HELP)
@click.option("-c", "--config", "file", **FILE, help="The server that uses this file.")
@click.option("--pid", **FILE, help="The server that wrote this pid file.")
@click.option("--control", type=click.Path(path_type=Path), metavar="PATH", help="The server with this control socket.")
def reload(file: Path | None, pid: Path | None, control: Path | None) -> int:
    """Have a running server read its configuration again.

    Without an option it is the server that uses ./edgestack.toml, or the only one there is. When the new configuration
    cannot be served, the server goes on with the one before, and its errors are shown here.
    """
    if sum(said is not None for said in (file, pid, control)) > 1:
        raise click.UsageError("-c, --pid and --control each name a server: give one of them")
    if pid is not None:
        path = of_pid(pid)
        if path is None:
            return _hang_up(pid)
    else:
        path = control or of_file(file)
    return ordered_reload(path)


def ordered_reload(path: Path) -> int:
    """Have the server behind a control socket reload, and tell what it says; the exit status."""
    answer = asked(path, {"verb": "reload"}, RELOAD)
    for warning in answer.get("warnings", ()):
        click.echo(warning, err=True)
    if answer.get("ok") is not True:
        for error in answer.get("errors", ["the server gave no reason"]):
            click.echo(error, err=True)
        click.echo("\nedgestack: not reloaded; the server goes on with the configuration it had", err=True)
        return BAD_INPUT
    click.echo("reloaded")
    return 0


def _hang_up(file: Path) -> int:
    """A server without a control socket is sent SIGHUP."""
    number = living(file)
    try:
        os.kill(number, signal.SIGHUP)
    except OSError as error:
        raise ConfigError(f"process {number} cannot be told to reload: {error.strerror}") from None
    click.echo(f"told process {number} to reload; its error log has the outcome")
    return 0
