"""The head of an upstream's answer as the client gets it: B11, B12, and what X-Accel-* fields ask of us.

    fields of the upstream -> (hop by hop, Server, Date, X-Pad, X-Accel-*, `hide_headers` left out)
                           -> (Location, Refresh, Set-Cookie mapped back) -> fields of the answer
                           -> Orders: X-Accel-Redirect, -Buffering, -Limit-Rate

Date, Server, Connection and framing are written by the wire, so that exactly one of each leaves. What need not be
looked at again is worked out once for heads that came like this before, and kept with them. Pure. RFC 9110
§7.6.1; nginx's `proxy_hide_header`, `proxy_redirect`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from edgestack.http.fields import HOP_BY_HOP, tokens
from edgestack.http.messages import Exchange, FieldPairs
from edgestack.http.variables import Template
from edgestack.upstream.cookies import CookieRules
from edgestack.upstream.spelling import spelled
from edgestack.wire.h1_client import UpstreamHead

__all__ = ["HIDDEN", "NO_ORDERS", "WRITTEN", "Orders", "ResponseHead"]

WRITTEN = HOP_BY_HOP | {"content-length", "date", "server", "x-request-id"}
"""Written by the wire, or about one connection only. Proxy-Authenticate is about ours with the upstream."""

HIDDEN = frozenset(
    ("x-pad", "x-accel-buffering", "x-accel-charset", "x-accel-expires", "x-accel-limit-rate", "x-accel-redirect")
)
"""Hidden unless `pass_headers` names them (B11; nginx: ngx_http_proxy_hide_headers)."""

ROUTES_KEPT = 4
"""Routes for which fields are kept with one head: it seldom comes through more."""
DIGITS = 16
"""Of a rate; more bytes a second than that are no limit."""

Pairs: TypeAlias = "Sequence[tuple[str, str]]"
Rule: TypeAlias = "tuple[str, Template]"

_refresh = re.compile(r"(.*?url\s*=\s*)(.*)", re.IGNORECASE | re.DOTALL)


class Orders(NamedTuple):
    """What an answer's X-Accel-* fields ask of us (nginx: `proxy_ignore_headers` has the list)."""

    redirect: str = ""
    """A path of this site, or `@name`, that answers instead."""
    buffering: bool | None = None
    """None where nothing is said."""
    rate: int = 0
    """Bytes a second; 0 where nothing is said."""


NO_ORDERS = Orders()


class Made:
    """What a head becomes on its way through one route."""

    __slots__ = ("encoded", "fields", "orders")

    def __init__(self, fields: FieldPairs, orders: Orders) -> None:
        self.fields = fields
        self.orders = orders
        self.encoded = b""
        """The head as the wire writes it, for an answer that comes whole; made by the first one."""


class ResponseHead:
    """Makes the fields of the answers of one route."""

    __slots__ = ("_cookies", "_hidden", "_mapped", "redirects")

    def __init__(
        self,
        *,
        hide: Iterable[str] = (),
        show: Iterable[str] = (),
        redirects: Sequence[Rule] = (),
        cookies: CookieRules | None = None,
    ) -> None:
        """
        :param hide, show: `hide_headers` and `pass_headers`.
        :param redirects: what Location and Refresh begin with, and what takes its place; the first that fits holds.
        """
        shown = {name.lower() for name in show}
        self._hidden = WRITTEN | (HIDDEN - shown) | {name.lower() for name in hide}
        self.redirects = tuple(redirects)
        self._cookies = cookies or CookieRules()
        self._mapped: dict[str, Callable[[Exchange, str], str]] = {}
        if self.redirects:
            self._mapped |= {"location": self.location, "refresh": self._refreshed}
        if self._cookies:
            self._mapped["set-cookie"] = self._cookies.apply

    def read(self, exchange: Exchange, head: UpstreamHead) -> Made:
        """The fields that the client gets, and what is asked of us."""
        known = head.known
        derived = known.derived
        made: Made | None = None if derived is None else derived.get(self)
        if made is None:
            made = Made(self._fields(exchange, known.pairs, known.fields), _orders(known.fields))
            if self._mapped.keys().isdisjoint(known.fields):
                if derived is None or len(derived) >= ROUTES_KEPT:
                    derived = known.derived = {}
                derived[self] = made
        return made

    def _fields(self, exchange: Exchange, pairs: Pairs, folded: Mapping[str, str]) -> FieldPairs:
        hidden, mapped = self._hidden, self._mapped
        if "connection" in folded:
            hidden = hidden.union(tokens(folded["connection"]))
        return tuple(
            [
                (spelled(name), mapped[name](exchange, value) if name in mapped else value)
                for name, value in pairs
                if name not in hidden
            ]
        )

    def location(self, exchange: Exchange, value: str) -> str:
        """A Location, mapped back (B12)."""
        for begins, put in self.redirects:
            if value.startswith(begins):
                return put(exchange) + value[len(begins) :]
        return value

    def _refreshed(self, exchange: Exchange, value: str) -> str:
        found = _refresh.fullmatch(value)
        return found[1] + self.location(exchange, found[2]) if found is not None else value


def _orders(fields: Mapping[str, str]) -> Orders:
    """What X-Accel-* fields say."""
    if not any(name.startswith("x-accel-") for name in fields):
        return NO_ORDERS
    rate = fields.get("x-accel-limit-rate", "")
    return Orders(
        fields.get("x-accel-redirect", ""),
        {"yes": True, "no": False}.get(fields.get("x-accel-buffering", "").lower()),
        int(rate) if rate.isascii() and rate.isdecimal() and len(rate) < DIGITS else 0,
    )
