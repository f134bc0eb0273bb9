"""Sizes, durations and rates as people write them. Pure: text in, number out, or a `ConfigError` that shows what is
right.

size      "1048576", "64k", "100MB", "1 GiB"    -> bytes
          a bare k, m or g counts 1024, as in nginx; kB, MB and GB count 1000 (SI), KiB, MiB and GiB 1024 (IEC)
duration  "30", "1.5", "500ms", "2m", "1h 30m"  -> seconds
          the units of nginx, without its weeks, months and years
rate      "10/s", "600/m", "5/h"                -> Rate(amount, seconds)
          nginx's `rate=10r/s`; without a unit it is refused, since 10 a second and 10 a minute differ by sixty
flow      "1MB/s", "64k/s"                      -> bytes a second
"""

from __future__ import annotations

import re
from typing import NamedTuple

from edgestack.errors import ConfigError

__all__ = ["Rate", "duration", "flow", "rate", "size"]

SIZE_UNITS = {
    "": 1, "b": 1,
    "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40,
    "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
}  # fmt: skip

PERIODS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600, "d": 86400,
           "day": 86400}  # fmt: skip

DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

NUMBER = r"\d{1,19}(?:\.\d{1,19})?"
"""More digits than anybody means; a longer number would be infinite, or no number at all, to whoever counts with it."""

MOST_BYTES = 1 << 60
LONGEST = 100 * 365 * 86400.0
"""Seconds: a century. Clocks and timers overflow not far beyond it (`threading.TIMEOUT_MAX`: three)."""

SIZE = re.compile(rf"({NUMBER}) *([a-z]*)", re.ASCII)
DURATION = re.compile(rf"({NUMBER}) *(ms|s|m|h|d)", re.ASCII)
DURATIONS = re.compile(rf"(?:{DURATION.pattern} *)+", re.ASCII)
RATE = re.compile(r"(\d{1,19}) *(r?) */ *([a-z]+)", re.ASCII)
SECONDS = re.compile(NUMBER, re.ASCII)


def size(text: str) -> int:
    """Bytes.

    :raises ConfigError: when `text` is no size, a part of a byte, or more than an exbibyte.
    """
    match = SIZE.fullmatch(text.strip().lower())
    if match is None or match[2] not in SIZE_UNITS:
        raise ConfigError(f"{text!r} is not a size", hint="write bytes, or a number with k, MB, MiB, g …: 64k, 100MB")
    value = float(match[1]) * SIZE_UNITS[match[2]] if "." in match[1] else int(match[1]) * SIZE_UNITS[match[2]]
    if value != int(value):
        raise ConfigError(f"{text!r} is not a whole number of bytes")
    if value > MOST_BYTES:
        raise ConfigError(f"{text!r} is more than any machine has", hint="leave it out for the default")
    return int(value)


def duration(text: str) -> float:
    """Seconds.

    :raises ConfigError: when `text` is no duration, or longer than a century.
    """
    plain = text.strip().lower()
    if not SECONDS.fullmatch(plain) and not DURATIONS.fullmatch(plain):
        raise ConfigError(f"{text!r} is not a duration", hint="write seconds, or use ms, s, m, h: 75, 500ms, 1h 30m")
    parts = DURATION.findall(plain) or [(plain, "s")]
    found = sum(float(number) * DURATION_UNITS[unit] for number, unit in parts)
    if found > LONGEST:
        raise ConfigError(f"{text!r} is longer than a century", hint="for no end, 365d will do")
    return found


class Rate(NamedTuple):
    """So many in so many seconds."""

    amount: int
    seconds: int

    def __str__(self) -> str:
        unit = {1: "s", 60: "m", 3600: "h", 86400: "d"}[self.seconds]
        return f"{self.amount}/{unit}"


def rate(text: str) -> Rate:
    """How many in how long.

    :raises ConfigError: when `text` is no rate, has no unit, or is none at all.
    """
    plain = text.strip().lower()
    if plain.isascii() and plain.isdigit():
        raise ConfigError(
            f"the rate {plain} has no unit", hint=f'did you mean "{plain}/s"? or "{plain}/m", "{plain}/h"'
        )
    match = RATE.fullmatch(plain)
    if match is None or match[3] not in PERIODS:
        raise ConfigError(f"{text!r} is not a rate", hint='write a number and a unit: "10/s", "600/m", "5/h"')
    if match[2]:
        raise ConfigError(f"{text!r} is not a rate", hint=f'did you mean "{match[1]}/{match[3]}"?')
    if int(match[1]) == 0:
        raise ConfigError("a rate of 0 lets nobody in", hint="to close a route, write deny")
    return Rate(int(match[1]), PERIODS[match[3]])


def flow(text: str) -> int:
    """Bytes a second.

    :raises ConfigError: when `text` is no size with "/s" behind it, or nothing.
    """
    amount, slash, unit = text.strip().partition("/")
    if not slash:
        meant = text.strip() if text.strip().strip("0") else "1MB"
        raise ConfigError(f"{text!r} has no unit", hint=f'did you mean "{meant}/s"?')
    if unit.strip() != "s":
        raise ConfigError(f"{text!r} is not bytes a second", hint='for instance "1MB/s"')
    value = size(amount)
    if value == 0:
        raise ConfigError("0 bytes a second would never end", hint="leave it out for no limit")
    return value
