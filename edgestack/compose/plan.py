"""A configuration put in order, and where its listeners lead.

    door of a listener:  trusted proxies' facts -> Host, SNI -> the site's chains

Each of these is there only if the configuration asks for it: one site for every host, without trusted proxies, is the
handler of its chains and nothing around it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgestack.compose.chains import Maker
from edgestack.compose.contents import applications, error_pages
from edgestack.compose.proxies import Proxies
from edgestack.compose.resources import Resources
from edgestack.compose.steps import Called, Sites, Step, Unwritten, explain
from edgestack.config.map_checks import own_variables
from edgestack.config.matching import Match
from edgestack.config.model import App, Config, Listener, Route, Site
from edgestack.content.fixed import Redirect, ToHost
from edgestack.errors import ClientError
from edgestack.http.forwarding import TrustedProxies
from edgestack.http.messages import Exchange, Handler, Response
from edgestack.phases.error_pages import ErrorPages
from edgestack.routing import Chain, Hosts, Locations, SiteRoad, behind_proxies, nothing, road, spine
from edgestack.wire.connection import Door

__all__ = ["Plan", "compose"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration, checked and put in order."""

    config: Config
    sites: tuple[Site, ...]
    """Routes without a site make one."""

    @property
    def applications(self) -> tuple[App, ...]:
        """The applications that must be loaded, each once."""
        return tuple(applications(self._routes()))

    def assemble(self, resources: Resources) -> Callable[[Listener], Door]:
        """The handlers, with their needs put in: for each listener where it leads."""
        errors = self._error_pages()
        fallback = Chain("/", nothing, errors, ends=resources.ends)
        handle = self._front(self._sites(resources))

        def door(listener: Listener) -> Door:
            if not listener.redirect:
                return Door(handle, errors, resources.ends)
            redirect = Chain("/", Redirect("https", listener.redirect_port), errors, ends=resources.ends)
            return Door(spine([redirect], fallback), errors, resources.ends)

        return door

    def assemble_plain(self, resources: Resources) -> Callable[[Listener], Door]:
        """Where plain HTTP on a TLS listener leads: a readable 400, or a redirect where the listener wants it (E9)."""
        errors = self._error_pages()

        def door(listener: Listener) -> Door:
            content = Redirect("https", listener.redirect_port) if listener.redirect_plain else _speak_https
            chain = Chain("/", content, errors, ends=resources.ends)
            return Door(spine([chain], chain), errors, resources.ends)

        return door

    def explain(
        self, method: str, url: str, fields: Sequence[tuple[str, str]] = (), address: str = "127.0.0.1"
    ) -> list[Step]:
        """What would become of a request, in order; nothing is opened, counted, asked or called.

        :param url: absolute, or a path alone, which goes to the default site.
        :param fields: of the request.
        :param address: the client's.
        :raises ClientError: what is asked could not be asked by a client.
        """
        sites = self._sites(self._nothing_opened())
        return explain(self.config, sites, self._proxies(), method, url, fields, address)

    def _nothing_opened(self) -> Resources:
        """What stands where applications and logs do while nothing is called and written."""
        said = self.config.server.log
        if said.access == "off":
            return Resources(_Unloaded())
        log = Unwritten(said.access)
        return Resources(_Unloaded(), (log.ending(said.format),), access_log=log)

    def _sites(self, resources: Resources) -> Sites:
        """The chains of every site, and how a host finds them."""
        maps = own_variables(self.config.maps, self.sites)
        proxies = Proxies(self.config, resources, maps)
        roads, locations = [], []
        for site in self.sites:
            found = Maker(self.config, site, resources, maps, proxies).locations()
            locations.append(found)
            roads.append(SiteRoad(site.hosts, site.default, road(found), _moved(site, found)))
        errors = self._error_pages()
        chains = [Chain("/", content, errors, ends=resources.ends) for content in (_unknown, _misdirected)]
        unknown, misdirected = (spine([chain], chain) for chain in chains)
        if len(self.sites) == 1 and self.sites[0].default and not self.sites[0].moved:
            return Sites(self.sites, locations, None, roads[0].handle, resources.ends)
        hosts = Hosts(roads, unknown, misdirected)
        return Sites(self.sites, locations, hosts, hosts.handle, resources.ends)

    def _front(self, sites: Sites) -> Handler:
        proxies = self._proxies()
        return behind_proxies(proxies, sites.handle) if proxies else sites.handle

    def _proxies(self) -> TrustedProxies | None:
        trusted = self.config.server.trusted_proxies
        return TrustedProxies(trusted) if trusted else None

    def _error_pages(self) -> ErrorPages:
        """For what belongs to no route: those of the default site's root."""
        site = next((site for site in self.sites if site.default), self.sites[0])
        root = next((route for route in site.routes if str(route.match) == "/"), None)
        return error_pages(root, site.errors, site.routes, self.config.server.dev)

    def _routes(self) -> tuple[Route, ...]:
        return tuple(route for site in self.sites for route in site.routes)


class _Unloaded(dict[App, Callable[..., Any]]):
    """Stands where the applications do while nothing is called."""

    def __missing__(self, key: App) -> Callable[..., Any]:
        return Called(key.target)


def _moved(site: Site, locations: Locations) -> dict[str, tuple[Handler, object]]:
    """Hosts that `canonical` redirects; the redirects have the fields that the whole site has."""
    chains = {host: locations.fallback.varied(content=ToHost(to)) for host, to in site.moved}
    return {host: (spine([chain], chain), chain.content) for host, chain in chains.items()}


def _unknown(exchange: Exchange) -> Response:
    raise ClientError("There is no site of that name here.", 421)


def _misdirected(exchange: Exchange) -> Response:
    raise ClientError("This connection was made to another site.", 421)


def _speak_https(exchange: Exchange) -> Response:
    exchange.request.persistent = False
    host = exchange.request.host or "this host"
    raise ClientError(f"This port speaks HTTPS: ask for https://{host}/ instead.", 400)


def compose(config: Config) -> Plan:
    """Put a configuration in order.

    :raises ConfigError: when it cannot be served.
    """
    return Plan(config, tuple(replace(site, routes=tuple(map(_matched, site.routes))) for site in config.all_sites()))


def _matched(route: Route) -> Route:
    """A route that was made by hand has a prefix alone."""
    by_hand = route.match == Match() and route.prefix not in ("", "/")
    return replace(route, match=Match(pattern=route.prefix)) if by_hand else route
