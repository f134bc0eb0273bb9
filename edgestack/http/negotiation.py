"""Proactive negotiation: which of the offered codings or media types a client asked for (RFC 9110 §12).

Accept-Encoding §12.5.3, Accept §12.5.1, weights §12.4.2. Pure functions; the server's order of `offered` breaks ties
(criterion D4). An element that is malformed, its weight included, is as if it were not there. Clients send the same few
values over and over, so answers are remembered in a bounded table.
"""

from __future__ import annotations

import re

from edgestack.http.fields import parameters, split_list
from edgestack.http.remembered import Remembered

__all__ = ["choose_coding", "choose_type", "prefers_json"]

Key = tuple[str, tuple[str, ...]]

_weight = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_types = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+/[!#$%&'*+\-.^_`|~0-9a-z]+")

HTML_OR_JSON = ("text/html", "application/json")
BUDGET = 256 * 1024
"""Bytes of one generation of remembered answers: some hundreds, and browsers send a dozen."""


def choose_coding(value: str, offered: tuple[str, ...]) -> str | None:
    """The content coding to use, or None for identity (RFC 9110 §12.5.3).

    Also None where not even identity is acceptable: the RFC would rather have an answer without coding than none.

    :param value: Accept-Encoding; "" when it is absent, which asks for nothing.
    :param offered: codings that the server can give, in lower case, the best first.
    """
    return _codings[value, offered] or None


def choose_type(value: str, offered: tuple[str, ...]) -> str | None:
    """The media type to use, or None when none of them is acceptable (RFC 9110 §12.5.1).

    :param value: Accept; "" when it is absent, which accepts anything.
    :param offered: media types that the server can give, in lower case and without parameters, the best first.
    """
    return _media[value, offered] or None


def prefers_json(value: str) -> bool:
    """Whether a client that sends this Accept would rather have JSON than HTML; HTML where it is all the same to it."""
    return choose_type(value, HTML_OR_JSON) == "application/json"


def _weighed(value: str) -> list[tuple[str, dict[str, str], float]]:
    """The elements of an Accept-like list in lower case: value, parameters, weight."""
    found = []
    for element in split_list(value.lower()):
        name, given = parameters(element)
        weight = given.pop("q", "1")
        if _weight.fullmatch(weight):
            found.append((name, given, float(weight)))
    return found


def _best_coding(value: str, offered: tuple[str, ...]) -> str:
    weights: dict[str, float] = {}
    for name, _, weight in _weighed(value):
        weights.setdefault(name.removeprefix("x-"), weight)  # x-gzip means gzip (RFC 9110 §8.4.1.3)
    anything = weights.get("*", 0.0)
    best, most = "", weights.get("identity", 0.0)
    for coding in offered:
        weight = weights.get(coding, anything)
        if weight > most or (weight == most > 0 and not best):
            best, most = coding, weight
    return best


def _best_type(value: str, offered: tuple[str, ...]) -> str:
    if not value.strip(" \t,"):
        return offered[0] if offered else ""
    ranges: dict[str, float] = {}
    for name, given, weight in _weighed(value):
        given.pop("charset", None)  # says nothing about which representation, and sloppy clients send it
        if not given and _types.fullmatch(name):
            ranges.setdefault(name, weight)
    best, most = "", 0.0
    for offer in offered:
        for name in (offer, offer.partition("/")[0] + "/*", "*/*"):  # the most specific range decides
            if name in ranges:
                if ranges[name] > most:
                    best, most = offer, ranges[name]
                break
    return best


class _Codings(Remembered[Key, str]):
    __slots__ = ()

    def make(self, key: Key) -> str:
        return _best_coding(*key)

    def weigh(self, key: Key, value: str) -> int:
        return 300 + len(key[0]) if len(key[0]) <= 512 else 0


class _Media(_Codings):
    __slots__ = ()

    def make(self, key: Key) -> str:
        return _best_type(*key)


_codings = _Codings(BUDGET)
_media = _Media(BUDGET)
