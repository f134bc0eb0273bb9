"""How many connections this process may hold: the system's limit on open files, without what is open already (E11)."""

from __future__ import annotations

import os
import resource
import sys

__all__ = ["most_connections"]

CONNECTIONS_SHARE = 0.9
"""Of RLIMIT_NOFILE; the rest is for files, logs and the application's own sockets."""


def most_connections() -> int:
    """As many, at least 1; `sys.maxsize` where there is no limit."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return sys.maxsize
    taken = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    return max(1, int((soft - taken) * CONNECTIONS_SHARE))
