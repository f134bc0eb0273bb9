"""Groups as a running edge has them: with their tasks, their idle links, and the state that outlives a plan.

    Services        of a Stack: what every group needs to live (a nursery, a dialer, who watches idle links)
      Service       one group: Group, its names kept resolved, its peers checked, a Backend for each way to speak
    Roster          of a plan: the services that it asks for, kept under the value of their sections (kept.py)

A reload that leaves a section as it is keeps the service and all that it knows; what no plan asks for any more is
stopped, and exchanges that are under way end on what they have. A service begins to live when it is bound; one that a
variable names, at its first request. On the loop, but for making them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

import trio

from edgestack.config.proxying import Proxy
from edgestack.config.upstreams import Health, Upstream
from edgestack.errors import UpstreamError
from edgestack.http.messages import Exchange
from edgestack.kept import Keep
from edgestack.upstream.backend import Backend
from edgestack.upstream.group import Group, GroupStatistics
from edgestack.upstream.health import keep_checked
from edgestack.upstream.peers import Peer
from edgestack.upstream.resolving import Look, keep_resolved
from edgestack.upstream.talk import checked_status
from edgestack.wire.dialing import Dialer, SocketDialer
from edgestack.wire.link import Keeper
from edgestack.wire.link_watch import LinkWatch
from edgestack.wire.tls_client import ClientTls

__all__ = ["Roster", "Service", "Services", "client_tls"]

Key = Callable[[Exchange], str]

AD_HOC = 256
"""Groups that variables have named and that are kept; then the oldest goes."""


class Service:
    """One group, alive."""

    def __init__(self, services: Services, upstream: Upstream, key: Key | None = None) -> None:
        """
        :param key: the compiled template of `hash`.
        :raises OSError: the secret of its cookies cannot be read.
        """
        sticky = upstream.sticky
        named = sticky.secret if sticky is not None else None
        secret = named.read_bytes() if named is not None else services.secret
        self.group = Group(upstream, key, secret=secret)
        self.group.when_gone.append(self._forget)
        self.ready = trio.Event()
        """Set when every name was looked up, for the first time."""
        self._services = services
        self._backends: dict[Hashable, Backend] = {}
        self._scope: trio.CancelScope | None = None
        self._check_tls: Callable[[], ClientTls] | None = None
        if not self.group.names():
            self.ready.set()

    def backend(self, section: Proxy, *, secure: bool) -> Backend:
        """How a route reaches the group; the same for routes that speak in the same way. On the loop.

        :raises UpstreamError: 502, nothing is served here: the tests of a configuration ask no upstream.
        """
        tls = (section.ssl_verify, section.ssl_name, section.ssl_ca, section.ssl_cert, section.ssl_key)
        keeps = section.proxy_protocol == "off"
        key = (tls, keeps, secure)
        found = self._backends.get(key)
        if found is None:
            services = self._services
            if services.keeper is None:
                raise UpstreamError(detail=f'no upstream is asked in memory, not "{self.group.name}" either')
            found = self._backends[key] = Backend(
                self.group, services.keeper, services.dialer, services.tls(section), secure=secure, keeps=keeps,
                ready=self.ready,
            )  # fmt: skip
        return found

    def start(self, nursery: trio.Nursery) -> None:
        """Its tasks begin; where there are none to run, nothing does."""
        if self._scope is None and (self.group.names() or self.group.upstream.health is not None):
            self._scope = trio.CancelScope()
            nursery.start_soon(self._run, self._scope)

    def stop(self) -> None:
        """No plan asks for it any more."""
        if self._scope is not None:
            self._scope.cancel()
        for backend in self._backends.values():
            backend.close()

    async def _run(self, scope: trio.CancelScope) -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._resolved)
                nursery.start_soon(keep_checked, self.group, self._fetch)

    async def _resolved(self) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(keep_resolved, self.group, self._services.look)
            self.ready.set()

    async def _fetch(self, peer: Peer, health: Health) -> int:
        """The status of one check, on a link of its own."""
        tls = self._services.tls(Proxy(to="http://checks"))().named(peer.server.host) if peer.server.tls else None
        host = health.host or peer.server.text
        return await checked_status(self._services.dialer, peer.address, tls, health.path, host)

    def _forget(self, peer: Peer) -> None:
        for backend in self._backends.values():
            backend.forget(peer)


class Services:
    """What all of them need."""

    def __init__(self, dialer: Dialer | None = None, look: Look | None = None, secret: bytes = b"") -> None:
        """
        :param dialer: makes links; over the system's sockets without one.
        :param look: finds the addresses of a name; the system's resolver without one.
        :param secret: signs sticky cookies where none is named; empty for one of each group's own.
        """
        self.secret = secret
        self.dialer = dialer or SocketDialer()
        self.look = look
        self.keeper: Keeper | None = None
        self._nursery: trio.Nursery | None = None
        self._alive: dict[Service, None] = {}
        self._tls: dict[Hashable, ClientTls] = {}

    def bind(self, nursery: trio.Nursery, keeper: Keeper | None, roster: Roster) -> None:
        """From now on there is a loop.

        :param nursery: runs the tasks; cancelled when the server stops.
        :param keeper: watches over idle links; None for tasks that do.
        """
        if keeper is None:
            keeper = watch = LinkWatch(nursery, trio.lowlevel.current_clock().current_time)
            nursery.start_soon(watch.run)
        self._nursery, self.keeper = nursery, keeper
        self.adopt(roster)

    def adopt(self, roster: Roster) -> None:
        """These are the services of the plan that is served now."""
        wanted = roster.services()
        for service in [one for one in self._alive if one not in wanted]:
            del self._alive[service]
            service.stop()
        for service in wanted:
            self.live(service)

    def live(self, service: Service) -> None:
        """Set its tasks going."""
        self._alive[service] = None
        if self._nursery is not None:
            service.start(self._nursery)

    def drop(self, service: Service) -> None:
        """A group that a variable had named is not kept any longer."""
        self._alive.pop(service, None)
        service.stop()

    def tls(self, section: Proxy) -> Callable[[], ClientTls]:
        """How the section speaks TLS; its files are read at the first call, and once."""
        key = (section.ssl_verify, section.ssl_name, section.ssl_ca, section.ssl_cert, section.ssl_key)

        def made() -> ClientTls:
            found = self._tls.get(key)
            if found is None:
                found = self._tls[key] = client_tls(section)
            return found

        return made

    def close(self) -> None:
        """The server has stopped."""
        for service in self._alive:
            service.stop()
        self._alive.clear()

    def statistics(self, now: float) -> tuple[GroupStatistics, ...]:
        """What is known of each group."""
        return tuple(service.group.statistics(now) for service in self._alive)


class Roster:
    """The services of one plan."""

    def __init__(self, services: Services, keep: Keep) -> None:
        """:param keep: holds until the plan is assembled."""
        self._services = services
        self._keep = keep
        self._asked: dict[Service, None] = {}
        self._ad_hoc: dict[Upstream, Service] = {}

    def service(self, upstream: Upstream, key: Key | None = None, more: Hashable = None) -> Service:
        """The service of a section, while the plan is assembled.

        :param more: what `key` depends on beside the section.
        """
        made: Any = self._keep(("upstream", upstream, more), lambda: Service(self._services, upstream, key))
        self._asked[made] = None
        service: Service = made
        return service

    def ad_hoc(self, upstream: Upstream) -> Service:
        """The service of a server that a request names. On the loop."""
        service = self._ad_hoc.pop(upstream, None)
        if service is None:
            if len(self._ad_hoc) >= AD_HOC:
                self._services.drop(self._ad_hoc.pop(next(iter(self._ad_hoc))))
            service = Service(self._services, upstream)
            self._services.live(service)
        self._ad_hoc[upstream] = service
        return service

    def services(self) -> Iterable[Service]:
        """All of them that last."""
        return self._asked.keys()


def client_tls(section: Proxy) -> ClientTls:
    """How a section speaks TLS.

    :raises ConfigError: a file is not what it should be.
    """
    certificate = None
    if section.ssl_cert is not None:
        certificate = (section.ssl_cert, section.ssl_key or section.ssl_cert)
    return ClientTls(
        section.ssl_name, verify=section.ssl_verify, authority=section.ssl_ca, certificate=certificate
    )  # fmt: skip
