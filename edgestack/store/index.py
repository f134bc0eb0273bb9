"""What is in the folder, by heart: so that what is not there costs no look at the disk.

Keys are not kept, but the names that are made of them (record.py). The order is that of use in this process. Not safe
for two threads at once: the disk has a lock.
"""

from __future__ import annotations

from collections import OrderedDict

from edgestack.store.memory import Groups
from edgestack.store.record import Seal, name_of
from edgestack.store.stored import Purge, covers

__all__ = ["Index", "Known", "group_of"]

ENTRY = 700
"""Bytes of memory that one file takes here beside its URL and tags (measured with tracemalloc on CPython 3.11)."""
BLOCK = 4096
"""Bytes that a file takes at least; every common file system counts in them."""


class Known:
    """A file in the folder."""

    __slots__ = ("seal", "size", "tags", "url", "weight")

    key = ""
    """Not kept: who asks by key asks for names."""

    def __init__(self, size: int, url: str, tags: tuple[str, ...], seal: Seal | None) -> None:
        """:param seal: the state in which it was seen to be whole; None before that."""
        self.size = -(-size // BLOCK) * BLOCK
        self.url = url
        self.tags = tags
        self.seal = seal
        self.weight = ENTRY + len(url) + sum(map(len, tags)) + 60 * len(tags)


def group_of(name: str) -> str:
    """What the names of one key have in common."""
    return name.partition("-")[0]


class Index:
    """All files of a folder."""

    def __init__(self) -> None:
        self.files: OrderedDict[str, Known] = OrderedDict()
        self.size = 0
        """Bytes on disk."""
        self.weight = 0
        """Bytes of memory, about."""
        self._groups = Groups()
        self._urls = Groups()

    def of_key(self, key: str) -> list[str]:
        """The names under which something with this key is stored."""
        return self._groups.of(group_of(name_of(key, "")))

    def meant(self, purge: Purge) -> list[str]:
        """The names that a purge is about."""
        if purge.by == "key":
            return self.of_key(purge.what)
        if purge.by == "url" and not purge.what.startswith("/"):
            return self._urls.of(purge.what)
        meant = covers(purge)
        return [name for name, known in self.files.items() if meant(known)]

    def add(self, name: str, known: Known) -> None:
        """A file is there, or is another one now."""
        self.drop(name)
        self.files[name] = known
        self.size += known.size
        self.weight += known.weight
        self._groups.add(group_of(name), name)
        self._urls.add(known.url, name)

    def drop(self, name: str) -> bool:
        """A file is there no more; whether it was."""
        known = self.files.pop(name, None)
        if known is None:
            return False
        self.size -= known.size
        self.weight -= known.weight
        self._groups.drop(group_of(name), name)
        self._urls.drop(known.url, name)
        return True
