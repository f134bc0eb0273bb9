"""The `proxy` of a route: from its section to the handler, and the services that it leads to.

    a group's name       `[upstream.NAME]`, however many routes lead there
    anything else        a group of that one server, which all routes to it share
    variables            whatever they name at each request, in the same two ways

B3: a route for `/x/` that proxies answers `/x` too, with 301 to the slash.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from edgestack.compose.resources import Resources
from edgestack.config.matching import Match
from edgestack.config.model import Config, Route, Upstream, UpstreamServer
from edgestack.config.peer_addresses import parse_server
from edgestack.config.proxy_targets import Target
from edgestack.config.proxying import Proxy as Section
from edgestack.content.fixed import RedirectTo
from edgestack.http.messages import Exchange, Handler, Response
from edgestack.http.variables import Scope, Variable, compile_template
from edgestack.phases.body_limit import most_body
from edgestack.upstream.backend import Backend
from edgestack.upstream.proxy import Proxy, ProxyAnywhere
from edgestack.upstream.service import Service
from edgestack.upstream.target import SAFE
from edgestack.upstream.way import Way

__all__ = ["Proxies", "SlashAdded", "slashed"]


class Proxies:
    """Makes the handlers of one configuration."""

    def __init__(self, config: Config, resources: Resources, maps: Mapping[str, Variable]) -> None:
        """:param maps: the variables that `[map.NAME]` tables make."""
        self._server = config.server
        self._roster = resources.upstreams
        self._groups: dict[str, Service] = {}
        scope = Scope(None, maps)
        for upstream in config.upstreams:
            key = compile_template(upstream.hash, "request", scope) if upstream.hash else None
            more = config.maps if key is not None else None
            self._groups[upstream.name] = self._roster.service(upstream, key, more)

    def handler(self, route: Route, scope: Scope) -> Handler:
        """The content of a route."""
        section = route.proxy
        assert section is not None
        limit = most_body(route.limit)
        statuses = {status for statuses, _ in route.errors for status in statuses}
        prefix = route.prefix if route.strip else "/"
        way = Way(
            section, prefix, scope, limit=self._server.limits.body if limit is None else limit, intercepted=statuses
        )
        target = section.target
        if target is None:
            to = compile_template(section.to, "request", scope, use="url")
            return ProxyAnywhere(
                way, to, lambda found: self._found(found, section), lambda found: self._service(found, section).group
            )
        service = self._groups.get(target.server) or self._roster.service(_alone(target, section))
        secure = target.scheme == "https"
        return Proxy(way, target, lambda _: service.backend(section, secure=secure), lambda _: service.group)

    def _found(self, target: Target, section: Section) -> Backend:
        return self._service(target, section).backend(section, secure=target.scheme == "https")

    def _service(self, target: Target, section: Section) -> Service:
        return self._groups.get(target.server) or self._roster.ad_hoc(_alone(target, section))


def _alone(target: Target, section: Section) -> Upstream:
    """The group of a server that is no group."""
    server = UpstreamServer(parse_server(target.address))
    return Upstream((server,), keepalive=section.keepalive, name=target.address)


# --- B3 ---------------------------------------------------------------------------------------------------------------


class SlashAdded:
    """Sends a request for `/x` to `/x/`, its query kept (nginx: `auto_redirect`)."""

    __slots__ = ("_to",)

    def __init__(self, prefix: str, scope: Scope) -> None:
        """:param prefix: with its slash."""
        path = quote(prefix, SAFE).replace("$", "$$")
        self._to = RedirectTo(compile_template(f"{path}$is_args$args", "request", scope, use="url"), 301)

    def __call__(self, exchange: Exchange) -> Response:
        """301."""
        return self._to(exchange)

    def plan(self, exchange: Exchange) -> str:
        """What it is, for `explain`."""
        return self._to.plan(exchange)


def slashed(route: Route, routes: tuple[Route, ...]) -> Match | None:
    """The path without its slash, where a route that proxies is to answer it too, and no other one does."""
    match = route.match
    if route.proxy is None or match.kind not in ("prefix", "final") or len(match.pattern) < 2:
        return None
    if not match.pattern.endswith("/"):
        return None
    bare = match.pattern[:-1]
    if any(other.match.pattern == bare and other.match.kind in ("exact", "prefix", "final") for other in routes):
        return None
    return Match("exact", bare, match.ignore_case, match.methods, match.query, match.header)
