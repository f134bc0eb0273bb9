"""How many requests of each client are being answered, by all workers: `connection_limit.Counts` in shared memory.

    zone     a part for each process, which it alone writes: SETS sets of WAYS entries, digest of the key (8), count (8)

A worker counts for itself, shows its counts in its own part, and adds what the others show. So what a killed worker
was answering is forgotten by wiping its part (`Arena.wipe`, in the supervisor); nobody else's count is touched. A
client that finds no room in its set is not shown to the others, and counted by its own worker all the same.
"""

from __future__ import annotations

import mmap
import struct

from edgestack.http.messages import Exchange
from edgestack.phases.arena import PART, PARTS, Arena, digest
from edgestack.phases.connection_limit import Bound, ConnectionLimit, Counts

__all__ = ["SharedConnectionLimit", "SharedCounts"]

SETS, WAYS = 128, 8
"""1024 clients at once in each worker, in 16 KiB."""

_entry = struct.Struct("=8sQ")
assert SETS * WAYS * _entry.size == PART


class SharedCounts(Counts):
    """The same, and what the others have."""

    __slots__ = ("_arena", "_zone")

    def __init__(self, arena: Arena, zone: mmap.mmap) -> None:
        super().__init__()
        self._arena = arena
        self._zone = zone

    def of(self, key: str) -> int:
        """The client's requests, in all processes."""
        name, own = digest(key, 8), self._arena.number
        others = (number for number in range(min(self._arena.rows(), PARTS)) if number != own)
        return super().of(key) + sum(self._shown(number, name) for number in others)

    def _shown(self, number: int, name: bytes) -> int:
        at = self._place(number, name)
        return int(_entry.unpack_from(self._zone, at)[1]) if at >= 0 else 0

    def _place(self, number: int, name: bytes) -> int:
        """Where the client stands in a process's part; -1 where it does not."""
        start = self._start(number, name)
        at = self._zone.find(name, start, start + WAYS * _entry.size)
        return at if (at - start) % _entry.size == 0 else -1

    def _start(self, number: int, name: bytes) -> int:
        return number * PART + int.from_bytes(name[:4], "little") % SETS * WAYS * _entry.size

    def changed(self, key: str, count: int) -> None:
        """Show the others how many there are now. Within the lock of the counts."""
        own = self._arena.number
        if own >= PARTS:
            return
        name = digest(key, 8)
        at = self._place(own, name)
        if at < 0:
            start = self._start(own, name)
            places = range(start, start + WAYS * _entry.size, _entry.size)
            at = next((place for place in places if not _entry.unpack_from(self._zone, place)[1]), -1)
        if at >= 0:
            _entry.pack_into(self._zone, at, name if count else bytes(8), count)


class SharedConnectionLimit(ConnectionLimit):
    """The check, where others count too."""

    __slots__ = ("_arena",)

    def __init__(self, bounds: list[Bound], arena: Arena) -> None:
        super().__init__(bounds)
        self._arena = arena

    def __call__(self, exchange: Exchange) -> None:
        """:raises Refused: 429."""
        with self._arena.together():
            super().__call__(exchange)
