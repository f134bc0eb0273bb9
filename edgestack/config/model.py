"""What the user wants, as frozen values: one tree of sections, each key documented once, at its definition.

    server.py     [server] with its timeouts and limits, [[listen]], [tls]
    sites.py      [[site]], [map.NAME], [[test]]
    routes.py     [[route]]: match, and the contents
    rules.py      what sites and routes may both say: headers, cache rules, limits, who may ask
    upstreams.py  [upstream.NAME]: servers behind this one
    caching.py    [cache.NAME]: stored responses, and what of a route is stored
    listeners.py  one place to listen
    matching.py   when a route is chosen

Pure data. Nothing here opens a file, a socket or a module for good; `compose.py` turns it into a `Plan`, and each part
of the house gets its own section, never the whole. Equal sections mean "unchanged": what outlives a reload is kept
under them. Durations are seconds (float), sizes are bytes (int), paths are `pathlib.Path`. This file is the door to all
of it, and has the whole: `Config`, and `File`, which is the same as it is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edgestack.config.caching import Cache, RouteCache
from edgestack.config.coding import Compress
from edgestack.config.http_kinds import MAP_NAME, Template
from edgestack.config.keys import key, section
from edgestack.config.kinds import TEXT
from edgestack.config.listeners import Listener
from edgestack.config.matching import Condition, Match
from edgestack.config.nested_kinds import OneOrMany, Pairs, Table, Tables
from edgestack.config.positions import Origin
from edgestack.config.routes import CONTENT, App, Redirect, Respond, Rewrite, Route, Static
from edgestack.config.rules import AuthRequest, BasicAuth, CacheRule, HeaderRules, Limit, RouteTimeouts, Rules
from edgestack.config.server import Limits, Listen, Log, Server, Timeouts, Tls, TlsTable
from edgestack.config.sites import Expect, MapTable, Site, Test
from edgestack.config.upstream_kinds import GROUP_NAME
from edgestack.config.upstreams import Upstream, UpstreamServer
from edgestack.config.values import Rate

__all__ = [
    "CONTENT", "App", "AuthRequest", "BasicAuth", "Cache", "CacheRule", "Compress", "Condition", "Config", "Expect",
    "File", "HeaderRules", "Limit", "Limits", "Listen", "Listener", "Log", "MapTable", "Match", "Origin", "Rate",
    "Redirect", "Respond", "Rewrite", "Route", "RouteCache", "RouteTimeouts", "Rules", "Server", "Site", "Static",
    "Test", "Timeouts", "Tls", "TlsTable", "Upstream", "UpstreamServer",
]  # fmt: skip


@section("the file")
class File:
    """The whole of `edgestack.toml`."""

    include: tuple[str, ...] = key(
        OneOrMany(TEXT),
        "Further files, read after this one: tables come together, arrays of tables follow each other.",
        default=(), shown="none", example='["conf.d/*.toml"]', nginx="include",
    )  # fmt: skip
    server: Server = key(Table(Server), "What holds for the process.", default=Server())
    listen: Any = key(Tables(Listen), "Listeners, each written `[[listen]]`.", default=())
    tls: TlsTable = key(Table(TlsTable), "Certificates.", default=TlsTable())
    site: Any = key(Tables(Site), "Sites, each written `[[site]]`.", default=(), nginx="server")
    route: Any = key(
        Tables(Route), "Routes without a site, each written `[[route]]`: they make one for every host.", default=(),
        nginx="location",
    )  # fmt: skip
    upstream: tuple[tuple[str, Upstream], ...] = key(
        Pairs("a table of upstreams", GROUP_NAME, Table(Upstream), partial=True),
        "Groups of servers to proxy to, each written `[upstream.NAME]`.", default=(), nginx="upstream",
    )  # fmt: skip
    cache: tuple[tuple[str, Cache], ...] = key(
        Pairs("a table of caches", MAP_NAME, Table(Cache), partial=True),
        "Places for stored responses, each written `[cache.NAME]`.", default=(), nginx="proxy_cache_path",
    )  # fmt: skip
    map: tuple[tuple[str, MapTable], ...] = key(
        Pairs("a table of maps", MAP_NAME, Table(MapTable), partial=True),
        "Variables of your own, each written `[map.NAME]`.",
        default=(), nginx="map",
    )  # fmt: skip
    log_formats: tuple[tuple[str, str], ...] = key(
        Pairs("a table of texts", MAP_NAME, Template("response", "log")), "Forms of the access log's lines, by name.",
        default=(), example="{ short = '$remote_addr \"$request\" $status' }", nginx="log_format",
    )  # fmt: skip
    test: Any = key(Tables(Test), "What `edgestack check` tries, each written `[[test]]`.", default=())


@dataclass(frozen=True, slots=True)
class Config:
    """The whole of it, checked, with every rule where it holds."""

    server: Server = field(default_factory=Server)
    listeners: tuple[Listener, ...] = ()
    tls: Tls = field(default_factory=Tls)
    routes: tuple[Route, ...] = ()
    """Routes that belong to no site, in file order; then there are no sites."""
    sites: tuple[Site, ...] = ()
    maps: tuple[tuple[str, MapTable], ...] = ()
    """Variables by name, each after those that it looks at."""
    upstreams: tuple[Upstream, ...] = ()
    caches: tuple[Cache, ...] = ()
    log_formats: tuple[tuple[str, str], ...] = ()
    tests: tuple[Test, ...] = ()

    def all_sites(self) -> tuple[Site, ...]:
        """The sites; routes without one make one for every host."""
        return self.sites or (Site(default=True, routes=self.routes),)
