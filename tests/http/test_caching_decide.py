"""Criteria D8 and D9: which stored response may answer which request, and when (RFC 9111 §4, §5.2.1; RFC 5861)."""

from __future__ import annotations

from typing import Any

import pytest
from caching_kit import NOW, RULE, at, request, response, stored

from edgestack.http.caching import CachingRule, Hit, Miss, Refuse, Revalidate, Stale, StoredHead, decide, stale_on_error
from edgestack.http.caching_storing import may_store

WINDOWS = CachingRule(stale_while_revalidate=30.0, stale_if_error=90.0)
DEAF = CachingRule(heed_client=False)
MINUTE = "max-age=60"
TAG = {"etag": '"a"'}


def said(decision: Any) -> str:
    """A decision as one word or two."""
    if isinstance(decision, Revalidate | Miss):
        return f"{type(decision).__name__} {decision.fwd}"
    if isinstance(decision, Stale):
        return "Stale refresh" if decision.refresh else "Stale"
    return type(decision).__name__


@pytest.mark.parametrize(
    ("asked", "answer", "rule", "after", "expected"),
    [
        # §4.2: fresh while its lifetime exceeds its age
        ("", MINUTE, RULE, 0, "Hit"),
        ("", MINUTE, RULE, 59.9, "Hit"),
        ("", MINUTE, RULE, 60, "Miss stale"),
        ("", MINUTE, RULE, -5, "Hit"),
        # §5.2.1.1: max-age
        ("max-age=10", MINUTE, RULE, 10, "Hit"),
        ("max-age=10", MINUTE, RULE, 10.5, "Miss request"),
        ("max-age=0", MINUTE, RULE, 1, "Miss request"),
        ("max-age=90", MINUTE, RULE, 70, "Miss stale"),
        # §5.2.1.2: max-stale
        ("max-stale", MINUTE, RULE, 10**6, "Stale"),
        ("max-stale=5", MINUTE, RULE, 65, "Stale"),
        ("max-stale=5", MINUTE, RULE, 66, "Miss stale"),
        ("max-age=10, max-stale=5", MINUTE, RULE, 15, "Stale"),
        ("max-age=10, max-stale=5", MINUTE, RULE, 16, "Miss request"),
        ("max-stale", MINUTE + ", must-revalidate", RULE, 61, "Miss stale"),
        ("max-stale", MINUTE + ", proxy-revalidate", RULE, 61, "Miss stale"),
        ("max-stale", "s-maxage=60", RULE, 61, "Miss stale"),
        # §5.2.1.3: min-fresh
        ("min-fresh=10", MINUTE, RULE, 50, "Hit"),
        ("min-fresh=10", MINUTE, RULE, 51, "Miss request"),
        # §5.2.1.4, §5.4: no-cache
        ("no-cache", MINUTE, RULE, 1, "Miss request"),
        ("no-cache, max-stale", MINUTE, RULE, 1, "Miss request"),
        ("no-cache", MINUTE, WINDOWS, 61, "Miss stale"),
        # §5.2.1.7: only-if-cached
        ("only-if-cached", MINUTE, RULE, 1, "Hit"),
        ("only-if-cached", MINUTE, RULE, 61, "Refuse"),
        ("only-if-cached, no-cache", MINUTE, RULE, 1, "Refuse"),
        ("only-if-cached", MINUTE, WINDOWS, 61, "Stale refresh"),
        ("only-if-cached, max-stale=5", MINUTE, RULE, 61, "Stale"),
        # the rule may be deaf to all of it (nginx)
        ("no-cache", MINUTE, DEAF, 1, "Hit"),
        ("max-stale", MINUTE, DEAF, 61, "Miss stale"),
        ("only-if-cached", MINUTE, DEAF, 61, "Miss stale"),
        # RFC 5861 §3: stale-while-revalidate, by the origin's word before the rule's
        ("", MINUTE, WINDOWS, 89, "Stale refresh"),
        ("", MINUTE, WINDOWS, 90, "Miss stale"),
        ("", MINUTE + ", stale-while-revalidate=9", WINDOWS, 68, "Stale refresh"),
        ("", MINUTE + ", stale-while-revalidate=9", WINDOWS, 69, "Miss stale"),
        ("", MINUTE + ", stale-while-revalidate=0", WINDOWS, 61, "Miss stale"),
        ("", "s-maxage=60, stale-while-revalidate=9", RULE, 61, "Stale refresh"),
        ("", "s-maxage=60", WINDOWS, 61, "Stale refresh"),
        ("", MINUTE + ", must-revalidate", WINDOWS, 61, "Miss stale"),
        ("", MINUTE + ", proxy-revalidate, stale-while-revalidate=9", RULE, 61, "Miss stale"),
        ("max-age=70", MINUTE, WINDOWS, 61, "Miss stale"),
        ("min-fresh=1", MINUTE, WINDOWS, 61, "Miss stale"),
    ],
)  # fmt: skip
def test_one_stored_response(asked: str, answer: str, rule: CachingRule, after: float, expected: str) -> None:
    """D8, D9"""
    coming = request(**({"cache_control": asked} if asked else {}))
    assert said(decide(coming, [stored(cache_control=answer)], rule, NOW + after)) == expected
    validated = said(decide(coming, [stored(cache_control=answer, **TAG)], rule, NOW + after))
    assert validated == expected.replace("Miss", "Revalidate")


@pytest.mark.parametrize("rule", [RULE, WINDOWS])
def test_no_cache_is_never_given_without_validation(rule: CachingRule) -> None:
    """§5.2.2.4"""
    head = stored(cache_control="no-cache, max-age=60, stale-while-revalidate=99", **TAG)
    assert said(decide(request(), [head], rule, NOW)) == "Revalidate stale"
    assert said(decide(request(cache_control="max-stale"), [head], rule, NOW)) == "Revalidate stale"
    assert not stale_on_error(request(), head, WINDOWS, NOW)


@pytest.mark.parametrize(
    ("method", "rule", "expected", "fills"),
    [
        ("GET", RULE, "Hit", None),
        ("HEAD", RULE, "Hit", None),  # a stored GET answers HEAD (D8, RFC 9110 §9.3.2)
        ("HEAD", CachingRule(methods=frozenset({"GET"})), "Miss bypass", False),
        ("POST", RULE, "Miss method", False),
        ("get", RULE, "Miss method", False),
        ("OPTIONS", RULE, "Miss method", False),
    ],
)
def test_methods(method: str, rule: CachingRule, expected: str, fills: bool | None) -> None:
    decision = decide(request(method), [stored(cache_control=MINUTE)], rule, NOW)
    assert said(decision) == expected
    assert getattr(decision, "fills", None) == fills


@pytest.mark.parametrize(
    ("asked", "expected", "fills"),
    [("", "Miss uri-miss", True), ("no-store", "Miss uri-miss", False), ("only-if-cached", "Refuse", None)],
)
def test_nothing_is_stored(asked: str, expected: str, fills: bool | None) -> None:
    decision = decide(request(**({"cache_control": asked} if asked else {})), [], RULE, NOW)
    assert said(decision) == expected
    assert getattr(decision, "fills", None) == fills
    assert not isinstance(decision, Refuse) or decision.status == 504


def test_pragma_is_heeded() -> None:
    """§5.4"""
    assert said(decide(request(pragma="no-cache"), [stored(cache_control=MINUTE)], RULE, NOW)) == "Miss request"


def varied(vary: str, asked: dict[str, str], came: int = 0) -> StoredHead:
    """A head with that Vary, stored some seconds after NOW."""
    found = may_store(request(**asked), response(cache_control=MINUTE, vary=vary), RULE, NOW + came)
    assert isinstance(found, StoredHead)
    return found


@pytest.mark.parametrize(
    ("vary", "first", "second", "fits"),
    [
        # §4.1
        ("X-A", {"x_a": "1"}, {"x_a": "1", "x_b": "2"}, True),
        ("X-A", {"x_a": "1"}, {"x_a": "2"}, False),
        ("X-A", {"x_a": "1"}, {}, False),
        ("X-A", {}, {"x_a": ""}, False),
        ("X-A", {}, {"x_b": "1"}, True),
        ("X-A, X-B", {"x_a": "1", "x_b": "2"}, {"x_a": "1", "x_b": "3"}, False),
        ("Cookie", {"cookie": "a=1"}, {"cookie": "a=2"}, False),
        ("Cookie", {"cookie": "a=1"}, {"cookie": "a = 1"}, False),
        ("User-Agent", {"user_agent": "A"}, {"user_agent": "a"}, False),
        # what means the same, is the same
        ("Accept-Encoding", {"accept_encoding": "gzip, br"}, {"accept_encoding": "GZIP ,br"}, True),
        ("Accept-Encoding", {"accept_encoding": "gzip;q=1"}, {"accept_encoding": "gzip; q=1"}, True),
        ("Accept-Language", {"accept_language": "de, en"}, {"accept_language": "en, de"}, False),
        # values cannot pretend to be two
        ("X-A, X-B", {"x_a": "1", "x_b": ""}, {"x_a": "1"}, False),
    ],
)
def test_vary(vary: str, first: dict[str, str], second: dict[str, str], fits: bool) -> None:
    """D8"""
    assert said(decide(request(**second), [varied(vary, first)], RULE, NOW)) == ("Hit" if fits else "Miss vary-miss")


def test_the_one_received_last_is_chosen() -> None:
    """§4.1"""
    heads = [varied("X-A", {}), varied("X-B", {}, 5), varied("X-A", {"x_a": "1"}, 9), varied("X-C", {}, 2)]
    decision = decide(request(), heads, RULE, NOW + 9)
    assert isinstance(decision, Hit)
    assert decision.head is heads[1]


@pytest.mark.parametrize(
    ("asked", "answer", "rule", "after", "expected"),
    [
        # RFC 5861 §4
        ("", MINUTE, RULE, 60, False),
        ("", MINUTE, WINDOWS, 149, True),
        ("", MINUTE, WINDOWS, 150, False),
        ("", MINUTE + ", stale-if-error=10", WINDOWS, 69, True),
        ("", MINUTE + ", stale-if-error=10", WINDOWS, 70, False),
        ("", MINUTE + ", stale-if-error=10", RULE, 69, True),
        ("stale-if-error=5", MINUTE, RULE, 64, True),
        ("stale-if-error=5", MINUTE, RULE, 65, False),
        ("stale-if-error=5", MINUTE, DEAF, 64, False),
        ("stale-if-error=5", "s-maxage=60", RULE, 64, False),
        ("", "s-maxage=60, stale-if-error=5", RULE, 64, True),
        ("stale-if-error=5", MINUTE + ", must-revalidate", WINDOWS, 61, False),
        ("", MINUTE + ", proxy-revalidate, stale-if-error=9", WINDOWS, 61, False),
        # fresh, but the client wanted to be sure
        ("no-cache", MINUTE, RULE, 59, True),
    ],
)
def test_in_the_place_of_an_error(asked: str, answer: str, rule: CachingRule, after: int, expected: bool) -> None:
    """D9"""
    coming = request(**({"cache_control": asked} if asked else {}))
    assert stale_on_error(coming, stored(cache_control=answer), rule, NOW + after) is expected


def test_what_the_edge_is_told_is_stale_in_its_time_too() -> None:
    """D10"""
    head = stored(x_accel_expires="10", cache_control="no-store", expires=at(99))
    assert said(decide(request(), [head], RULE, NOW + 9)) == "Hit"
    assert said(decide(request(), [head], RULE, NOW + 10)) == "Miss stale"
