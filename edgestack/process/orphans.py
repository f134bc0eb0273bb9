"""Process 1 of a container is the parent of whoever has lost his own, and sees to his end (pid_namespaces(7)).

reap(own)                            those that have ended; never one of `own`, for whom somebody waits
await reap_for_ever(own)             on trio's loop
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Set

import trio

__all__ = ["reap", "reap_for_ever"]

LATER = 1.0
"""Seconds after a death: whoever has just started a process has said so by then (a guess, and nobody is in a hurry)."""


def reap(own: Set[int]) -> None:
    """Those that have ended; where one of `own` stands before them, another signal is on its way.

    :param own: process ids.
    """
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in own:
            return
        os.waitpid(found.si_pid, os.WNOHANG)


async def reap_for_ever(own: Callable[[], Set[int]]) -> None:
    """Where processes are also started by other threads."""
    with trio.open_signal_receiver(signal.SIGCHLD) as deaths:
        async for _ in deaths:
            await trio.sleep(LATER)
            reap(own())
