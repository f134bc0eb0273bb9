"""Chains and exchanges made by hand, for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgestack.config.matching import Match, parse_match
from edgestack.errors import EdgeError
from edgestack.http.facts import Facts
from edgestack.http.messages import Exchange, Request, Response
from edgestack.http.target import read_path
from edgestack.routing import Chain, Locations, nothing, road

__all__ = ["Site", "ask", "chain", "exchange", "page", "says"]


def says(text: str) -> Callable[[Exchange], Response]:
    """Content that says one thing."""
    return lambda exchange: Response(200, (), text.encode())


def page(exchange: Exchange, error: EdgeError) -> Response:
    """An error page that says the status, and has the fields that the error demands."""
    return Response(error.status, error.fields, f"page {error.status}".encode())


def chain(match: str | Match, content: Any = None, **more: Any) -> Chain:
    """A chain whose content says its match."""
    made = parse_match(match) if isinstance(match, str) else match
    return Chain(made, content or says(str(match)), more.pop("errors", page), **more)


def exchange(
    target: str = "/", method: str = "GET", host: str = "a.test", fields: Mapping[str, str] | None = None,
    facts: Facts | None = None,
) -> Exchange:  # fmt: skip
    """An exchange as the wire would make it."""
    raw, _, query = target.partition("?")
    all_fields = {"host": host, **(fields or {})}
    request = Request(
        method, target, "HTTP/1.1", list(all_fields.items()), all_fields, read_path(raw), query, host, True
    )
    return Exchange(facts or Facts(), request, 1, 0.0)


class Site:
    """The chains of one site, ready to be asked."""

    def __init__(self, chains: Sequence[Chain], **fallback: Any) -> None:
        self.fallback = Chain("/", nothing, page, **fallback)
        self.locations = Locations(chains, self.fallback)
        self.handle = road(self.locations)


def ask(chains: Sequence[Chain], target: str = "/", **more: Any) -> tuple[int, str]:
    """Status and body of an answer that comes at once."""
    answer = Site(chains).handle(exchange(target, **more))
    assert isinstance(answer, Response)
    assert isinstance(answer.body, bytes)
    return answer.status, answer.body.decode()
