"""What becomes of a process so many of whose application threads hang that it is of no more use: it leaves.

A thread cannot be ended, but its process can. It stops as at SIGTERM, only sooner; the edge begins another one, and new
requests wait for that at the socket, which is the edge's.
"""

from __future__ import annotations

import logging
import signal

__all__ = ["HURRY", "Crowd"]

HURRY = 5.0
"""Seconds that requests beside those that hang get to end: until then new ones wait. A guess."""

log = logging.getLogger("edgestack.error")


class Crowd:
    """Called with the number of threads that hang (`content/threads.py`: `crowded`). On the main thread."""

    def __init__(self, grace: float) -> None:
        """:param grace: seconds that requests get where nothing hangs."""
        self.grace = grace
        self.came = False

    def __call__(self, lost: int) -> None:
        """Leave."""
        log.error("%d application threads hang: their process leaves, and another one is begun", lost)
        self.came, self.grace = True, min(self.grace, HURRY)
        signal.raise_signal(signal.SIGTERM)
