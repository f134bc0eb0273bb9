"""From what was read to what is wanted: `File` and its places -> `Config`, checked as a whole.

listeners, certificates     listen_checks.py
each route by itself        route_checks.py     then presets.py and inheriting.py fill in what it does not say
routes against each other   reach_checks.py
sites against each other    site_checks.py
upstreams, and who proxies  upstream_checks.py, proxy_checks.py
caches, and who keeps       cache_checks.py
maps, log formats, tests    map_checks.py
templates                   reading.py, when all of that is known
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgestack.config.cache_checks import check_caches, settled_caches
from edgestack.config.inheriting import inherited
from edgestack.config.listen_checks import certificates, listeners
from edgestack.config.map_checks import (
    check_formats,
    check_noted,
    check_tests,
    own_variables,
    settled_maps,
    unfit_maps,
)
from edgestack.config.matching import choose
from edgestack.config.model import Config, File, Limit, Route, Rules, Site
from edgestack.config.positions import Mark, Origin
from edgestack.config.presets import MEANINGS, with_presets
from edgestack.config.proxy_checks import check_proxies
from edgestack.config.reach_checks import check_inside, check_reach
from edgestack.config.reading import Reading
from edgestack.config.route_checks import check_route, check_rules, parts
from edgestack.config.site_checks import settled_sites
from edgestack.config.upstream_checks import settled_upstreams

__all__ = ["assemble"]

Placed = tuple[Route, Mark]


def assemble(file: File, mark: Mark, reading: Reading, files: Sequence[Path]) -> Config:
    """The whole configuration; what is wrong with it is kept by `reading`.

    :param mark: of the whole document.
    :param files: the configuration files themselves, which are never served (C15).
    """
    found = listeners(file, mark, reading)
    tls = certificates(file, mark, reading, found)
    upstreams = settled_upstreams(file.upstream, mark.child("upstream"), reading)
    caches = settled_caches(file.cache, mark.child("cache"), reading)
    maps = settled_maps(file.map, mark.child("map"), reading)
    check_formats(file.log_formats, file.server.log.format, mark, reading)
    formats = dict(file.log_formats)
    _check_strays(file, mark, reading)
    routes = _routes(file.route, None, None, "", formats, reading)
    check_inside(Site(), mark, list(zip(routes, _marks(file.route), strict=True)), reading)
    sites = _sites(file, formats, reading)
    every = sites or [Site(default=True, routes=tuple(routes))]
    placed = [*file.route, *(pair for site, _ in file.site for pair in site.routes)]
    check_proxies(placed, [name for name, _ in file.upstream], reading)
    check_caches(placed, [name for name, _ in file.cache], reading)
    check_tests(file.test, every, reading)
    check_noted(_rule_marks(file), maps, reading)
    variables = own_variables(maps, every, parts(mark.child("map")))
    reading.check_templates(variables, unfit_maps(maps, mark.child("map")))
    tests = tuple(replace(test, origin=place.origin) for test, place in file.test)
    server = replace(file.server, private_paths=_private(file, every, files))
    groups = (maps, upstreams, caches, file.log_formats)
    return Config(server, found, tls, tuple(routes), tuple(sites), *groups, tests)


def _check_strays(file: File, mark: Mark, reading: Reading) -> None:
    """Routes without a site have no host to be asked for where there are sites."""
    if file.site and file.route:
        why = "with sites, every route belongs to one"
        reading.key_problem(file.route[0][1], why, "write `[[site.route]]` below the site", key="route")


def _sites(file: File, formats: dict[str, str], reading: Reading) -> list[Site]:
    """The sites, settled, with finished routes."""
    made = []
    settled = settled_sites(file.site, reading)
    for site, (_, mark) in zip(settled, file.site, strict=True):
        check_rules(site, mark, formats, reading)
        for name in site.preset:
            if MEANINGS[name].try_:
                reading.problem(
                    mark.child("preset"), f'the preset "{name}" is for a route', "put it there", key="preset"
                )
        if "route" not in parts(mark):
            reading.key_problem(mark, "a site needs routes", "each is written `[[site.route]]`", key="site")
        where = site.hosts[0] if site.hosts else ""
        site = replace(site, **with_presets(site), limit=_zoned(site.limit, where))
        routes = _routes(site.routes, site, mark, where, formats, reading)
        check_inside(site, mark, list(zip(routes, _marks(site.routes), strict=True)), reading)
        made.append(replace(site, routes=tuple(routes)))
    return made


def _routes(
    placed: Sequence[Placed],
    site: Site | None,
    above: Mark | None,
    where: str,
    formats: dict[str, str],
    reading: Reading,
) -> list[Route]:
    """The routes of one site, checked and completed.

    :param above: the place of the site.
    :param where: names the site, for the counters of limits.
    """
    check_reach(placed, reading)
    made = []
    origins = _origins(site, above)
    for route, mark in placed:
        check_route(route, mark, reading)
        check_rules(route, mark, formats, reading)
        made.append(_completed(route, mark, site, origins, where))
    return _not_asking_themselves(made, placed, reading)


def _not_asking_themselves(routes: list[Route], placed: Sequence[Placed], reading: Reading) -> list[Route]:
    """The route that a site's `auth_request` leads to is not asked about itself; its own must not lead to it."""
    matches = [route.match for route in routes]
    for at, (route, (_, mark)) in enumerate(zip(routes, placed, strict=True)):
        asked = route.auth_request
        if asked is None or choose(matches, asked.path.partition("?")[0]) != at:
            continue
        routes[at] = replace(route, auth_request=None)
        if "auth_request" in parts(mark):
            why = "this path is answered by this very route, which would ask itself"
            reading.problem(mark.child("auth_request"), why, key="auth_request")
    return routes


def _completed(route: Route, mark: Mark, site: Site | None, origins: dict[str, Origin], where: str) -> Route:
    """A route with its presets and its site's rules, and with the places of all that."""
    said = parts(mark)
    changes: dict[str, Any] = with_presets(route) if route.preset else {}
    if route.limit:
        changes["limit"] = _zoned(route.limit, f"{where} {route.match}".strip())
    if site is not None:
        whole = replace(route, **changes) if changes else route
        changes |= inherited(site, whole, said)
    match = route.match
    changes["prefix"] = "" if match.kind in ("regex", "named") else match.pattern
    changes["origin"] = mark.origin
    changes["origins"] = origins | {name: place.origin for name, place in said.items()}
    return replace(route, **changes)


def _origins(site: Site | None, mark: Mark | None) -> dict[str, Origin]:
    """Where the rules of a site stand that its routes inherit."""
    if site is None or mark is None:
        return {}
    names = Rules.__dataclass_fields__
    return {name: place.origin for name, place in parts(mark).items() if name in names}


def _zoned(limits: tuple[Limit, ...], zone: str) -> tuple[Limit, ...]:
    """Limits that know where they were written."""
    return tuple(
        replace(limit, zone=f"{zone} {at}".strip() if len(limits) > 1 else zone or "/")
        for at, limit in enumerate(limits)
    )


def _rule_marks(file: File) -> list[Mark]:
    """The places of everything that has rules: sites, and all routes."""
    return [*_marks(file.route), *(one for site, mark in file.site for one in (mark, *_marks(site.routes)))]


def _marks(placed: Sequence[Placed]) -> list[Mark]:
    return [mark for _, mark in placed]


def _private(file: File, sites: Sequence[Site], files: Sequence[Path]) -> tuple[Path, ...]:
    """Files that the server itself opens (C15): configuration, certificates, keys, passwords."""
    found = [*files, *file.tls.cert, *file.tls.key_]
    if file.tls.client_ca is not None:
        found.append(file.tls.client_ca)
    if file.server.log.config is not None:
        found.append(file.server.log.config)
    found += [one.sticky.secret for _, one in file.upstream if one.sticky is not None and one.sticky.secret is not None]
    for site in sites:
        for rules in (site, *site.routes):
            if rules.basic_auth is not None:
                found.append(rules.basic_auth.file)
        for route in site.routes:
            if route.proxy is not None:
                found += [path for path in (route.proxy.ssl_ca, route.proxy.ssl_cert, route.proxy.ssl_key) if path]
    return tuple(dict.fromkeys(path.absolute() for path in found))
