"""What a client is given of what is stored, and what it is told about that (RFC 9111 §5.1, RFC 9211).

A plain GET within the same second gets the very same Response, which the wire has encoded already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgestack.http.caching_answers import stored_answer
from edgestack.http.caching_status import cache_status
from edgestack.http.conditional import evaluate
from edgestack.http.dates import parse_http_date
from edgestack.http.messages import Exchange, Response

if TYPE_CHECKING:
    from edgestack.store import StoredResponse

__all__ = ["HIT", "given", "not_modified", "note", "plain_hit", "with_status"]

HIT = ("HIT", "")
"""What is noted of a hit: its answer has its Cache-Status already."""
ABOUT_CONTENT = ("content-type", "content-encoding", "content-language", "content-range", "transfer-encoding")
"""Fields that a 304 does not repeat (RFC 9110 §15.4.5)."""
CONDITIONS = ("if-none-match", "if-modified-since")


def plain_hit(exchange: Exchange, stored: StoredResponse, now: float) -> Response:
    """The answer to a request for what is stored and fresh."""
    exchange.cached = HIT
    request, second = exchange.request, int(now)
    plain = not request.conditional and request.method == "GET"
    if plain:
        kept: Any = stored.given
        if kept is not None and kept[0] == second:
            response: Response = kept[1]
            return response
    response = _answer(exchange, stored, now, cache_status(hit=True, ttl=int(stored.head.fresh_until - now)))
    if plain:
        stored.given = (second, response)
    return response


def given(
    exchange: Exchange, stored: StoredResponse, now: float, word: str, *, hit: bool = False, **said: Any
) -> Response:
    """What is stored as the answer, in another case.

    :param word: for the log.
    :param said: what Cache-Status says beside its age.
    """
    exchange.cached = (word, "")
    return _answer(exchange, stored, now, cache_status(hit=hit, ttl=int(stored.head.fresh_until - now), **said))


def _answer(exchange: Exchange, stored: StoredResponse, now: float, status: str) -> Response:
    response = stored_answer(exchange.request, stored.head, stored.body, now)
    response = response.with_(fields=(*response.fields, ("Cache-Status", status)))
    if response.status == stored.head.status:
        response.lasting = stored.mark
    return response


def note(exchange: Exchange, word: str, **said: Any) -> None:
    """What the cache did for an answer that it has not."""
    exchange.cached = (word, cache_status(**said))


def with_status(exchange: Exchange, response: Response) -> Response:
    """The filter of every route with a cache: its answer with the Cache-Status that it still lacks; what an application
    told the edge alone goes (a proxied server's was taken out before, and is not stored either)."""
    said = getattr(exchange, "cached", HIT)[1]
    if not said:
        return response
    fields = tuple(pair for pair in response.fields if pair[0].lower() != "x-accel-expires")
    return response.with_(fields=(*fields, ("Cache-Status", said)))


def not_modified(exchange: Exchange, response: Response) -> Response | None:
    """The 304 that a client gets by preconditions that content was not told of; None for the answer itself."""
    request = exchange.request
    if not request.conditional or response.status != 200:
        return None
    date = response.field("last-modified")
    modified = parse_http_date(date) if date is not None else None
    fields = {name: request.fields[name] for name in CONDITIONS if name in request.fields}
    if evaluate(request.method, fields, response.field("etag"), modified) != 304:
        return None
    kept = tuple(pair for pair in response.fields if pair[0].lower() not in ABOUT_CONTENT)
    return Response(304, kept)
