"""Criteria C2, C4, and the pure parts of C1 and C10: preconditions as RFC 9110 §13 has them."""

from __future__ import annotations

import pytest

from edgestack.http.conditional import MOST_TAGS, evaluate, range_applies, read_tags, validators

THEN = "Sun, 06 Nov 1994 08:49:37 GMT"
AT = 784111777
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
LATER = "Sun, 06 Nov 1994 08:49:38 GMT"


@pytest.mark.parametrize(
    ("method", "etag", "fields", "expected"),
    [
        ("GET", '"a"', {}, 200),
        # If-Match: strong comparison, §13.1.1
        ("GET", '"a"', {"if-match": '"a"'}, 200),
        ("GET", '"a"', {"if-match": '"b", "a"'}, 200),
        ("GET", '"a"', {"if-match": "*"}, 200),
        ("GET", '"a"', {"if-match": '"b"'}, 412),
        ("GET", '"a"', {"if-match": 'W/"a"'}, 412),
        ("GET", 'W/"a"', {"if-match": 'W/"a"'}, 412),
        ("GET", 'W/"a"', {"if-match": '"a"'}, 412),
        ("GET", '"a"', {"if-match": "a"}, 412),
        ("GET", None, {"if-match": '"a"'}, 412),
        # If-Unmodified-Since, §13.1.4
        ("GET", '"a"', {"if-unmodified-since": THEN}, 200),
        ("GET", '"a"', {"if-unmodified-since": LATER}, 200),
        ("GET", '"a"', {"if-unmodified-since": BEFORE}, 412),
        ("GET", '"a"', {"if-unmodified-since": "yesterday"}, 200),
        # If-None-Match: weak comparison, §13.1.2
        ("GET", '"a"', {"if-none-match": '"a"'}, 304),
        ("HEAD", '"a"', {"if-none-match": '"a"'}, 304),
        ("PUT", '"a"', {"if-none-match": '"a"'}, 412),
        ("GET", '"a"', {"if-none-match": 'W/"a"'}, 304),
        ("GET", 'W/"a"', {"if-none-match": '"a"'}, 304),
        ("GET", 'W/"a"', {"if-none-match": 'W/"a"'}, 304),
        ("GET", '"a"', {"if-none-match": '"x", "y" , W/"a"'}, 304),
        ("GET", '"a"', {"if-none-match": ' , "x",,"a",'}, 304),
        ("GET", '"a"', {"if-none-match": "*"}, 304),
        ("GET", '"a"', {"if-none-match": '"b"'}, 200),
        ("GET", '"a"', {"if-none-match": '"A"'}, 200),
        ("GET", '"a"', {"if-none-match": '"x,"a"'}, 200),
        ("GET", '"a"', {"if-none-match": "a"}, 200),
        ("GET", '"a"', {"if-none-match": '*, "b"'}, 200),
        ("GET", '"a,b"', {"if-none-match": '"c", "a,b"'}, 304),
        # If-Modified-Since, §13.1.3
        ("GET", '"a"', {"if-modified-since": THEN}, 304),
        ("GET", '"a"', {"if-modified-since": LATER}, 304),
        ("GET", '"a"', {"if-modified-since": BEFORE}, 200),
        ("HEAD", '"a"', {"if-modified-since": THEN}, 304),
        ("POST", '"a"', {"if-modified-since": THEN}, 200),
        ("GET", '"a"', {"if-modified-since": "0"}, 200),
        ("GET", '"a"', {"if-modified-since": "Sunday, 06-Nov-94 08:49:37 GMT"}, 304),
        # the order of §13.2.2
        ("GET", '"a"', {"if-match": '"b"', "if-none-match": '"a"'}, 412),
        ("GET", '"a"', {"if-match": '"a"', "if-unmodified-since": BEFORE}, 200),
        ("GET", '"a"', {"if-match": '"a"', "if-none-match": '"a"'}, 304),
        ("GET", '"a"', {"if-unmodified-since": BEFORE, "if-none-match": '"a"'}, 412),
        ("GET", '"a"', {"if-none-match": '"b"', "if-modified-since": THEN}, 200),
        ("GET", '"a"', {"if-none-match": '"a"', "if-modified-since": BEFORE}, 304),
    ],
)
def test_preconditions(method: str, etag: str | None, fields: dict[str, str], expected: int) -> None:
    """C2"""
    assert evaluate(method, fields, etag, AT) == expected


@pytest.mark.parametrize("name", ["if-modified-since", "if-unmodified-since"])
def test_without_a_date_there_is_nothing_to_compare(name: str) -> None:
    """C2"""
    assert evaluate("GET", {name: BEFORE}, '"a"', None) == 200


@pytest.mark.parametrize(
    ("value", "etag", "now", "expected"),
    [
        ('"a"', '"a"', AT + 9, True),
        (' "a" ', '"a"', AT + 9, True),
        ('"b"', '"a"', AT + 9, False),
        ('W/"a"', 'W/"a"', AT + 9, False),
        ('"a"', 'W/"a"', AT + 9, False),
        ('"a", "b"', '"a"', AT + 9, False),
        (THEN, '"a"', AT + 9, True),
        (THEN, '"a"', AT + 1, True),
        (THEN, '"a"', AT, False),  # within its own second a date is weak, §8.8.2.2
        (LATER, '"a"', AT + 9, False),  # exact, not "not after"
        (BEFORE, '"a"', AT + 9, False),
        ("whenever", '"a"', AT + 9, False),
        ("", '"a"', AT + 9, False),
    ],
)
def test_if_range(value: str, etag: str, now: int, expected: bool) -> None:
    """C4"""
    assert range_applies({"if-range": value}, etag, AT, now) is expected


def test_if_range_that_is_absent_or_has_no_date_to_meet() -> None:
    """C4"""
    assert range_applies({}, '"a"', AT, AT)
    assert not range_applies({"if-range": THEN}, '"a"', None, AT + 9)


@pytest.mark.parametrize(("extra", "expected"), [(-1, 304), (0, 200), (1, 200)])
def test_only_so_many_tags_are_read(extra: int, expected: int) -> None:
    others = ", ".join(['"x"'] * (MOST_TAGS + extra))
    assert evaluate("GET", {"if-none-match": others + ', "a"'}, '"a"', None) == expected


def test_a_broken_list_has_no_tags() -> None:
    assert read_tags('"a" "b"') == []
    assert read_tags('"a", b') == []
    assert read_tags('w/"a"') == []
    assert read_tags('"a",\t') == ['"a"']


S = 1_000_000_000


@pytest.mark.parametrize(
    ("mtime", "now", "etag", "modified"),
    [
        (100 * S, 200 * S, '"174876e800-5"', 100),
        (100 * S, 101 * S, '"174876e800-5"', 100),  # a second old
        (100 * S, 101 * S - 1, 'W/"174876e800-5"', 100),  # a nanosecond less
        (100 * S, 101 * S + 1, '"174876e800-5"', 100),
        (100 * S, 50 * S, 'W/"174876e800-5"', 50),  # still to come: clamped to now
        (2 * S, 50 * S, '"77359400-5"', 2),
        (2 * S - 1, 50 * S, '"773593ff-5"', None),
        (0, 50 * S, '"0-5"', None),
    ],
)
def test_validators(mtime: int, now: int, etag: str, modified: int | None) -> None:
    """C1 C10"""
    assert validators(mtime, 5, now) == (etag, modified)


def test_validators_of_codings_and_of_undated_files() -> None:
    """C10 C13"""
    assert validators(100 * S, 5, 200 * S, coding="br")[0] == '"174876e800-5-br"'
    assert validators(1 * S, 5, 1 * S, digest="cafe") == ('"cafe"', None)
