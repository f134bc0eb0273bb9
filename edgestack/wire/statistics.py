"""What a driver counts. Plain integers, written on the loop, read by whoever asks."""

from __future__ import annotations

__all__ = ["Statistics"]


class Statistics:
    """Counters since the start."""

    __slots__ = ("accepted", "failures", "refused")

    def __init__(self) -> None:
        self.accepted = 0
        """Connections admitted."""
        self.refused = 0
        """Heads that could not be read, and connections over the limit."""
        self.failures = 0
        """Exceptions that ended a connection at one of the boundaries: bugs."""
