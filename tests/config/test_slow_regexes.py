"""Which regexes are told to be slow, and what the engine itself says to that.

The engine is asked with a text that nearly fits: of a slow regex three parts more cost many times as much, of a
quick one thousands of characters cost next to nothing. Measured is the thread's own processor time.
"""

from __future__ import annotations

import re
import time

import pytest

from edgestack.config.slow_regexes import slow

SLOW = [
    ("^(a+)+$", "a"),
    ("^(a+?)+?$", "a"),
    ("((a+))+b", "a"),
    ("(a*)*b", "a"),
    (r"^(\d+)*$", "1"),
    ("(.*)*x", "a"),
    (r"(\w+\s?)*:", "a"),
    ("^([a-z]+[a-z0-9])*-", "a"),
    ("^(?:a+|b)*$", "a"),
    ("^(?:(?:ab)+)+c", "ab"),
    (r"^(?:[\w.-]+/?)*$", "a"),
    ("^(([a-z])+.)+[A-Z]([a-z])+$", "a"),
    ("^x?(?:a+)+(?=b)", "a"),
]
QUICK = [
    ("", "a"),
    (r"\.php$", "."),
    (r"^/(\d+)/(\d+)$", "/1"),
    ("^(?:/[a-z]+)*$", "/a"),
    ("(a+)+", "a"),
    ("^/u/([^/]+)/(.*)$", "a"),
    ("^(ab|cd)*$", "ab"),
    ("^(a|b)*$", "a"),
    (r"^(\w|\d)+$", "1"),
    ("^(?:[a-z0-9]+-)*[a-z0-9]+$", "a-"),
    ("^(?>a+)+$", "a"),
    ("^(?:a++)+$", "a"),
    (r"^(\w+:\d+;)*$", "a:1;"),
    (r"(?i)^/(?:img|css)/[^.]+\.[0-9a-f]{8}\.\w+$", "a"),
    (r"^(a)(?:b\1)*$", "ba"),
]


def cost(pattern: re.Pattern[str], part: str, times: int) -> float:
    """Seconds of this thread's processor time for a text that fits but for its end."""
    began = time.thread_time()
    pattern.search(part * times + "\x00")
    return time.thread_time() - began


@pytest.mark.parametrize(("pattern", "part"), SLOW)
def test_told_and_slow(pattern: str, part: str) -> None:
    assert slow(pattern)
    compiled, times = re.compile(pattern), 4
    while cost(compiled, part, times) < 0.002:
        times += 1
        assert times < 60
    assert min(cost(compiled, part, times + 6) for _ in range(2)) > 6 * min(
        cost(compiled, part, times) for _ in range(3)
    )


@pytest.mark.parametrize(("pattern", "part"), QUICK)
def test_not_told_and_quick(pattern: str, part: str) -> None:
    assert not slow(pattern)
    assert cost(re.compile(pattern), part, 1000) < 0.5
