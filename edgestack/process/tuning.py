"""How a serving process sets its interpreter: never the library or a test's fixture, which are guests in another's."""

from __future__ import annotations

import gc
import resource
import sys

__all__ = ["collected", "tuned"]

SWITCH_INTERVAL = 0.0005
"""Seconds: beside computing application threads the loop waits a tenth of the default (design: 60 ms became 6)."""
COLLECTIONS = (10_000, 20, 100)
"""Thresholds of the collector. A request makes no cycles, so there is little to find, and each full collection walks
every idle connection: beside 10,000 p99 rose by 1.7 ms with the interpreter's thresholds, by 0.2 to 0.6 with these."""


def tuned() -> None:
    """What is changed in this interpreter, because it serves: open files (E11), turns of the interpreter lock."""
    raise_descriptor_limit()
    sys.setswitchinterval(SWITCH_INTERVAL)


def collected() -> None:
    """The application is loaded: what it made is not looked at again by every collection."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)


def raise_descriptor_limit() -> None:
    """Allow as many open files as the system lets us (E11)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):  # macOS: the hard limit is "infinity" and may not be asked for
            return
