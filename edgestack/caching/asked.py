"""The exchange in which content is asked for an answer that is to be stored: not as the client asked, but for all.

    client's request  ->  a GET without its preconditions and its range, with those of a validation (RFC 9111 §4.3.1)

Its answer has no filters applied: they are applied to what the client gets, each time. It leaves no line in the access
log; what was tried upstream stands on the client's exchange too.
"""

from __future__ import annotations

from typing import Any

from edgestack.http.conditional import CONDITIONAL
from edgestack.http.messages import Exchange, FieldPairs, Request

__all__ = ["Asked", "asked"]


class Asked(Exchange):
    """An exchange of the cache with the content behind it."""

    __slots__ = ()

    def finish(self) -> None:
        """Run the ends that its links added; there are no others."""
        ends, self.ends = self.ends, ()
        for end in ends:
            end(self)


def asked(exchange: Exchange, validation: FieldPairs = ()) -> Asked:
    """Ask in the name of `exchange`.

    :param validation: fields that ask whether a stored response is still so, names in lower case.
    """
    found = Asked(exchange.facts, _request(exchange.request, validation), exchange.serial, exchange.started)
    found.ticket = [None]
    found.journey = exchange.journey
    found.attempts = exchange.attempts
    found.chain = plain(exchange.chain)
    if hasattr(exchange, "noted"):
        found.noted = exchange.noted
    return found


def plain(chain: Any) -> Any:
    """The chain (`routing/`) without its filters."""
    if chain.unfiltered is None:
        chain.unfiltered = chain.varied(filters=(), last=())
    return chain.unfiltered


def _request(request: Request, validation: FieldPairs) -> Request:
    """A GET of the whole representation; what stays the same is shared."""
    same = not request.conditional and not validation
    fields = dict(request.fields)
    made = Request(
        "GET", request.target, request.version, request.pairs, fields, request.path, request.query,
        request.host, request.persistent, conditional=False, block=request.block if same else None,
    )  # fmt: skip
    if not same:
        made.replace_fields(CONDITIONAL, validation)
    return made
