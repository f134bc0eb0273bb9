"""How a serving process sets its interpreter: never the library or a test's fixture, which are guests in another's."""

from __future__ import annotations

import gc
import sys

__all__ = ["freeze", "share_the_interpreter"]

SWITCH_INTERVAL = 0.0005
"""Seconds: beside computing application threads the loop waits a tenth of the default (design: 60 ms became 6)."""
COLLECTIONS = (10_000, 20, 100)
"""Thresholds of the collector. A request makes no cycles, so there is little to find, and each full collection walks
every idle connection: beside 10,000 p99 rose by 1.7 ms with the interpreter's thresholds, by 0.2 to 0.6 with these."""


def share_the_interpreter() -> None:
    """Application threads give way to the loop soon."""
    sys.setswitchinterval(SWITCH_INTERVAL)


def freeze() -> None:
    """What the application made at its import is not looked at again by every collection."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)
