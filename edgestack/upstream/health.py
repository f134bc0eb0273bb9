"""Active checks: every peer of a group is asked at intervals, and left alone while it does not answer as it should.

    await keep_checked(group, fetch)       for ever; one task for each group with `health`

`fetch(peer, health)` makes the request and gives the status of its answer, or raises UpstreamError; time is kept here.
A peer counts as well until `fails` checks in a row have failed, and again after `passes` in a row have passed; then it
starts slowly where that is wanted. Each check of a round is put off by a part of the jitter, at random.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING, TypeAlias

import trio

from edgestack.errors import UpstreamError
from edgestack.upstream.group import Group
from edgestack.upstream.peers import Peer

if TYPE_CHECKING:
    from edgestack.config.upstreams import Health

__all__ = ["Fetch", "keep_checked"]

log = logging.getLogger("edgestack.error")

JITTER = 0.1
"""Of the interval, where none is said. A guess: enough that servers are not all asked at once."""

Fetch: TypeAlias = "Callable[[Peer, Health], Awaitable[int]]"


async def keep_checked(group: Group, fetch: Fetch, random: Random | None = None) -> None:
    """Check the peers of a group, for ever; ends at once where no checks are wanted."""
    health = group.upstream.health
    if health is None:
        return
    checks = _Checks(group, health, fetch, random or group.random)
    while True:
        start = trio.current_time()
        await checks.round()
        await trio.sleep_until(start + health.interval)


class _Checks:
    """The checks of one group, and how the last ones of each peer ended."""

    def __init__(self, group: Group, health: Health, fetch: Fetch, random: Random) -> None:
        self.group = group
        self.health = health
        self.fetch = fetch
        self.random = random
        self.jitter = health.interval * JITTER if health.jitter is None else health.jitter
        self.streaks: dict[Peer, int] = {}
        """Checks in a row: passed where positive, failed where negative."""

    async def round(self) -> None:
        """Ask everybody once."""
        peers = [peer for peer in self.group.peers() if not peer.down]
        self.streaks = {peer: self.streaks.get(peer, 0) for peer in peers}
        async with trio.open_nursery() as nursery:
            for peer in peers:
                nursery.start_soon(self._check, peer)

    async def _check(self, peer: Peer) -> None:
        await trio.sleep(self.random.random() * self.jitter)
        self._note(peer, await self._ask(peer))

    async def _ask(self, peer: Peer) -> str:
        """Why a peer is not well; "" when it is."""
        try:
            with trio.fail_after(self.health.timeout):
                status = await self.fetch(peer, self.health)
        except trio.TooSlowError:
            return f"no answer to a health check within {self.health.timeout:g} s"
        except UpstreamError as error:
            return f"a health check failed: {error}"
        except Exception:  # a fault in one check must end neither the others nor the server
            log.exception('upstream "%s": the check of %s broke', self.group.name, peer.address)
            return "a health check broke"
        if any(least <= status <= most for least, most in self.health.expect):
            return ""
        return f"status {status} to a health check"

    def _note(self, peer: Peer, why: str) -> None:
        """Count, and change what is known of the peer where that is enough."""
        streak = self.streaks.get(peer, 0)
        self.streaks[peer] = streak = min(streak, 0) - 1 if why else max(streak, 0) + 1
        if why and -streak >= self.health.fails:
            if not peer.ill:
                log.warning('upstream "%s": %s is left alone: %s', self.group.name, peer.address, why)
            self.group.set_health(peer, why, trio.current_time())
        elif peer.ill and streak >= self.health.passes:
            log.warning('upstream "%s": %s is well again', self.group.name, peer.address)
            self.group.set_health(peer, "", trio.current_time())
