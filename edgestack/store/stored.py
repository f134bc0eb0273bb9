"""The values of the store, and what a purge names.

A stored response is never changed: another head, or another body, makes another one. Its key and the variant of its
head (the request fields that Vary names, RFC 9111 §4.1) name it; its URL and tags are what it is purged by.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import count
from typing import Any, NamedTuple, Protocol

from edgestack.http.bodies import FileSegment
from edgestack.http.caching import StoredHead

__all__ = ["Headed", "Listed", "Purge", "Purgeable", "StoreStatistics", "StoredResponse", "covers"]

ENTRY = 2000
"""Bytes that one entry takes beside what is counted, with its place in the tables and the answer that is made of it
once (measured with tracemalloc on CPython 3.11; tests/store/test_store_memory.py holds it to that)."""
FIELD = 220
"""The same for one field: a pair, its two strings, and its place in the answer."""

_marks = count()


class StoredResponse:
    """One response that is kept."""

    __slots__ = ("body", "given", "head", "key", "mark", "tags", "url", "weight")

    def __init__(
        self, key: str, head: StoredHead, body: bytes | FileSegment, url: str = "", tags: tuple[str, ...] = (),
        mark: Hashable = None,
    ) -> None:  # fmt: skip
        """
        :param key: the primary key (RFC 9111 §2).
        :param body: all of it; a run of a file where it is large and on disk.
        :param url: what was asked for, as it is purged by.
        :param tags: groups that it is purged with (Cache-Tag, Surrogate-Key).
        :param mark: names these very bytes; None for a name that nothing else has.
        """
        self.key = key
        self.head = head
        self.body = body
        self.url = url
        self.tags = tags
        self.mark = next(_marks) if mark is None else mark
        """Names the very bytes of its body, for whoever keeps what follows from them."""
        self.given: Any = None
        """What its owner makes of it once, and keeps for as long as it is in memory."""
        named = sum(map(len, tags)) + 60 * len(tags)
        fields = sum(len(name) + len(value) + FIELD for name, value in head.fields)
        here = len(body) if isinstance(body, bytes) else 0
        self.weight = ENTRY + 2 * len(key) + len(url) + 2 * len(head.variant) + named + fields + here
        """Bytes of memory, about."""

    @property
    def size(self) -> int:
        """Bytes of its body."""
        return len(self.body) if isinstance(self.body, bytes) else self.body.length


class Purge(NamedTuple):
    """What is to go."""

    by: str
    """url, prefix, tag, key, or all."""
    what: str = ""


class Purgeable(Protocol):
    """What a purge may be about."""

    @property
    def key(self) -> str:
        """Its primary key."""

    @property
    def url(self) -> str:
        """What was asked for."""

    @property
    def tags(self) -> tuple[str, ...]:
        """Its groups."""


class Headed(Purgeable, Protocol):
    """What is told of a file that is written."""

    @property
    def head(self) -> StoredHead:
        """Its head."""


class Listed(NamedTuple):
    """One line of the list of what is stored."""

    url: str
    tags: tuple[str, ...]
    size: int
    """Bytes: of its body in memory, of its file on disk."""
    place: str
    """memory, disk, or both."""


class StoreStatistics(NamedTuple):
    """What a store holds now, and what became of it since it was opened."""

    entries: int
    """In memory."""
    memory: int
    """Bytes of memory, with what is known of the disk."""
    memory_most: int
    files: int = 0
    """On disk."""
    disk: int = 0
    """Bytes on disk."""
    disk_most: int = 0
    loading: bool = False
    """Whether the folder is still being read."""
    evicted: int = 0
    """Let go for want of room, from either tier."""
    broken: int = 0
    """Files that were not whole, and so were not used."""
    unwritten: int = 0
    """Responses that did not get to the disk: it was full, failing, or too slow."""
    refused: int = 0
    """Responses that were not stored, because too much was on its way at once."""


def covers(purge: Purge) -> Callable[[Purgeable], bool]:
    """Whether something is meant. A URL may be given without scheme and host: `/news/`."""
    by, what = purge
    read = _path_of if what.startswith("/") else str
    tests: dict[str, Callable[[Purgeable], bool]] = {
        "url": lambda one: read(one.url) == what,
        "prefix": lambda one: read(one.url).startswith(what),
        "tag": lambda one: what in one.tags,
        "key": lambda one: one.key == what,
        "all": lambda one: True,
    }
    return tests.get(by, lambda one: False)


def _path_of(url: str) -> str:
    """Path and query of a URL."""
    start = url.find("/", url.find("://") + 3)
    return url[start:] if start >= 0 else ""
