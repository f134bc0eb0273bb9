"""One `[cache.NAME]`, alive: its store, what is being fetched for it, and work in the background.

    Zones          of a Stack: a Zone for each section, which outlives plans; the nursery and the clock
      Zone         one section: its store, Fills by key, keys that are not worth waiting for, counts for `min_uses`
        Fill       one answer on its way to the store, and those who wait for it

Everything here is the loop's; application threads come by `post`. Tables of keys that strangers choose are bounded.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import trio

from edgestack.config.caching import Cache
from edgestack.errors import EdgeError
from edgestack.http.messages import Exchange
from edgestack.store import Store, open_store
from edgestack.wire.held_clock import jumps_by_itself, on_thread

__all__ = ["Fill", "Zone", "Zones"]

KEYS = 4096
"""Keys of which a zone remembers that their answers were not stored, or how often they were asked for; our number."""
NOT_WORTH_WAITING = 10.0
"""Seconds for which requests for what could not be stored do not wait for each other. Our number: long enough that
pages which never can be are not collapsed, short enough that one which was an exception soon is again."""

log = logging.getLogger("edgestack.error")


class Fill:
    """One answer on its way to the store."""

    __slots__ = ("error", "over", "paused", "whole")

    def __init__(self) -> None:
        self.over = trio.Event()
        """Set when it is stored, or is known not to be."""
        self.whole = False
        """Whether all of it has come, and it is only the store's to be done with it."""
        self.paused = False
        """Whether it waits for the client that it is sent to, who may take his time."""
        self.error: EdgeError | None = None
        """Why there was no answer at all: those who waited have the same."""


class Zone:
    """One place for stored responses."""

    def __init__(self, section: Cache, store: Store, zones: Zones) -> None:
        self.section = section
        self.store = store
        self.fills: dict[str, Fill] = {}
        self._zones = zones
        self._unworthy: dict[str, float] = {}
        self._uses: dict[str, int] = {}

    def now(self) -> float:
        """Seconds since 1970."""
        return self._zones.now()

    # -- what is being fetched -----------------------------------------------------------------------------------------

    def begin(self, key: str) -> Fill | None:
        """Somebody is about to ask for an answer that others may wait for; None where somebody else is at it."""
        if key in self.fills:
            return None
        fill = self.fills[key] = Fill()
        return fill

    def end(
        self, key: str, fill: Fill, error: EdgeError | None = None, *, stored: bool | None = None
    ) -> None:  # fmt: skip
        """It is over. Only the first call counts. On any thread.

        :param error: there was no answer at all.
        :param stored: whether the answer was stored; None where nobody waited for it to its end.
        """
        if not self._zones.is_here():
            self._zones.post(lambda: self.end(key, fill, error, stored=stored))
            return
        if fill.over.is_set():
            return
        if self.fills.get(key) is fill:
            del self.fills[key]
        fill.error = error
        if stored:
            self._unworthy.pop(key, None)
        elif stored is not None:
            _bounded(self._unworthy)[key] = self.now() + NOT_WORTH_WAITING
        fill.over.set()

    def give_up(self, key: str) -> None:
        """Somebody has waited in vain. Where that was for the store, which hangs, or for a client that takes the answer
        slowly, nobody else need wait."""
        fill = self.fills.get(key)
        if fill is not None and (fill.whole or fill.paused):
            self.end(key, fill, stored=False)

    def is_worth_waiting(self, key: str) -> bool:
        """Whether what comes for this key will probably be stored."""
        return self._unworthy.get(key, -math.inf) < self.now()

    def is_asked_often(self, key: str, least: int) -> bool:
        """Count one use; whether those are enough for it to be stored (nginx: proxy_cache_min_uses)."""
        if least == 1:
            return True
        uses = min(self._uses.pop(key, 0) + 1, least)
        _bounded(self._uses)[key] = uses
        return uses >= least

    # -- in the background ---------------------------------------------------------------------------------------------

    def start_soon(self, work: Callable[[], Awaitable[None]], exchange: Exchange) -> bool:
        """Do it beside everything else, as long as the edge runs. False: nothing runs, as in memory.

        :param exchange: whose request it began with, for the log.
        """
        return self._zones.start_soon(work, exchange)

    def post(self, callback: Callable[[], None]) -> None:
        """Run it on the loop; from application threads."""
        self._zones.post(callback)


class Zones:
    """What all zones of a running edge share."""

    def __init__(self, make_store: Callable[[Cache], Store] = open_store) -> None:
        """:param make_store: opens the store of a section."""
        self._make_store = make_store
        self._zones: dict[Cache, Zone] = {}
        self._nursery: trio.Nursery | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._thread = 0
        self.now: Callable[[], float] = time.time
        """Seconds since 1970; a test's own time where its clock jumps by itself."""

    def zone(self, section: Cache) -> Zone:
        """That of a section; the same as before where the section is."""
        zone = self._zones.get(section)
        if zone is None:
            zone = self._zones[section] = Zone(section, self._make_store(section), self)
        return zone

    def all(self) -> list[Zone]:
        """Those that there are."""
        return list(self._zones.values())

    def adopt(self, sections: Collection[Cache]) -> None:
        """Close those that no section asks for any more. What is stored on disk stays there."""
        for section in [one for one in self._zones if one.name and one not in sections]:
            store = self._zones.pop(section).store
            if self._nursery is not None:
                self._nursery.start_soon(on_thread, store.close)  # it may have something to write yet
            else:
                store.close()

    def close(self) -> None:
        """Close all of them."""
        for zone in self._zones.values():
            zone.store.close()
        self._zones.clear()
        self._nursery = None

    def bind(self, nursery: trio.Nursery) -> None:
        """From now on there is a loop. On it."""
        self._nursery = nursery
        self._thread = threading.get_ident()
        self._token = trio.lowlevel.current_trio_token()
        clock = trio.lowlevel.current_clock()
        if jumps_by_itself(clock):
            since = time.time() - clock.current_time()
            self.now = lambda: since + clock.current_time()

    def start_soon(self, work: Callable[[], Awaitable[None]], exchange: Exchange) -> bool:
        """See `Zone.start_soon`."""
        if self._nursery is None:
            return False
        self._nursery.start_soon(_supervised, work, exchange)
        return True

    def is_here(self) -> bool:
        """Whether this is the loop's thread; without a loop everything is."""
        return self._thread in (0, threading.get_ident())

    def post(self, callback: Callable[[], None]) -> None:
        """See `Zone.post`."""
        if self._token is None:
            callback()
            return
        try:
            self._token.run_sync_soon(callback)
        except trio.RunFinishedError:
            pass  # nobody waits any more


async def _supervised(work: Callable[[], Awaitable[None]], exchange: Exchange) -> None:
    """The boundary for work that no client waits for."""
    request = exchange.request
    try:
        await work()
    except EdgeError as error:
        log.warning("%s: %s %s: not refreshed: %s", exchange.request_id, request.method, request.target, error)
    except Exception:
        log.exception("%s: %s %s: a refresh failed", exchange.request_id, request.method, request.target)


def _bounded(table: dict[str, Any]) -> dict[str, Any]:
    """The table, with room for one more: the oldest goes."""
    if len(table) >= KEYS:
        del table[next(iter(table))]
    return table
