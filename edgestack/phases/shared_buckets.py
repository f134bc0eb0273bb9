"""What each client has asked for, where several workers count together: `rate_limit.Buckets` in shared memory.

    zone     SETS sets of WAYS entries: digest of the key (16), excess (8), when (8)

A key belongs to one set, and stands anywhere in it; where the set is full, who was seen longest ago gives way. So there
is nothing to follow and nothing to repair: whatever a killed worker left is an entry or none. Everything but `describe`
happens within `arena.together()`, and the clock is CLOCK_MONOTONIC, one for the machine.
"""

from __future__ import annotations

import mmap
import struct
import time

from edgestack.config.model import Rate
from edgestack.http.messages import Exchange
from edgestack.phases.arena import Arena, digest
from edgestack.phases.rate_limit import Bound, Buckets, RateLimit

__all__ = ["SharedBuckets", "SharedRateLimit"]

SETS, WAYS = 8192, 8
"""65,536 clients in 2 MiB, as many as the table of one process has."""
AHEAD = 1000
"""Milliseconds in the future that no clock could have said: such an entry is none."""

_entry = struct.Struct("=16sqq")


class SharedBuckets(Buckets):
    """The same numbers, in a zone."""

    __slots__ = ("_zone",)

    def __init__(self, rate: Rate, zone: mmap.mmap) -> None:
        super().__init__(rate)
        self._zone = zone

    def _place(self, name: bytes) -> tuple[int, int]:
        """Where a key's set begins, and where the key stands in it; -1 where it does not."""
        start = int.from_bytes(name[:4], "little") % SETS * WAYS * _entry.size
        at = self._zone.find(name, start, start + WAYS * _entry.size)
        return start, at if (at - start) % _entry.size == 0 else -1

    def excess(self, key: str, now: int) -> int:
        """As of `Buckets`."""
        _, at = self._place(digest(key, 16))
        if at < 0:
            return 0
        _, excess, last = _entry.unpack_from(self._zone, at)
        if last > now + AHEAD:
            return 0
        left: int = excess - self._amount * max(0, now - last)
        return max(0, left + self._one)

    def count(self, key: str, excess: int, now: int) -> None:
        """As of `Buckets`."""
        name = digest(key, 16)
        start, at = self._place(name)
        if at < 0:
            places = range(start, start + WAYS * _entry.size, _entry.size)
            at = min(places, key=lambda place: int(_entry.unpack_from(self._zone, place)[2]))
        _entry.pack_into(self._zone, at, name, excess, now)


class SharedRateLimit(RateLimit):
    """The wrap, where others count too."""

    __slots__ = ("_arena",)

    def __init__(self, bounds: list[Bound], arena: Arena) -> None:
        super().__init__(bounds)
        self._arena = arena

    def take(self, exchange: Exchange) -> float:
        """As of `RateLimit`."""
        with self._arena.together():
            return self.take_at(exchange, time.monotonic_ns() // 1_000_000)
