"""The thread that changes what is in the folder of a disk tier: the only one of this process that does.

    scan      at the start, and when what other processes told was missed: what is there, folder by folder
    write     make room; the whole response to the side; its name; the journal
    do        what draft_file.py asks for: a long body, written as it comes
    remove    files that are wanted no more; for a purge the other processes are told first
    check     read a large body, to see whether it is right

Each is done with the folder's lock (journal.py), except reading. The side file is one for all processes: whoever holds
the lock begins it anew. Nothing that fails here stops the server: what cannot be written is not kept, and the error
log says so once, and once more when writing works again.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from edgestack.store.draft_file import sweep
from edgestack.store.index import Index, Known, group_of
from edgestack.store.memory import VARIANTS
from edgestack.store.record import Broken, Opening, name_of, read_label, seal, sound, write_at
from edgestack.store.stored import Headed, Purge, StoredResponse, covers

if TYPE_CHECKING:
    from edgestack.store.disk import Disk

__all__ = ["Writer"]

SUBFOLDERS = tuple(f"{number:02x}" for number in range(256))
SIDE = "side"
PIECE = 1 << 20
"""Bytes of a file that are copied at a time."""
FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW

errors = logging.getLogger("edgestack.error")


class Writer:
    """The thread, and what it has to do."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._checking: set[str] = set()
        self._closed = False
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="edgestack cache", daemon=True)
        self._thread.start()
        self.scan()

    # -- asking, from any thread ---------------------------------------------------------------------------------------

    def scan(self) -> None:
        """Look at what is there."""
        self._jobs.put(self._scan)

    def write(self, name: str, stored: StoredResponse) -> None:
        """Write it, if it is still wanted then."""
        self._jobs.put(partial(self._write, name, stored))

    def do(self, job: Callable[[], None]) -> None:
        """Something else."""
        self._jobs.put(job)

    def remove(self, names: list[str], purge: Purge | None = None) -> None:
        """Remove files; for a purge, tell the other processes."""
        self._jobs.put(partial(self._remove, names, purge))

    def check(self, name: str, known: Known) -> None:
        """Read all of a file, once, to see whether it is right."""
        if name not in self._checking:
            self._checking.add(name)
            self._jobs.put(partial(self._check, name, known))

    def flush(self, timeout: float) -> bool:
        """See `Disk.flush`."""
        done = threading.Event()
        self._jobs.put(done.set)
        return done.wait(timeout)

    def close(self, timeout: float) -> None:
        """See `Disk.close`."""
        self._jobs.put(None)
        self._thread.join(timeout)
        self._closed = True

    # -- on the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None and not self._closed:
            try:
                job()
            except OSError as error:
                self._fails(error)
            except Exception:
                errors.exception("the cache in %s: a bug", self._disk.folder)
        for draft in tuple(self._disk.drafts):
            draft.close()

    def _fails(self, error: OSError) -> None:
        if not self._failing:
            self._failing = True
            why = error.strerror or error
            errors.error("the cache in %s cannot be written (%s): memory is used alone", self._disk.folder, why)

    def works(self) -> None:
        """Something was written."""
        if self._failing:
            self._failing = False
            errors.warning("the cache in %s can be written again", self._disk.folder)

    def _path(self, name: str) -> str:
        return f"{self._disk.folder}/{name}"

    # -- writing -------------------------------------------------------------------------------------------------------

    def _write(self, name: str, stored: StoredResponse) -> None:
        disk = self._disk
        try:
            with disk.journal.locked():
                disk.catch_up()
                if disk.pending.get(name) is stored:
                    self._write_now(name, stored)
            self.works()
        except OSError as error:
            disk.unwritten += 1
            self._drop_old(name, stored)
            self._fails(error)
        finally:
            with disk.lock:
                disk.waiting -= stored.weight
                disk.memory.reserve(-stored.weight)

    def _write_now(self, name: str, stored: StoredResponse) -> None:
        """With the folder's lock."""
        disk = self._disk
        opening = Opening(stored.key, stored.url, stored.tags, stored.head)
        known = Known(opening.size + stored.size, stored.url, stored.tags, None)
        self.make_room(known.size)
        side = self._path(SIDE)

        def taken() -> bool:
            return disk.pending.get(name) is stored and disk.pending.pop(name) is stored

        fd = os.open(side, FLAGS, 0o600)
        try:
            body_sum = _write_body(fd, opening.size, stored)
            write_at(fd, opening.before(stored.size, body_sum), 0)
            self.publish(fd, side, name, stored, known, taken)
        except OSError:
            _unlink(side)
            raise
        finally:
            os.close(fd)

    def publish(self, fd: int, side: str, name: str, stored: Headed, known: Known, wanted: Callable[[], bool]) -> bool:
        """Give a whole file its name, and tell everybody. With the folder's lock.

        :param wanted: whether it is wanted still; asked with the disk's lock.
        :raises OSError: it has not got it.
        """
        disk, path, size = self._disk, self._path(name), os.fstat(fd).st_size
        _rename(side, path)
        known.seal = seal(fd)
        try:
            disk.journal.tell("put", stored.key, stored.head.variant, size, stored.url, stored.tags, known.seal)
        except OSError:
            _unlink(path)  # the others would never know of it
            raise
        with disk.lock:
            disk.changes += 1
            kept = wanted()
            if kept:
                disk.index.add(name, known)
                disk.weigh()
        if not kept:
            self._unlink_told(name)  # purged, or replaced, while it was written
            return False
        for old in disk.index.of_key(stored.key)[:-VARIANTS]:
            self._let_go(old)
        return True

    def _drop_old(self, name: str, stored: StoredResponse) -> None:
        """What it was to replace must not come up again."""
        disk = self._disk
        with disk.lock:
            if disk.pending.get(name) is stored:
                del disk.pending[name]
        disk.forget(name)
        _unlink(self._path(name))

    def make_room(self, size: int) -> None:
        """Let go of what was used longest ago. With the folder's lock."""
        disk = self._disk
        while True:
            with disk.lock:
                index = disk.index
                taken = index.size + disk.drafted + size
                if not index.files or (taken <= disk.limit and not disk.is_over):
                    return
                name = next(iter(index.files))
            self._let_go(name)

    def _let_go(self, name: str) -> None:
        """For want of room. With the folder's lock."""
        self._disk.evicted += 1
        self._disk.forget(name)
        self._unlink_told(name)

    def _unlink_told(self, name: str) -> None:
        _unlink(self._path(name))
        self._disk.journal.tell("gone", name)

    # -- the rest ------------------------------------------------------------------------------------------------------

    def _remove(self, names: Iterable[str], purge: Purge | None) -> None:
        disk = self._disk
        for name in names:  # before anything that may fail; what was put since is written behind this, by this thread
            _unlink(self._path(name))
        with disk.journal.locked():
            if purge is not None:
                disk.journal.tell("purge", *purge)
                return
            for name in names:
                disk.journal.tell("gone", name)

    def _check(self, name: str, known: Known) -> None:
        try:
            known.seal = sound(self._path(name))
        except Broken as why:
            self._disk.discard(name, why)
        except FileNotFoundError:
            self._disk.forget(name)
        finally:
            self._checking.discard(name)

    def _scan(self) -> None:
        disk = self._disk
        index = disk.index
        try:
            with disk.journal.locked():
                sweep(disk.folder)
            for subfolder in SUBFOLDERS:
                if self._closed or disk.index is not index:
                    return
                with disk.journal.locked():
                    disk.catch_up()
                    for name in _names(disk.folder, subfolder):
                        self._found(index, name)
                    self.make_room(0)
        finally:
            with disk.lock:
                if disk.index is index:
                    disk.loading = False
                    disk.purged.clear()

    def _found(self, index: Index, name: str) -> None:
        """A file is there. With the folder's lock."""
        if name in index.files:
            return
        try:
            label = read_label(self._path(name))
        except Broken as why:
            self._disk.discard(name, why)
            return
        except OSError:
            return  # not ours to read; it counts for nothing
        with self._disk.lock:
            purged = any(covers(purge)(label) for purge in self._disk.purged)
            right = group_of(name_of(label.key, "")) == group_of(name)
            if right and not purged:
                index.add(name, Known(label.size, label.url, label.tags, None))
                index.files.move_to_end(name, last=False)  # what was asked for since the start goes later
                self._disk.weigh()
                return
        _unlink(self._path(name))


def _write_body(fd: int, place: int, stored: StoredResponse) -> int:
    """Write it there; its sum."""
    body = stored.body
    if isinstance(body, bytes):
        write_at(fd, body, place)
        return zlib.crc32(body)
    found = done = 0
    while done < body.length:
        piece = bytes(body.read(done, PIECE))
        if not piece:
            raise OSError("the file became shorter")
        write_at(fd, piece, place + done)
        found, done = zlib.crc32(piece, found), done + len(piece)
    return found


def _rename(side: str, path: str) -> None:
    try:
        os.rename(side, path)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        os.rename(side, path)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # it is gone already, or the disk fails; what is left is found and judged at the next start


def _names(folder: os.PathLike[str], subfolder: str) -> list[str]:
    try:
        return [f"{subfolder}/{name}" for name in os.listdir(os.path.join(folder, subfolder))]
    except FileNotFoundError:
        return []
