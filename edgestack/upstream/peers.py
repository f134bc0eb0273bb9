"""One peer, a set of them, and what one request has tried. Pure: no I/O, and no clock; `now` is passed in, in seconds.

The accounting of failures is nginx's own (`ngx_http_upstream_free_round_robin_peer`, criteria A2–A6):

    picked      after the window (`now - checked > fail_timeout`) checked = now: the one probe of A4
    failed      fails += 1, accessed = checked = now, effective_weight -= weight / max_fails
    succeeded   where the window was opened since the last failure (accessed < checked): fails = 0
    left alone  while fails >= max_fails and now - checked <= fail_timeout
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from edgestack.config.peer_addresses import PeerAddress, ServerAddress

__all__ = ["Peer", "PeerStatistics", "Peers", "Tried"]

NEVER = float("-inf")

SMOOTHING = 0.2
"""The part that the newest answer has in the moving average of the time to the head. A guess: about the last ten
answers count. nginx does not tell its own."""


class PeerStatistics(NamedTuple):
    """What is known of one peer at one moment."""

    address: str
    server: str
    """As it is written in the configuration."""
    weight: int
    backup: bool
    active: int
    """Requests that it is answering."""
    requests: int
    failures: int
    header_time: float | None
    """Seconds to the head of an answer, a moving average; None before the first."""
    out: str
    """Why it is not asked; "" when it is."""


class Peer:
    """One address that requests are sent to. Equal only to itself: what hangs on it (idle links) is kept by it."""

    __slots__ = (
        "accessed", "address", "backup", "checked", "conns", "current_weight", "down", "effective_weight",
        "fail_timeout", "fails", "failures", "header_time", "ill", "max_conns", "max_fails", "requests", "rose",
        "server", "slow_start", "weight",
    )  # fmt: skip

    def __init__(
        self,
        address: PeerAddress,
        server: ServerAddress,
        *,
        weight: int = 1,
        max_conns: int = 0,
        max_fails: int = 1,
        fail_timeout: float = 10.0,
        slow_start: float = 0.0,
        backup: bool = False,
        down: bool = False,
    ) -> None:
        """
        :param address: what a connection is opened to.
        :param server: what was written, with the host name (for TLS) and whether it speaks TLS.
        """
        self.address = address
        self.server = server
        self.weight = weight
        self.max_conns = max_conns
        self.max_fails = max_fails
        self.fail_timeout = fail_timeout
        self.slow_start = slow_start
        self.backup = backup
        self.down = down
        self.ill = ""
        """Why its health checks fail; "" while they pass."""
        self.effective_weight = weight
        self.current_weight: float = 0
        self.conns = 0
        self.fails = 0
        self.accessed = self.checked = NEVER
        self.rose = NEVER
        """When it recovered, while its share still grows."""
        self.requests = 0
        self.failures = 0
        self.header_time: float | None = None

    def __repr__(self) -> str:
        return f"<Peer {self.address}>"

    def banned(self, now: float) -> bool:
        """Whether it failed too often (A3)."""
        return 0 < self.max_fails <= self.fails and now - self.checked <= self.fail_timeout

    def usable(self, now: float) -> bool:
        """Whether it can be asked now."""
        return not (
            self.down
            or self.ill
            or (self.fails and self.banned(now))
            or (self.max_conns and self.conns >= self.max_conns)
        )

    def usable_alone(self) -> bool:
        """The same for the only one of a group, whose failures do not count (A6)."""
        return not (self.down or self.ill or (self.max_conns and self.conns >= self.max_conns))

    def grown(self, now: float) -> float:
        """The part of its weight that it has, from 0 to 1: less than 1 only while it starts slowly."""
        if self.rose == NEVER:
            return 1.0
        part = (now - self.rose) / self.slow_start
        if part < 1.0:
            return part
        self.rose = NEVER
        return 1.0

    def share(self, now: float) -> float:
        """Its weight, as far as it has grown."""
        return self.weight if self.rose == NEVER else self.weight * self.grown(now)

    def advance(self, now: float) -> float:
        """One round of smooth weighted round robin (A1, A2): its weights grow; gives what the total grows by."""
        step: float = self.effective_weight
        if self.rose != NEVER:
            step *= self.grown(now)
        self.current_weight += step
        if self.effective_weight < self.weight:
            self.effective_weight += 1
        return step

    def picked(self, now: float) -> None:
        """It is asked."""
        self.conns += 1
        self.requests += 1
        if now - self.checked > self.fail_timeout:
            self.checked = now

    def failed(self, now: float) -> None:
        """It was asked, and failed."""
        self.failures += 1
        self.fails += 1
        self.accessed = self.checked = now
        if self.max_fails:
            self.effective_weight = max(self.effective_weight - self.weight // self.max_fails, 0)

    def succeeded(self, now: float) -> None:
        """It was asked, and answered (A4, A5)."""
        if self.fails and self.accessed < self.checked:
            if 0 < self.max_fails <= self.fails:
                self.recovered(now)
            self.fails = 0

    def recovered(self, now: float) -> None:
        """It was out, and is back: its share grows from nothing, where it is to start slowly."""
        if self.slow_start:
            self.rose = now
            self.current_weight = 0

    def timed(self, seconds: float) -> None:
        """The head of an answer came after so long."""
        known = self.header_time
        self.header_time = seconds if known is None else known + SMOOTHING * (seconds - known)

    def out(self, now: float, *, alone: bool = False) -> str:
        """Why it is not asked; "" when it is.

        :param alone: whether it is the only one of its group.
        """
        if self.down:
            return "down"
        if self.ill:
            return f"unhealthy: {self.ill}"
        if not alone and self.banned(now):
            times = f"{self.fails} time" + "s" * (self.fails > 1)
            return f"failed {times}, next try in {self.fail_timeout - (now - self.checked):.1f} s"
        if self.max_conns and self.conns >= self.max_conns:
            return f"at max_conns, {self.max_conns}"
        return ""

    def statistics(self, now: float, *, alone: bool = False) -> PeerStatistics:
        """What is known of it."""
        return PeerStatistics(
            str(self.address), str(self.server), self.weight, self.backup, self.conns, self.requests, self.failures,
            self.header_time, self.out(now, alone=alone),
        )  # fmt: skip


class Peers:
    """The primaries of a group, or its backups: never changed; another set takes its place when addresses change."""

    __slots__ = ("list", "ring", "single", "total_weight", "tries")

    def __init__(self, peers: Iterable[Peer], *, single: bool | None = None) -> None:
        """
        :param single: whether there is no other peer in the group; None for "where there is one here".
        """
        self.list: Sequence[Peer] = tuple(peers)
        self.single = len(self.list) == 1 if single is None else single
        self.total_weight = sum(peer.weight for peer in self.list)
        self.tries = sum(not peer.down for peer in self.list)
        self.ring: object = None
        """What a method of balancing has made of them, and keeps."""


class Tried:
    """What one request has tried, and how far its choosing has come. Made by whoever proxies, once for each request."""

    __slots__ = ("backups", "hash", "key", "misses", "peers", "rehash")

    def __init__(self) -> None:
        self.peers: tuple[Peer, ...] = ()
        """Each is asked at most once (A15)."""
        self.key: bytes | None = None
        """What is hashed; None before that is known."""
        self.backups = False
        """Whether it has come to the backups."""
        self.hash = -1
        """Where hashing stands; -1 before it began."""
        self.rehash = 0
        self.misses = 0
        """Peers that were chosen by hash or at random and could not be asked; beyond 20 round robin chooses."""

    def forget(self) -> None:
        """Begin to choose anew, among those that were not tried."""
        self.backups, self.hash, self.rehash, self.misses = False, -1, 0, 0
