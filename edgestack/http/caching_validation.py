"""Validation: asking the origin whether a stored response is still so, and what its 304 changes (RFC 9111 §4.3).

    validation_fields    StoredHead -> If-None-Match and If-Modified-Since      §4.3.1
    merge_304            StoredHead and 304 -> StoredHead                       §4.3.4, §3.2

The request that validates is its sender's own but for these fields; what he gets is then made from the merged head by
his own preconditions (caching_answers.py). Pure; times are seconds since 1970.
"""

from __future__ import annotations

from dataclasses import replace

from edgestack.http.caching import CachingRule, StoredHead
from edgestack.http.caching_storing import Reason, may_store
from edgestack.http.conditional import read_tags
from edgestack.http.dates import http_date, parse_http_date
from edgestack.http.messages import FieldPairs, Request, Response

__all__ = ["merge_304", "validation_fields"]

OF_THE_BODY = frozenset(["content-encoding", "content-length", "content-range", "content-type", "etag"])
"""What describes the stored body, which a 304 does not change (§3.2). Its entity-tag is the stored one: it matched."""
OF_THE_REQUEST = frozenset([Reason.AUTHORIZATION, Reason.COOKIE, Reason.REQUEST, Reason.METHOD])
"""Reasons that lie with who asked, not with what is stored."""
EDGE = "X-Accel-Expires"


def validation_fields(head: StoredHead) -> FieldPairs:
    """The preconditions of a request that validates, names in lower case (§4.3.1); none without a validator."""
    fields: FieldPairs = ()
    if head.etag is not None:
        fields = (("if-none-match", head.etag),)
    if head.modified is not None:
        fields = (*fields, ("if-modified-since", http_date(head.modified)))
    return fields


def merge_304(
    request: Request, head: StoredHead, response: Response, rule: CachingRule, now: float
) -> StoredHead | None:
    """The stored response after a 304: with its fields, and as fresh as they say.

    Where it could not have been stored with these fields (`no-store`, `private`, a Set-Cookie), it answers this request
    and none after it: what is returned is stale, and has no validator. Where that is for a reason of the request
    (Authorization, Cookie, §3.5), it stays as it was.

    :param request: the one that the 304 answers.
    :return: None where the 304 is about another representation (§4.3.4): then ask again, without a condition.
    """
    if not _is_about(head, response):
        return None
    merged = may_store(request, Response(head.status, _merged(head, response)), rule, now)
    if isinstance(merged, StoredHead):
        return merged
    if merged in OF_THE_REQUEST:
        return head
    return replace(head, came=now, fresh_until=head.born, etag=None, modified=None, no_cache=True, strict=True)


def _is_about(head: StoredHead, response: Response) -> bool:
    """Whether the 304's validators are those of what is stored. One without any is: nothing else was asked about."""
    said = response.field("etag")
    if said is not None:
        tags = read_tags(said)
        if len(tags) != 1 or head.etag is None:
            return False
        tag = tags[0]  # a strong one must be the same; a weak one only mean the same (RFC 9110 §8.8.3.2)
        return tag == head.etag or (tag.startswith("W/") and tag[2:] == head.etag.removeprefix("W/"))
    date = response.field("last-modified")
    if date is None or head.etag is not None or head.modified is None:
        return True
    return parse_http_date(date) == head.modified


def _merged(head: StoredHead, response: Response) -> FieldPairs:
    """The stored fields, those that the 304 names replaced (§3.2)."""
    new = tuple(pair for pair in response.fields if pair[0].lower() not in OF_THE_BODY)
    names = {name.lower() for name, _ in new}
    old = head.fields if not head.accel else (*head.fields, (EDGE, head.accel))
    return (*(pair for pair in old if pair[0].lower() not in names), *new)
