"""Each `[cache.NAME]`, and the `cache` of each route: does it lead somewhere, and does each key of it do something?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgestack.config.caching import Cache, RouteCache
from edgestack.config.model import Route
from edgestack.config.positions import Mark
from edgestack.config.problems import did_you_mean, listed
from edgestack.config.reading import Reading
from edgestack.config.route_checks import parts

__all__ = ["check_caches", "settled_caches"]


def settled_caches(found: Sequence[tuple[str, Cache]], mark: Mark, reading: Reading) -> tuple[Cache, ...]:
    """The caches with their names; what is wrong with one is kept by `reading`."""
    folders: dict[Path, str] = {}
    for name, cache in found:
        said = parts(mark.child(name))
        if "disk_size" in said and "disk" not in said:
            reading.key_problem(said["disk_size"], "`disk_size` needs a folder", "add `disk`", key="disk_size")
        other = folders.setdefault(cache.disk.absolute(), name) if cache.disk is not None else name
        if other != name:
            why = f"[cache.{other}] has this folder already, and each counts only its own bytes"
            reading.problem(said["disk"], why, key="disk")
    return tuple(replace(cache, name=name, origin=mark.child(name).origin) for name, cache in found)


def check_caches(placed: Sequence[tuple[Route, Mark]], names: Sequence[str], reading: Reading) -> None:
    """Every route that keeps answers.

    :param names: of the caches.
    """
    for route, mark in placed:
        if route.cache is not None:
            _check(mark, route.cache, names, reading)


def _check(mark: Mark, section: RouteCache, names: Sequence[str], reading: Reading) -> None:
    place = mark.child("cache")
    said = parts(place)
    if not parts(mark).keys() & {"app", "proxy"}:
        why = "`cache` keeps what an application or a proxied server has answered, and this route has neither"
        reading.key_problem(place, why, key="cache")
    if section.store and section.store not in names:
        known = f"there is {listed(names)}" if names else "it is written `[cache.NAME]`"
        hint = did_you_mean(section.store, names, quote='"') or known
        reading.problem(said["store"], f"no cache is called {section.store!r}", hint, key="store")
    if not section.store and len(names) > 1:
        why = f"there are {len(names)} caches"
        reading.key_problem(place, why, f"name one: store = {listed([repr(one) for one in names], 'or')}", key="cache")
    if not section.lock and "lock_timeout" in said:
        reading.key_problem(said["lock_timeout"], "without `lock` nobody waits", key="lock_timeout")
    seen: dict[int, str] = {}
    for (statuses, _), written in zip(section.valid, parts(said["valid"]) if "valid" in said else (), strict=False):
        for status in statuses:
            earlier = seen.setdefault(status, written)
            if earlier != written:
                why = f"{status or 'any'} has two durations"
                reading.key_problem(said["valid"].child(written), why, f'it is in "{earlier}" already', key=written)
