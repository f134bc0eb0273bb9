"""Dates: RFC 9110 §5.6.7, whose own example is the first row of each table."""

from __future__ import annotations

import pytest

from edgestack.http.dates import http_date, parse_http_date

NOW = 1_750_000_000  # June 2025


@pytest.mark.parametrize(
    ("epoch", "text"),
    [
        (784111777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (951782400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (4102444799, "Thu, 31 Dec 2099 23:59:59 GMT"),
    ],
)
def test_written_and_read_back(epoch: int, text: str) -> None:
    assert http_date(epoch) == text
    assert parse_http_date(text) == epoch


@pytest.mark.parametrize(
    ("text", "epoch"),
    [
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784111777),
        ("Sun Nov  6 08:49:37 1994", 784111777),
        ("Wed Nov 16 08:49:37 1994", 784975777),
        ("Mon, 06 Nov 1994 08:49:37 GMT", 784111777),  # the weekday's name is not compared
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1483228800),  # a leap second
        ("Monday, 01-Jan-75 00:00:00 GMT", 3313526400),  # 50 years ahead is still to come
        ("Wednesday, 01-Jan-76 00:00:00 GMT", 189302400),  # 51 years ahead is past
        ("Saturday, 01-Jan-00 00:00:00 GMT", 946684800),
    ],
)
def test_the_other_forms_are_read(text: str, epoch: int) -> None:
    assert parse_http_date(text, NOW) == epoch


def test_a_two_digit_year_may_lie_in_the_next_century() -> None:
    near_its_end = 4070908800  # January 2099
    assert parse_http_date("Friday, 01-Jan-05 00:00:00 GMT", near_its_end) == 4260211200


@pytest.mark.parametrize(
    "text",
    [
        "", "0", "-1", "now", "784111777",
        "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT", "sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT", " Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT\n",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT; length=3",
    ],
)  # fmt: skip
def test_what_is_no_date(text: str) -> None:
    assert parse_http_date(text) is None
