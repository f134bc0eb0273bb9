"""For how long a response is fresh, and how old it is when it comes (RFC 9111 §4.2, RFC 9213, nginx: X-Accel-Expires).

    control      the fields of a response -> Control: the directives that count
    freshness    Control -> Freshness: how long, from when, and what said so; None where nothing does
    age_on_arrival   Age, Date and the time on the way -> seconds (§4.2.3)

The first that is there decides (criterion D10):

    X-Accel-Expires      seconds from now, or @seconds since 1970; 0 is never     addressed to the edge alone
    CDN-Cache-Control    instead of Cache-Control and Expires, wholly             RFC 9213 §2.2
    s-maxage             of either                                                §5.2.2.10
    max-age              of either                                                §5.2.2.1
    Expires              less Date; a date that cannot be read is past            §5.3
    the rule's `valid`   seconds from now, by status
    heuristics           a part of the time since Last-Modified                   §4.2.2

Pure; fields are folded, names in lower case; times are seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from edgestack.http.caching import ANY, CachingRule
from edgestack.http.caching_directives import Directives, delta_seconds, read_directives, read_targeted, seconds
from edgestack.http.dates import parse_http_date

__all__ = ["HEURISTIC", "Control", "Freshness", "age_on_arrival", "control", "freshness"]

HEURISTIC = frozenset([200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501])
"""Statuses that may be stored without a word about it (RFC 9110 §15.1); 206 is, but parts are not stored here."""
NOT_ANY = frozenset([400, 401, 406, 407, 408, 411, 413, 415, 421, 425, 426, 428, 429, 431])
"""Answers to one request's own fields or sender (who has not said who he is, who sends too much or too often): "any"
does not mean those, they would meet everybody else."""


class Control(NamedTuple):
    """What a response says about being stored."""

    accel: float | None
    """X-Accel-Expires as a time; None without one that can be read."""
    directives: Directives
    """Of CDN-Cache-Control where that counts, else of Cache-Control."""
    targeted: bool
    """Whether they are those of CDN-Cache-Control."""
    expires: str | None
    """Expires, where it counts."""


class Freshness(NamedTuple):
    """How long a response is fresh."""

    until: float
    source: str
    """See `StoredHead.source`."""


def control(fields: Mapping[str, str], ignore: frozenset[str], came: float) -> Control:
    """The directives that count.

    :param ignore: names of fields that do not (`CachingRule.ignore`).
    :param came: when the response was received.
    """
    told = {name: value for name, value in fields.items() if name not in ignore}
    accel = _accel(told.get("x-accel-expires", ""), came)
    targeted = read_targeted(told.get("cdn-cache-control", ""))
    if targeted is not None:
        return Control(accel, targeted, True, None)
    return Control(accel, read_directives(told.get("cache-control", "")), False, told.get("expires"))


def _accel(value: str, came: float) -> float | None:
    """nginx: ngx_http_upstream_process_accel_expires."""
    value = value.strip(" \t")
    number = delta_seconds(value.removeprefix("@"))
    if number is None:
        return None
    if value.startswith("@"):
        return float(value[1:]) if len(value) < 16 else came + number
    return came + number


def freshness(
    status: int, fields: Mapping[str, str], said: Control, rule: CachingRule, came: float, born: float
) -> Freshness | None:
    """Until when a response is fresh; None where neither it nor the rule says anything.

    :param born: when its age was 0. What the origin says counts from there; what is said to the edge, from now.
    """
    if said.accel is not None:
        return Freshness(said.accel, "x-accel-expires")
    for name in ("s-maxage", "max-age"):
        lifetime = seconds(said.directives, name)
        if lifetime is not None:
            return Freshness(born + lifetime, "cdn-cache-control" if said.targeted else name)
    if said.expires is not None:
        return Freshness(born + _until_expires(said.expires, fields, came), "expires")
    valid = rule.valid.get(status)
    if valid is None and status not in NOT_ANY:
        valid = rule.valid.get(ANY)
    if valid is not None:
        return Freshness(came + valid, "valid")
    return _heuristic(status, fields, said, rule, came, born)


def _until_expires(expires: str, fields: Mapping[str, str], came: float) -> float:
    """Expires less Date (§4.2.1); 0 for what is no date (§5.3)."""
    then = parse_http_date(expires.strip(" \t"), int(came))
    return 0.0 if then is None else max(0.0, then - _date(fields, came))


def _heuristic(
    status: int, fields: Mapping[str, str], said: Control, rule: CachingRule, came: float, born: float
) -> Freshness | None:
    modified = parse_http_date(fields.get("last-modified", ""), int(came))
    if not rule.heuristic or modified is None or not (status in HEURISTIC or "public" in said.directives):
        return None
    part = (_date(fields, came) - modified) * rule.heuristic
    return Freshness(born + min(part, rule.heuristic_most), "heuristic") if part > 0 else None


def age_on_arrival(fields: Mapping[str, str], asked: float, came: float) -> float:
    """The corrected initial age (§4.2.3), in seconds.

    :param asked: when the request was sent.
    """
    said = delta_seconds(fields.get("age", "").partition(",")[0].strip(" \t")) or 0  # §5.1: the first, if it is one
    return max(0.0, came - _date(fields, came), said + max(0.0, came - asked))


def _date(fields: Mapping[str, str], came: float) -> float:
    """Date, or when it came where there is none (RFC 9110 §6.6.1). A clock that goes a little ahead is not in it."""
    date = parse_http_date(fields.get("date", ""), int(came))
    return came if date is None else date
