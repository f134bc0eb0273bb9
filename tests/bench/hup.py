"""A reload under load: for how long do visitors wait longer than before, and how long does anybody wait at all?

Sixteen clients ask two workers all the time, one more is timed. After some seconds of peace the supervisor gets SIGHUP,
and new workers start, take over and push the old ones out, on the cores that everybody shares. The time after it is cut
into slices; p99 counts as raised in a slice by the rule of `latency.py`. All clients must get all answers.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path
from statistics import median

from background import Background
from busy import keep_busy
from cases import HupCase
from client import VARIANTS, Asker, variants
from latency import Waits, allowed_rise, sample, summary
from running import Live
from workshop import Row, Workshop

__all__ = ["run"]

CLIENTS = 16
SLICE = 0.25
"""Seconds: some hundred answers of the timed client, so that its p99 is not one answer alone."""
AFTER = 6.0
"""Seconds for which it is watched: three times what is allowed."""
DONE = "new workers serve"
"""What the supervisor says when it has reloaded."""


def run(shop: Workshop, case: HupCase) -> None:
    """Measure `case`."""
    with shop.running(case.name, case.server) as live:
        wrong = shop.check(live, case.load)
        expected = shop.bodies[case.load.body]
        with Background(keep_busy, live.address, case.load.path, CLIENTS) as others:
            sample(live.address, [(case.load.path, expected)], 1.0)
            before = sample(live.address, [(case.load.path, expected)], shop.window / 2)[0]
            reloads = [reloaded(live, case.load.path, expected) for _ in range(shop.rounds)]
            answers = others.stop()
        if said(live).count(DONE) != shop.rounds:
            wrong = wrong or f"{said(live).count(DONE)} reloads of {shop.rounds} were done"
        shop.rows += rows(case, before, reloads, wrong)
        shop.say(f"  {len(answers)} answers to the other clients meanwhile; p99 before: {before.p99:.1f} ms")


def said(live: Live) -> str:
    """What the server has printed."""
    return Path(live.place.folder, "output-0.txt").read_text(errors="replace")


def reloaded(live: Live, path: str, expected: bytes) -> list[Waits]:
    """Reload, and time one client; its waits in each slice after that.

    :raises RuntimeError: an answer differed.
    """
    asker, messages = Asker(live.address), variants(live.address, path)
    slices: list[list[float]] = [[] for _ in range(int(AFTER / SLICE))]
    clock = time.perf_counter
    began = clock()
    live.processes[0].send_signal(signal.SIGHUP)
    turn = 0
    while (asked := clock()) < began + AFTER:
        if asker.last:
            asker.close()
            asker = Asker(live.address)
        if asker.ask(messages[turn % VARIANTS]) != expected:
            raise RuntimeError(f"{path} was answered with other bytes during a reload")
        slices[int((asked - began) / SLICE)].append(clock() - asked)
        turn += 1
    asker.close()
    return [summary(times) for times in slices if times]


def rows(case: HupCase, before: Waits, reloads: list[list[Waits]], problem: str) -> list[Row]:
    """For how long, and how much."""
    limit = before.p99 + allowed_rise(before.p99)
    raised = [sum(waits.p99 > limit for waits in slices) * SLICE for slices in reloads]
    slowest = [max(waits.worst for waits in slices) for slices in reloads]
    told = f"{', '.join(f'{one:.2f}' for one in raised)} s; before {before.p99:.1f} ms"
    waited = f"{', '.join(f'{one:.0f}' for one in slowest)} ms; before {before.worst:.0f} ms"
    return [
        Row(case.name, f"{case.title}, p99 raised for", median(raised), "s", case.seconds, None, told, problem),
        Row(case.name, f"{case.title}, the slowest", median(slowest), "ms", case.slowest, None, waited, problem),
    ]
