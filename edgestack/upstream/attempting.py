"""The attempts of one exchange: who was asked, whose fault it was, and whether another one is asked (A15–A20, A22).

    wait() ─► peer ─► began() ─► lost(error) ─► another try: the same peer on a fresh link (A20), or the next one
                             └─► answered(head) ─► betters(head): another peer, because of its status (A19)
                                               └─► over(): the link goes back, the peer is released

The rules are tables in retrying.py, the accounting is the group's; here is what one exchange has done so far. A failure
that only shows that a kept link was dead is nobody's fault, and is not counted: the fresh link tells how the peer is.
"""

from __future__ import annotations

import logging

from edgestack.errors import UpstreamError
from edgestack.http.attempts import Attempt, Attempts
from edgestack.http.messages import Errand
from edgestack.upstream.backend import Backend
from edgestack.upstream.peers import NEVER, Peer, Tried
from edgestack.upstream.retrying import Case
from edgestack.upstream.way import Way
from edgestack.wire.h1_client import UpstreamHead
from edgestack.wire.link import AnyLink
from edgestack.wire.upstream_errors import about

__all__ = ["Attempting"]

log = logging.getLogger("edgestack.error")


class Attempting(Errand):
    """An errand, as far as it knows what was tried. `ProxyErrand` makes it, and fetches."""

    __slots__ = (
        "_began", "_first", "_tried", "attempt", "attempts", "backend", "error", "fresh", "link", "peer", "target",
        "tries", "way",
    )  # fmt: skip

    way: Way
    backend: Backend
    target: str
    """The request-target that is sent."""
    tries: int
    """Attempts that count."""
    attempts: Attempts
    attempt: Attempt
    """The last of them; unset before there is one."""
    peer: Peer | None
    """Picked, and not released yet."""
    link: AnyLink | None
    """Ours, while an attempt lasts."""
    fresh: bool
    """A kept link was dead (A20): from now on only fresh ones are used."""
    error: UpstreamError | None
    """Of the last attempt that failed."""
    _began: float
    _first: float
    """When the last attempt began, and the first one."""
    _tried: Tried | None

    def now(self) -> float:
        """The serving clock, in seconds."""
        return self.backend.keeper.clock()

    # -- choosing ------------------------------------------------------------------------------------------------------

    def chosen(self) -> Tried:
        """How far choosing has come; made when there is something to choose. To be asked before `peer` is let go."""
        if self._tried is None:
            self._tried = Tried()
            if self.peer is not None:
                self._tried.peers = (self.peer,)
        return self._tried

    async def wait(self) -> Peer:
        """The next peer, in the queue where the group has one.

        :raises UpstreamError: 502, there is none; after failures the last of them, which tells more.
        """
        if self.peer is None:
            await self.backend.resolved()
            try:
                self.peer = await self.backend.group.wait(self.exchange, self.chosen())
            except UpstreamError as error:
                raise self.error or error from None
            if self.error is not None:
                log.warning("%s: another server is tried: %s", self.exchange.request_id, self.error)
        return self.peer

    def began(self, peer: Peer, now: float) -> None:
        """An attempt at a peer begins."""
        self._began = now
        if self._first == NEVER:
            self._first = now
        self.attempt = attempt = Attempt(peer.address)
        self.attempts.append(attempt)

    def connected(self, link: AnyLink) -> None:
        """Its link is there."""
        self.link = link
        self.attempt.connect_time = 0.0 if link.reused else self.now() - self._began

    # -- what became of it ---------------------------------------------------------------------------------------------

    def lost(self, error: UpstreamError, *, sent: bool, gone: bool) -> bool:
        """An attempt failed: the link is closed. Whether to go on: `peer` is kept if the same one is to be asked again.

        :param sent: whether a byte of the request went out.
        :param gone: whether a part of the body cannot be sent again (A18).
        """
        now = self.now()
        case = Case(error.condition)
        rules, method = self.way.rules, self.exchange.request.method
        self.attempt.status = error.status
        self.attempt.error = str(about(self.attempt.address, error))
        self.attempt.response_time = now - self._began
        link, self.link = self.link, None
        if link is not None:
            self.backend.keeper.close(link)
            again = rules.goes_on_fresh(case, method, reused=link.reused, sent=sent, streamed=gone)
            if again and not self.fresh:
                self.fresh = True
                return True
        self.tries += 1
        self.error = error
        self.chosen()
        peer, self.peer = self.peer, None
        if peer is not None:
            if rules.counts(case):
                self.backend.group.failed(peer, now)
            self.backend.group.release(peer)
        elapsed = now - self._first
        return rules.goes_on(case, method, sent=sent, streamed=gone, tries=self.tries, elapsed=elapsed)

    def answered(self, head: UpstreamHead, now: float) -> None:
        """The final head came."""
        attempt, peer = self.attempt, self.peer
        assert peer is not None
        attempt.status = head.status
        attempt.header_time = attempt.response_time = seconds = now - self._began
        self.attempts.head = head
        peer.timed(seconds)

    def may_better(self, head: UpstreamHead, *, gone: bool) -> bool:
        """Whether the status is a reason to ask another peer, if there is one."""
        case = self.way.rules.case_of(head.status)
        return case is not None and self.way.rules.goes_on(
            case, self.exchange.request.method, sent=True, streamed=gone, tries=self.tries + 1,
            elapsed=self.now() - self._first,
        )  # fmt: skip

    def betters(self, head: UpstreamHead, *, gone: bool, reusable: bool) -> bool:
        """A19: another peer is picked because of the status, and the link let go; False: this is the answer."""
        now, group = self.now(), self.backend.group
        other: Peer | None = None
        if self.may_better(head, gone=gone):
            try:
                other = group.pick(self.exchange, self.chosen(), now)
            except UpstreamError:
                pass  # nobody else: the client gets this answer
        if other is None:
            return False
        log.warning("%s: another server is tried: %s answered %d", self.exchange.request_id, self.attempt.address,
                    head.status)  # fmt: skip
        self.tries += 1
        self.judge(head, now)
        self.over(now, reusable=reusable)
        self.peer = other
        return True

    def judge(self, head: UpstreamHead, now: float) -> None:
        """What its status says of the peer (A16)."""
        peer = self.peer
        assert peer is not None
        case = self.way.rules.case_of(head.status)
        if case is not None and self.way.rules.counts(case):
            self.backend.group.failed(peer, now)
        elif peer.fails:
            self.backend.group.succeeded(peer, now)

    def over(self, now: float, *, reusable: bool) -> None:
        """The attempt is done with: its link goes back, or is closed, and the peer is released. Twice does no harm."""
        link, peer = self.link, self.peer
        self.link = self.peer = None
        if peer is not None:
            if link is not None:
                self.attempt.response_time = now - self._began
                self.backend.give_back(link, peer, now, reusable=reusable)
            self.backend.group.release(peer)
