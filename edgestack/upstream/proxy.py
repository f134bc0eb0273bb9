"""The content of a proxied route: an errand for each request.

    proxy = "http://backend/"        one target for all: its backend is asked for once
    proxy = "http://$name"           a target for each request, taken apart when it comes; bounded tables

nginx: ngx_http_proxy_handler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edgestack.config.proxy_targets import Target, parse_target
from edgestack.errors import ConfigError, EdgeError
from edgestack.http.messages import Exchange
from edgestack.http.remembered import Remembered
from edgestack.http.variables import Template
from edgestack.upstream.backend import Backend
from edgestack.upstream.errand import ProxyErrand
from edgestack.upstream.group import Group
from edgestack.upstream.telling import Telling, told
from edgestack.upstream.way import Way

__all__ = ["Proxy", "ProxyAnywhere"]

Backends = Callable[[Target], Backend]
Groups = Callable[[Target], Group]

TARGETS = 256
"""Targets made of variables that are remembered in one generation; our number."""


class Proxy:
    """A route that leads to one target."""

    __slots__ = ("_backend", "_backends", "_groups", "_host", "_port", "target", "way")

    def __init__(self, way: Way, target: Target, backends: Backends, groups: Groups | None = None) -> None:
        """
        :param backends: gives the backend of a target; asked at the first request.
        :param groups: gives the group alone, for `explain`.
        """
        self.way = way
        self.target = target
        self._groups = groups
        self._host, self._port = target.host, target.port
        self._backends = backends
        self._backend: Backend | None = None

    def __call__(self, exchange: Exchange) -> ProxyErrand:
        """The errand; nothing is begun."""
        backend = self._backend
        if backend is None:
            backend = self._backend = self._backends(self.target)
        return ProxyErrand(exchange, self.way, self._host, self._port, backend, self.way.map(exchange))

    def explain(self, exchange: Exchange) -> Iterator[Telling]:
        """What would be asked, and of whom, for a person."""
        group = self._groups(self.target) if self._groups is not None else None
        return told(exchange, self.way, self.target, self.way.map(exchange), group)


class ProxyAnywhere:
    """A route whose target has variables."""

    __slots__ = ("_backends", "_groups", "_known", "_to", "way")

    def __init__(self, way: Way, to: Template, backends: Backends, groups: Groups | None = None) -> None:
        self.way = way
        self._groups = groups
        self._to = to
        self._backends = backends
        self._known = _Targets(TARGETS)

    def __call__(self, exchange: Exchange) -> ProxyErrand:
        """The errand.

        :raises EdgeError: 500, where the variables make no target.
        """
        target = self._target(exchange)
        uri = target.uri or self.way.map(exchange)
        return ProxyErrand(exchange, self.way, target.host, target.port, self._backends(target), uri)

    def explain(self, exchange: Exchange) -> Iterator[Telling]:
        """As `Proxy.explain`.

        :raises EdgeError: 500, where the variables make no target.
        """
        target = self._target(exchange)
        group = self._groups(target) if self._groups is not None else None
        return told(exchange, self.way, target, target.uri or self.way.map(exchange), group)

    def _target(self, exchange: Exchange) -> Target:
        text = self._to(exchange)
        try:
            return self._known[text]
        except ConfigError as error:
            raise EdgeError("The request cannot be passed on.", 500, detail=f"`proxy` leads nowhere: {error}") from None


class _Targets(Remembered[str, Target]):
    """Texts, taken apart."""

    __slots__ = ()

    def make(self, key: str) -> Target:
        return parse_target(key, query=True)

    def weigh(self, key: str, value: Target) -> int:
        return 1 if len(key) <= TARGETS else 0
