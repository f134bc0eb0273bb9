"""The cache's rules: whether a stored response may answer a request (RFC 9111, a shared cache; RFC 5861).

Pure: no store, no clock; `now` is a parameter, in seconds since 1970, since what is kept outlives the process. The life
of a stored response, and which function says what:

    decide              request, candidates -> Hit | Stale | Revalidate | Miss | Refuse            (here)
    may_store           request, response -> StoredHead | Reason                caching_storing.py
    merge_304           request, StoredHead, a 304 -> StoredHead | None         caching_validation.py
    validation_fields   what asks the origin whether it is still so             caching_validation.py
    stale_on_error      whether it may stand in for a failure                   (here)
    stored_answer       StoredHead, body -> 200, 206, 304, 416 with its Age     caching_answers.py
    cache_status        what became of the request, for the client to see       caching_status.py
    invalidated         what an unsafe request makes untrue                     caching_invalidation.py

A primary key (method and target, §2) is the caller's; here stands what selects among the responses under one key: the
request fields that Vary names (§4.1). §4 in order is the flow of `decide`:

    method not cached                                    Miss("method" | "bypass"), not to be stored
    none under the key                                   Miss("uri-miss")
    none whose Vary fits                                 Miss("vary-miss")
    fresh, and the request does not object               Hit
    stale, by leave of the client (max-stale)            Stale
    stale, by leave of origin or rule (RFC 5861 §3)      Stale, to be refreshed behind the client's back
    only-if-cached                                       Refuse: 504 (§5.2.1.7)
    has a validator                                      Revalidate("stale" | "request")
    else                                                 Miss("stale" | "request")

What nobody may overrule: `no-cache`, `must-revalidate` and `proxy-revalidate` (§5.2.2). `s-maxage` implies the last
(§5.2.2.10), but where the origin, or the rule of whoever runs it, names a time for which stale answers will do, that is
the more exact word; a client's max-stale is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from edgestack.http.caching_directives import NONE, Wishes, wishes
from edgestack.http.caching_values import ANY, READS, UNSAID, CachingRule, StoredHead, select, variant_key
from edgestack.http.messages import Request

__all__ = [
    "ANY", "UNSAID", "CachingRule", "Decision", "Hit", "Miss", "Refuse", "Revalidate", "Stale", "StoredHead", "decide",
    "select", "stale_on_error", "variant_key",
]  # fmt: skip


class Hit:
    """It is fresh: answer with it."""

    __slots__ = ("head",)

    def __init__(self, head: StoredHead) -> None:
        self.head = head


class Stale:
    """It is stale, and may be given all the same."""

    __slots__ = ("head", "refresh")

    def __init__(self, head: StoredHead, refresh: bool) -> None:
        """:param refresh: whether it is to be fetched anew, while the client has its answer (RFC 5861 §3)."""
        self.head = head
        self.refresh = refresh


class Revalidate:
    """The origin is to be asked whether it is still so (`validation_fields`)."""

    __slots__ = ("fwd", "head")

    def __init__(self, head: StoredHead, fwd: str) -> None:
        """:param fwd: why, as RFC 9211 §2.2 names it: "stale" or "request"."""
        self.head = head
        self.fwd = fwd


class Miss:
    """The origin is to be asked for it."""

    __slots__ = ("fills", "fwd", "head")

    def __init__(self, fwd: str, fills: bool = True, head: StoredHead | None = None) -> None:
        """
        :param fwd: why, as RFC 9211 §2.2 names it: uri-miss, vary-miss, stale, request, method, bypass.
        :param fills: whether the answer may be stored, if `may_store` agrees.
        :param head: the stale one without validator that is there; may stand in for a failure.
        """
        self.fwd = fwd
        self.fills = fills
        self.head = head


class Refuse:
    """The client wants nothing but a stored response, and there is none: 504 (§5.2.1.7)."""

    __slots__ = ("status",)

    def __init__(self) -> None:
        self.status = 504


Decision: TypeAlias = "Hit | Stale | Revalidate | Miss | Refuse"


def decide(request: Request, stored: Sequence[StoredHead], rule: CachingRule, now: float) -> Decision:
    """What a request for which `stored` is under its key comes to (§4).

    :param stored: all candidates, or those whose `variant` fits; others are passed over.
    """
    if request.method not in rule.methods:
        return Miss("bypass" if request.method in READS else "method", fills=False)
    fields = request.fields
    head = select(stored, fields)
    wish = NONE
    if rule.heed_client and ("cache-control" in fields or "pragma" in fields):
        wish = wishes(fields)
    if head is None:
        if wish.only_if_cached:
            return Refuse()
        return Miss("vary-miss" if stored else "uri-miss", fills=not wish.no_store)
    if now < head.fresh_until and not head.no_cache and (wish is NONE or _agrees(wish, head, now)):
        return Hit(head)
    return _unfresh(head, wish, rule, now)


def _agrees(wish: Wishes, head: StoredHead, now: float) -> bool:
    """Whether a fresh response is fresh enough for the client (§5.2.1)."""
    if wish.no_cache or (wish.max_age is not None and now - head.born > wish.max_age):
        return False
    return head.fresh_until - now >= wish.min_fresh


def _unfresh(head: StoredHead, wish: Wishes, rule: CachingRule, now: float) -> Decision:
    """The same, where it is stale or the client wants a fresher one."""
    fwd = "stale" if now >= head.fresh_until or head.no_cache else "request"
    if not (head.no_cache or head.strict or wish.no_cache):
        if wish.max_stale is not None and not head.shared and _staleness(head, wish, now) <= wish.max_stale:
            return Stale(head, refresh=False)
        if (
            fwd == "stale"
            and wish.max_age is None
            and not wish.min_fresh
            and _within(head, head.while_window(rule), now)
        ):
            return Stale(head, refresh=True)
    if wish.only_if_cached:
        return Refuse()
    if head.validator:
        return Revalidate(head, fwd)
    return Miss(fwd, fills=not wish.no_store, head=head)


def stale_on_error(request: Request, head: StoredHead, rule: CachingRule, now: float) -> bool:
    """Whether a stored response may be given in the place of a failure: no answer, or 500, 502, 503, 504 (RFC 5861 §4).

    A response that is still fresh (the client wanted it validated) may.
    """
    if head.no_cache:
        return False
    if now < head.fresh_until:
        return True
    if head.strict:
        return False
    window = head.error_window(rule)
    if rule.heed_client and not head.shared and "cache-control" in request.fields:
        window = max(window, wishes(request.fields).stale_if_error or 0)
    return _within(head, window, now)


def _within(head: StoredHead, window: float, now: float) -> bool:
    return now < head.fresh_until + window


def _staleness(head: StoredHead, wish: Wishes, now: float) -> float:
    """For how long it has been stale in the client's eyes (§5.2.1.1, §5.2.1.2)."""
    until = head.fresh_until - wish.min_fresh
    if wish.max_age is not None:
        until = min(until, head.born + wish.max_age)
    return now - until
