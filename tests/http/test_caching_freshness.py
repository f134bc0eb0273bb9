"""Criterion D10: what says for how long a response is fresh; RFC 9111 §4.2, how old it is."""

from __future__ import annotations

import math

import pytest
from caching_kit import NOW, RULE, at, request, response, stored

from edgestack.http.caching import CachingRule, StoredHead
from edgestack.http.caching_freshness import age_on_arrival
from edgestack.http.caching_storing import may_store

RULED = CachingRule(valid={200: 5.0})
ALL = {
    "x_accel_expires": "1",
    "cdn_cache_control": "max-age=2",
    "cache_control": "s-maxage=3, max-age=4",
    "expires": at(6),
    "last_modified": at(-1000),
}


@pytest.mark.parametrize(
    ("fields", "rule", "source", "left"),
    [
        # the first that is there decides
        (ALL, RULED, "x-accel-expires", 1),
        ({**ALL, "x_accel_expires": "soon"}, RULED, "cdn-cache-control", 2),
        ({**ALL, "x_accel_expires": "", "cdn_cache_control": ""}, RULED, "s-maxage", 3),
        ({"cache_control": "max-age=4", "expires": at(6)}, RULED, "max-age", 4),
        ({"expires": at(6)}, RULED, "expires", 6),
        ({"last_modified": at(-1000)}, RULED, "valid", 5),
        ({"last_modified": at(-1000)}, RULE, "heuristic", 100),
        # X-Accel-Expires, as nginx reads it
        ({"x_accel_expires": f"@{NOW + 9}"}, RULE, "x-accel-expires", 9),
        ({"x_accel_expires": "@x", "cache_control": "max-age=4"}, RULE, "max-age", 4),
        ({"x_accel_expires": "-1", "cache_control": "max-age=4"}, RULE, "max-age", 4),
        # RFC 9213 §2.2: instead of Cache-Control and Expires, wholly
        ({"cdn_cache_control": "max-age=2, s-maxage=1"}, RULE, "cdn-cache-control", 1),
        ({"cdn_cache_control": "public", "cache_control": "max-age=4", "expires": at(6)}, RULED, "valid", 5),
        ({"cdn_cache_control": "max-age=2 ,", "cache_control": "max-age=4"}, RULE, "max-age", 4),
        # §4.2.1, §5.3: Expires less Date
        ({"expires": at(60), "date": at(-5)}, RULE, "expires", 60),  # 65, of which 5 are over
        ({"expires": at(60), "date": at(20)}, RULE, "expires", 40),
        # told not to count
        ({**ALL, "cache_control": "max-age=4"}, CachingRule(ignore=frozenset({"x-accel-expires", "cdn-cache-control"})),
         "max-age", 4),
        ({"expires": at(6)}, CachingRule(valid={200: 5.0}, ignore=frozenset({"expires"})), "valid", 5),
        # §4.2.2: heuristics, at most a day
        ({"last_modified": at(-1000), "date": at(-100)}, RULE, "heuristic", 90 - 100),
        ({"last_modified": at(-100 * 86400)}, RULE, "heuristic", 86400),
        # what is said to the edge counts from now; what the origin says, from when its age was 0
        ({"cache_control": "max-age=60", "age": "10"}, RULE, "max-age", 50),
        ({"x_accel_expires": "60", "age": "10"}, RULE, "x-accel-expires", 60),
        ({"age": "10"}, RULED, "valid", 5),
    ],
)  # fmt: skip
def test_precedence(fields: dict[str, str], rule: CachingRule, source: str, left: int) -> None:
    """D10"""
    given = {name: value for name, value in fields.items() if value}
    head = stored(rule=rule, **given)
    assert (head.source, head.fresh_until - NOW) == (source, left)


@pytest.mark.parametrize("expires", ["0", "-1", "soon", at(-1), at(0), at(60) + ", " + at(60)])
def test_an_expires_that_is_past_or_no_date_is_stale(expires: str) -> None:
    """§5.3, D10: it does not fall through to the rule"""
    head = stored(rule=RULED, expires=expires, etag='"a"')
    assert head.source == "expires"
    assert head.fresh_until <= NOW


def test_the_usual_status_goes_before_any() -> None:
    rule = CachingRule(valid={0: 1.0, 200: 2.0})
    assert stored(rule=rule).fresh_until == NOW + 2
    assert stored(404, rule=rule).fresh_until == NOW + 1


@pytest.mark.parametrize(
    ("fields", "asked", "expected"),
    [
        # §4.2.3
        ({}, NOW, 0),
        ({"age": "7"}, NOW, 7),
        ({"age": "7"}, NOW - 2, 9),  # with the time on the way
        ({"date": at(-5)}, NOW, 5),
        ({"date": at(-5), "age": "7"}, NOW, 7),
        ({"date": at(-9), "age": "7"}, NOW, 9),
        ({"date": at(5)}, NOW, 0),  # a clock that goes ahead
        ({"date": "yesterday"}, NOW, 0),
        # §5.1: the first of several; what is no number is ignored
        ({"age": "7, 9"}, NOW, 7),
        ({"age": "-7"}, NOW, 0),
        ({"age": "old"}, NOW, 0),
    ],
)
def test_age_on_arrival(fields: dict[str, str], asked: int, expected: int) -> None:
    assert age_on_arrival(fields, asked, NOW) == expected


def test_the_time_on_the_way_counts() -> None:
    """§4.2.3"""
    head = may_store(request(), response(cache_control="max-age=60"), RULE, NOW, NOW - 3)
    assert isinstance(head, StoredHead)
    assert head.fresh_until == NOW + 57


@pytest.mark.parametrize(
    ("fields", "rule", "expected"),
    [
        ({"cache_control": "max-age=60"}, RULE, 60),
        ({"cache_control": "max-age=60, stale-if-error=30"}, RULE, 90),
        ({"cache_control": "max-age=60"}, CachingRule(stale_while_revalidate=5.0, stale_if_error=3.0), 65),
        ({"cache_control": "max-age=60, stale-while-revalidate=0"}, CachingRule(stale_while_revalidate=5.0), 60),
        ({"cache_control": "max-age=60, must-revalidate"}, CachingRule(stale_while_revalidate=5.0), 60),
        ({"cache_control": "max-age=60", "etag": '"a"'}, RULE, math.inf),
    ],
)
def test_until_when_it_is_of_use(fields: dict[str, str], rule: CachingRule, expected: float) -> None:
    """RFC 5861: the origin's word goes before the rule's"""
    assert stored(rule=rule, **fields).useful_until(rule) - NOW == expected
