"""What may be stored by a cache that serves everybody (RFC 9111 §3; criterion D8).

    may_store        request, response -> StoredHead, or the Reason why not
    stored_fields    what is kept of a response's fields (§3.1)
    response_tags    Cache-Tag and Surrogate-Key: what it can be purged by

The order of `_reason` is §3's. A response that is addressed to the edge (X-Accel-Expires, CDN-Cache-Control) is stored
although its Cache-Control says `no-store` or `private`, which is then for others; nothing else overrules those. A body
must come to its end before it is stored (§3.3): that is the caller's to see to.

What rests on the rule alone (`valid`) or on a guess is for pages that are the same for all who ask: an answer to a
request with a Cookie needs a word of its own, or the rule's `cookies`. Pure; times are seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from edgestack.http.caching import UNSAID, CachingRule, StoredHead, variant_key
from edgestack.http.caching_directives import seconds, wishes
from edgestack.http.caching_freshness import HEURISTIC, Control, age_on_arrival, control, freshness
from edgestack.http.conditional import read_tags
from edgestack.http.dates import parse_http_date
from edgestack.http.fields import HOP_BY_HOP, fold, is_token, tokens
from edgestack.http.messages import FieldPairs, Request, Response

__all__ = ["Reason", "may_store", "response_tags", "stored_fields"]


class Reason(Enum):
    """Why a response is not stored; the value is for people, and the `detail` of Cache-Status."""

    METHOD = "only answers to GET are stored"
    STATUS = "status is not stored"
    REQUEST = "request says no-store"
    NO_STORE = "no-store"
    PRIVATE = "private"
    AUTHORIZATION = "Authorization"
    SET_COOKIE = "Set-Cookie"
    COOKIE = "Cookie, and no freshness of its own"
    VARY = "Vary"
    SILENT = "no freshness"
    STREAM = "a stream of events"
    EXPIRED = "already stale"


NEVER = frozenset([206, 304, 412, 416, 417])
"""Answers to a range, a precondition or an expectation of one request; parts are not put together here (§3.3)."""
UNDERSTOOD = HEURISTIC | {302, 303, 307, 400, 403, 409, 421, 422, 451, 500, 502, 503, 504}
"""Statuses whose meaning for a cache is all known here (§5.2.2.3, must-understand)."""
PERMISSIONS = frozenset(["public", "s-maxage", "must-revalidate"])
"""What allows to store the answer to a request with Authorization, or whose sender is known otherwise (§3.5)."""
UNSTORED = HOP_BY_HOP | {
    "age", "authentication-info", "content-length", "date", "proxy-authentication-info", "set-cookie", "set-cookie2",
    "x-accel-expires",
}  # fmt: skip
"""Fields of one connection, one client, or one moment (§3.1)."""
ENDLESS = frozenset(["text/event-stream", "multipart/x-mixed-replace"])
"""Types of answers that have no end: whoever waited for it would wait for nothing."""
GUESSED = frozenset(["valid", "heuristic"])
"""Sources of freshness that are not the response's own word."""
MOST_VARY = 16
"""Request fields that one response may vary on; ours to choose."""
MOST_TAGS = 64
"""Tags of one response; ours to choose."""
LONGEST_TAG = 256


def may_store(
    request: Request, response: Response, rule: CachingRule, now: float, asked: float | None = None
) -> StoredHead | Reason:
    """What to keep of a response, beside its body.

    :param response: its fields may hold Date, Age and X-Accel-Expires, which are read and not kept.
    :param now: when it was received.
    :param asked: when the request for it was sent; `now` where that is not known.
    """
    fields = fold((name.lower(), value) for name, value in response.fields)
    said = control(fields, rule.ignore, now)
    vary = () if "vary" in rule.ignore else _vary(fields.get("vary", ""))
    reason = _reason(request, response.status, fields, said, rule)
    if reason is not None or vary is None or not rule.hidden.isdisjoint(vary):
        return reason or Reason.VARY
    born = now - age_on_arrival(fields, now if asked is None else asked, now)
    directives = said.directives
    no_cache = "no-cache" in directives and said.accel is None
    fresh = freshness(response.status, fields, said, rule, now, born)
    until, source = fresh if fresh is not None else (born, "no-cache")
    if fresh is None and not no_cache:
        return Reason.SILENT
    if source in GUESSED and "cookie" in request.fields and not rule.cookies:
        return Reason.COOKIE
    head = StoredHead(
        response.status, stored_fields(response.fields), now, born, until, source, vary,
        variant_key(vary, request.fields), _etag(fields.get("etag", "")),
        parse_http_date(fields.get("last-modified", ""), int(now)), _window(said, "stale-while-revalidate"),
        _window(said, "stale-if-error"), no_cache, "must-revalidate" in directives or "proxy-revalidate" in directives,
        "s-maxage" in directives, fields.get("x-accel-expires", ""), response_tags(fields),
    )  # fmt: skip
    return head if _is_of_use(head, rule, now) else Reason.EXPIRED


def _reason(
    request: Request, status: int, fields: Mapping[str, str], said: Control, rule: CachingRule
) -> Reason | None:
    """The first rule of §3 that forbids it, but for those about freshness."""
    directives = said.directives
    if request.method != "GET":
        return Reason.METHOD
    if status < 200 or status in NEVER or ("must-understand" in directives and status not in UNDERSTOOD):
        return Reason.STATUS
    if rule.heed_client and wishes(request.fields).no_store:
        return Reason.REQUEST
    if said.accel is None:
        if "no-store" in directives and "must-understand" not in directives:
            return Reason.NO_STORE
        if "private" in directives:
            return Reason.PRIVATE
    if ("authorization" in request.fields or rule.identified) and PERMISSIONS.isdisjoint(directives):
        return Reason.AUTHORIZATION
    if ("set-cookie" in fields or "set-cookie2" in fields) and "set-cookie" not in rule.ignore:
        return Reason.SET_COOKIE
    if fields.get("content-type", "").partition(";")[0].strip(" \t").lower() in ENDLESS:
        return Reason.STREAM
    return None


def _is_of_use(head: StoredHead, rule: CachingRule, now: float) -> bool:
    """Whether it will ever answer anything. A time of 0 from the edge's own words means that it is not to be stored."""
    if head.fresh_until <= now and head.source in ("x-accel-expires", "valid"):
        return False
    return now < head.useful_until(rule) and (head.validator or not head.no_cache)


def _vary(value: str) -> tuple[str, ...] | None:
    """The names in Vary, sorted; None where it is `*` (§4.1), or no list of names, or too long a one."""
    names = sorted(set(tokens(value)))
    return None if "*" in names or len(names) > MOST_VARY or not all(map(is_token, names)) else tuple(names)


def _etag(value: str) -> str | None:
    """The entity-tag, where there is one and it can be read."""
    found = read_tags(value)
    return found[0] if len(found) == 1 else None


def _window(said: Control, name: str) -> int:
    found = seconds(said.directives, name)
    return UNSAID if found is None else found


def stored_fields(fields: FieldPairs) -> FieldPairs:
    """What is kept of the fields of a response (§3.1)."""
    named = {token for name, value in fields if name.lower() == "connection" for token in tokens(value)}
    return tuple(pair for pair in fields if (name := pair[0].lower()) not in UNSTORED and name not in named)


def response_tags(fields: Mapping[str, str]) -> tuple[str, ...]:
    """What a response can be purged by, each once: Cache-Tag is divided by commas, Surrogate-Key by spaces.

    :param fields: folded, names in lower case. Tags of more than 256 characters, and those beyond 64, are left out.
    """
    listed = [tag.strip(" \t") for tag in fields.get("cache-tag", "").split(",")]
    listed += fields.get("surrogate-key", "").replace(",", " ").split()
    return tuple(dict.fromkeys(tag for tag in listed if 0 < len(tag) <= LONGEST_TAG))[:MOST_TAGS]
