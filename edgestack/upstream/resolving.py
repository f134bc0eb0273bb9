"""Host names of upstream servers into addresses: at the start, and again and again (A7).

    await nursery.start(keep_resolved, group)      returns once every name was looked up, or after five seconds

The system's resolver is asked, on a thread, so that /etc/hosts and the like count. It tells no time to live: the next
look is after `resolve` seconds, or, where dnspython is installed (extra `dns`), when the DNS says. A name that does not
resolve never stops anything: its servers are out until it does, and addresses that were known are kept. It must not
know what a peer is used for.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import trio

from edgestack.upstream.group import Group

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver

    from edgestack.config.upstreams import UpstreamServer

__all__ = ["Found", "Look", "keep_resolved", "look_up"]

log = logging.getLogger("edgestack.error")

FIRST = 5.0
"""Seconds that the start waits for names: nginx's `resolver_timeout` is 30, which is long for a start."""

LEAST, MOST = 1.0, 3600.0
"""Bounds in seconds of a time to live that is obeyed: a record with 0 must not keep us asking."""

PATIENCE = 5.0
"""Seconds for the answer of a name server about a time to live."""


class Found(NamedTuple):
    """What a look gave."""

    addresses: Sequence[str]
    ttl: float | None = None
    """Seconds until they are to be looked up again; None where nobody tells."""


Look: TypeAlias = "Callable[[str], Awaitable[Found]]"
"""A name to its addresses; raises OSError or UnicodeError."""


async def keep_resolved(
    group: Group, look: Look | None = None, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Keep the addresses of a group's names, for ever; ends at once where it has none."""
    names = [_Name(group, server, look or look_up) for server in group.names()]
    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(name.keep)
        with trio.move_on_after(FIRST):
            for name in names:
                await name.looked.wait()
        task_status.started()


class _Name:
    """One server's name."""

    def __init__(self, group: Group, server: UpstreamServer, look: Look) -> None:
        self.group = group
        self.server = server
        self.look = look
        self.looked = trio.Event()
        self.known: frozenset[str] = frozenset()
        self.trouble = ""

    async def keep(self) -> None:
        """Look, and look again."""
        while True:
            seconds = await self._once()
            self.looked.set()
            await trio.sleep(seconds)

    async def _once(self) -> float:
        """One look; gives the seconds until the next."""
        interval = self.group.upstream.resolve
        try:
            found = await self.look(self.server.to.host)
        except (OSError, UnicodeError) as error:
            self._note(str(error))
            return interval
        addresses = frozenset(found.addresses)
        self._note("" if addresses else "it has no address")
        if addresses and addresses != self.known:
            self.known = addresses
            self.group.found(self.server, found.addresses)
        return interval if found.ttl is None else min(max(found.ttl, LEAST), MOST)

    def _note(self, trouble: str) -> None:
        """Say it once, and once that it is over."""
        if trouble and not self.trouble:
            kept = "; its last addresses are kept" if self.known else ""
            log.warning('upstream "%s": %s: %s%s', self.group.name, self.server.to.text, trouble, kept)
        elif self.trouble and not trouble:
            log.warning('upstream "%s": %s resolves again', self.group.name, self.server.to.text)
        self.trouble = trouble


async def look_up(host: str) -> Found:
    """A name's addresses by the system, in its order of preference (RFC 6724).

    :raises OSError: it has none (`socket.gaierror`), or nobody could be asked.
    :raises UnicodeError: it is no name that could be asked for.
    """
    found = await trio.socket.getaddrinfo(host, None, type=trio.socket.SOCK_STREAM)
    addresses = dict.fromkeys(str(address[0]) for *_, address in found)
    return Found(tuple(addresses), await _ttl(host))


async def _ttl(host: str, resolver: Resolver | None = None) -> float | None:
    """What the DNS says of a name's time to live; None without dnspython, and where the DNS does not know the name."""
    try:
        from dns.asyncresolver import Resolver
        from dns.exception import DNSException
    except ImportError:
        return None
    found = []
    for kind in ("A", "AAAA"):
        try:
            asked = resolver or Resolver()
            answer = await asked.resolve(host, kind, lifetime=PATIENCE)
        except (DNSException, OSError):
            continue
        found.append(float(answer.chaining_result.minimum_ttl))
    return min(found, default=None)
