"""Signals, as orders to a serving process.

    SIGTERM, SIGINT          stop gracefully (E10); a SIGINT while stopping stops at once, with status 130
    SIGQUIT                  stop at once
    SIGUSR1                  reopen the logs
    SIGHUP                   read the configuration file again, and have new code where applications are hosted; without
                             either (or, where a terminal controls us, a file that was named) the terminal was closed:
                             stop; with nothing to do, that is logged; where it was ignored at start (nohup) it stays
                             ignored

The receiver is opened before the first accept and closed after the last word. This file must not know what is served:
it is given two functions.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import trio

__all__ = ["INTERRUPTED", "leave", "signals_to_receive", "wait_for_order"]

INTERRUPTED = 130
"""The exit status of a program that SIGINT ended: 128 + 2, as shells have it."""

log = logging.getLogger("edgestack.error")


def signals_to_receive() -> tuple[signal.Signals, ...]:
    """Those above, but for a SIGHUP that whoever started us wants ignored."""
    wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1)
    return wanted if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (*wanted, signal.SIGHUP)


def has_terminal() -> bool:
    """Whether a terminal controls this process (credentials(7))."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


async def wait_for_order(
    signals: AsyncIterator[int],
    reopen: Callable[[], None],
    *,
    terminal: bool,
    reload: Callable[[], None] | None = None,
) -> int:
    """Return when it is time to stop, with what said so.

    :param reopen: reopens the logs.
    :param reload: has the configuration read again, and does not wait for it; None where SIGHUP does not mean that.
    :param terminal: whether a terminal controlled this process when it started.
    """
    async for number in signals:
        if number == signal.SIGUSR1:
            reopen()
        elif number == signal.SIGHUP and reload is not None:
            reload()
        elif number == signal.SIGHUP and not terminal:
            log.warning("SIGHUP: there is no configuration file to read again, and this process loads code once; "
                        "nothing changed (with -w 2 or -k process, new code would serve now)")  # fmt: skip
        else:
            return number
    return signal.SIGTERM


async def leave(
    signals: AsyncIterator[int],
    drain: Callable[[], Awaitable[list[str]]],
    reopen: Callable[[], None],
    *,
    last: int = signal.SIGTERM,
) -> tuple[int, list[str]]:
    """Drain, unless a SIGINT or SIGQUIT says that there is no time for it.

    :param drain: lets what is in flight finish, within its own limit; gives the threads that still run.
    :param last: the order to stop.
    :return: the exit status, and those threads.
    """
    status, running = 0, list[str]()
    if last == signal.SIGQUIT:
        return INTERRUPTED, running
    async with trio.open_nursery() as nursery:

        async def drained() -> None:
            running.extend(await drain())
            nursery.cancel_scope.cancel()

        nursery.start_soon(drained)
        async for number in signals:
            if number in (signal.SIGINT, signal.SIGQUIT):
                status = INTERRUPTED
                nursery.cancel_scope.cancel()
            elif number == signal.SIGUSR1:
                reopen()
    return status, running
