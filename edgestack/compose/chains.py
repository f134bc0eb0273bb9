"""From a route to its chain: which links it has, in the order that is told here and nowhere else.

A rule that several routes of a site inherit is one function in all of their chains: after a jump inside the server it
is not met again, and what it counts is counted once. So links are made once for equal sections (`Maker.once`), and a
link with templates once for each regex that they may look into.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any, NamedTuple

from edgestack.asgi import Asgi
from edgestack.caching.cached import Cached, caching_rule
from edgestack.caching.given import with_status
from edgestack.caching.keys import parted
from edgestack.compose.coding import NOTHING, Coding, coded_pages, coding
from edgestack.compose.conditions import conditions
from edgestack.compose.contents import Behind, FileFirst, content, error_pages, pages, rewriting
from edgestack.compose.proxies import Proxies, SlashAdded, slashed
from edgestack.compose.resources import Resources
from edgestack.config.model import CONTENT, Cache, Config, Route, Site
from edgestack.config.positions import Origin
from edgestack.content.trying import Try
from edgestack.content.wsgi import Wsgi
from edgestack.errors import EdgeError
from edgestack.http.messages import Answer, End, Exchange, Handler
from edgestack.http.variables import Scope, Variable, compile_template
from edgestack.phases.access import access
from edgestack.phases.auth_request import auth_request
from edgestack.phases.bandwidth import bandwidth
from edgestack.phases.basic_auth import basic_auth
from edgestack.phases.body_limit import body_limit, most_body
from edgestack.phases.cache_rules import cache_rules
from edgestack.phases.compression import Undoing
from edgestack.phases.connection_limit import connection_limit
from edgestack.phases.header_rules import header_rules, strict_transport
from edgestack.phases.inflating import inflating
from edgestack.phases.preflight import preflight
from edgestack.phases.rate_limit import rate_limit
from edgestack.phases.timeouts import route_timeouts
from edgestack.routing import Chain, Link, Locations, nothing, recovered, run
from edgestack.upstream.hosted import HostedContent

__all__ = ["ORDER", "Maker", "hidden_fields", "tells_who"]


class Rule(NamedTuple):
    """One place in a chain."""

    name: str
    """As `explain` says it."""
    kind: str
    """What stands there: "rewrite", "check", "wrap" or "filter"."""
    key: tuple[str, ...]
    """The keys of a route that fill it."""
    make: Callable[[Maker, Route], Any]
    """The link, or None where nothing is configured."""


ORDER: tuple[Rule, ...] = (
    # before anything looks at the path: a rewrite may leave this route, and then nothing here was checked
    Rule("rewrite", "rewrite", ("rewrite",), lambda m, r: rewriting(r, m.scope(r))),
    # checks: cheap ones first, and what counts after what refuses, so that strangers use up nothing
    Rule("timeouts", "check", ("timeouts",), lambda m, r: m.once(route_timeouts, r.timeouts)),
    Rule("cors", "check", ("preset",), lambda m, r: m.once(preflight, r.preset)),  # preflights bring no credentials
    Rule("access", "check", ("allow", "deny"), lambda m, r: m.once(access, r.allow, r.deny)),
    Rule("connections", "check", ("limit",), lambda m, r: m.counted(connection_limit, "connections", r)),
    Rule("body", "check", ("limit",), lambda m, r: m.once(body_limit, most_body(r.limit))),
    Rule("inflate", "check", ("inflate",), lambda m, r: m.once(inflating, r.inflate)),
    Rule("etags", "check", ("compress",), lambda m, r: m.undoing(r)),
    # wraps, outermost first: they may wait. The rate counts before a password is looked at: guessing is limited too
    Rule("bandwidth", "wrap", ("limit",), lambda m, r: m.once(bandwidth, m.part("bandwidth", r))),
    Rule("rate", "wrap", ("limit",), lambda m, r: m.counted(rate_limit, "rate", r)),
    Rule("basic_auth", "wrap", ("basic_auth",), lambda m, r: m.once(basic_auth, r.basic_auth, m.resources.keep)),
    Rule("auth_request", "wrap", ("auth_request",), lambda m, r: m.asking(r)),
    Rule("cache", "wrap", ("cache",), lambda m, r: m.caching(r)),  # innermost: whoever may not ask gets nothing stored
    # content stands here; then the filters, innermost first: what rules say wins over what content says
    Rule("cache_control", "filter", ("cache_control", "preset"), lambda m, r: m.once(cache_rules, r.cache_control)),
    Rule("headers", "filter", ("headers", "preset"), lambda m, r: m.once(header_rules, r.headers, scope=m.scope(r))),
    Rule("hsts", "filter", ("hsts",), lambda m, r: m.once(strict_transport, m.site.hsts)),
    Rule("compress", "filter", ("compress",), lambda m, r: m.coding(r).all),  # it must see what rules say of Vary
)
"""The order of the links of every chain. Trusted proxies' fields, the site and the route come before it
(`routing/`); the access log, and the ends that checks add, come after it."""


UNDOING = Undoing()


class Maker:
    """Makes the chains of one site."""

    site: Site
    resources: Resources

    def __init__(
        self, config: Config, site: Site, resources: Resources, maps: Mapping[str, Variable],
        proxies: Proxies | None = None,
    ) -> None:  # fmt: skip
        """
        :param maps: the variables of the user's own: `[map.NAME]`, and what `auth_request` sets.
        :param proxies: makes the contents of routes that proxy, for all sites; without it for this one alone.
        """
        self.config = config
        self.site = site
        self.resources = resources
        self._maps = maps
        self._proxies = proxies or Proxies(config, resources, maps)
        self._name = site.hosts[0] if site.hosts else ""
        self._plain = Scope(None, maps, self._name)
        self._scopes: dict[Any, Scope] = {}
        self._made: dict[Hashable, Any] = {}
        self._codings: dict[Route, Coding] = {}
        self._locations: Locations | None = None

    def locations(self) -> Locations:
        """All of them, ready to be asked."""
        chains = [self._chain(route) for route in self.site.routes]
        chains += [chain for route in self.site.routes if (chain := self._slash(route)) is not None]
        made = Locations(chains, self.fallback())
        self._locations = made
        return made

    def fallback(self) -> Chain:
        """For paths that no route is for; it has what the site says about errors and fields."""
        rules = Route(headers=self.site.headers, errors=self.site.errors, log=self.site.log)
        root = next((route for route in self.site.routes if str(route.match) == "/"), None)
        errors = error_pages(root, self.site.errors, self.site.routes, self.config.server.dev)
        links = [link for link in self._links(rules) if link.kind == "filter"]
        return Chain(
            "/", nothing, errors, filters=[link.act for link in links], ends=self._ends(rules), links=links,
            pages=pages(rules.errors, self._plain), site=self._name,
        )  # fmt: skip

    def _chain(self, route: Route) -> Chain:
        server, scope = self.config.server, self.scope(route)
        links = self._links(route)
        proxied = route.proxy is not None
        coded = self.coding(route)
        made = (
            self._proxies.handler(route, scope) if proxied
            else content(
                route, scope, server, self.resources, coded.files, UNDOING if coded.threads or coded.all else None,
                next((link.act for link in links if link.kind == "behind"), None),
            )
        )  # fmt: skip
        links += _content_links(route, made)
        if coded.told is not None:
            links.append(Link("compress", route.origins.get("compress", route.origin), coded.told, "told"))
        by_kind: dict[str, list[Any]] = {}
        for link in links:
            by_kind.setdefault(link.kind, []).append(link.act)
        told = (with_status,) if route.cache is not None else ()
        return Chain(
            route.match, made,
            coded_pages(error_pages(route, route.errors, self.site.routes, server.dev), coded.pages),
            rewrite=by_kind.get("rewrite", [None])[0], checks=by_kind.get("check", ()), wraps=by_kind.get("wrap", ()),
            filters=(*told, *by_kind.get("filter", ())), ends=self._ends(route), pages=pages(route.errors, scope),
            last=(coded.threads,) if coded.threads is not None else (),
            recover=self._recover if route.app is not None and route.errors else None,
            holds=conditions(route.match), internal=route.internal, links=links, origin=route.origin,
            site=self._name,
        )  # fmt: skip

    def _slash(self, route: Route) -> Chain | None:
        """B3: what answers for the prefix of a proxied route without its slash."""
        match = slashed(route, self.site.routes)
        if match is None:
            return None
        added = SlashAdded(route.match.pattern, self._plain)
        links = [link for link in self._links(route) if link.kind == "filter"]
        return Chain(
            match, added, error_pages(route, route.errors, self.site.routes, self.config.server.dev),
            filters=[link.act for link in links], ends=self._ends(route), holds=conditions(match),
            internal=route.internal, links=[*links, Link("content", route.origin, added, "content")],
            origin=route.origin, site=self._name,
        )  # fmt: skip

    def _links(self, route: Route) -> list[Link]:
        made = ((rule, rule.make(self, route)) for rule in ORDER)
        return [
            Link(rule.name, self._origin(rule, route), act, _place(rule, route))
            for rule, act in made
            if act is not None
        ]

    def _ends(self, route: Route) -> tuple[End, ...]:
        """The access log in the route's own form, or none."""
        if not route.log:
            return self.resources.ends
        log = self.resources.access_log
        if route.log == "off" or log is None:
            return ()
        return (log.ending(route.log, dict(self.config.log_formats), self.scope(route)),)

    # -- what the rules of ORDER ask for -------------------------------------------------------------------------------

    def scope(self, route: Route) -> Scope:
        """What a route's templates see: the groups of its regex, the maps, the site's name."""
        regex = route.match.regex
        if regex is None:
            return self._plain
        return self._scopes.setdefault(regex, Scope(regex, self._maps, self._name))

    def once(self, factory: Callable[..., Any], *sections: Any, **more: Any) -> Any:
        """What a factory gives for equal sections, made once for all routes of the site."""
        key = (factory, sections, tuple(more.values()))
        if key not in self._made:
            self._made[key] = factory(*sections, **more)
        return self._made[key]

    def coding(self, route: Route) -> Coding:
        """What `compress` puts into a route's chain."""
        if route not in self._codings:
            here = any(getattr(route, name) is not None for name in CONTENT)
            self._codings[route] = coding(route, self.resources) if here else NOTHING
        return self._codings[route]

    def undoing(self, route: Route) -> Undoing | None:
        """The check before content that does not know of codings; a folder before an application does."""
        coded = self.coding(route)
        behind = route.app is not None or route.proxy is not None
        return UNDOING if behind and not (route.static and not route.try_) and (coded.all or coded.threads) else None

    def part(self, name: str, route: Route) -> tuple[Any, ...]:
        """The limits of a route that limit one thing."""
        return tuple(limit for limit in route.limit if getattr(limit, name) is not None)

    def counted(self, factory: Callable[..., Any], name: str, route: Route) -> Any:
        """A limit that counts; its counters outlive the plan."""
        limits, resources = self.part(name, route), self.resources
        if not limits:
            return None
        return self.once(factory, limits, scope=self.scope(route), keep=resources.keep, arena=resources.limits)

    def asking(self, route: Route) -> Any:
        """The wrap that asks another path of this site."""
        return self.once(auth_request, route.auth_request, self._answer, self.resources.threads)

    def caching(self, route: Route) -> Cached | None:
        """The wrap that keeps answers."""
        section = route.cache
        if section is None:
            return None
        caches, resources, scope = self.config.caches, self.resources, self.scope(route)
        kept = next((one for one in caches if one.name == section.store or not section.store), Cache())
        key = compile_template(parted(section.key_), "request", scope) if section.key_ else None
        bypass = [compile_template(text, "request", scope) for text in section.bypass]
        apart = repr(route.match) if route.match.conditional else ""
        judge = self.once(cache_rules, route.cache_control)
        zone = resources.caches.zone(kept)
        rule = caching_rule(section, hidden_fields(route), tells_who(route))
        return Cached(section, zone, key, bypass, judge, rule, resources.threads, apart)

    def _answer(self, exchange: Exchange) -> Answer:
        """What the site answers to its own question."""
        assert self._locations is not None
        return run(exchange, self._locations.inside(exchange))

    def _recover(self, exchange: Exchange, error: EdgeError) -> Any:
        """From an error on an application thread to the page that the loop finds for it."""
        return self.resources.threads.wait(partial(recovered, exchange, error))

    def _origin(self, rule: Rule, route: Route) -> Origin | None:
        """Where a link was written; the site for what only sites say."""
        written = next((route.origins[key] for key in rule.key if key in route.origins), None)
        return written or (route.origin if hasattr(route, rule.key[0]) else self.site.origin)


def hidden_fields(route: Route) -> frozenset[str]:
    """Request fields that a proxied server sees otherwise than the client sent them, and that the key does not hold."""
    section = route.proxy
    if section is None or route.cache is None:
        return frozenset()
    own = {name.lower() for name, value in section.set_headers if "$" in value}
    told = {"x-forwarded-for", "forwarded"}
    if route.cache.key_:  # the URL has scheme and host; who knows what another key has
        told |= {"x-forwarded-proto", "x-forwarded-host"}
    return frozenset(own | told)


def tells_who(route: Route) -> bool:
    """Whether content is told who asks: by what `auth_request` found out, or by a client's certificate."""
    told = [value for _, value in (route.proxy.set_headers if route.proxy is not None else ())]
    copied = route.auth_request is not None and bool(route.auth_request.copy)
    return copied or any("$ssl_client_" in value or "${ssl_client_" in value for value in told)


def _place(rule: Rule, route: Route) -> str:
    """Where a link stands: the cache of a route with files, behind them."""
    return "behind" if rule.name == "cache" and route.static is not None else rule.kind


def _content_links(route: Route, made: Handler) -> list[Link]:
    """The content, and the application behind the folder: each knows its own line."""
    where = next((route.origins[key] for key in ("try", *CONTENT) if key in route.origins), route.origin)
    links = [Link("content", where, made, "content")]
    behind = made.behind if isinstance(made, FileFirst) else made.last if isinstance(made, Try) else None
    if isinstance(behind, Behind):
        behind = behind.application
    if isinstance(behind, Wsgi | Asgi | HostedContent):
        links.append(Link("content", route.origins.get("app", where), behind, "content"))
    return links
