"""The request-target that goes upstream (criterion B1; nginx: ngx_http_proxy_create_request).

    no URI        as the client sent it, byte for byte: %2F, // and the case of escapes stay
    with a URI    in place of the route's prefix in the decoded, slash-merged, dot-resolved path, and escaped again
    variables     a URI that has some is the whole target; without one the first rule holds

A request that was led elsewhere inside the server (`rewrite`, `try`, an error page) goes upstream as it is now. The
query is the request's; its bytes are never touched. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import quote

from edgestack.http.messages import Exchange, Request

__all__ = ["SAFE", "Mapping", "as_sent", "mapping"]

SAFE = "/:@!$&'()*+,;=~-._[]"
"""What stays as it is when a path is escaped again (RFC 3986 §3.3; the brackets because nginx leaves them)."""

Mapping: TypeAlias = "Callable[[Exchange], str]"


def as_sent(exchange: Exchange) -> str:
    """The target as the client sent it, in origin-form; of one that was led elsewhere inside the server, the new one.

    An absolute-form target loses scheme and host (RFC 9112 §3.2.1); `OPTIONS *` stays what it is.
    """
    request = exchange.request
    raw, query, target = request.path.raw, request.query, request.target
    if query:
        return f"{raw}?{query}"
    return target if target == raw + "?" else raw


def mapping(uri: str | None, prefix: str) -> Mapping:
    """What makes the target.

    :param uri: of the proxy's target, or None.
    :param prefix: of the route, decoded: what `uri` stands for.
    """
    if uri is None:
        return as_sent
    cut, put = len(prefix), quote(uri, SAFE + "%")

    def mapped(exchange: Exchange) -> str:
        request = exchange.request
        path = quote(request.path.normal[cut:], SAFE, errors="surrogateescape")
        return _with_query(put + path, request)

    return mapped


def _with_query(path: str, request: Request) -> str:
    """The path and the query as sent, a lone question mark included."""
    if request.query:
        return f"{path}?{request.query}"
    return path + "?" if request.target.endswith("?") else path
