"""The control socket's verb `cache`: purge, list and statistics of a running edge's caches.

    {"verb": "cache", "do": "purge", "by": "tag", "what": "news", "store": "main"}   -> {"purged": 3}
    {"verb": "cache", "do": "list", "prefix": "https://example.com/news/"}           -> {"stored": [[url, …], …]}
    {"verb": "cache", "do": "stats"}                                                 -> {"caches": {"main": {…}}}

Without "store" all caches are meant. What may look at a folder is done on a thread.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import Any

from edgestack.caching.zone import Zone, Zones
from edgestack.errors import ConfigError
from edgestack.process.control import Message
from edgestack.store import Store
from edgestack.wire.held_clock import on_thread

__all__ = ["cache_order"]

PURGES = ("url", "prefix", "tag", "everything")
MOST = 1000
"""Stored responses in one list: the answer has its bound, and nobody reads more."""


async def cache_order(zones: Zones, request: Message) -> Message:
    """What comes of an order.

    :raises ConfigError: it is none, or there is no such cache.
    """
    found = _meant(zones, request.get("store"))
    do = request.get("do")
    if do == "purge":
        by, what = request.get("by"), request.get("what")
        if by not in PURGES or not isinstance(what, bool if by == "everything" else str) or not what:
            raise ConfigError("a purge is by url, prefix or tag, and says which; or of everything")
        said: dict[str, Any] = {by: what}
        counts: list[int] = [await on_thread(partial(zone.store.purge, **said)) for zone in found]
        return {"purged": sum(counts)}
    if do == "list":
        prefix = request.get("prefix") or ""
        return {"stored": await on_thread(_listed, [zone.store for zone in found], str(prefix))}
    if do == "stats":
        return {"caches": {zone.section.name: zone.store.statistics()._asdict() for zone in found}}
    raise ConfigError("an order to the cache is purge, list or stats")


def _listed(stores: list[Store], prefix: str) -> list[list[object]]:
    every = (list(one) for store in stores for one in store.list(prefix))
    return list(islice(every, MOST))


def _meant(zones: Zones, name: object) -> list[Zone]:
    known = {zone.section.name: zone for zone in zones.all()}
    if name is None:
        return list(known.values())
    if name not in known:
        there = ", ".join(sorted(one or "the one without a name" for one in known)) or "none"
        raise ConfigError(f"no cache is called {name!r}", hint=f"there is {there}")
    return [known[str(name)]]
