"""Gates for streamed answers: a stream waits at one until another request opens it, so that no test needs to know
how long anything takes."""

from __future__ import annotations

import threading
from collections import defaultdict

__all__ = ["open_gate", "pass_gate"]

PATIENCE = 30.0
"""Seconds; a gate that nobody opens is a failed test, which has ended by then."""

_gates: defaultdict[str, threading.Event] = defaultdict(threading.Event)


def pass_gate(name: str) -> None:
    """Wait until the gate is open.

    :raises TimeoutError: nobody opens it.
    """
    if not _gates[name].wait(PATIENCE):
        raise TimeoutError(f"gate {name}")


def open_gate(name: str) -> None:
    """Let pass whoever waits, and whoever comes."""
    _gates[name].set()
