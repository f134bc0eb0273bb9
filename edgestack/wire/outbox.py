"""What is owed to a client that reads slower than the answer is made: 64 KiB in memory, then a spool file.

One side puts (an application thread, or the loop once), the other takes (the loop). The thread waits only when the
spool is full too, and never longer than the send gap; so a slow client holds disk, not a thread (F14). The spool is a
temporary file without a name, read back by pread, and cut to nothing whenever it was emptied.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from typing import IO

from edgestack.errors import Disconnected
from edgestack.http.bodies import FileSegment, Piece

__all__ = ["Budget", "Outbox"]

IN_MEMORY = 64 * 1024
"""Bytes of an answer that wait in memory: one full socket buffer's worth, as nginx's proxy_buffers 8 x 8k."""
READ_BACK = 128 * 1024
"""Bytes read back from the spool at once."""


class Budget:
    """Bytes that all spools of a process may hold together; safe on any thread."""

    def __init__(self, total: int) -> None:
        """:param total: bytes; half of what the disk of temporary files has free now, if that is less."""
        self.total = min(total, shutil.disk_usage(tempfile.gettempdir()).free // 2)
        self.held = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Reserve `size` bytes, or say that they are not to be had."""
        with self._lock:
            if self.held + size > self.total:
                return False
            self.held += size
            return True

    def give(self, size: int) -> None:
        """Return `size` bytes."""
        with self._lock:
            self.held -= size


class Outbox:
    """Pieces in order, from one producer to one Sender.

    :param first: pieces that are owed already.
    :param limit: bytes that may wait on disk for this answer.
    :param gap: seconds that `put` waits for room while nothing moves.
    """

    __slots__ = (
        "_budget", "_gap", "_hungry", "_in_memory", "_limit", "_moved", "_pieces", "_read", "_spool", "_written",
        "closed", "finished", "gone", "lock", "wake",
    )  # fmt: skip

    def __init__(self, *first: Piece, limit: int = 0, gap: float = 60.0, budget: Budget | None = None) -> None:
        self._pieces: deque[Piece] = deque(first)
        self._in_memory = 0
        self._limit = limit
        self._gap = gap
        self._budget = budget
        self._spool: IO[bytes] | None = None
        self._read = self._written = 0
        self._hungry = False
        self._moved: threading.Condition | None = None
        self.lock: threading.Lock | None = None
        self.closed = True
        """Nothing more will be put."""
        self.finished = False
        """The taker has found it empty and closed."""
        self.gone = False
        """Nobody takes any more."""
        self.wake: Callable[[], object] | None = None
        """Called by `put` when the taker has run dry."""

    def open(self, wake: Callable[[], object]) -> None:
        """Let another thread put pieces, until `close`."""
        self.closed = False
        self.wake = wake
        self.lock = threading.Lock()
        self._moved = threading.Condition(self.lock)

    # -- the producer's side -----------------------------------------------------------------------------------------

    def put(self, piece: Piece) -> None:
        """Append; waits while there is no room.

        :raises Disconnected: the client left, or took nothing for the whole send gap.
        :raises OSError: the disk is full.
        """
        assert self.lock is not None
        with self.lock:
            if type(piece) is bytes:
                self._wait_until(lambda: self._put_bytes(piece))
            else:
                assert isinstance(piece, FileSegment)
                self._put_file(piece)
            hungry, self._hungry = self._hungry, False
        if hungry and self.wake is not None:
            self.wake()

    def offer(self, data: bytes) -> bool:
        """As `put`, but it never waits and wakes nobody: for a producer on the taker's thread. False: there is no room.

        :raises OSError: the disk is full.
        """
        assert self.lock is not None
        with self.lock:
            return self._put_bytes(data)

    def _put_file(self, piece: FileSegment) -> None:
        """A file waits as it is, behind everything that was spooled."""
        self._wait_until(lambda: self._read == self._written)
        self._pieces.append(piece)

    def _put_bytes(self, data: bytes) -> bool:
        """To memory while nothing is on disk and it fits, or nothing waits at all; else to disk. False: no room."""
        size, on_disk = len(data), self._written - self._read
        if not on_disk and (not self._pieces or self._in_memory + size <= IN_MEMORY):
            self._pieces.append(data)
            self._in_memory += size
            return True
        if on_disk + size > self._limit or not (self._budget is None or self._budget.take(size)):
            return False
        self._spool_bytes(memoryview(data))
        return True

    def _spool_bytes(self, view: memoryview) -> None:
        try:
            if self._spool is None:
                self._spool = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by `abandon`
            while view:
                done = os.pwrite(self._spool.fileno(), view, self._written)
                self._written += done
                view = view[done:]
        finally:
            if view and self._budget is not None:  # the disk is full: what was reserved is not used
                self._budget.give(len(view))

    def _wait_until(self, ready: Callable[[], bool]) -> None:
        """Wait until `ready()`, as long as the client takes something now and then."""
        assert self._moved is not None
        while not (self.gone or ready()):
            hungry, self._hungry = self._hungry, False
            if hungry and self.wake is not None:
                self.wake()
            if not self._moved.wait(self._gap):
                self.gone = True
                raise Disconnected(detail=f"the client took nothing for {self._gap:g} s while the spool was full")
        if self.gone:
            raise Disconnected

    def close(self) -> None:
        """Nothing more comes."""
        assert self.lock is not None
        with self.lock:
            self.closed = True
            hungry, self._hungry = self._hungry, False
        if hungry and self.wake is not None:
            self.wake()

    # -- the taker's side --------------------------------------------------------------------------------------------

    def take(self) -> Piece | None:
        """The next piece, or None: then `finished` says whether that was the last. Never waits."""
        if self.lock is None:
            if self._pieces:
                return self._pieces.popleft()
            self.finished = True
            return None
        with self.lock:
            piece = self._take()
            if piece is None:  # decided under the lock: what is put and closed a moment later must not be lost
                self.finished = self.closed
                self._hungry = not self.closed
            elif self._moved is not None:
                self._moved.notify()
            return piece

    def waiting(self) -> int:
        """Bytes that were put and not taken."""
        held = sum(piece.length if isinstance(piece, FileSegment) else len(piece) for piece in list(self._pieces))
        return held + self._written - self._read

    def _take(self) -> Piece | None:
        if self._pieces:
            piece = self._pieces.popleft()
            if type(piece) is bytes:
                self._in_memory = max(0, self._in_memory - len(piece))
            return piece
        if self._spool is None or self._read == self._written:
            return None
        data = os.pread(self._spool.fileno(), min(READ_BACK, self._written - self._read), self._read)
        self._read += len(data)
        if self._budget is not None:
            self._budget.give(len(data))
        if self._read == self._written:
            self._spool.truncate(0)
            self._read = self._written = 0
        return data

    def abandon(self) -> None:
        """Drop everything; a producer that waits is told."""
        if self.lock is None:
            self._drop()
            return
        with self.lock:
            self._drop()
            if self._moved is not None:
                self._moved.notify_all()

    def _drop(self) -> None:
        self.gone = True
        self._pieces.clear()
        if self._spool is not None:
            if self._budget is not None:
                self._budget.give(self._written - self._read)
            self._spool.close()
            self._spool = None
        self._read = self._written = 0
