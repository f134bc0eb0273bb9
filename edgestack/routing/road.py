"""The road through a chain, and the jumps from one chain to another inside the server.

    run(exchange, chain) -> Answer
      Response     filtered                       AppCall    as it is: its thread applies the filters
      Jump         another chain goes on          awaitable  the same, later
      Errand       begun or awaited by whoever holds the connection: what comes of it is settled here
      EdgeError    a page of the user's own (a jump), else the chain's error page

`Locations` has the first steps of this road inline, for the path that nearly every request takes. Nothing here waits.
A jump to another path sets `request.path`, so that $uri and the content see the new one; $request_uri stays. It chooses
in the same site, reaches what is `internal`, and meets no check twice. Ten jumps are the end (nginx: the same number).

An error page has the error's status and the fields that it demands (Allow, WWW-Authenticate), is got with GET, and is
neither conditional nor partial. When it fails itself, the error's plain page is the answer. Source: nginx `error_page`,
`recursive_error_pages off`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable

from edgestack.errors import Disconnected, EdgeError, Refused
from edgestack.http.bodies import FileSegment
from edgestack.http.conditional import CONDITIONAL
from edgestack.http.jumps import Journey, Jump
from edgestack.http.messages import Answer, AppCall, Errand, Exchange, Request, Response, settled
from edgestack.routing.chain import Chain
from edgestack.wire.streaming import let_go

__all__ = ["ROUNDS", "answered", "enter", "failed", "filtered", "onward", "recovered", "run", "settle"]

ROUNDS = 10
"""Jumps of one request (nginx: NGX_HTTP_MAX_URI_CHANGES)."""

log = logging.getLogger("edgestack.error")


def enter(exchange: Exchange, chain: Chain) -> Answer:
    """The answer of the first chain."""
    exchange.ends = chain.ends
    return run(exchange, chain)


def run(exchange: Exchange, chain: Chain) -> Answer:
    """The answer of a chain, filtered."""
    exchange.chain = chain
    journey = exchange.journey
    try:
        answer = (chain.handle if journey is None or not journey.met else chain.remaining(journey.met))(exchange)
    except EdgeError as error:
        answer = failed(exchange, chain, error)
    return answered(exchange, chain, answer)


def answered(exchange: Exchange, chain: Chain, answer: Answer) -> Answer:
    """What becomes of what a chain gave."""
    if type(answer) is Response:
        return filtered(exchange, chain, answer) if chain.filters else answer
    if isinstance(answer, AppCall):
        return answer
    if type(answer) is Jump:
        return follow(exchange, chain, answer)
    if isinstance(answer, Errand):
        answer.settle = settle
        return answer
    return _later(exchange, chain, answer)  # type: ignore[arg-type]


def filtered(exchange: Exchange, chain: Chain, response: Response) -> Response:
    """The response after the chain's filters."""
    for apply in chain.filters:
        response = apply(exchange, response)
    return response


def settle(exchange: Exchange, came: Response | Jump | EdgeError) -> Answer:
    """What becomes of what an errand brought: filters, another place that answers, or a page for an error."""
    chain: Chain = exchange.chain
    if type(came) is Response:
        for apply in chain.filters:  # as `filtered` does, without the call
            came = apply(exchange, came)
        return came
    if isinstance(came, EdgeError):
        return answered(exchange, chain, failed(exchange, chain, came))
    return answered(exchange, chain, came)


async def _later(
    exchange: Exchange, chain: Chain, answer: Awaitable[Response | AppCall | Jump]
) -> Response | AppCall | Jump:
    result: Answer
    try:
        result = await answer
    except Disconnected:
        raise
    except EdgeError as error:
        result = failed(exchange, chain, error)
    return await settled(answered(exchange, chain, result))


def failed(exchange: Exchange, chain: Chain, error: EdgeError) -> Answer:
    """The page; what is our fault, or a server's behind us, stands in the log with its details."""
    if error.status >= 500 and not (error.told or isinstance(error, Refused)):
        request = exchange.request
        log.error("%s: %s %s: %d: %s", exchange.request_id, request.method, request.target, error.status, error)
    return _page(exchange, chain, error)


async def recovered(exchange: Exchange, error: EdgeError) -> Response | AppCall:
    """The page for an error that came on an application thread, which has told the log of it. On the loop.

    The answer has not begun, and its body is at hand. Nothing is left of the request's own body.
    """
    request, chain = exchange.request, exchange.chain
    if request.body is not None:
        request.body = None
        request.replace_fields(("content-length", "content-type", "transfer-encoding"), ())
    answer = await settled(answered(exchange, chain, _page(exchange, chain, error)))
    if isinstance(answer, AppCall) or type(getattr(answer, "body", None)) in (bytes, FileSegment):
        return answer  # type: ignore[return-value] # jumps were followed
    let_go(getattr(answer, "body", None))
    log.error("%s: the page for %d is a stream, which no thread can send", exchange.request_id, error.status)
    return filtered(exchange, chain, chain.errors(exchange, error))


def _page(exchange: Exchange, chain: Chain, error: EdgeError) -> Answer:
    journey = exchange.journey
    if journey is not None and journey.error is not None:
        return chain.errors(exchange, journey.error)
    if chain.pages is not None:
        try:
            page = chain.pages(exchange, error)
        except EdgeError as second:  # variables that make no path
            log.error("%s: the page for %d: %s", exchange.request_id, error.status, second)
            page = None
        if page is not None:
            return page
    return chain.errors(exchange, error)


# --- jumps ------------------------------------------------------------------------------------------------------------


def follow(exchange: Exchange, chain: Chain, jump: Jump) -> Answer:
    """The answer from another place inside the server."""
    try:
        chain = onward(exchange, chain, jump)
    except EdgeError as error:
        journey, request = exchange.journey, exchange.request
        log.error("%s: %s %s: %s", exchange.request_id, request.method, request.target, error)
        return chain.errors(exchange, (journey and journey.error) or error)
    return run(exchange, chain)


def onward(exchange: Exchange, chain: Chain, jump: Jump) -> Chain:
    """The chain that goes on.

    :raises EdgeError: 500, when there was no end of jumps.
    """
    journey = exchange.journey
    if journey is None:
        journey = exchange.journey = Journey()
    journey.rounds += 1
    locations = chain.locations
    if journey.rounds > ROUNDS or locations is None:
        where = f"@{jump.target}" if isinstance(jump.target, str) else jump.target.normal
        raise EdgeError(status=500, detail=f"more than {ROUNDS} jumps inside the server, the last to {where}")
    if not jump.fresh:
        journey.met.update(chain.checks, chain.wraps)
    if jump.error is not None:
        journey.error, journey.status = jump.error, jump.status
        _asks_for_a_page(exchange, named=isinstance(jump.target, str))
    if isinstance(jump.target, str):
        other = locations.named[jump.target]
    else:
        exchange.request.path = jump.target
        if jump.query is not None:
            exchange.request.query = jump.query
        other = locations.inside(exchange)
    added = [end for end in exchange.ends if end not in chain.ends]
    first = [end for end in added if type(end) is _Restored]  # before whatever writes a line
    exchange.ends = (*first, *other.ends, *(end for end in added if end not in first))
    return _as_page(other) if journey.error is not None else other


def _asks_for_a_page(exchange: Exchange, *, named: bool) -> None:
    """The request as it asks for an error page."""
    request = exchange.request
    if not CONDITIONAL.isdisjoint(request.fields):
        request.fields = {name: value for name, value in request.fields.items() if name not in CONDITIONAL}
    request.conditional = False
    if not named and request.method not in ("GET", "HEAD"):
        exchange.ends = (_Restored(request), *exchange.ends)
        request.method = "GET"


class _Restored:
    """An end that gives a request its method back: the log lines that follow tell what the client sent."""

    __slots__ = ("method", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.method = request.method

    def __call__(self, exchange: Exchange) -> None:
        self.request.method = self.method


def _as_page(chain: Chain) -> Chain:
    """The chain as a page for an error: without pages of its own, and with the error's status before its filters."""
    if chain.paged is None:
        chain.paged = chain.varied(filters=(_with_the_status, *chain.filters), pages=None, recover=None)
    return chain.paged


def _with_the_status(exchange: Exchange, response: Response) -> Response:
    """The error's status, and what it demands."""
    journey = exchange.journey
    assert journey is not None
    error = journey.error
    assert error is not None
    if not 200 <= response.status < 300:
        return response
    demanded = error.fields if journey.status == error.status else ()
    own = {name.lower() for name, _ in demanded}
    fields = (*demanded, *(pair for pair in response.fields if pair[0].lower() not in own))
    return response.with_(status=journey.status, fields=fields, reason="")
