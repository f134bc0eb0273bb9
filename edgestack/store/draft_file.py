"""A long body's file, while it grows: written by the writer's thread, in the order in which its pieces come.

    add      -> written behind the room for what stands before a body (record.py)
    commit   -> that is written too; the file gets its name, and the other processes are told
    abandon  -> the file goes

Its bytes count against the bound of the disk before they are written, a step at a time; all that grow in one process
have at most a part of the disk, so that downloads do not push out everything else. (What grows in another process is
not known here until it is whole.) A file that grows bears a name of its own and is locked by whoever writes it: one
that is not locked is what somebody left who was killed, and goes at the next start.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgestack.http.bodies import FileSegment
from edgestack.store.index import Known
from edgestack.store.record import Opening, name_of, write_at

if TYPE_CHECKING:
    from edgestack.store.disk import Disk
    from edgestack.store.draft import Draft
    from edgestack.store.writing import Writer

__all__ = ["PREFIX", "DraftFile", "sweep"]

PREFIX = "draft-"
PIECE = 1 << 20
"""Bytes of a file that are copied at a time."""
STEP = 4 << 20
"""Bytes of the disk that are made free at a time: the folder's lock is taken once for so many."""
SHARE = 4
"""Of the disk, a quarter may be taken by what grows. Our number."""
FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class DraftFile:
    """One of them."""

    def __init__(self, disk: Disk, writer: Writer, draft: Draft) -> None:
        self._disk = disk
        self._writer = writer
        self._draft = draft
        self._opening = Opening(draft.key, draft.url, draft.tags, draft.head)
        self._path = f"{disk.folder}/{PREFIX}{secrets.token_hex(8)}"
        self._fd = -1
        self._written = self._sum = self._room = 0
        self.failed = False
        """Whether it can no longer become whole. Set on the writer's thread; nobody need see it at once."""

    # -- on any thread -------------------------------------------------------------------------------------------------

    def add(self, piece: bytes) -> None:
        """One more piece, for which memory was lent."""
        self._writer.do(partial(self._add, piece))

    def add_file(self, segment: FileSegment) -> None:
        """A run of a file as one more."""
        self._writer.do(partial(self._add_file, segment))

    def commit(self, done: Callable[[bool], None]) -> None:
        """That was all; `done` is told whether it can be found now."""
        self._writer.do(partial(self._commit, done))

    def abandon(self) -> None:
        """It will not become whole."""
        self._writer.do(self.close)

    # -- on the writer's thread ----------------------------------------------------------------------------------------

    def _add(self, piece: bytes) -> None:
        try:
            if not self.failed:
                self._append(piece)
        except BaseException:
            self._fail()
            raise
        finally:
            self._disk.memory.lend(-len(piece))

    def _add_file(self, segment: FileSegment) -> None:
        done = 0
        try:
            while done < segment.length and not self.failed:
                piece = bytes(segment.read(done, PIECE))
                if not piece:
                    self._fail()  # it has become shorter
                    return
                self._append(piece)
                done += len(piece)
        except BaseException:
            self._fail()
            raise

    def _append(self, piece: bytes) -> None:
        if self._fd < 0:
            self._open()
        missing = self._opening.size + self._written + len(piece) - self._room
        if missing > 0 and not self._grow(missing):
            self._fail()
            return
        write_at(self._fd, piece, self._opening.size + self._written)
        self._sum = zlib.crc32(piece, self._sum)
        self._written += len(piece)

    def _open(self) -> None:
        with self._disk.journal.locked():  # so that nobody takes it for one that was left
            self._fd = os.open(self._path, FLAGS, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._disk.drafts.add(self)

    def _grow(self, missing: int) -> bool:
        """Make room for so many bytes, and some more."""
        disk, step = self._disk, max(STEP, missing)
        if disk.drafted + missing > disk.limit // SHARE:
            return False
        step = min(step, disk.limit // SHARE - disk.drafted)
        with disk.journal.locked():
            disk.catch_up()
            disk.drafted += step
            self._room += step
            self._writer.make_room(0)
        return True

    def _commit(self, done: Callable[[bool], None]) -> None:
        stored = False
        try:
            if not self.failed:
                stored = self._name()
        except BaseException:
            self._disk.unwritten += 1
            raise
        finally:
            self.close()
            done(stored)

    def _name(self) -> bool:
        """Give it its name, unless it was purged since it was asked for."""
        disk, draft = self._disk, self._draft
        write_at(self._fd, self._opening.before(self._written, self._sum), 0)
        known = Known(self._opening.size + self._written, draft.url, draft.tags, None)
        name = name_of(draft.key, draft.head.variant)
        with disk.journal.locked():
            disk.catch_up()
            self._give_back()
            self._writer.make_room(known.size)
            stored = self._writer.publish(self._fd, self._path, name, draft, known, self._is_wanted)
        self._writer.works()
        if stored:
            disk.memory.drop(draft.key)  # it may hold an older one
        return stored

    def _is_wanted(self) -> bool:
        draft = self._draft
        return draft.moment is None or not self._disk.memory.is_purged(draft, draft.moment)

    def _fail(self) -> None:
        self.failed = True
        self._disk.unwritten += 1
        self.close()

    def close(self) -> None:
        """The file goes, where it did not get its name."""
        self.failed = True
        self._disk.drafts.discard(self)
        self._give_back()
        if self._fd >= 0:
            try:
                os.unlink(self._path)
            except OSError:
                pass  # it has another name now; or it is found at the next start
            os.close(self._fd)
            self._fd = -1

    def _give_back(self) -> None:
        self._disk.drafted -= self._room
        self._room = 0


def sweep(folder: Path) -> None:
    """Remove what was left by those who were killed. With the folder's lock."""
    for name in os.listdir(folder):
        if name.startswith(PREFIX):
            _remove_left(f"{folder}/{name}")


def _remove_left(path: str) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return  # gone, or no file of ours
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    except OSError:
        pass  # somebody writes it
    finally:
        os.close(fd)
