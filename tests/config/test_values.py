"""Sizes and durations as people write them (issue 2, §6)."""

from __future__ import annotations

import pytest

from edgestack.config.values import duration, size
from edgestack.errors import ConfigError

SIZES = [
    ("0", 0),
    ("1", 1),
    ("1048576", 1 << 20),
    ("512b", 512),
    ("64k", 65536),
    ("64K", 65536),
    ("1m", 1 << 20),
    ("2g", 2 << 30),
    ("1t", 1 << 40),
    ("64kB", 64_000),
    ("100MB", 100_000_000),
    ("100 MB", 100_000_000),
    ("1GB", 10**9),
    ("1KiB", 1024),
    ("1.5MiB", 3 << 19),
    ("0.5k", 512),
    (" 7 ", 7),
    ("9007199254740993", 9007199254740993),
]


@pytest.mark.parametrize(("text", "expected"), SIZES)
def test_sizes(text: str, expected: int) -> None:
    assert size(text) == expected


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "+1", "1x", "k", "1.k", ".5k", "1e3", "1 0", "0.3", "1.0001k", "١", "1k\n2"]
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ConfigError):
        size(text)


DURATIONS = [
    ("0", 0.0),
    ("75", 75.0),
    ("1.5", 1.5),
    ("500ms", 0.5),
    ("30s", 30.0),
    ("2m", 120.0),
    ("1h", 3600.0),
    ("1d", 86400.0),
    ("1h 30m", 5400.0),
    ("1h30m15s", 5415.0),
    ("1.5H", 5400.0),
    ("  5 s ", 5.0),
]


@pytest.mark.parametrize(("text", "expected"), DURATIONS)
def test_durations(text: str, expected: float) -> None:
    assert duration(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "s", "-1", "1w", "1 2", "1h30", "1hm", "inf", "nan", "1e3", "٣s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ConfigError):
        duration(text)


def test_errors_show_the_text_and_what_would_be_right() -> None:
    with pytest.raises(ConfigError) as caught:
        size("100 bananas")
    assert "'100 bananas'" in caught.value.why
    assert "100MB" in caught.value.hint
