"""Static files beside an application that computes: they share one interpreter lock, and no visitor may feel it much.

Eight requests to an endpoint of pure Python are kept in flight by a background client, so that every application thread
always has work; one client asks for a small file, again and again, and is timed. The same with the application in a
process of its own (`-k process`), where nothing is shared but the cores.
"""

from __future__ import annotations

from background import Background
from busy import keep_busy
from cases import STATIC_1K, GilCase
from latency import Waits, sample
from running import Live
from workshop import Row, Workshop

__all__ = ["run"]

THREADS = 8
"""Computations in flight: one for each application thread."""


def run(shop: Workshop, case: GilCase) -> None:
    """Measure `case`."""
    with shop.running(case.name, case.server) as live:
        shop.rows += measure(shop, case, live)


def measure(shop: Workshop, case: GilCase, live: Live) -> list[Row]:
    """Percentiles of the one client, alone and beside the others."""
    asks = [(STATIC_1K.path, shop.bodies[STATIC_1K.body])]
    alone = sample(live.address, asks, 1.0)[0]
    with Background(keep_busy, live.address, "/burn", THREADS) as others:
        sample(live.address, asks, 1.0)
        beside = sample(live.address, asks, shop.window)[0]
        answers = others.stop()
    problem = "" if len(set(answers)) == 1 else f"{len(set(answers))} different answers to the same sum"
    shop.say(f"  {len(answers)} computations meanwhile; {beside.count} files, the slowest {beside.worst:.0f} ms")
    return rows(case, alone, beside, problem)


def rows(case: GilCase, alone: Waits, beside: Waits, problem: str) -> list[Row]:
    """A line for each percentile."""
    middle = Row(case.name, f"{case.title}, p50", beside.p50, "ms", *case.p50, f"alone {alone.p50:.2f} ms", problem)
    tail = Row(case.name, f"{case.title}, p99", beside.p99, "ms", *case.p99, f"alone {alone.p99:.2f} ms", problem)
    return [middle, tail]
