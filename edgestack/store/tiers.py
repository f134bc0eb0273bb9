"""The store: memory, and behind it, where there is one, a disk. All that is asked of either is asked here.

    find(key)                      on the loop: from memory, or read from disk; never waits for another thread
    put(key, head, body, url)      in memory at once; on disk soon
    refresh(stored, head)          the same body under another head
    purge(url= | prefix= | tag=)   gone at once, here; in the other processes of the folder within milliseconds

The process may be killed at any time: what was not yet on disk is not there afterwards, nor any half of it. A purge
that was not carried out on disk either is no purge: `flush` waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgestack.http.caching import StoredHead
from edgestack.store.disk import Disk
from edgestack.store.draft import Draft
from edgestack.store.draft_file import DraftFile
from edgestack.store.memory import Memory
from edgestack.store.record import name_of
from edgestack.store.stored import Listed, Purge, StoredResponse, StoreStatistics

__all__ = ["Store"]

LARGEST = 16 * 1024 * 1024
"""Bytes of a body in memory, at most. Our number; `most` is what holds."""
INLINE = 1024 * 1024
"""Bytes of a body that comes in pieces, up to which it does not go to a file of its own as it comes."""
SHARE = 8
"""A body takes at most this part of a tier, so that one answer does not push out all others. Our number."""
LEAVE = 0.5
"""Seconds that what waits has to get to the disk at the end."""


class Store:
    """One place for stored responses."""

    def __init__(self, memory: int, disk: Path | None = None, disk_size: int = 0, name: str = "") -> None:
        """
        :param memory: bytes; 0 keeps nothing.
        :param disk: a folder; None for memory alone.
        :param disk_size: bytes that files may take there.
        :param name: what users call it.
        :raises OSError: the folder cannot be made, or not be written to.
        """
        self.name = name
        self.memory = Memory(memory)
        self._disk = Disk(disk, disk_size, self.memory) if disk is not None else None
        self.most = min(LARGEST, memory // SHARE, disk_size // SHARE if disk is not None else LARGEST)
        """Bytes of the largest body that is kept in memory."""
        self.largest = self.most if disk is None else disk_size // SHARE
        """Bytes of the largest body that is stored."""
        self.inline = self.most if disk is None else min(INLINE, self.most)
        """Bytes up to which a body that comes in pieces is collected in memory."""
        self.closed = False

    @property
    def moment(self) -> int:
        """A number for now; see `put`. To be taken before content is asked."""
        if self._disk is not None:
            self._disk.catch_up()
        return self.memory.moment

    def find(self, key: str) -> tuple[StoredResponse, ...]:
        """All that is stored under a key, of any variant. On any thread; reads at most about a megabyte."""
        disk = self._disk
        if disk is None:
            return self.memory.find(key)
        disk.catch_up()
        return self.memory.find(key) or self._from_disk(disk, key)

    def _from_disk(self, disk: Disk, key: str) -> tuple[StoredResponse, ...]:
        before = disk.changes
        found = disk.find(key)
        if found and all(isinstance(one.body, bytes) for one in found):
            with disk.lock:
                if disk.changes == before:
                    self.memory.replace(key, found)
        return found

    def put(
        self,
        key: str,
        head: StoredHead,
        body: bytes,
        url: str = "",
        tags: tuple[str, ...] = (),
        moment: int | None = None,
    ) -> StoredResponse | None:
        """Store a response, in the place of one with its key and variant. On any thread.

        :param url: what it was asked for by, and is purged by.
        :param moment: `moment`, as it was before content was asked; None: whatever was purged since, it is stored.
        :return: what is stored; None where it is too large, or was purged on its way.
        """
        if len(body) > self.most:
            return None
        stored = StoredResponse(key, head, body, url, tags)
        return stored if self._put(stored, moment) else None

    def draft(
        self, key: str, head: StoredHead, url: str, tags: tuple[str, ...] = (), moment: int | None = None
    ) -> Draft:
        """What `put` does, for a body that is still on its way."""
        return Draft(self, key, head, url, tags, moment)

    def draft_file(self, draft: Draft) -> DraftFile:
        """For one that has become long; only where there is a disk."""
        assert self._disk is not None
        return self._disk.draft_file(draft)

    def refresh(self, stored: StoredResponse, head: StoredHead, moment: int | None = None) -> StoredResponse:
        """The same body under another head, stored in its place unless it was purged since `moment`. On any thread."""
        renewed = StoredResponse(stored.key, head, stored.body, stored.url, stored.tags, stored.mark)
        self._put(renewed, moment)
        return renewed

    def _put(self, stored: StoredResponse, moment: int | None) -> bool:
        disk = self._disk
        if disk is None:
            return self.memory.put(stored, moment)
        others = self.find(stored.key)  # its other variants, into memory: what is there must be all there is
        if not self.memory.put(stored, moment):
            return False
        disk.put(stored)
        if moment is not None and self.memory.is_purged(stored, moment):  # since memory looked: not seen by the purge
            self._let_go(disk, stored)
            return False
        if not all(isinstance(one.body, bytes) for one in (stored, *others)):
            self.memory.drop(stored.key)  # what holds a file open stays on disk: so do the others
        return True

    def _let_go(self, disk: Disk, stored: StoredResponse) -> None:
        self.memory.drop(stored.key)
        disk.drop(stored)

    # -- letting go ----------------------------------------------------------------------------------------------------

    def forget(self, key: str) -> int:
        """Let go of all that is stored under a key; how many responses that were."""
        return self._purge(Purge("key", key))

    def purge(
        self, *, url: str | None = None, prefix: str | None = None, tag: str | None = None, everything: bool = False
    ) -> int:
        """Let go of what one of these names; how many responses that were, in this process' view. On any thread.

        :param url: as the cache knows it: `https://example.com/news?page=2`; without scheme and host, of every host.
        :param prefix: the beginning of such URLs.
        :param tag: one of the response's Cache-Tag or Surrogate-Key.
        :raises ValueError: none of them is given, or more than one.
        """
        named = {"url": url, "prefix": prefix, "tag": tag, "all": "" if everything else None}
        given = [Purge(by, what) for by, what in named.items() if what is not None]
        if len(given) != 1:
            raise ValueError("a purge is by url, by prefix, by tag, or of everything: by one of them")
        return self._purge(given[0])

    def _purge(self, purge: Purge) -> int:
        self.memory.announce(purge)  # first: what is put from here on knows of it
        on_disk = self._disk.purge(purge) if self._disk is not None else []
        gone = self.memory.purge(purge)
        return len({*on_disk, *(name_of(one.key, one.head.variant) for one in gone)})

    # -- telling -------------------------------------------------------------------------------------------------------

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """What is stored, by the beginning of its URL. On any thread."""
        files = {}
        if self._disk is not None:
            self._disk.catch_up()
            with self._disk.lock:
                files = {name: one for name, one in self._disk.index.files.items() if one.url.startswith(prefix)}
        here = {name_of(one.key, one.head.variant): one for one in self.memory.all() if one.url.startswith(prefix)}
        for name, one in here.items():
            yield Listed(one.url, one.tags, one.size, "both" if name in files else "memory")
        for name, known in files.items():
            if name not in here:
                yield Listed(known.url, known.tags, known.size, "disk")

    def statistics(self) -> StoreStatistics:
        """What there is now, and what became of it."""
        memory, disk = self.memory, self._disk
        found = StoreStatistics(
            len(memory), memory.weight + memory.held, memory.limit, evicted=memory.evicted, refused=memory.refused
        )  # fmt: skip
        if disk is None:
            return found
        return found._replace(
            files=len(disk.index.files), disk=disk.index.size + disk.drafted, disk_most=disk.limit,
            loading=disk.loading, evicted=memory.evicted + disk.evicted, broken=disk.broken, unwritten=disk.unwritten,
        )  # fmt: skip

    def flush(self, timeout: float = LEAVE) -> bool:
        """Wait, on this thread, until all that was to be done on disk is; whether it is, after so many seconds."""
        return self._disk.flush(timeout) if self._disk is not None else True

    def close(self) -> None:
        """Let what waits get to the disk, and stop. What is put afterwards may be lost."""
        self.closed = True
        if self._disk is not None:
            self._disk.close(LEAVE)
