"""How many workers a configuration means, and whether somebody must keep them. Pure."""

from __future__ import annotations

import os

from edgestack.config.processes import Processes

__all__ = ["is_supervised", "worker_count"]


def worker_count(processes: Processes) -> int:
    """The workers that are wanted; "auto" is one for each core that this process may use."""
    return processes.workers or _cores()


def is_supervised(processes: Processes) -> bool:
    """Whether there is more than one process, or one that somebody must replace.

    Where applications live in processes of their own, `workers` is how many of those each has, and this one stays one.
    """
    if processes.hosting:
        return False
    return worker_count(processes) > 1 or processes.preload or processes.max_requests > 0


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
