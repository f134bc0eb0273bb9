"""Directives of Cache-Control (RFC 9111 §5.2) and of CDN-Cache-Control (RFC 9213 §2.1)."""

from __future__ import annotations

import pytest

from edgestack.http.caching_directives import LONGEST, Wishes, read_directives, read_targeted, seconds, wishes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", {}),
        ("max-age=60, public", {"max-age": "60", "public": ""}),
        ("MAX-AGE=60,Public", {"max-age": "60", "public": ""}),  # names in any case, §5.2
        (' , max-age="60" ,,', {"max-age": "60"}),  # a quoted argument means the same, §5.2
        ('private="set-cookie, x", max-age=5', {"private": "set-cookie, x", "max-age": "5"}),
        ("community=UCI, max-age=1", {"community": "UCI", "max-age": "1"}),  # extensions, §5.2.3
        ("max-age=60, max-age=60", {"max-age": "60"}),
    ],
)
def test_cache_control(value: str, expected: dict[str, str]) -> None:
    assert read_directives(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("max-age=60", 60),
        ("max-age=0", 0),
        ("max-age=007", 7),
        ("public", None),
        # what cannot be read is stale, §4.2.1
        ("max-age", 0),
        ("max-age=", 0),
        ("max-age=-1", 0),
        ("max-age=1.5", 0),
        ("max-age=+1", 0),
        ("max-age=60s", 0),
        ("max-age=²", 0),
        ("max-age=60, max-age=90", 0),
        ("max-age=60, max-age=90, max-age=90", 0),
        # too large to count, §1.2.2
        ("max-age=2147483648", LONGEST),
        ("max-age=99999999999999999999999", LONGEST),
        ("max-age=" + "9" * 8000, LONGEST),
    ],
)
def test_seconds(value: str, expected: int | None) -> None:
    assert seconds(read_directives(value), "max-age") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("max-age=60", {"max-age": "60"}),
        ("max-age=60;x=1, must-revalidate", {"max-age": "60", "must-revalidate": ""}),
        ("no-store, public=?0", {"no-store": ""}),
        ("max-age=60, max-age=90", {"max-age": "90"}),  # a dictionary: the last holds
        # ignored as a whole: empty, or malformed
        ("", None),
        ("  ", None),
        ("max-age=60,", None),
        ("MAX-AGE=60", None),
        ("max-age=60 public", None),
        ('max-age="60', None),
    ],
)
def test_targeted(value: str, expected: dict[str, str] | None) -> None:
    assert read_targeted(value) == expected


@pytest.mark.parametrize("argument", ['"60"', "1.5", "sixty", "(60)", ":NjA=:", "-1"])
def test_a_targeted_number_that_is_no_integer_is_stale(argument: str) -> None:
    found = read_targeted(f"max-age={argument}")
    assert found is not None
    assert seconds(found, "max-age") == 0


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Wishes()),
        ({"cache-control": "no-cache"}, Wishes(no_cache=True)),  # §5.2.1.4
        ({"cache-control": "no-store"}, Wishes(no_store=True)),  # §5.2.1.5
        ({"cache-control": "only-if-cached"}, Wishes(only_if_cached=True)),  # §5.2.1.7
        ({"cache-control": "max-age=0"}, Wishes(max_age=0)),  # §5.2.1.1
        ({"cache-control": "max-stale"}, Wishes(max_stale=LONGEST)),  # §5.2.1.2: any staleness
        ({"cache-control": "max-stale=5, min-fresh=3"}, Wishes(max_stale=5, min_fresh=3)),
        ({"cache-control": "stale-if-error=9"}, Wishes(stale_if_error=9)),  # RFC 5861 §4
        ({"pragma": "no-cache"}, Wishes(no_cache=True)),  # §5.4
        ({"pragma": "x"}, Wishes()),
        ({"pragma": "no-cache", "cache-control": "max-age=9"}, Wishes(max_age=9)),  # §5.4: Pragma is for HTTP/1.0
    ],
)
def test_wishes(fields: dict[str, str], expected: Wishes) -> None:
    assert wishes(fields) == expected
