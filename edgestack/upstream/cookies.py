"""Set-Cookie of an upstream, mapped to where the client sees it (criterion B12; nginx: proxy_cookie_domain, _path).

    Domain    the whole attribute, case-insensitive, a leading dot does not matter
    Path      the beginning of it, case-sensitive

Off unless configured. The first rule that fits holds. Everything else of the cookie stays byte for byte. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

from edgestack.http.messages import Exchange
from edgestack.http.variables import Template

__all__ = ["CookieRules"]

Rule: TypeAlias = "tuple[str, Template]"

_attribute = re.compile(r"(;[ \t]*(domain|path)[ \t]*=[ \t]*)([^;]*)", re.IGNORECASE)


class CookieRules:
    """The rules of one proxy."""

    __slots__ = ("_domains", "_paths")

    def __init__(self, domains: Sequence[Rule] = (), paths: Sequence[Rule] = ()) -> None:
        """:param domains, paths: what is found, and what takes its place."""
        self._domains = tuple((found.lower().removeprefix("."), put) for found, put in domains)
        self._paths = tuple(paths)

    def __bool__(self) -> bool:
        return bool(self._domains or self._paths)

    def apply(self, exchange: Exchange, value: str) -> str:
        """The value of a Set-Cookie field as the client gets it."""

        def mapped(found: re.Match[str]) -> str:
            text = found[3].rstrip(" \t")
            if found[2].lower() == "domain":
                return found[1] + self._domain(exchange, text)
            return found[1] + self._path(exchange, text)

        return _attribute.sub(mapped, value)

    def _domain(self, exchange: Exchange, text: str) -> str:
        bare = text.lower().removeprefix(".")
        return next((put(exchange) for found, put in self._domains if found == bare), text)

    def _path(self, exchange: Exchange, text: str) -> str:
        for found, put in self._paths:
            if text.startswith(found):
                return put(exchange) + text[len(found) :]
        return text
