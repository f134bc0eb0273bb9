"""Criterion D8: what a cache for everybody may store (RFC 9111 §3)."""

from __future__ import annotations

from typing import Any

import pytest
from caching_kit import NOW, RULE, at, request, response, stored

from edgestack.http.caching import CachingRule, StoredHead, variant_key
from edgestack.http.caching_storing import Reason, may_store, response_tags

MINUTE: dict[str, Any] = {"cache_control": "max-age=60"}
TEN = CachingRule(valid={200: 600.0, 404: 30.0})
ANYTHING = CachingRule(valid={0: 10.0, 404: 0.0})
KNOWN = CachingRule(identified=True)
HIDING = CachingRule(hidden=frozenset({"x-forwarded-for"}))


@pytest.mark.parametrize(
    ("asked", "answer", "rule", "expected"),
    [
        # §3: method, status
        ({}, MINUTE, RULE, None),
        ({"method": "HEAD"}, MINUTE, RULE, Reason.METHOD),
        ({"method": "POST"}, MINUTE, RULE, Reason.METHOD),
        ({}, {"status": 103, **MINUTE}, RULE, Reason.STATUS),
        ({}, {"status": 206, **MINUTE}, RULE, Reason.STATUS),
        ({}, {"status": 304, **MINUTE}, RULE, Reason.STATUS),
        ({}, {"status": 416, **MINUTE}, RULE, Reason.STATUS),
        ({}, {"status": 412, **MINUTE}, RULE, Reason.STATUS),
        ({}, {"status": 500, **MINUTE}, RULE, None),
        ({}, {"status": 299, **MINUTE}, RULE, None),
        # what has no end, and what is about one request's own fields
        ({}, {"content_type": "Text/Event-Stream; charset=utf-8", **MINUTE}, RULE, Reason.STREAM),
        ({}, {"content_type": "multipart/x-mixed-replace; boundary=a"}, TEN, Reason.STREAM),
        *(({}, {"status": status}, ANYTHING, Reason.SILENT) for status in (400, 401, 413, 429, 431)),
        ({}, {"status": 403}, ANYTHING, None),
        # §3.5, where content is told who asks by other means
        ({}, MINUTE, KNOWN, Reason.AUTHORIZATION),
        ({}, {"status": 200}, CachingRule({200: 9.0}, identified=True), Reason.AUTHORIZATION),
        ({}, {"cache_control": "max-age=60, public"}, KNOWN, None),
        # §4.1: a field that content did not see as it came
        ({}, {"vary": "X-Forwarded-For", **MINUTE}, HIDING, Reason.VARY),
        ({}, {"vary": "X-Forwarded-Proto", **MINUTE}, HIDING, None),
        # §5.2.1.5, §5.2.2.5: no-store
        ({"cache_control": "no-store"}, MINUTE, RULE, Reason.REQUEST),
        ({"cache_control": "no-store"}, MINUTE, CachingRule(heed_client=False), None),
        ({}, {"cache_control": "no-store, max-age=60"}, RULE, Reason.NO_STORE),
        ({}, {"cache_control": "No-Store"}, TEN, Reason.NO_STORE),
        # §5.2.2.3: must-understand
        ({}, {"cache_control": "must-understand, no-store, max-age=60"}, RULE, None),
        ({}, {"status": 299, "cache_control": "must-understand, no-store, max-age=60"}, RULE, Reason.STATUS),
        ({}, {"status": 299, "cache_control": "must-understand, max-age=60"}, RULE, Reason.STATUS),
        # §5.2.2.7: private, with and without names
        ({}, {"cache_control": "private, max-age=60"}, RULE, Reason.PRIVATE),
        ({}, {"cache_control": 'private="x", max-age=60'}, RULE, Reason.PRIVATE),
        ({}, {"cache_control": "private"}, TEN, Reason.PRIVATE),
        # §3.5: Authorization
        ({"authorization": "Basic x"}, MINUTE, RULE, Reason.AUTHORIZATION),
        ({"authorization": "Basic x"}, {}, TEN, Reason.AUTHORIZATION),
        ({"authorization": "Basic x"}, {"x_accel_expires": "60"}, RULE, Reason.AUTHORIZATION),
        ({"authorization": "Basic x"}, {"cache_control": "max-age=60, proxy-revalidate"}, RULE, Reason.AUTHORIZATION),
        ({"authorization": "Basic x"}, {"cache_control": "max-age=60, public"}, RULE, None),
        ({"authorization": "Basic x"}, {"cache_control": "s-maxage=60"}, RULE, None),
        ({"authorization": "Basic x"}, {"cache_control": "max-age=60, must-revalidate"}, RULE, None),
        ({"authorization": "Basic x"}, {"cdn_cache_control": "max-age=60, public"}, RULE, None),
        ({"authorization": "Basic x"}, {"cdn_cache_control": "max-age=60", "cache_control": "public"}, RULE,
         Reason.AUTHORIZATION),
        # Set-Cookie, unless told
        ({}, {**MINUTE, "set_cookie": "a=b"}, RULE, Reason.SET_COOKIE),
        ({}, {**MINUTE, "set_cookie": "a=b"}, CachingRule(ignore=frozenset({"set-cookie"})), None),
        # a Cookie in the request: only what the response itself says counts
        ({"cookie": "a=b"}, MINUTE, TEN, None),
        ({"cookie": "a=b"}, {"expires": at(60)}, TEN, None),
        ({"cookie": "a=b"}, {}, TEN, Reason.COOKIE),
        ({"cookie": "a=b"}, {}, CachingRule(valid={200: 60.0}, cookies=True), None),
        ({"cookie": "a=b"}, {"last_modified": at(-1000)}, RULE, Reason.COOKIE),
        # §4.1: Vary
        ({}, {**MINUTE, "vary": "*"}, RULE, Reason.VARY),
        ({}, {**MINUTE, "vary": "Accept, *"}, RULE, Reason.VARY),
        ({}, {**MINUTE, "vary": "not a token"}, RULE, Reason.VARY),
        ({}, {**MINUTE, "vary": ",".join(f"x{i}" for i in range(16))}, RULE, None),
        ({}, {**MINUTE, "vary": ",".join(f"x{i}" for i in range(17))}, RULE, Reason.VARY),
        ({}, {**MINUTE, "vary": "*"}, CachingRule(ignore=frozenset({"vary"})), None),
        # nothing says for how long (§4.2.2)
        ({}, {}, RULE, Reason.SILENT),
        ({}, {"etag": '"a"'}, RULE, Reason.SILENT),
        ({}, {"cache_control": "public"}, RULE, Reason.SILENT),
        ({}, {"last_modified": at(-1000)}, RULE, None),
        ({}, {"status": 302, "last_modified": at(-1000)}, RULE, Reason.SILENT),
        ({}, {"status": 302, "last_modified": at(-1000), "cache_control": "public"}, RULE, None),
        ({}, {"last_modified": at(-1000)}, CachingRule(heuristic=0), Reason.SILENT),
        ({}, {}, TEN, None),
        ({}, {"status": 404}, TEN, None),
        ({}, {"status": 403}, TEN, Reason.SILENT),
        ({}, {"status": 503}, ANYTHING, None),
        ({}, {"status": 401}, ANYTHING, Reason.SILENT),
        ({}, {"status": 404}, ANYTHING, Reason.EXPIRED),
        # stale from the start: of use only where it can be validated, or given stale
        ({}, {"cache_control": "max-age=0"}, RULE, Reason.EXPIRED),
        ({}, {"cache_control": "max-age=60", "age": "60"}, RULE, Reason.EXPIRED),
        ({}, {"cache_control": "max-age=60", "age": "59"}, RULE, None),
        ({}, {"cache_control": "max-age=0", "etag": '"a"'}, RULE, None),
        ({}, {"cache_control": "max-age=0", "last_modified": at(-9)}, RULE, None),
        ({}, {"cache_control": "max-age=0, stale-while-revalidate=9"}, RULE, None),
        ({}, {"cache_control": "max-age=0, stale-while-revalidate=9, must-revalidate"}, RULE, Reason.EXPIRED),
        ({}, {"cache_control": "max-age=0"}, CachingRule(stale_if_error=60.0), None),
        ({}, {"cache_control": "no-cache", "etag": '"a"'}, RULE, None),
        ({}, {"cache_control": "no-cache"}, TEN, Reason.EXPIRED),
        ({}, {"x_accel_expires": "0", "etag": '"a"', **MINUTE}, TEN, Reason.EXPIRED),  # nginx: 0 disables caching
        # what is addressed to the edge stands for Cache-Control (RFC 9213 §2.2, nginx)
        ({}, {"x_accel_expires": "60", "cache_control": "no-store, private"}, RULE, None),
        ({}, {"cdn_cache_control": "max-age=60", "cache_control": "no-store"}, RULE, None),
        ({}, {"cdn_cache_control": "no-store", **MINUTE}, TEN, Reason.NO_STORE),
        ({}, {"cdn_cache_control": "private", **MINUTE}, TEN, Reason.PRIVATE),
        ({}, {"cdn_cache_control": "max-age=60,", "cache_control": "no-store"}, RULE, Reason.NO_STORE),
        ({}, {"x_accel_expires": "60", "set_cookie": "a=b"}, RULE, Reason.SET_COOKIE),
        ({}, {"x_accel_expires": "60", "vary": "*"}, RULE, Reason.VARY),
        # told not to count (nginx: proxy_ignore_headers)
        ({}, {"cache_control": "no-store"}, CachingRule(valid={200: 1.0}, ignore=frozenset({"cache-control"})), None),
    ],
)  # fmt: skip
def test_what_is_stored(
    asked: dict[str, Any], answer: dict[str, Any], rule: CachingRule, expected: Reason | None
) -> None:
    """D8"""
    found = may_store(request(**asked), response(**answer), rule, NOW)
    assert (None if isinstance(found, StoredHead) else found) is expected


def test_fields_of_one_connection_client_or_moment_are_not_kept() -> None:
    """§3.1"""
    head = stored(
        rule=CachingRule(ignore=frozenset({"set-cookie"})), connection="close, X-Hop", x_hop="1", keep_alive="x",
        age="1", date=at(0), set_cookie="a=b", x_accel_expires="60", proxy_authenticate="Basic",
        authentication_info="x", content_type="text/html", x_mine="2",
    )  # fmt: skip
    assert head.fields == (("Content-Type", "text/html"), ("X-Mine", "2"))
    assert head.accel == "60"


@pytest.mark.parametrize(
    ("vary", "asked", "expected"),
    [
        ("", {}, ()),
        ("Accept-Language", {"accept_language": "de , EN ;q=0.5"}, ("de,en;q=0.5",)),
        ("Cookie, Accept-Language", {"cookie": "A = b"}, ("\0", "A = b")),  # sorted; absent is not empty
        ("X-A, x-a", {"x_a": ""}, ("",)),
    ],
)
def test_the_second_key_is_what_vary_names(vary: str, asked: dict[str, str], expected: tuple[str, ...]) -> None:
    """D8, §4.1"""
    fields: dict[str, str] = {"vary": vary} if vary else {}
    head = stored(asked_with=asked, **{**fields, "cache_control": "max-age=60"})
    assert head.variant == "\n".join(expected)
    assert head.variant == variant_key(head.vary, request(**asked).fields)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ()),
        ({"cache-tag": "a, b c,,a"}, ("a", "b c")),
        ({"surrogate-key": "x y  x"}, ("x", "y")),
        ({"cache-tag": "a", "surrogate-key": "b a"}, ("a", "b")),
        ({"cache-tag": "t" * 257 + ",ok"}, ("ok",)),
        ({"cache-tag": "t" * 256}, ("t" * 256,)),
        ({"surrogate-key": " ".join(map(str, range(100)))}, tuple(map(str, range(64)))),
    ],
)
def test_tags(fields: dict[str, str], expected: tuple[str, ...]) -> None:
    """D9: purge by tag"""
    assert response_tags(fields) == expected


def test_a_head_is_the_same_after_it_was_on_disk() -> None:
    """D11"""
    head = stored(
        cache_control="s-maxage=60, stale-if-error=5", etag='"ü"', last_modified=at(-60), vary="Accept", cache_tag="a",
        asked_with={"accept": "x/y"},
    )  # fmt: skip
    data = head.to_bytes()
    assert b"\n" not in data
    assert StoredHead.from_bytes(data) == head


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b"\xff", b'{"fields": [1], "vary": [], "tags": []}', b"[" * 100_000]
)
def test_what_is_no_head_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a stored head"):
        StoredHead.from_bytes(data)
