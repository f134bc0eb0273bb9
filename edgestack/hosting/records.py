"""The error log of a hosting process: the edge's own, of which each process has a handle."""

from __future__ import annotations

from edgestack.config.model import Log
from edgestack.hosting.order import Order
from edgestack.process.logs import ErrorLog, open_error_log

__all__ = ["log_of", "opened"]


def log_of(order: Order) -> Log:
    """What a hosting process writes; who asked for what is in the edge's access log."""
    return Log(access="off", error=order.error_log, format=order.log_format)


def opened(order: Order) -> ErrorLog:
    """Open it; SIGUSR1 is to have it opened anew.

    :raises ConfigError: it cannot be opened.
    """
    return open_error_log(log_of(order))
