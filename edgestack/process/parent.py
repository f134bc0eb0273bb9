"""A process that is busy importing, and hears nothing, ends with its parent all the same (prctl(2); Linux alone).

Elsewhere, and before and after that, the end of its line to the parent is its own.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["ends_with_parent"]

PR_SET_PDEATHSIG = 1
ORPHANED = 1
"""Exit status where the parent had gone before."""


@contextmanager
def ends_with_parent(line: socket.socket) -> Iterator[None]:
    """Within, the kernel kills this process when the thread that has started it ends.

    Another user or group takes that back (prctl(2)): become one before.

    :param line: to the parent; a stream.
    """
    _at_its_death(signal.SIGKILL)
    if _is_gone(line):
        os._exit(ORPHANED)
    try:
        yield
    finally:
        _at_its_death(0)


def _at_its_death(number: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(number))


def _is_gone(line: socket.socket) -> bool:
    with suppress(BlockingIOError):
        return not line.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    return False
