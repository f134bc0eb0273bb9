"""The end of every command that serves: warnings told, then the server, or a look at what it would be.

    serve_configured(configured, only={"check_config": True})     everything is loaded, nothing is opened; 0
    serve_configured(configured, only={"print_config": True})     and every value that holds is shown

What serves is imported here, and only here: trio, ssl and the application cost more than the command line.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from edgestack.config.model import Config
from edgestack.errors import ConfigError
from edgestack.process.configuring import Configured, placed
from edgestack.process.options import Options
from edgestack.process.starting import at_once
from edgestack.process.supervised import is_supervised

__all__ = ["serve_configured"]


def serve_configured(configured: Configured, only: Mapping[str, Any] | None = None) -> int:
    """Serve it, or look at it.

    :param only: what the command was told: `check_config`, `print_config`.
    :return: the exit status.
    :raises ConfigError: it cannot be served.
    """
    for warning in configured.loaded.warnings:
        click.echo(f"{warning.shown()}\n", err=True)
    only = only or {}
    try:
        with at_once():
            if only.get("print_config") or only.get("check_config"):
                return _look(configured, bool(only.get("print_config")))
            return _import_server(configured.config)(configured.config, configured.options)
    except ConfigError as error:
        raise placed(error, configured.loaded) from error


def _look(configured: Configured, shown: bool) -> int:
    """Load everything, as a start would; what is wrong is raised."""
    from edgestack.process.banner import painter, wants_colour
    from edgestack.process.checks import check
    from edgestack.process.config_commands import show_settings
    from edgestack.process.rehearsing import rehearse

    if shown:
        show_settings(configured, painter(wants_colour(sys.stdout, os.environ)))
    check(configured.config, configured.options)
    rehearse(configured)
    return 0


def _import_server(config: Config) -> Callable[[Config, Options], int]:
    """What serves, imported now. What imports make is not garbage: looking for it would cost a tenth of the start."""
    processes = config.server.processes
    first = os.getpid() == 1 and not processes.hosting  # of a container: what the application leaves must be reaped
    gc.disable()
    try:
        if first or is_supervised(processes):
            from edgestack.process.supervisor import supervise as run
        else:
            from edgestack.process.run import serve as run
    finally:
        gc.enable()
    return run
