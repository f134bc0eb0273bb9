"""Our rules beside those of hishel, which shares no code with them, as a shared cache (RFC 9111).

Each case is one request that was answered and stored, and one that comes later. Both say what becomes of it:

    hit           answered from the store
    validated     the origin is asked whether it is still so
    fetched       it is not stored, or cannot be used
    stale         answered from the store, by leave            ours only
    refused       504                                          ours only

Where the two differ, the case says what each says, and why; so that a version that changes its mind is noticed.
"""

from __future__ import annotations

import uuid
from itertools import product
from types import SimpleNamespace
from typing import NamedTuple

import hishel
import pytest
from caching_kit import NOW, RULE, at, request, response

from edgestack.http.caching import Hit, Miss, Refuse, Revalidate, Stale, StoredHead, decide
from edgestack.http.caching_storing import may_store
from edgestack.http.messages import Request, Response

OPTIONS = hishel.CacheOptions(shared=True, supported_methods=["GET"], allow_stale=False)
URL = "https://example.com/"


SAID = {Hit: "hit", Revalidate: "validated", Miss: "fetched", Stale: "stale", Refuse: "refused"}


class Case(NamedTuple):
    """Two requests, `after` seconds apart."""

    answer: dict[str, str]
    after: int = 0
    asked: dict[str, str] = {}  # noqa: RUF012
    """Fields of the request that is answered."""
    then: dict[str, str] | None = None
    """Fields of the one that comes later; None for the same."""
    status: int = 200


def ours(case: Case, asked: Request, answer: Response, then: Request) -> str:
    """What our rules make of a case."""
    head = may_store(asked, answer, RULE, NOW)
    if not isinstance(head, StoredHead):
        return "fetched"
    decision = decide(then, [head], RULE, NOW + case.after)
    return SAID[type(decision)]


def hishels(case: Case, asked: Request, answer: Response, then: Request, monkeypatch: pytest.MonkeyPatch) -> str:
    """What hishel makes of it."""
    clock = SimpleNamespace(time=lambda: NOW)
    monkeypatch.setattr("hishel._core._spec.time", clock)
    first = hishel.Request(asked.method, URL, hishel.Headers(dict(asked.fields)))
    said = hishel.Response(answer.status, hishel.Headers({name.lower(): value for name, value in answer.fields}))
    state = hishel.CacheMiss(request=first, options=OPTIONS).next(said)
    while isinstance(state, hishel.InvalidateEntries):
        state = state.next()
    if not isinstance(state, hishel.StoreAndUse):
        return "fetched"
    entry = hishel.Entry(uuid.uuid4(), first, state.response)
    clock.time = lambda: NOW + case.after
    second = hishel.Request(then.method, URL, hishel.Headers(dict(then.fields)))
    found = hishel.IdleClient(options=OPTIONS).next(second, [entry])
    if isinstance(found, hishel.FromCache):
        return "hit"
    if isinstance(found, hishel.NeedRevalidation):
        sent = found.request.headers
        return "validated" if "if-none-match" in sent or "if-modified-since" in sent else "fetched"
    return "fetched"


def run(case: Case, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Both, of one case. Whatever comes has a Date, as origins send it."""
    asked, then = request(**case.asked), request(**(case.asked if case.then is None else case.then))
    answer = response(case.status, **{"date": at(0), **case.answer})
    return ours(case, asked, answer, then), hishels(case, asked, answer, then, monkeypatch)


TAG = {"etag": '"a"'}
MINUTE = {"cache_control": "max-age=60"}

SAME = [
    # §4.2: freshness
    *(Case({**MINUTE, **TAG}, after) for after in (0, 59, 60, 61)),
    *(Case({"cache_control": "max-age=60, s-maxage=10", **TAG}, after) for after in (9, 10, 59)),
    *(Case({"expires": at(60), **TAG}, after) for after in (59, 60)),
    Case({"expires": "0", **TAG}),
    Case({"expires": at(-60), **TAG}),
    Case({"expires": at(60), "cache_control": "max-age=5", **TAG}, 6),
    Case({"last_modified": at(-1000)}, 99),
    Case({"last_modified": at(-5)}, 5),
    # §3: what is stored
    Case({"cache_control": "no-store"}),
    Case({"cache_control": "private, max-age=60"}),
    Case({**MINUTE}, status=206),
    Case({**MINUTE}, status=404),
    Case({**MINUTE}, status=500),
    Case({}, status=302),
    *(Case({"cache_control": word + "max-age=60"}, asked={"authorization": "Basic x"})
      for word in ("", "public, ", "must-revalidate, ", "proxy-revalidate, ", "s-maxage=60, ")),
    # §5.2: directives
    Case({"cache_control": "no-cache, max-age=60", **TAG}),
    Case({**MINUTE, **TAG}, then={"cache_control": "no-cache"}),
    Case({"cache_control": "must-revalidate, max-age=60", **TAG}, 61),
    Case({"cache_control": 'max-age="60"'}, 59),
    # §4.1: Vary
    Case({**MINUTE, "vary": "Accept"}, asked={"accept": "a/b"}),
    Case({**MINUTE, "vary": "Accept"}, asked={"accept": "a/b"}, then={}),
    Case({**MINUTE, "vary": "X-A, X-B"}, asked={"x_a": "1"}),
    Case({**MINUTE, "vary": "X-A"}, asked={"x_a": "1"}, then={"x_a": "2"}),
]  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_both_say_the_same(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """D8"""
    mine, theirs = run(case, monkeypatch)
    assert mine == theirs


WEAK = (
    "hishel grows the heuristic lifetime with the clock; §4.2.2 means the time between Last-Modified and the response"
)
REQUESTS = "hishel reads no-cache of requests only (§5.2.1 is advice)"
TARGETED = "hishel knows neither CDN-Cache-Control (RFC 9213) nor X-Accel-Expires (nginx)"
NAMES = "hishel heeds the names; ours may, and does, treat it as if there were none (§5.2.2.4, §5.2.2.7)"
PART = "hishel stores what only answers this request's range or precondition; our requests for the store have none"
UNREADABLE = "hishel sends a validator as it came; ours sends none that cannot be read"
SILENT = "nothing says how long it is fresh: ours does not keep what must be asked about each time, hishel does"
TWICE = "contradicting ages: §4.2.1 would have the first or stale; ours is stale, hishel takes the last"
GUESS = "a guess is no leave to share what was made for a Cookie (D8)"
AGES = "hishel takes Age as a floor, and adds no time to it (§4.2.3)"
UNDERSTAND = "hishel lacks must-understand (§5.2.2.3)"

DIFFERENT = [
    (Case({"last_modified": at(-1000)}, 101), "validated", "hit", WEAK),
    (Case({"last_modified": at(-100 * 86400)}, 2 * 86400), "validated", "hit", "hishel's bound is a week, ours a day"),
    (Case({"cache_control": "max-age=60, max-age=90", **TAG}, 70), "validated", "hit", TWICE),
    (Case({"cache_control": "max-age=60, max-age=90", **TAG}, 10), "validated", "hit", TWICE),
    (Case({**MINUTE, "set_cookie": "a=b"}), "fetched", "hit", "§7.3 leaves cookies to Cache-Control; D8 does not"),
    (Case({"last_modified": at(-1000)}, asked={"cookie": "a=b"}), "fetched", "hit", GUESS),
    (Case({"cdn_cache_control": "max-age=60", "cache_control": "no-store"}), "hit", "fetched", TARGETED),
    (Case({"cdn_cache_control": "no-store", **MINUTE}), "fetched", "hit", TARGETED),
    (Case({"x_accel_expires": "60", "cache_control": "no-store"}), "hit", "fetched", TARGETED),
    (Case({**MINUTE, "age": "50", **TAG}, 20), "validated", "hit", AGES),
    (Case({**MINUTE, **TAG}, 20, then={"cache_control": "max-age=10"}), "validated", "hit", REQUESTS),
    (Case({**MINUTE, **TAG}, 55, then={"cache_control": "min-fresh=10"}), "validated", "hit", REQUESTS),
    (Case({**MINUTE, **TAG}, 65, then={"cache_control": "max-stale=10"}), "stale", "validated", REQUESTS),
    (Case({**MINUTE, **TAG}, 65, then={"cache_control": "only-if-cached"}), "refused", "validated", REQUESTS),
    (Case({**MINUTE, **TAG}, then={"pragma": "no-cache"}), "validated", "hit", REQUESTS),
    (Case(MINUTE, asked={"cache_control": "no-store"}, then={}), "fetched", "hit", REQUESTS),
    (Case({**MINUTE, "vary": "*", **TAG}), "fetched", "validated", "§4.1 lets it be stored and validated; D8 does not"),
    (Case({"cache_control": "must-understand, no-store, max-age=60"}), "hit", "fetched", UNDERSTAND),
    (Case({"cache_control": "must-understand, max-age=60"}, status=299), "fetched", "hit", UNDERSTAND),
    (Case({**MINUTE, **TAG, "cache_control": "max-age=60, stale-while-revalidate=30"}, 70), "stale", "validated",
     "hishel lacks RFC 5861"),
    (Case({**MINUTE, "vary": "X-A", **TAG}, asked={"x_a": "1"}, then={"x_a": "2"}), "fetched", "validated",
     "§4.1 lets one be asked about for another's sake; ours asks only about what fits"),
    (Case({**MINUTE, "vary": "Accept-Encoding"}, asked={"accept_encoding": "gzip, br"},
          then={"accept_encoding": "gzip,BR"}), "hit", "fetched", "§4.1 allows to compare what the values mean"),
    (Case(TAG), "fetched", "validated", SILENT),
    (Case({"cache_control": "public", **TAG}), "fetched", "validated", SILENT),
    (Case({"cache_control": 'private="x", max-age=60'}), "fetched", "hit", NAMES),
    (Case({"cache_control": 'no-cache="x", max-age=60', **TAG}), "validated", "hit", NAMES),
    (Case(MINUTE, status=416), "fetched", "hit", PART),
    (Case(MINUTE, status=412), "fetched", "hit", PART),
    (Case({**MINUTE, "etag": "a"}, 61), "fetched", "validated", UNREADABLE),
    (Case({**MINUTE, "last_modified": "yesterday"}, 61), "fetched", "validated", UNREADABLE),
]  # fmt: skip


@pytest.mark.parametrize(("case", "mine", "theirs", "why"), DIFFERENT)
def test_where_they_differ_it_is_for_a_reason(
    case: Case, mine: str, theirs: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D8"""
    assert run(case, monkeypatch) == (mine, theirs), why


WORDS = ["max-age=60", "s-maxage=30", "public", "private", "no-store", "no-cache", "must-revalidate"]


@pytest.mark.parametrize("chosen", list(product([False, True], repeat=len(WORDS))))
def test_both_say_the_same_of_each_set_of_directives(chosen: tuple[bool, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """D8: with a validator and without one, fresh, stale for shared caches, and stale"""
    value = ", ".join(word for word, taken in zip(WORDS, chosen, strict=True) if taken)
    for after, authorized, modified in product((0, 45, 75), (False, True), ("", at(-86400))):
        answer = {"cache_control": value, **({"last_modified": modified} if modified else {})}
        case = Case(answer, after, {"authorization": "Basic x"} if authorized else {})
        mine, theirs = run(case, monkeypatch)
        assert mine == theirs, case
