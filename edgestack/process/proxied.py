"""Which routes another server answers, in words: for the banner, and the summary of `check`.

/api/ → http://backend/   (least_conn: 127.0.0.1:8001, 127.0.0.1:8002)
"""

from __future__ import annotations

from edgestack.config.model import Config, Route, Upstream

__all__ = ["group", "proxied"]

MOST_SERVERS = 3
"""Servers of a group that are named."""


def proxied(config: Config) -> tuple[str, ...]:
    """A line for each route that proxies; the same match in several sites is told with its site."""
    groups = {one.name: one for one in config.upstreams}
    told = []
    for site in config.all_sites():
        host = site.hosts[0] if config.sites and site.hosts else ""
        told += [f"{host}{' ' * bool(host)}{_line(route, groups)}" for route in site.routes if route.proxy is not None]
    return tuple(told)


def _line(route: Route, groups: dict[str, Upstream]) -> str:
    assert route.proxy is not None
    target = route.proxy.target
    found = groups.get(target.server) if target is not None else None
    return f"{route.match} → {route.proxy.to}" + (f"  ({group(found)})" if found is not None else "")


def group(upstream: Upstream) -> str:
    """How it balances, and between whom; of many servers the first."""
    servers = [str(server.to) + _role(server.backup, server.down) for server in upstream.servers]
    rest = len(servers) - MOST_SERVERS
    few = servers if rest <= 0 else [*servers[:MOST_SERVERS], f"and {rest} more"]
    return f"{'hash' if upstream.hash else upstream.balance}: {', '.join(few)}"


def _role(backup: bool, down: bool) -> str:
    return " down" if down else " backup" if backup else ""
