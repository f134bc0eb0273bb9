"""A fast client beside a thousand slow ones: it must not notice them.

The same server, first without and then with each crowd: the fast client asks the application and a static file in
turn, and each of the two is judged by itself, over the whole window. A crowd counts once it is in full swing: every
reader has seen the head of its answer, two more periods have passed, and the server has come to rest: what is judged is
the price of slow clients, not that of making a thousand long answers.
"""

from __future__ import annotations

import math
import os
import resource
import select
from collections.abc import Callable
from multiprocessing.connection import Connection

from background import Background
from cases import HELLO, STATIC_1K, CrowdCase
from client import request
from latency import Waits, allowed_rise, sample
from running import Live
from slow import Counts, Crowd, send_buffer, slow_bodies, slow_heads, slow_readers
from workshop import Failed, Row, Workshop

__all__ = ["run"]

SWING_LIMIT = 120.0
"""Seconds that a crowd may take until every reader is being answered."""
REST_LIMIT = 60
"""Seconds after which the fast client is timed even if the server is still busy with the slow ones."""
LONG = 64 * 1024 * 1024
"""Bytes of the answer by which the send buffer is measured: more than tcp_wmem allows anywhere."""


def attend(channel: Connection, make: Callable[[], Crowd]) -> Counts:
    """The background client: a crowd, in full swing until told to leave; it makes way for the one that is timed."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.nice(10)
    crowd = make()
    counts = crowd.counts
    started = crowd.run(SWING_LIMIT, until=lambda: counts.answered + counts.lost + counts.sent >= len(crowd.clients))
    if not started:
        raise RuntimeError(f"the crowd was not in full swing within {SWING_LIMIT:.0f} s: {counts}")
    crowd.run(2 * crowd.period)
    channel.send("in full swing")
    crowd.run(math.inf, stop=channel.fileno())
    crowd.close()
    return counts


def run(shop: Workshop, case: CrowdCase) -> None:
    """Measure `case`."""
    with shop.running(case.name, case.server) as live:
        shop.rows += measure(shop, case, live)


def measure(shop: Workshop, case: CrowdCase, live: Live) -> list[Row]:
    """The fast client's waits without and with each crowd."""
    address = live.address
    buffer = send_buffer(address, request(address, f"/stream?{LONG}"))
    if buffer <= 0:
        raise Failed("the server's send buffer could not be measured: no long answer from /stream")
    shop.say(f"  the server's send buffer holds {buffer:,} bytes; readers ask for {4 * buffer:,}")
    message = request(address, f"/stream?{4 * buffer}")
    half = case.count // 2
    crowds: dict[str, Callable[[], Crowd]] = {
        "slow readers": lambda: slow_readers(address, case.count, message),
        "slow heads": lambda: slow_heads(address, half),
        "slow bodies": lambda: slow_bodies(address, case.count - half, "/upload"),
    }
    asks = [(HELLO.path, shop.bodies["hello"]), (STATIC_1K.path, shop.bodies[STATIC_1K.body])]
    sample(address, asks, 1.0)
    without = sample(address, asks, shop.window)
    rows = beside(shop, case, live, without, {"slow readers": crowds.pop("slow readers")})
    return rows + beside(shop, case, live, without, crowds)


def beside(
    shop: Workshop, case: CrowdCase, live: Live, without: list[Waits], crowds: dict[str, Callable[[], Crowd]]
) -> list[Row]:
    """The fast client beside these crowds together."""
    asks = [(HELLO.path, shop.bodies["hello"]), (STATIC_1K.path, shop.bodies[STATIC_1K.body])]
    names = " and ".join(crowds)
    with_them = []
    counts: list[Counts] = []
    others = [Background(attend, make) for make in crowds.values()]
    try:
        for other in others:
            other.receive()
        shop.say(f"  the server came to rest after {come_to_rest(live)} s")
        with_them = sample(live.address, asks, shop.window)
        counts = [other.stop() for other in others]
    finally:
        for other in others:
            other.end()
    for count in counts:
        shop.say(f"  {names}: {count}")
    lost = sum(count.lost for count in counts)
    problem = f"{lost} of the slow readers lost their answer" if lost else ""
    return [
        row
        for ask, before, after in zip(("application", "static"), without, with_them, strict=True)
        for row in rows(case, f"{ask} beside {case.count:,} {names}", before, after, problem)
    ]


def come_to_rest(live: Live) -> int:
    """Wait until the server has produced what it was asked for and only tends the slow ones; the seconds that took."""
    for second in range(REST_LIMIT):
        before = live.cpu_seconds()
        select.select([], [], [], 1.0)
        if live.cpu_seconds() - before < 0.5:
            return second
    return REST_LIMIT


def rows(case: CrowdCase, title: str, before: Waits, after: Waits, problem: str) -> list[Row]:
    """A line for the rise of each percentile."""
    made = []
    for name, first, second in (("p50", before.p50, after.p50), ("p99", before.p99, after.p99)):
        detail = f"{first:.2f} ms without, {second:.2f} ms with"
        made.append(
            Row(case.name, f"{title}, rise of {name}", second - first, "ms", allowed_rise(first), None, detail, problem)
        )
    return made
