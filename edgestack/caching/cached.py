"""The wrap of a route with a `cache`: what is stored answers, or content does, and is stored.

    Cached(rules of the route)(handler) -> Road: exchange -> Answer
      not for it (method, bypass, body)       pass
      Hit                                     a Response at once: no task, no thread
      Stale                                   the same; refreshed in the background, once
      Refuse                                  504 (only-if-cached)
      Revalidate, Miss                        lead, or wait for who leads; what cannot be stored passes

A HEAD is never asked for the sake of the store, nor a part: both pass, and for a part the whole is fetched beside it.
nginx: ngx_http_upstream_cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from edgestack.caching.asked import asked
from edgestack.caching.fetching import Fetch
from edgestack.caching.given import given, note, plain_hit
from edgestack.caching.keys import BETWEEN, STEERING, url_of
from edgestack.caching.passing import Passing
from edgestack.caching.roads import Wait, on_the_road
from edgestack.caching.tee import Tee
from edgestack.caching.zone import Fill, Zone
from edgestack.config.caching import RouteCache
from edgestack.errors import EdgeError, Refused
from edgestack.http.caching import CachingRule, Hit, Miss, Refuse, Revalidate, Stale, decide, stale_on_error
from edgestack.http.caching_invalidation import SAFE
from edgestack.http.messages import Answer, AppCall, Exchange, Filter, Handler, Response, settled
from edgestack.http.variables import Template
from edgestack.store import StoredResponse
from edgestack.wire.app_turn import Pool, take_turn

__all__ = ["Cached", "caching_rule"]

PARTIAL = ("range", "if-match", "if-unmodified-since")
"""Request fields by which a client wants a part, or one certain representation: what is not stored is asked for so."""


def caching_rule(
    section: RouteCache, hidden: frozenset[str] = frozenset(), identified: bool = False
) -> CachingRule:  # fmt: skip
    """A route's section as the rules want it.

    :param hidden: see `CachingRule.hidden`; and so for `identified`.
    """
    valid = {status: seconds for statuses, seconds in section.valid for status in statuses}
    return CachingRule(
        valid, frozenset(section.methods), section.stale_if_error, section.stale_while_revalidate,
        ignore=frozenset(("set-cookie",)) if section.cookies else frozenset(), cookies=section.cookies, hidden=hidden,
        identified=identified,
    )  # fmt: skip


class Cached:
    """What routes with equal sections share."""

    __slots__ = ("apart", "bypass", "judge", "rule", "section", "template", "threads", "zone")

    def __init__(
        self, section: RouteCache, zone: Zone, key: Template | None, bypass: Sequence[Template], judge: Filter | None,
        rule: CachingRule, threads: Pool, apart: str = "",
    ) -> None:  # fmt: skip
        """
        :param key: the template that makes the key; None for the URL.
        :param judge: the route's `cache_control`, which is applied before it is decided what is stored.
        :param rule: `caching_rule` of the section.
        :param threads: where applications are called in the background.
        :param apart: what tells the keys of a route with conditions from those of another one for the same URLs.
        """
        self.section = section
        self.rule = rule
        self.zone = zone
        self.template: Template = url_of if key is None else key
        self.bypass = tuple(bypass)
        self.judge = judge
        self.threads = threads
        self.apart = apart

    def __call__(self, handler: Handler) -> Handler:
        """The handler behind the cache."""
        return Road(self, handler)

    def reason_to_pass(self, exchange: Exchange) -> str:
        """Why the cache has nothing to do with a request, in the words of RFC 9211 §2.2; "" where it has."""
        request = exchange.request
        if request.method not in self.rule.methods:
            return "bypass" if request.method in SAFE else "method"
        if request.body is not None or "upgrade" in request.fields:
            return "bypass"
        for template in self.bypass:
            if template(exchange) not in ("", "0"):
                return "bypass"
        return ""

    def key(self, exchange: Exchange) -> str:
        """What is stored for this request is stored under this key.

        Where a jump inside the server led here, what is asked for is not what the client named: an X-Accel-Redirect may
        lead each user elsewhere. So that is a part of the key then.
        """
        key = self.template(exchange)
        if self.apart:
            key = f"{key}\n{self.apart}"
        if exchange.journey is not None:
            request = exchange.request
            key = f"{key}\n{exchange.chain.match} {request.path.normal}?{request.query}"
        return key

    def describe(self, exchange: Exchange) -> str:
        """What it would do, for `explain`; nothing is looked up."""
        why = self.reason_to_pass(exchange)
        if why == "method":
            return f"{exchange.request.method} is passed on; where it succeeds, what is stored of this URL goes"
        if why:
            return "passed on: the request bypasses the cache"
        section = self.section
        valid = ", ".join(
            f"{' '.join(str(one or 'any') for one in statuses)} for {seconds:g} s"
            for statuses, seconds in section.valid
        )
        name = f"[cache.{self.zone.section.name}]" if self.zone.section.name else "memory"
        return f"looked up in {name} as {self.key(exchange).replace(BETWEEN, '')}" + (
            f"; valid: {valid}" if valid else ""
        )


class Road:
    """The way of requests through the cache, to one content."""

    __slots__ = ("_cached", "_find", "_handler", "_key", "_rule", "_zone")

    def __init__(self, cached: Cached, handler: Handler) -> None:
        self._cached = cached
        self._handler = handler
        self._key = cached.key
        self._rule = cached.rule
        self._zone = cached.zone
        self._find = cached.zone.store.find

    def __call__(self, exchange: Exchange) -> Answer:
        """The answer."""
        why = self._cached.reason_to_pass(exchange)
        if why:
            return self._past(exchange, why)
        return self._looked_up(exchange, self._cached.section.lock_timeout, False)

    def _looked_up(self, exchange: Exchange, patience: float, waited: bool) -> Answer:
        """
        :param patience: seconds for which it may still wait.
        :param waited: whether it has waited for another request's answer.
        """
        zone, rule = self._zone, self._rule
        key, now = self._key(exchange), zone.now()
        found = self._find(key)
        decision = decide(exchange.request, [one.head for one in found], rule, now)
        kind = type(decision)
        if kind is Hit:
            stored = _of(found, decision.head)  # type: ignore[union-attr]
            if waited:
                return given(exchange, stored, now, "HIT", fwd="uri-miss", collapsed=True)
            return plain_hit(exchange, stored, now)
        if kind is Refuse:
            note(exchange, "MISS", detail="only-if-cached")
            raise Refused("Nothing of this is stored.", 504)
        if isinstance(decision, Stale):
            stored = _of(found, decision.head)
            if decision.refresh:
                self._refresh(exchange, key, stored)
            return given(exchange, stored, now, "UPDATING" if decision.refresh else "STALE", hit=True)
        assert isinstance(decision, Miss | Revalidate)
        stale = _of(found, decision.head) if decision.head is not None else None
        return self._forward(exchange, key, decision, stale, patience)

    def _forward(
        self, exchange: Exchange, key: str, decision: Miss | Revalidate, stale: StoredResponse | None, patience: float
    ) -> Answer:
        """Content is asked: by this request, by another one that it waits for, or past the store."""
        zone, section, request = self._zone, self._cached.section, exchange.request
        if not STEERING.isdisjoint(request.fields):
            return self._past(exchange, "bypass")
        if isinstance(decision, Miss) and not decision.fills:
            return self._past(exchange, decision.fwd)
        if not zone.is_asked_often(key, section.min_uses) or request.method != "GET":
            return self._past(exchange, decision.fwd)
        if not section.lock or not zone.is_worth_waiting(key):
            fill: Fill | None = Fill()
        else:
            fill = zone.begin(key)
        if fill is None:
            if patience <= 0:
                return self._past(exchange, decision.fwd)
            return Wait(exchange, zone.fills[key], patience, self._after(exchange, decision.fwd))
        if request.conditional and any(name in request.fields for name in PARTIAL):
            self._beside(exchange, key, fill, stale)
            return self._past(exchange, decision.fwd)
        return self._led(Fetch(self._cached, exchange, key, fill, decision.fwd, stale))

    def _led(self, fetch: Fetch) -> Answer:
        try:
            answer = self._handler(fetch.asked)
            fetch.client.attempts = fetch.asked.attempts
        except EdgeError as error:
            return fetch.failed(error)
        except BaseException:
            fetch.left()
            raise
        return on_the_road(fetch, answer)

    def _after(self, exchange: Exchange, fwd: str) -> Callable[[Fill | None, float], Answer]:
        """What becomes of a request that has waited."""

        def again(fill: Fill | None, left: float) -> Answer:
            if fill is None:
                self._zone.give_up(self._key(exchange))
                return self._past(exchange, fwd)
            if fill.error is None:
                return self._looked_up(exchange, left, True)
            found, now = self._find(self._key(exchange)), self._zone.now()
            for stored in found:
                if stale_on_error(exchange.request, stored.head, self._rule, now):
                    return given(exchange, stored, now, "STALE", hit=True)
            note(exchange, "MISS", fwd=fwd, collapsed=True)
            raise fill.error.with_traceback(None)  # one error for all who waited: it would grow with each

        return again

    def _past(self, exchange: Exchange, fwd: str) -> Answer:
        """Content answers, and nothing is stored."""
        note(exchange, "BYPASS" if fwd in ("bypass", "method") else "MISS", fwd=fwd)
        if exchange.request.method in SAFE:
            return self._handler(exchange)
        return on_the_road(Passing(exchange, self._zone), self._handler(exchange))

    # -- in the background ---------------------------------------------------------------------------------------------

    def _refresh(self, exchange: Exchange, key: str, stored: StoredResponse) -> None:
        """Fetch it anew, beside the client's answer; once at a time (RFC 5861 §3)."""
        fill = self._zone.begin(key) if STEERING.isdisjoint(exchange.request.fields) else None
        if fill is not None:
            self._beside(exchange, key, fill, stored)

    def _beside(self, exchange: Exchange, key: str, fill: Fill, stale: StoredResponse | None) -> None:
        client = asked(exchange)
        client.chain = exchange.chain
        fetch = Fetch(self._cached, client, key, fill, "stale", stale)
        if not self._zone.start_soon(lambda: self._fetched(fetch), exchange):
            fetch.left()

    async def _fetched(self, fetch: Fetch) -> None:
        """Ask content, and take all of its answer."""
        try:
            answer = await settled(self._handler(fetch.asked))
            if isinstance(answer, AppCall):
                await take_turn(self._cached.threads, answer, Tee(fetch, None))
            elif isinstance(answer, Response):
                await fetch.taken(answer)
        except EdgeError as error:
            fetch.failed(error)
        finally:
            fetch.left()


def _of(found: Sequence[StoredResponse], head: Any) -> StoredResponse:
    """The stored response that has this head."""
    return found[0] if len(found) == 1 else next(one for one in found if one.head is head)
