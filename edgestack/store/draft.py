"""A body on its way into the store, piece by piece, of which nobody knows yet whether its end will come.

    add       one more piece; False: given up, it is too large, or there is no room for it now
    finish    that was all: stored, or not
    drop      its end will not come

What is on its way takes room too: all drafts together at most a part of the memory (`Memory.lend`), however many
answers come at once and however slowly. Beyond a megabyte a body goes to a file as it comes, where there is a disk
(draft_file.py), and is in memory only until it is written; so it may be as large as the disk allows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgestack.http.bodies import FileSegment
from edgestack.http.caching import StoredHead
from edgestack.store.draft_file import DraftFile

if TYPE_CHECKING:
    from edgestack.store.tiers import Store

__all__ = ["Draft"]

Done = Callable[[bool], None]


class Draft:
    """One body. For one party at a time, on any thread."""

    __slots__ = ("_buffer", "_file", "_over", "_store", "head", "key", "moment", "size", "tags", "url")

    def __init__(
        self, store: Store, key: str, head: StoredHead, url: str, tags: tuple[str, ...], moment: int | None
    ) -> None:
        """See `Store.put`."""
        self._store = store
        self._buffer = bytearray()
        self._file: DraftFile | None = None
        self._over = False
        self.key = key
        self.head = head
        self.url = url
        self.tags = tags
        self.moment = moment
        self.size = 0
        """Bytes that came."""

    def add(self, piece: bytes) -> bool:
        """One more piece; False where it is given up."""
        if not self._grows(len(piece)) or not self._lent(len(piece)):
            return False
        if self._file is None and len(self._buffer) + len(piece) > self._store.inline:
            self._to_file()
        if self._file is not None:
            self._file.add(piece)
        else:
            self._buffer += piece
        return True

    def file(self, segment: FileSegment) -> bool:
        """A run of a file as one more; where there is a disk, it is read on the writer's thread."""
        store, done = self._store, 0
        if segment.length > store.inline:
            if not self._grows(segment.length):
                return False
            if self._file is None:
                self._to_file()
            self._file.add_file(segment)  # type: ignore[union-attr] # there is one now
            return True
        while done < segment.length and self.add(piece := bytes(segment.read(done, segment.length))):
            if not piece:
                self.drop()
            done += len(piece)
        return done == segment.length

    def whole(self, body: bytes, done: Done) -> None:
        """All of it, at once, and no piece before."""
        if len(body) > self._store.most:
            self.add(body)
            self.finish(done)
            return
        self._over = True
        done(self._put(body))

    def finish(self, done: Done) -> None:
        """That was all.

        :param done: told whether it is stored, once it can be found; where a file is written, on the writer's thread.
        """
        if self._over:
            done(False)
            return
        self._over = True
        if self._file is not None:
            self._file.commit(done)
            return
        body, self._buffer = bytes(self._buffer), bytearray()
        self._store.memory.lend(-len(body))
        done(self._put(body))

    def drop(self) -> None:
        """Its end will not come. Harmless after it did."""
        if not self._over:
            self._give_up()

    def _put(self, body: bytes) -> bool:
        return self._store.put(self.key, self.head, body, self.url, self.tags, self.moment) is not None

    def _grows(self, size: int) -> bool:
        """Whether it may be so many bytes longer; else it is given up."""
        self.size += size
        failed = self._file is not None and self._file.failed
        if not self._over and (failed or self.size > self._store.largest):
            self._give_up()
        return not self._over

    def _lent(self, size: int) -> bool:
        if not self._store.memory.lend(size):
            self._give_up()
        return not self._over

    def _to_file(self) -> None:
        self._file = self._store.draft_file(self)
        if self._buffer:
            self._file.add(bytes(self._buffer))
            self._buffer = bytearray()

    def _give_up(self) -> None:
        self._over = True
        if self._file is not None:
            self._file.abandon()
        elif self._buffer:
            self._store.memory.lend(-len(self._buffer))
            self._buffer = bytearray()
