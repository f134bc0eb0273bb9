"""An application that has not begun its answer in time: whoever takes the ticket then answers in its place, with 504.

    the sweep, or the portable driver's wait ─ taken(exchange)? ─ no: its answer has begun, and may go on for ever
                                                  └ yes ─ given_up(…): the thread's stack is logged, another thread
                                                          takes its slot; the error is what the client is told

The thread itself cannot be ended. When it comes back it finds the ticket gone, drops its result and ends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from edgestack.errors import AppError
from edgestack.http.messages import Exchange
from edgestack.wire.held_clock import Threads

__all__ = ["given_up", "taken"]

log = logging.getLogger("edgestack.error")


def taken(exchange: Exchange) -> bool:
    """Take the ticket: True where nobody had. On any thread."""
    assert exchange.ticket is not None
    try:
        exchange.ticket.pop()
    except IndexError:
        return False
    return True


def given_up(exchange: Exchange, threads: Threads, job: Callable[[], None], seconds: float) -> AppError:
    """Give a call up, whose ticket was taken. On the loop.

    :param job: as it was queued.
    :returns: 504.
    """
    where = threads.lose(job)
    request = exchange.request
    log.error(
        "%s: %s %s: the application gave no answer within %g s: 504; %s",
        exchange.request_id, request.method, request.target, seconds,
        f"it runs on {where}" if where else "no thread had come free for it",
        extra={"request_id": exchange.request_id},
    )  # fmt: skip
    return AppError("The application took too long to answer.", 504)
