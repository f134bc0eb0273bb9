"""How many workers a configuration means, and whether somebody must keep them.

Somebody must where there are several, where one is to be replaced, and where root is to become another user: then the
one that stays root reads keys, opens logs and binds ports again at the next reload, and removes its files at the end.
"""

from __future__ import annotations

import os

from edgestack.config.processes import Processes

__all__ = ["is_supervised", "worker_count"]


def worker_count(processes: Processes) -> int:
    """The workers that are wanted; "auto" is one for each core that this process may use."""
    return processes.workers or _cores()


def is_supervised(processes: Processes) -> bool:
    """Whether there is more than one process, or one that somebody must keep.

    Where applications live in processes of their own, `workers` is how many of those each has, and this one stays one.
    """
    if processes.hosting:
        return False
    becomes = bool(processes.user or processes.group) and os.geteuid() == 0
    return worker_count(processes) > 1 or processes.preload or processes.max_requests > 0 or becomes


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
