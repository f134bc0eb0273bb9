"""Dates as HTTP writes and reads them (RFC 9110 §5.6.7).

Pure functions between seconds since 1970 and text. Nothing here reads a clock, except `parse_http_date` where the
two-digit years of RFC 850 need to know which century it is. Locale and time zone of the machine play no part.

    Sun, 06 Nov 1994 08:49:37 GMT       IMF-fixdate: the only form written
    Sunday, 06-Nov-94 08:49:37 GMT      RFC 850, read
    Sun Nov  6 08:49:37 1994            asctime(), read
"""

from __future__ import annotations

import re
import time
from calendar import timegm
from datetime import date

__all__ = ["http_date", "parse_http_date"]

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
LONG_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_DAY, _LONG_DAY, _MONTH = "|".join(DAYS), "|".join(LONG_DAYS), "|".join(MONTHS)
_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_FORMS = tuple(
    re.compile(form)
    for form in (
        rf"(?:{_DAY}), (?P<day>[0-9]{{2}}) (?P<month>{_MONTH}) (?P<year>[0-9]{{4}}) {_TIME} GMT",
        rf"(?:{_LONG_DAY}), (?P<day>[0-9]{{2}})-(?P<month>{_MONTH})-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        rf"(?:{_DAY}) (?P<month>{_MONTH}) (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})",
    )
)


def http_date(epoch: int) -> str:
    """`epoch` (seconds since 1970, UTC) as an IMF-fixdate."""
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(epoch)
    return f"{DAYS[weekday]}, {day:02} {MONTHS[month - 1]} {year:04} {hour:02}:{minute:02}:{second:02} GMT"


def parse_http_date(text: str, now: int | None = None) -> int | None:
    """Seconds since 1970 of a date in any of the three forms, or None where `text` is not a date.

    The name of the weekday is not compared with the date. A second of 60 is a leap second and counts as the next
    minute's first.

    :param now: the current time, for two-digit years: one that seems more than 50 years ahead is in the past.
    """
    for form in _FORMS:
        found = form.fullmatch(text)
        if found:
            return _epoch(found, now)
    return None


def _epoch(found: re.Match[str], now: int | None) -> int | None:
    day, hour, minute, second = (int(found[name]) for name in ("day", "hour", "minute", "second"))
    year, month = int(found["year"]), MONTHS.index(found["month"]) + 1
    if len(found["year"]) == 2:
        year = _century(year, time.gmtime(now).tm_year)
    if hour > 23 or minute > 59 or second > 60:
        return None
    try:
        date(year, month, day)
    except ValueError:
        return None
    return timegm((year, month, day, hour, minute, second))


def _century(two_digits: int, this_year: int) -> int:
    """The year that ends in `two_digits` and is at most 50 years ahead (RFC 9110 §5.6.7)."""
    year = this_year - this_year % 100 + two_digits
    if year > this_year + 50:
        return year - 100
    return year + 100 if year + 100 <= this_year + 50 else year
