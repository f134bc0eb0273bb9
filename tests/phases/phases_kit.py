"""Exchanges as phases see them, in memory: what comes, and what a handler makes of it."""

from __future__ import annotations

from typing import Any

from edgestack.errors import EdgeError
from edgestack.http.facts import Facts
from edgestack.http.messages import Exchange, Request, Response
from edgestack.http.target import read_path

__all__ = ["answer_of", "coming", "fields_of", "hello", "refusal"]

HELLO = Response(200, (("Content-Type", "text/plain"),), b"hello")


def coming(
    target: str = "/",
    *,
    method: str = "GET",
    addr: str = "192.0.2.1",
    scheme: str = "http",
    at: float = 0.0,
    body: Any = None,
    **fields: str,
) -> Exchange:
    """An exchange whose head was read at `at` seconds. Fields by keyword: x_y is x-y."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    path, _, query = target.partition("?")
    request = Request(
        method, target, "HTTP/1.1", list(named.items()), named, read_path(path), query, "example.com", True
    )
    request.body = body
    return Exchange(Facts(addr, scheme=scheme), request, 1, at)


def hello(exchange: Exchange) -> Response:
    """Content that is always the same object, as a static entry is."""
    return HELLO


def refusal(call: Any, *arguments: Any) -> EdgeError | None:
    """What a call raises, or None."""
    try:
        call(*arguments)
    except EdgeError as error:
        return error
    return None


async def answer_of(handler: Any, exchange: Exchange) -> Any:
    """What a handler gives in the end, its refusals included."""
    try:
        answer = handler(exchange)
        return answer if isinstance(answer, Response) or not hasattr(answer, "__await__") else await answer
    except EdgeError as error:
        return error


def fields_of(response: Response) -> list[str]:
    """The fields as lines."""
    return [f"{name}: {value}" for name, value in response.fields]
