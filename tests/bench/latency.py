"""How long one client waits: requests one after another on kept connections, each timed by itself.

What is timed is what a user feels: from before `send` to the answer's last byte. Every body is compared with the
expected one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from client import VARIANTS, Asker, request

__all__ = ["SLACK", "Waits", "allowed_rise", "sample", "summary"]

SLACK = 1.0
"""Milliseconds by which a latency may rise whatever it was."""
SHARE = 0.10
"""The share of itself by which it may rise."""


@dataclass(frozen=True)
class Waits:
    """The distribution of waiting times, in milliseconds."""

    count: int
    p50: float
    p99: float
    worst: float


def sample(address: tuple[str, int], asks: Sequence[tuple[str, bytes]], seconds: float) -> list[Waits]:
    """Ask each (path, expected body) in turn for `seconds`; the waits of each.

    :raises RuntimeError: an answer differed.
    """
    askers = [Asker(address) for _ in asks]
    times: list[list[float]] = [[] for _ in asks]
    messages = [[request(address, path, number) for number in range(VARIANTS)] for path, _ in asks]
    clock = time.perf_counter
    limit = clock() + seconds
    turn = 0
    while clock() < limit:
        for number, (path, expected) in enumerate(asks):
            began = clock()
            body = askers[number].ask(messages[number][turn % VARIANTS])
            times[number].append(clock() - began)
            if body != expected:
                raise RuntimeError(
                    f"{path} was answered with {len(body)} bytes that differ from the expected {len(expected)}"
                )
        turn += 1
    for asker in askers:
        asker.close()
    return [summary(values) for values in times]


def summary(times: list[float]) -> Waits:
    """Percentiles by rank, of times in seconds."""
    times.sort()
    last = len(times) - 1
    return Waits(len(times), times[last // 2] * 1e3, times[last * 99 // 100] * 1e3, times[last] * 1e3)


def allowed_rise(before: float) -> float:
    """Milliseconds by which a latency of `before` may rise: a tenth or one millisecond, whichever is more."""
    return max(SLACK, before * SHARE)
