"""The first tier: responses in memory, by key; when room is needed, what was asked for longest ago goes.

Bounded by bytes, and by what others reserve of them: what is on its way to the disk, and what is known of it. Safe on
any thread; the lock is never held while anything is read or written.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque

from edgestack.store.stored import Purge, Purgeable, StoredResponse, covers

__all__ = ["VARIANTS", "Groups", "Memory"]

VARIANTS = 64
"""Responses under one key, in either tier; beyond that the oldest goes. Our number: a request compares itself with each
of them, and one that memory has forgotten reads them all."""
DRAFTS = 4
"""Of the memory, a quarter may be bodies that are still on their way. Our number: 16 MB, as a rule."""
PURGES = 256
"""Purges that are remembered for the sake of responses on their way; what was asked for before them is not kept."""

Variants = tuple[StoredResponse, ...]


class Groups:
    """Which names belong to a URL, or to a key: nearly always one."""

    __slots__ = ("_table",)

    def __init__(self) -> None:
        self._table: dict[str, str | dict[str, None]] = {}

    def of(self, group: str) -> list[str]:
        """The names that belong to it, in the order in which they came."""
        found = self._table.get(group, ())
        return [found] if isinstance(found, str) else list(found)

    def add(self, group: str, name: str) -> None:
        """One more."""
        found = self._table.setdefault(group, name)
        if isinstance(found, dict):
            found[name] = None
        elif found != name:
            self._table[group] = {found: None, name: None}

    def drop(self, group: str, name: str) -> None:
        """One less."""
        found = self._table.get(group)
        if isinstance(found, dict):
            found.pop(name, None)
        if not found or found == name:
            self._table.pop(group, None)

    def clear(self) -> None:
        """None at all."""
        self._table.clear()


class Memory:
    """Responses in memory."""

    def __init__(self, limit: int) -> None:
        """:param limit: bytes."""
        self.limit = limit
        self.weight = 0
        """Bytes in use, without what is reserved."""
        self.held = 0
        """Bytes that others reserved."""
        self.lent = 0
        """Bytes of those that bodies on their way have."""
        self.refused = 0
        """How often that was too much, and a body was given up."""
        self.evicted = 0
        self.moment = 0
        """How often something was purged: a response that was asked for before may be what the purge was meant for."""
        self._purges: deque[Purge] = deque(maxlen=PURGES)
        self._table: OrderedDict[str, Variants] = OrderedDict()
        self._urls = Groups()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many responses."""
        return len(self.all())

    def all(self) -> Variants:
        """Everything, as it is now."""
        with self._lock:
            return tuple(one for variants in self._table.values() for one in variants)

    def find(self, key: str) -> Variants:
        """What is stored under a key."""
        with self._lock:
            found = self._table.get(key)
            if found is None:
                return ()
            self._table.move_to_end(key)
            return found

    def put(self, stored: StoredResponse, moment: int | None = None) -> bool:
        """Keep a response, in the place of one with its key and variant.

        :param moment: when it was asked for. False: what it belongs to was purged since.
        """
        with self._lock:
            if moment is not None and self._is_purged(stored, moment):
                return False
            variant = stored.head.variant
            others = [one for one in self._table.get(stored.key, ()) if one.head.variant != variant]
            self._set(stored.key, (*others[1 - VARIANTS :], stored))
            self._make_room()
            return True

    def replace(self, key: str, variants: Variants) -> None:
        """Keep exactly these under a key."""
        with self._lock:
            self._set(key, variants)
            self._make_room()

    def drop(self, key: str) -> None:
        """Let go of a key."""
        with self._lock:
            self._drop(key)

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._table.clear()
            self._urls.clear()
            self.weight = 0

    def announce(self, purge: Purge) -> None:
        """From now on nothing is kept that is meant and was asked for before."""
        with self._lock:
            self.moment += 1
            self._purges.append(purge)

    def is_purged(self, stored: Purgeable, moment: int) -> bool:
        """Whether what it belongs to was purged since it was asked for."""
        with self._lock:
            return self._is_purged(stored, moment)

    def purge(self, purge: Purge) -> list[StoredResponse]:
        """Let go of what is meant, which was announced."""
        with self._lock:
            keys = self._keys(purge)
        return [one for key in keys for one in self._purge_key(key, purge)]

    def _keys(self, purge: Purge) -> list[str]:
        """Where something is that is meant, in a look at each only where that must be."""
        if purge.by == "key":
            return [purge.what]
        if purge.by == "url" and not purge.what.startswith("/"):
            return self._urls.of(purge.what)
        return [key for key, variants in self._table.items() if any(map(covers(purge), variants))]

    def _purge_key(self, key: str, purge: Purge) -> list[StoredResponse]:
        meant = covers(purge)
        with self._lock:
            before = self._table.get(key, ())
            self._set(key, tuple(one for one in before if not meant(one)))
        return [one for one in before if meant(one)]

    def reserve(self, size: int) -> bool:
        """Hold bytes for something else, or say that they are not to be had; a negative size gives them back."""
        with self._lock:
            if size > 0 and self.held + size > self.limit:
                return False
            self.held += size
            self._make_room()
            return True

    def lend(self, size: int) -> bool:
        """The same for bodies on their way, which together have no more than their share."""
        with self._lock:
            if size > 0 and self.lent + size > self.limit // DRAFTS:
                self.refused += 1
                return False
            self.lent += size
            self.held += size
            self._make_room()
            return True

    def reserve_known(self, size: int) -> None:
        """Hold bytes that are in use already, and bounded elsewhere."""
        with self._lock:
            self.held += size
            self._make_room()

    # -- with the lock -------------------------------------------------------------------------------------------------

    def _is_purged(self, stored: Purgeable, moment: int) -> bool:
        missed = self.moment - moment
        recent = list(self._purges)[-missed:] if missed else []
        return missed > len(recent) or any(covers(purge)(stored) for purge in recent)

    def _set(self, key: str, variants: Variants) -> None:
        self._drop(key)
        if variants:
            self._table[key] = variants
            self.weight += sum(one.weight for one in variants)
            for one in variants:
                self._urls.add(one.url, key)

    def _drop(self, key: str) -> int:
        variants = self._table.pop(key, ())
        self.weight -= sum(one.weight for one in variants)
        for one in variants:
            self._urls.drop(one.url, key)
        return len(variants)

    def _make_room(self) -> None:
        while self._table and self.weight + self.held > self.limit:
            self.evicted += self._drop(next(iter(self._table)))
