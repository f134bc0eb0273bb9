"""Rates and flows as people write them (issue 3, "Its errors": a rate without a unit)."""

from __future__ import annotations

import pytest

from edgestack.config.values import Rate, flow, rate
from edgestack.errors import ConfigError

RATES = [
    ("10/s", Rate(10, 1)),
    (" 600 / m ", Rate(600, 60)),
    ("5/h", Rate(5, 3600)),
    ("1/day", Rate(1, 86400)),
    ("20/min", Rate(20, 60)),
    ("3/Second", Rate(3, 1)),
]


@pytest.mark.parametrize(("text", "expected"), RATES)
def test_rates(text: str, expected: Rate) -> None:
    assert rate(text) == expected
    assert rate(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "why", "hint"),
    [
        ("10", "the rate 10 has no unit", 'did you mean "10/s"? or "10/m", "10/h"'),
        ("10r/s", "'10r/s' is not a rate", 'did you mean "10/s"?'),
        ("0/s", "a rate of 0 lets nobody in", "to close a route, write deny"),
        ("1.5/s", "'1.5/s' is not a rate", ""),
        ("-1/s", "'-1/s' is not a rate", ""),
        ("1/w", "'1/w' is not a rate", ""),
        ("", "'' is not a rate", ""),
    ],
)
def test_what_is_no_rate(text: str, why: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rate(text)
    assert caught.value.why == why
    assert caught.value.hint.startswith(hint or "write a number and a unit")


@pytest.mark.parametrize(("text", "expected"), [("1MB/s", 10**6), ("64k / s", 65536), ("1/s", 1)])
def test_flows(text: str, expected: int) -> None:
    assert flow(text) == expected


@pytest.mark.parametrize("text", ["1MB", "1MB/m", "0/s", "x/s", "/s", ""])
def test_what_is_no_flow(text: str) -> None:
    with pytest.raises(ConfigError):
        flow(text)
