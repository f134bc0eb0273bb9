"""The choice of a site by the host asked for: exact names, `*.suffix`, the default site, else 421 (RFC 9110 §15.5.20).

A host that moved (`canonical`) belongs to the site that it moved to, and has a handler of its own there. Where the TLS
client named one site in its handshake and asks another one for something, that is 421 too: the connection may have been
admitted by the rules of the first (RFC 9110 §7.4). Names that lead to the same site may be mixed, as browsers do when
they reuse a connection; a name that leads to no site says nothing.

Behind a trusted proxy the host is what the proxy was asked for, and its own handshake with us says nothing about that.
Source: nginx `server_name`, without its regexes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from edgestack.http.forwarding import ForwardedFacts, TrustedProxies
from edgestack.http.messages import Answer, Exchange, Handler
from edgestack.http.remembered import Remembered
from edgestack.http.target import host_name

__all__ = ["Hosts", "SiteRoad", "behind_proxies"]

KNOWN_HOSTS = 1024
"""Host texts (with port, in any case) in one generation that are remembered."""
LONGEST_KNOWN = 256


class SiteRoad(NamedTuple):
    """One site, as the table of hosts has it."""

    hosts: Sequence[str]
    """Its names in lower case; "*.example.com" for all below one."""
    default: bool
    handle: Handler
    moved: Mapping[str, tuple[Handler, object]] = {}
    """Names that only redirect: what does so, and the content, for `explain`."""


class _Place(NamedTuple):
    """Where a host leads."""

    site: int
    """Which site; -1 for none."""
    handle: Handler
    moved: Any = None
    """The content that redirects, for a host that moved."""


class Hosts(Remembered[str, _Place]):
    """Host texts as they stand in requests, and where they lead."""

    __slots__ = ("_default", "_exact", "_wild", "misdirected")

    def __init__(self, sites: Sequence[SiteRoad], unknown: Handler, misdirected: Handler) -> None:
        """
        :param unknown: answers hosts that no site has, where none is the default.
        :param misdirected: answers where the handshake's name and Host lead to two sites.
        """
        super().__init__(KNOWN_HOSTS)
        self._exact: dict[str, _Place] = {}
        self._wild: dict[str, _Place] = {}
        self._default = _Place(-1, unknown)
        self.misdirected = _Place(-1, misdirected)
        for at, site in enumerate(sites):
            place = _Place(at, site.handle)
            for host in site.hosts:
                (self._wild if host.startswith("*.") else self._exact)[host.removeprefix("*")] = place
            for host, (handle, content) in site.moved.items():
                self._exact[host] = _Place(at, handle, content)
            if site.default:
                self._default = place

    def make(self, key: str) -> _Place:
        """Look a host up; a text that is none leads to the default."""
        host = host_name(key)
        found = self._exact.get(host)
        at = host.find(".")
        while found is None and at >= 0:
            found = self._wild.get(host[at:])
            at = host.find(".", at + 1)
        return found or self._default

    def weigh(self, key: str, value: _Place) -> int:
        """One, but for texts that are too long to be kept."""
        return 1 if len(key) <= LONGEST_KNOWN else 0

    def place(self, exchange: Exchange) -> _Place:
        """Where an exchange goes."""
        facts = exchange.facts
        if type(facts) is ForwardedFacts:
            return self[facts.host or exchange.request.host]
        place = self[exchange.request.host]
        if facts.sni and place.site >= 0 and self[facts.sni].site not in (place.site, -1):
            return self.misdirected
        return place

    def handle(self, exchange: Exchange) -> Answer:
        """The handler that chooses."""
        return self.place(exchange).handle(exchange)


def behind_proxies(proxies: TrustedProxies, handle: Handler) -> Handler:
    """The handler after the facts were put right: before anything asks who the client is, or for which host."""

    def believed(exchange: Exchange) -> Answer:
        exchange.facts = proxies.facts(exchange.facts, exchange.request.fields)
        return handle(exchange)

    return believed
