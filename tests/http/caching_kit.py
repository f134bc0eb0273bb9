"""Requests, responses and stored heads for the tests of caching: fields by keyword, x_y is x-y."""

from __future__ import annotations

from edgestack.http.caching import CachingRule, StoredHead
from edgestack.http.caching_storing import may_store
from edgestack.http.dates import http_date
from edgestack.http.messages import Request, Response
from edgestack.http.target import read_path

__all__ = ["NOW", "RULE", "at", "request", "response", "stored"]

NOW = 1_000_000_000
"""A second of September 2001; tests go on from there."""
RULE = CachingRule()


def at(seconds: int) -> str:
    """The date that lies so many seconds after NOW."""
    return http_date(NOW + seconds)


def request(method: str = "GET", **fields: str) -> Request:
    """A request for /."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    return Request(method, "/", "HTTP/1.1", list(named.items()), named, read_path("/"), "", "example.com", True)


def response(status: int = 200, body: bytes = b"hello", **fields: str) -> Response:
    """A response; names are written as origins write them: X-Y."""
    return Response(status, tuple((name.replace("_", "-").title(), value) for name, value in fields.items()), body)


def stored(
    status: int = 200, *, rule: CachingRule = RULE, asked_with: dict[str, str] | None = None, **fields: str
) -> StoredHead:
    """The head of a response that was stored at NOW."""
    found = may_store(request(**(asked_with or {})), response(status, **fields), rule, NOW)
    assert isinstance(found, StoredHead), found
    return found
