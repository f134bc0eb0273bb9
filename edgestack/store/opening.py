"""Stores are opened here, and known for as long as they are open: who purges from application code has no other way.

A process may have several of one name: two edges in a test, or one that reloads.
"""

from __future__ import annotations

import threading
import weakref

from edgestack.config.caching import Cache
from edgestack.errors import ConfigError
from edgestack.store.tiers import LARGEST, Store

__all__ = ["open_nothing", "open_store", "open_stores"]

_open: weakref.WeakSet[Store] = weakref.WeakSet()
_lock = threading.Lock()


def open_store(section: Cache) -> Store:
    """The store of a section.

    :raises ConfigError: its folder cannot be used.
    """
    try:
        store = Store(section.memory, section.disk, section.disk_size, section.name)
    except OSError as error:
        raise ConfigError(
            f"the folder {section.disk} cannot be used for stored responses: {error.strerror or error}",
            hint="the user that runs the server must be allowed to write there",
        ) from None
    with _lock:
        _open.add(store)
    return store


def open_nothing(section: Cache) -> Store:
    """A store that keeps nothing and opens nothing: for plans that are only looked at. What is too large for a store is
    not so for this one's smallness."""
    store = Store(0, name=section.name)
    store.largest = LARGEST
    return store


def open_stores() -> list[Store]:
    """Those of this process that are open."""
    with _lock:
        return [store for store in _open if not store.closed]
