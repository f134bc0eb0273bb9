"""The spine: which chain answers an exchange, and the one road through it.

    match(request) -> chain: checks -> content -> filters       (errors -> the chain's page; ends -> the exchange)

A chain is flat: tuples of functions, made once by `compose.py`; a rule that is not configured is not in it. Nothing
here waits: an awaitable answer is wrapped, so that what it gives in the end passes the same filters and error pages.
Prefixes match on segment boundaries, longest first (nginx: location); the choice for a known path is remembered. A
target whose two forms (`http/target.py`) lead to two routes is refused: one of them would be reached past its rules.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from edgestack.errors import ClientError, Disconnected, EdgeError, Refused
from edgestack.http.messages import Answer, AppCall, Check, Exchange, Filter, Handler, Response
from edgestack.http.target import Path

__all__ = ["Chain", "nothing", "spine"]

ErrorPage = Callable[[Exchange, EdgeError], Response]
KNOWN_PATHS = 8192
"""Paths whose route is remembered; two generations of `http.target`'s table, whose objects these are."""

log = logging.getLogger("edgestack.error")


class Chain:
    """What answers one route."""

    __slots__ = ("checks", "content", "ends", "errors", "filters", "prefix")

    def __init__(
        self,
        prefix: str,
        content: Handler,
        errors: ErrorPage,
        *,
        checks: Sequence[Check] = (),
        filters: Sequence[Filter] = (),
        ends: Sequence[Callable[[Exchange], None]] = (),
    ) -> None:
        """
        :param prefix: the path it answers, with what is below; "/" for all.
        :param errors: makes the answer for an error raised on this road.
        """
        self.prefix = prefix
        self.content = content
        self.errors = errors
        self.checks = tuple(checks)
        self.filters = tuple(filters)
        self.ends = tuple(ends)


def spine(chains: Sequence[Chain], fallback: Chain) -> Handler:
    """The handler for a set of chains.

    :param fallback: answers (with its error page) what no chain matches.
    """
    known: dict[Path, Chain] = {}
    ordered = sorted(chains, key=lambda chain: len(chain.prefix), reverse=True)
    ambiguous = Chain("/", two_readings, fallback.errors, ends=fallback.ends)

    def choose(path: str) -> Chain:
        return next((chain for chain in ordered if _covers(chain.prefix, path)), fallback)

    def match(path: Path) -> Chain:
        chain = choose(path.normal)
        if not path.same and choose(path.path_info.encode("latin-1").decode("utf-8", "surrogateescape")) is not chain:
            chain = ambiguous
        if len(known) >= KNOWN_PATHS:
            known.clear()
        if len(path.raw) <= 256:
            known[path] = chain
        return chain

    def handle(exchange: Exchange) -> Answer:
        path = exchange.request.path
        chain = known.get(path) or match(path)
        exchange.chain = chain
        exchange.ends = chain.ends
        try:
            for check in chain.checks:
                refusal = check(exchange)
                if refusal is not None:
                    return _filtered(exchange, chain, refusal)
            answer = chain.content(exchange)
        except EdgeError as error:
            answer = _error_page(exchange, chain, error)
        if type(answer) is Response:
            return _filtered(exchange, chain, answer) if chain.filters else answer
        if isinstance(answer, AppCall):
            return answer
        return _later(exchange, chain, answer)  # type: ignore[arg-type]

    return handle


def _covers(prefix: str, path: str) -> bool:
    """Whether `path` is `prefix` or below it, on a segment boundary; `*` (OPTIONS *) belongs to "/"."""
    if prefix == "/":
        return True
    return path.startswith(prefix) and (prefix.endswith("/") or path[len(prefix) : len(prefix) + 1] in ("", "/"))


def _filtered(exchange: Exchange, chain: Chain, response: Response) -> Response:
    for apply in chain.filters:
        response = apply(exchange, response)
    return response


async def _later(exchange: Exchange, chain: Chain, answer: Awaitable[Response | AppCall]) -> Response | AppCall:
    try:
        result = await answer
    except Disconnected:
        raise
    except EdgeError as error:
        result = _error_page(exchange, chain, error)
    return _filtered(exchange, chain, result) if isinstance(result, Response) else result


def _error_page(exchange: Exchange, chain: Chain, error: EdgeError) -> Response:
    """The page; what is our fault, or a server's behind us, stands in the log with its details."""
    if error.status >= 500 and not isinstance(error, Refused):
        request = exchange.request
        log.error("%s: %s %s: %d: %s", exchange.request_id, request.method, request.target, error.status, error)
    return chain.errors(exchange, error)


def two_readings(exchange: Exchange) -> Response:
    """The content for a path whose two forms lead to different routes."""
    raise ClientError("The path has two readings.", 400)


def nothing(exchange: Exchange) -> Response:
    """The content of the fallback chain."""
    raise ClientError("There is nothing at this address.", 404)
