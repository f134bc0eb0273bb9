"""The Cache-Control of answers: rules by path, media type or hashed name, of which the first that fits holds (nginx:
expires, add_header Cache-Control).

    answer of one of B10's statuses, without a Cache-Control of its own -> the first rule that fits -> the field

What content itself says stands: an application that answers `no-store` knows why, and development mode says `no-cache`
for every file. (A header rule that sets Cache-Control goes before both.) A 304 gets what its 200 would have (C3): the
path's name stands in for its Content-Type. A name bears a hash only for an answer of the kind that the name
promises, so that a page that stands in for a missing script is not kept for a year. Pure, on any thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from edgestack.config.model import CacheRule
from edgestack.http.media_types import UNKNOWN, media_type
from edgestack.http.messages import Exchange, Response, change_once
from edgestack.phases.header_rules import STATUSES

__all__ = ["CacheFilter", "cache_rules", "is_hashed"]

HEX = re.compile(r"(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,64}", re.ASCII)
"""webpack, Parcel, Django's and Rails' manifests: hexadecimal, digits and letters both, so that no date is meant."""
MIXED = re.compile(r"(?=.*[0-9])(?=.*[A-Z])(?:[A-Za-z0-9]{8}|[A-Za-z0-9]{16,64})", re.ASCII)
"""Vite, Rollup, esbuild, Angular: eight letters and digits (or many), among them a digit and a capital."""
ORDINARY = re.compile(r"[A-Za-z][a-z]+\d+|[A-Z]+\d+|\d+[A-Za-z]?[a-z]+|\d+[A-Z]+", re.ASCII)
"""A word and a number: Chapter1, REPORT24."""


class CacheFilter:
    """The filter for all cache rules of a route."""

    __slots__ = ("_alike", "_rules")

    def __init__(self, rules: Sequence[CacheRule]) -> None:
        self._rules = [(_fits(rule), rule) for rule in rules]
        self._alike = not (rules[0].path or rules[0].type or rules[0].hashed)
        """Whether the first rule is for every answer."""

    def __call__(self, exchange: Exchange, response: Response) -> Response:
        """The answer with its Cache-Control."""
        if response.status not in STATUSES:
            return response
        if self._alike:
            return change_once(response, self, lambda one: _with_rule(one, self._rules[0][1]))
        rule = self._rule(exchange, response)
        return response if rule is None else change_once(response, rule, lambda one: _with_rule(one, rule))

    def _rule(self, exchange: Exchange, response: Response) -> CacheRule | None:
        path = exchange.request.path.normal
        kind = _kind(path, response)
        return next((rule for fits, rule in self._rules if fits(path, kind)), None)

    def describe(self, exchange: Exchange) -> str:
        """The rule that fits, as far as the path can tell."""
        path = exchange.request.path.normal
        rule = next((rule for fits, rule in self._rules if fits(path, _promised(path))), None)
        return f"Cache-Control: {rule.value}, where the answer has none" if rule else "no rule fits"


def cache_rules(rules: Sequence[CacheRule]) -> CacheFilter | None:
    """The filter for cache rules; None without any."""
    return CacheFilter(rules) if rules else None


def is_hashed(path: str) -> bool:
    """Whether the last segment of `path` bears a hash of its content: app.3f9a1c2b.js, index-BfX3k2Za.css."""
    *parts, extension = path.rpartition("/")[2].split(".")
    if not parts or not extension:
        return False
    tokens = [token for part in parts for token in (*re.split("[-_]", part), part[-8:] if part[-9:-8] == "-" else "")]
    return any(_is_hash(token) for token in tokens)


def _is_hash(token: str) -> bool:
    if HEX.fullmatch(token):
        return True
    plain = token.replace("-", "x").replace("_", "x")  # the letters of base64url
    return MIXED.fullmatch(plain) is not None and ORDINARY.fullmatch(token) is None


def _with_rule(response: Response, rule: CacheRule) -> Response:
    if response.field("cache-control") is not None:
        return response
    return response.with_(fields=(*response.fields, ("Cache-Control", rule.value)))


def _fits(rule: CacheRule) -> Callable[[str, str], bool]:
    """Whether a rule is for a path and the media type of its answer."""
    glob = re.compile(".*".join(map(re.escape, rule.path.split("*"))), re.DOTALL).fullmatch if rule.path else None
    wanted = rule.type.lower()
    family = wanted.removesuffix("*") if wanted.endswith("/*") else ""

    def fits(path: str, kind: str) -> bool:
        if glob is not None and not glob(path):
            return False
        if wanted and not (kind == wanted or wanted == "*/*" or (family and kind.startswith(family))):
            return False
        return not rule.hashed or (is_hashed(path) and kind == _promised(path))

    return fits


def _kind(path: str, response: Response) -> str:
    """The media type of an answer, without parameters; where it says none, what its path's name promises."""
    said = response.field("content-type")
    return said.partition(";")[0].strip().lower() if said else _promised(path)


def _promised(path: str) -> str:
    """The media type that a path's name promises; a folder shows its index."""
    if path.endswith("/"):
        return "text/html"
    found = media_type(path)
    return UNKNOWN if found == UNKNOWN else found.partition(";")[0]
