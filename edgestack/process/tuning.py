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
M_ARENA_MAX = -8
"""Of glibc's malloc.h."""


def tuned() -> None:
    """What is changed in this interpreter, because it serves: open files (E11), memory, turns of the lock."""
    raise_descriptor_limit()
    share_one_arena()
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


def share_one_arena() -> None:
    """Have all threads allocate from one place (glibc: M_ARENA_MAX; nothing elsewhere).

    With an arena for each thread, what one has freed no other one takes: a cache of 48 MB that application threads fill
    and the loop empties made the process grow by 108 MB, and by 48 with one. The interpreter's lock is held for nearly
    all of it anyway. Before any thread is started.
    """
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
