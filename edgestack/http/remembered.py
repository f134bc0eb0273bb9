"""Tables that remember what was worked out before, and forget by themselves.

A connection's second request looks much like its first, and the next client's like the last one's: the same field
lines, the same paths, the same host. What was read and checked once is found again whole, in one dict lookup.

Two generations bound the memory: what is used moves to (or stays in) the young one; when the young one's budget is
spent it becomes the old one, and what was old and not asked for is gone. So a flood of new keys cannot push out what
real clients keep using, and no clock or list is touched at a hit. Nothing here knows what the keys mean.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

__all__ = ["Remembered"]

K = TypeVar("K")
V = TypeVar("V")


class Remembered(dict[K, V]):
    """A dict that makes what it misses. A hit costs what a dict lookup costs: use `table[key]`, never `get`.

    A race between threads loses an entry, at worst; it never gives a wrong one.
    """

    __slots__ = ("budget", "old", "spent")

    def __init__(self, budget: int) -> None:
        """
        :param budget: what one generation may cost, in the unit of `weigh` (bytes, or entries); there are two.
        """
        super().__init__()
        self.budget = budget
        self.spent = 0
        self.old: dict[K, V] = {}

    @abstractmethod
    def make(self, key: K) -> V:
        """Work `key` out. What it raises passes to the caller, and nothing is remembered."""

    @abstractmethod
    def weigh(self, key: K, value: V) -> int:
        """What remembering costs; 0 means never to remember this one."""

    def __missing__(self, key: K) -> V:
        value = self.old.get(key)
        if value is None:
            value = self.make(key)
        cost = self.weigh(key, value)
        if cost:
            if self.spent + cost > self.budget:
                self.old = dict(self)  # a plain dict of some thousand entries: tens of microseconds, now and then
                self.clear()
                self.spent = 0
            self.spent += cost
            self[key] = value
        return value
