"""Memory that all workers of a server share, for what is counted together; and the one lock over it.

    arena.together()            within, nobody else counts
    arena.zone("rate", key)     a run of bytes for one limit, the same for equal keys in every process and generation
    arena.wipe(number)          a process has gone: what it was answering is nobody's any more

    file    directory: one entry for each zone (what it is called), then the zones, each with room for ROOM bytes

The lock is a record lock (fcntl(2)): the kernel lets go of it when its process is killed; nobody waits for the dead.
The file lives in memory and is sparse: what was never written takes nothing. What stands where in a zone is its user's
business; so is, that half an entry of a worker killed in mid-air does no harm. When all zones are taken (a server that
was reloaded with other limits dozens of times), the limit counts for its process alone, and the log says so.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from hashlib import blake2b

__all__ = ["COUNTS", "PART", "PARTS", "Arena", "digest"]

ZONES = 64
"""Limits of all generations together. Our number: nobody has a dozen."""
ROOM = 64 * 1024 * 1024
"""Bytes of a zone; nearly all of them are never touched."""
DIRECTORY = mmap.ALLOCATIONGRANULARITY
COUNTS = "counts"
"""The kind of zone in which each process has a part of its own."""
PART = 16 * 1024
"""Bytes of such a part."""
PARTS = ROOM // PART
"""Processes that have one; further ones count alone."""
NAME = 32
"""Bytes of an entry: what kind of zone it is, and the digest of its key."""

log = logging.getLogger("edgestack.error")


class Arena:
    """The shared memory, as one process has it."""

    def __init__(self, fd: int, number: int, rows: Callable[[], int]) -> None:
        """
        :param fd: of the file, which is made as large as it must be.
        :param number: of this process, below `rows()`.
        :param rows: so many processes may be there.
        """
        self.number = number
        self.rows = rows
        self._fd = fd
        self._lock = threading.Lock()
        if os.fstat(fd).st_size < DIRECTORY + ZONES * ROOM:
            os.ftruncate(fd, DIRECTORY + ZONES * ROOM)
        self._directory = mmap.mmap(fd, DIRECTORY)
        self._zones: dict[bytes, mmap.mmap] = {}

    @contextmanager
    def together(self) -> Iterator[None]:
        """Within, no other process and no other thread counts. Not to be entered twice."""
        with self._lock:
            fcntl.lockf(self._fd, fcntl.LOCK_EX, 1)
            try:
                yield
            finally:
                fcntl.lockf(self._fd, fcntl.LOCK_UN, 1)

    def zone(self, kind: str, key: Hashable) -> mmap.mmap | None:
        """The bytes of one zone, zeros at first; None when there is no more room.

        :param kind: at most eight letters.
        :param key: whose `repr` tells it from others.
        """
        name = kind.encode().ljust(8) + digest(repr(key), 24)
        if name not in self._zones:
            with self.together():
                at = self._place(name)
            if at < 0:
                log.warning("a limit is counted in each worker alone: there is no more room; restart to make some")
                return None
            self._zones[name] = self._mapped(at)
        return self._zones[name]

    def _place(self, name: bytes) -> int:
        for at in range(ZONES):
            there = self._directory[at * NAME : (at + 1) * NAME]
            if not there.strip(b"\0"):
                self._directory[at * NAME : (at + 1) * NAME] = name
                return at
            if there == name:
                return at
        return -1

    def _mapped(self, at: int) -> mmap.mmap:
        return mmap.mmap(self._fd, ROOM, offset=DIRECTORY + at * ROOM)

    def wipe(self, number: int) -> None:
        """A process has gone: what it was answering is nobody's any more. In the supervisor only."""
        for at in range(ZONES):
            name = self._directory[at * NAME : (at + 1) * NAME]
            if number < PARTS and name.startswith(COUNTS.encode().ljust(8)):
                zone = self._zones[name] = self._zones.get(name) or self._mapped(at)
                zone[number * PART : (number + 1) * PART] = bytes(PART)


def digest(text: str, size: int) -> bytes:
    """So many bytes that stand for a text, and are not all 0."""
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=size).digest()
