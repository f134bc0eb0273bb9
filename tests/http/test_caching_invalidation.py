"""Criterion D8: what an unsafe request makes untrue (RFC 9111 §4.4)."""

from __future__ import annotations

import pytest
from caching_kit import response

from edgestack.http.caching_invalidation import invalidated

URL = "https://example.com/a/b?c"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "QUERY"])
def test_safe_methods_change_nothing(method: str) -> None:
    assert invalidated(method, URL, response(location="/x")) == ()


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, True), (204, True), (303, True), (399, True), (400, False), (404, False), (503, False)],
)
def test_only_what_succeeds_changes_something(status: int, expected: bool) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "BREW"):
        assert invalidated(method, URL, response(status)) == ((URL,) if expected else ())


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/x?y", "https://example.com/x?y"),
        ("x", "https://example.com/a/x"),
        ("?d", "https://example.com/a/b?d"),
        ("../z#part", "https://example.com/z"),
        ("https://example.com/x", "https://example.com/x"),
        ("https://EXAMPLE.com:443/x", "https://example.com/x"),
        ("https://example.com", "https://example.com/"),
        (URL, None),
        # somebody else's
        ("http://example.com/x", None),
        ("https://example.com:8443/x", None),
        ("https://other.example/x", None),
        ("//other.example/x", None),
        ("https://example.com.other.example/x", None),
        ("https://example.com@other.example/x", None),
        ("mailto:a@example.com", None),
        ("javascript:alert(1)", None),
        # hostile
        ("https://[::1/x", None),
        ("https://example.com:99999/x", None),
        ("https://example.com:x/x", None),
        ("", None),
    ],
)
def test_what_it_names_at_the_same_origin_goes_too(location: str, expected: str | None) -> None:
    for name in ("location", "content_location"):
        found = invalidated("POST", URL, response(201, **{name: location}))
        assert found == ((URL,) if expected is None else (URL, expected))


def test_both_count() -> None:
    found = invalidated("PUT", URL, response(location="/x", content_location="/y"))
    assert found == (URL, "https://example.com/x", "https://example.com/y")
