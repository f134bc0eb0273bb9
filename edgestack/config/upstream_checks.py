"""Each `[upstream.NAME]` by itself: servers that can be asked, and ways to balance that go with what else is said.

nginx refuses the same combinations, in ngx_http_upstream_hash_module, …_ip_hash_module and …_random_module (A8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgestack.config.model import Upstream
from edgestack.config.positions import Mark
from edgestack.config.reading import Reading
from edgestack.config.route_checks import parts

__all__ = ["settled_upstreams"]

WITHOUT_BACKUPS = ("ip_hash", "random", "random two")


def settled_upstreams(found: Sequence[tuple[str, Upstream]], mark: Mark, reading: Reading) -> tuple[Upstream, ...]:
    """The groups with their names; what is wrong with one is kept by `reading`."""
    for name, upstream in found:
        place = mark.child(name)
        _check_servers(upstream, place, reading)
        _check_method(upstream, place, reading)
    return tuple(replace(upstream, name=name, origin=mark.child(name).origin) for name, upstream in found)


def _check_servers(upstream: Upstream, place: Mark, reading: Reading) -> None:
    servers = place.child("servers")
    if not upstream.servers:
        reading.problem(servers, "an upstream needs a server", 'for instance "127.0.0.1:8001"', key="servers")
    elif all(server.backup for server in upstream.servers):
        reading.problem(servers, "every server is a backup", "one must be there to be asked first", key="servers")
    seen: dict[str, Mark] = {}
    for at, server in enumerate(upstream.servers):
        here = servers.child(at)
        earlier = seen.setdefault(str(server.to), here)
        if earlier is not here:
            why = f"{server.to} is in this upstream already"
            reading.problem(here, why, "to have it asked more often, give it a `weight`", key="servers")


def _check_method(upstream: Upstream, place: Mark, reading: Reading) -> None:
    said = parts(place)
    if "hash" in said and "balance" in said:
        reading.key_problem(said["hash"], "`hash` is a way to balance, and `balance` names another one", key="hash")
    if "hash" in said and not upstream.hash and said["hash"] not in reading.flawed:
        reading.problem(said["hash"], "there is nothing to hash", 'for instance "$request_uri"', key="hash")
    if "consistent" in said and "hash" not in said:
        reading.key_problem(said["consistent"], "`consistent` needs a `hash`", key="consistent")
    method = "hash" if upstream.hash else upstream.balance
    if method != "hash" and method not in WITHOUT_BACKUPS:
        return
    for at, server in enumerate(upstream.servers):
        table = place.child("servers").child(at)
        if server.backup:
            why = f"`{method}` never asks a backup"
            reading.key_problem(table.child("backup"), why, "leave it out, or balance in another way", key="backup")
        if server.slow_start:
            _refuse_slow_start(method, table.child("slow_start"), reading)
    if upstream.slow_start:
        _refuse_slow_start(method, said["slow_start"], reading)


def _refuse_slow_start(method: str, place: Mark, reading: Reading) -> None:
    why = f"`{method}` chooses by weights that stay as they are, so that no server can start slowly"
    reading.key_problem(place, why, key="slow_start")
