"""The second tier: a folder of files, one for each response. Finding reads, on whatever thread asks; all else waits for
the writer's thread (writing.py), which alone changes anything in the folder.

    find     the index says where; read and checked; into memory where it is small, else a run of the file
    put      promised now, written soon: what waits is bounded, and what finds no room is not written
    drafts   long bodies, written as they come
    purge    forgotten at once; the files go, and other processes are told, soon

A file is trusted when its body was read once and found right; one that is too large to be read on the loop is checked
by the writer, and is not there until then. What is not right is removed, and counted.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgestack.store.draft_file import DraftFile
from edgestack.store.index import Index, Known
from edgestack.store.journal import Journal
from edgestack.store.memory import Memory
from edgestack.store.record import Broken, name_of, open_record
from edgestack.store.stored import Purge, StoredResponse, covers
from edgestack.store.writing import Writer

if TYPE_CHECKING:
    from edgestack.store.draft import Draft

__all__ = ["Disk"]

INLINE = 1 << 20
"""Bytes of a body that are read at once to see whether it is right: half a millisecond, from the page cache."""
WAITING_SHARE = 4
"""Of the memory, a quarter may wait to be written. Our number: 16 MB, as a rule, for some tenths of a second."""
INDEX_SHARE = 2
"""Of the memory, half may go to what is known of the folder; then files go, as when the disk is full. Our number."""

errors = logging.getLogger("edgestack.error")


class Disk:
    """Stored responses in a folder, which other processes may use too."""

    def __init__(self, folder: Path, limit: int, memory: Memory) -> None:
        """Open the folder; what is in it is read in the background.

        :param limit: bytes on disk.
        :param memory: the tier before this one: it hears what other processes did.
        :raises OSError: the folder cannot be made, or not be written to.
        """
        folder.mkdir(mode=0o700, exist_ok=True)
        self.folder = folder
        self.limit = limit
        self.memory = memory
        self.lock = threading.RLock()
        """Guards what is known: `index`, `pending` and the counts; never held while a body is read or written."""
        self.index = Index()
        self.pending: dict[str, StoredResponse] = {}
        """By name, what is to be written."""
        self.waiting = 0
        """Bytes of it, with what is being written though nobody wants it any more."""
        self.drafts: set[DraftFile] = set()
        """Files that grow. The writer's alone, as is `drafted`."""
        self.drafted = 0
        """Bytes of the disk that they have."""
        self.changes = 0
        """How often something was changed here by anybody."""
        self.evicted = self.broken = self.unwritten = 0
        self.loading = True
        self.purged: list[Purge] = []
        """What was purged while the folder is being read: what is found of it then goes."""
        self.journal = Journal(folder / "journal")
        self._weight = 0
        self._writer = Writer(self)

    # -- finding -------------------------------------------------------------------------------------------------------

    def find(self, key: str) -> tuple[StoredResponse, ...]:
        """What is stored under a key and known to be right."""
        with self.lock:
            names = self.index.of_key(key)
        found, left = [], INLINE
        for name in names:
            one = self._read(name, left)
            if one is not None:
                found.append(one)
                left = max(0, left - one.size)
        return tuple(found)

    def _read(self, name: str, inline: int) -> StoredResponse | None:
        with self.lock:
            known, waiting = self.index.files.get(name), self.pending.get(name)
            if known is None or waiting is not None:
                return waiting
            self.index.files.move_to_end(name)
        try:
            found = open_record(f"{self.folder}/{name}", name, known.seal, inline)
        except FileNotFoundError:
            self.forget(name)
            return None
        except Broken as why:
            self.discard(name, why)
            return None
        except OSError as error:
            errors.warning("the cache file %s/%s cannot be read (%s)", self.folder, name, error.strerror)
            return None
        if found is None:
            self._writer.check(name, known)
            return None
        stored, known.seal = found
        return stored

    def forget(self, name: str) -> None:
        """A file is there no more."""
        with self.lock:
            self.changes += 1
            self.index.drop(name)
            self.weigh()

    def discard(self, name: str, why: Broken) -> None:
        """Remove a file that is not what was written: it is used for nothing."""
        self.broken += 1
        errors.warning("the cache file %s/%s was removed: %s", self.folder, name, why)
        self.forget(name)
        try:
            os.unlink(f"{self.folder}/{name}")
        except OSError:
            pass  # it will be found again, and not be used again

    def weigh(self) -> None:
        """Have the memory that the index takes counted. With the lock."""
        self.memory.reserve_known(self.index.weight - self._weight)
        self._weight = self.index.weight

    @property
    def is_over(self) -> bool:
        """Whether the index has become too large for the memory."""
        return self.index.weight > self.memory.limit // INDEX_SHARE

    # -- changing ------------------------------------------------------------------------------------------------------

    def put(self, stored: StoredResponse) -> None:
        """Have it written soon, in the place of one with its key and variant."""
        name = name_of(stored.key, stored.head.variant)
        with self.lock:
            self.changes += 1
            fits = self.waiting + stored.weight <= self.memory.limit // WAITING_SHARE
            if fits and self.memory.reserve(stored.weight):
                self.waiting += stored.weight
                self.pending[name] = stored
                self._writer.write(name, stored)
                return
            self.unwritten += 1
            self.pending.pop(name, None)
            if self.index.drop(name):  # what it was to replace must not come up again
                self._writer.remove([name])

    def draft_file(self, draft: Draft) -> DraftFile:
        """A file for a body that is on its way."""
        return DraftFile(self, self._writer, draft)

    def drop(self, stored: StoredResponse) -> None:
        """Let go of one that was put."""
        name = name_of(stored.key, stored.head.variant)
        with self.lock:
            self.changes += 1
            self.pending.pop(name, None)
            self.index.drop(name)
            self.weigh()
            self._writer.remove([name])

    def purge(self, purge: Purge) -> list[str]:
        """Let go of what is meant, here and in the other processes; the names of what is known of it here."""
        with self.lock:  # what is put next is written behind this
            self.catch_up()
            names = self.drop_meant(purge)
            self._writer.remove(names, purge)
        return names

    def drop_meant(self, purge: Purge) -> list[str]:
        """Forget what is meant; the names."""
        meant = covers(purge)
        with self.lock:
            self.changes += 1
            names = self.index.meant(purge)
            for name in names:
                self.index.drop(name)
            for name in [name for name, stored in self.pending.items() if meant(stored)]:
                del self.pending[name]
                names.append(name)
            if self.loading:
                self.purged.append(purge)
            self.weigh()
        return names

    def catch_up(self) -> None:
        """Take in what other processes did. Asked before each answer: mostly there is nothing, for one fstat."""
        if self.journal.is_read():
            return
        with self.lock:
            try:
                told = self.journal.lines()
            except OSError:  # the disk fails: nobody knows what was told
                self.journal.missed, told = True, []
            for line in told:
                self._take_in(line)
            if self.journal.missed:
                self.journal.missed = False
                self.memory.clear()
                self.index, self.loading = Index(), True
                self.weigh()
                self._writer.scan()

    def _take_in(self, line: list[Any]) -> None:
        self.changes += 1
        match line:
            case ["put", str(key), str(variant), int(size), str(url), [*tags], [int(), int(), int(), int()] as seal]:
                name = name_of(key, variant)
                self.pending.pop(name, None)
                self.index.add(name, Known(size, url, tuple(map(str, tags)), (seal[0], seal[1], seal[2], seal[3])))
                self.memory.drop(key)
            case ["gone", str(name)]:
                self.index.drop(name)
            case ["purge", str(by), str(what)]:
                self.memory.announce(Purge(by, what))
                self.drop_meant(Purge(by, what))
                self.memory.purge(Purge(by, what))
            case _:
                self.journal.missed = True
        self.weigh()

    def flush(self, timeout: float) -> bool:
        """Wait until all that was to be written is; whether it is, after so many seconds."""
        return self._writer.flush(timeout)

    def close(self, timeout: float) -> None:
        """Write what waits, for at most so many seconds, and stop."""
        self._writer.close(timeout)
