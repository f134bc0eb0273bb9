"""What a stack must know where other processes may serve the same sockets, and what it tells whoever keeps it.

    turns      whose turn it is to accept            limits    what is counted together
    spent      enough requests for this process      crowded   too many threads were lost to applications that hang

Alone (`Neighbours()`) it accepts whatever comes and counts by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgestack.phases.arena import Arena
from edgestack.wire.accepting import Turns

__all__ = ["Neighbours"]


def _nobody(*_: object) -> None:
    """Nobody keeps this process."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The others, and whoever keeps all of them."""

    turns: Turns | None = None
    limits: Arena | None = None
    processes: int = 1
    """How many serve, this one included."""
    secret: bytes = b""
    """For what all must sign alike; empty for one of this process's own."""
    requests: int = 0
    """After so many, `spent` is called once, on the loop; 0 for never."""
    spent: Callable[[], None] = _nobody
    crowded: Callable[[int], None] = _nobody
    """Called on the loop with the number of threads that are lost, when it is as large as the pool."""
