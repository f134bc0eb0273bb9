"""Sizes and durations as people write them. Pure: text in, number out, or a `ConfigError` that shows what is right.

size      "1048576", "64k", "100MB", "1 GiB"    -> bytes
          a bare k, m or g counts 1024, as in nginx; kB, MB and GB count 1000 (SI), KiB, MiB and GiB 1024 (IEC)
duration  "30", "1.5", "500ms", "2m", "1h 30m"  -> seconds
          the units of nginx, without its weeks, months and years
"""

from __future__ import annotations

import re

from edgestack.errors import ConfigError

__all__ = ["duration", "size"]

SIZE_UNITS = {
    "": 1, "b": 1,
    "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40,
    "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
}  # fmt: skip

DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

SIZE = re.compile(r"(\d+(?:\.\d+)?) *([a-z]*)", re.ASCII)
DURATION = re.compile(r"(\d+(?:\.\d+)?) *(ms|s|m|h|d)", re.ASCII)
DURATIONS = re.compile(rf"(?:{DURATION.pattern} *)+", re.ASCII)
SECONDS = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


def size(text: str) -> int:
    """Bytes.

    :raises ConfigError: when `text` is no size, or a part of a byte.
    """
    match = SIZE.fullmatch(text.strip().lower())
    if match is None or match[2] not in SIZE_UNITS:
        raise ConfigError(f"{text!r} is not a size", hint="write bytes, or a number with k, MB, MiB, g …: 64k, 100MB")
    value = float(match[1]) * SIZE_UNITS[match[2]] if "." in match[1] else int(match[1]) * SIZE_UNITS[match[2]]
    if value != int(value):
        raise ConfigError(f"{text!r} is not a whole number of bytes")
    return int(value)


def duration(text: str) -> float:
    """Seconds.

    :raises ConfigError: when `text` is no duration.
    """
    plain = text.strip().lower()
    if SECONDS.fullmatch(plain):
        return float(plain)
    if not DURATIONS.fullmatch(plain):
        raise ConfigError(f"{text!r} is not a duration", hint="write seconds, or use ms, s, m, h: 75, 500ms, 1h 30m")
    return sum(float(number) * DURATION_UNITS[unit] for number, unit in DURATION.findall(plain))
