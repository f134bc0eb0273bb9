"""From what the user wrote to what runs: `compose(config) -> Plan`. Pure: no socket, no thread, no application import.

This is the only file that sees all wings. A Plan is data: which routes there are, in what order their links stand, and
what they need that outlives them (`needs`). `Plan.assemble(resources)` puts the needs in and gives flat handlers.

The order of a chain's links, outermost first:

    checks    forwarded fields of trusted proxies
    content   files | application | files, then application | redirect to https
    filters   none yet
    ends      access log
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edgestack.config.model import App, Config, Listener, Route
from edgestack.content.files import PrivateFiles
from edgestack.content.fixed import Redirect
from edgestack.content.static import Static
from edgestack.content.wsgi import Wsgi
from edgestack.errors import ClientError
from edgestack.http.forwarding import TrustedProxies
from edgestack.http.messages import Check, Exchange, Handler, Response
from edgestack.phases.error_pages import ErrorPages
from edgestack.routing import Chain, nothing, spine
from edgestack.wire.connection import Door

__all__ = ["Plan", "Resources", "compose"]


@dataclass(frozen=True, slots=True)
class Resources:
    """What a plan needs and does not own: it outlives the plan (kept by the Stack under its section)."""

    applications: Mapping[App, Callable[..., Any]]
    ends: tuple[Callable[[Exchange], None], ...] = ()
    private: PrivateFiles | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration, checked and put in order."""

    config: Config
    routes: tuple[Route, ...]
    """Longest prefix first."""

    @property
    def applications(self) -> tuple[App, ...]:
        """The applications that must be loaded, each once."""
        return tuple(dict.fromkeys(route.app for route in self.routes if route.app is not None))

    def assemble(self, resources: Resources) -> Callable[[Listener], Door]:
        """The handlers, with their needs put in: for each listener where it leads."""
        errors = self._error_pages()
        fallback = Chain("/", nothing, errors, ends=resources.ends)
        checks = tuple(self._checks())
        chains = [
            Chain(
                route.prefix, self._content(route, resources), self._route_errors(route),
                checks=checks, ends=resources.ends,
            )
            for route in self.routes
        ]  # fmt: skip
        handle = spine(chains, fallback)

        def door(listener: Listener) -> Door:
            if not listener.redirect or listener.tls:
                return Door(handle, errors, resources.ends)
            redirect = Chain("/", Redirect("https", listener.redirect_port), errors, ends=resources.ends)
            return Door(spine([redirect], fallback), errors, resources.ends)

        return door

    def assemble_plain(self, resources: Resources) -> Callable[[Listener], Door]:
        """Where plain HTTP on a TLS listener leads: a readable 400, or a redirect where the listener wants it (E9)."""
        errors = self._error_pages()

        def door(listener: Listener) -> Door:
            content = Redirect("https", listener.redirect_port) if listener.redirect else _speak_https
            chain = Chain("/", content, errors, ends=resources.ends)
            return Door(spine([chain], chain), errors, resources.ends)

        return door

    def _error_pages(self) -> ErrorPages:
        root = next((route for route in self.routes if route.prefix == "/"), None)
        return self._route_errors(root) if root else ErrorPages(dev=self.config.server.dev)

    def _route_errors(self, route: Route) -> ErrorPages:
        return ErrorPages(route.static.root if route.static else None, dev=self.config.server.dev)

    def _checks(self) -> Iterable[Check]:
        trusted = self.config.server.trusted_proxies
        if trusted:
            proxies = TrustedProxies(trusted)

            def forwarded(exchange: Exchange) -> None:
                exchange.facts = proxies.facts(exchange.facts, exchange.request.fields)

            yield forwarded

    def _content(self, route: Route, resources: Resources) -> Handler:
        server = self.config.server
        files = application = None
        if route.static is not None:
            files = Static(route.static, route.prefix, dev=server.dev, private=resources.private)
        if route.app is not None:
            application = Wsgi(
                resources.applications[route.app], route.prefix,
                limit=server.limits.body, dev=server.dev, multithread=server.threads > 1,
            )  # fmt: skip
        if files is not None and application is not None:
            return _file_first(files, application)
        return files or application or nothing


def _file_first(files: Static, application: Wsgi) -> Handler:
    """C9: a regular file, or a folder with an index, for GET and HEAD; anything else is the application's."""
    find = files.try_

    def handle(exchange: Exchange) -> Any:
        return find(exchange) or application(exchange)

    return handle


def _speak_https(exchange: Exchange) -> Response:
    exchange.request.persistent = False
    host = exchange.request.host or "this host"
    raise ClientError(f"This port speaks HTTPS: ask for https://{host}/ instead.", 400)


def compose(config: Config) -> Plan:
    """Put a configuration in order.

    :raises ConfigError: when it cannot be served.
    """
    routes = sorted(config.routes, key=lambda route: len(route.prefix), reverse=True)
    return Plan(config, tuple(routes))
