"""What a driver counts. Plain integers, written on the loop, read by whoever asks."""

from __future__ import annotations

from typing import ClassVar

from edgestack.http.facts import Facts

__all__ = ["Statistics"]


class Statistics:
    """Counters since the start."""

    __slots__ = ("accepted", "failures", "refused")

    before: ClassVar[int] = 0
    """What a process adds to the numbers of its connections, so that no other one gives out the same."""

    def __init__(self) -> None:
        self.accepted = 0
        """Connections admitted."""
        self.refused = 0
        """Heads that could not be read, and connections over the limit."""
        self.failures = 0
        """Exceptions that ended a connection at one of the boundaries: bugs."""

    def admit(self, facts: Facts) -> None:
        """One more connection, which gets its number."""
        self.accepted += 1
        facts.connection = self.before + self.accepted
