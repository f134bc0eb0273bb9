"""Full load on servers in turn: processor time per answer, and the ratios of those that ran in the same round.

In each round every server of the case is started afresh, checked, warmed, measured for the given seconds, checked
again and stopped; the order turns by one each round, so that no server always comes first. A ratio is taken within a
round, where the machine was in the same mood for both, and the median over the rounds is reported.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from cases import CpuCase, Ratio, TunnelCase
from load import Load, drive
from running import Live
from servers import Server
from workshop import Absent, Failed, Measurement, Row, Workshop

__all__ = ["WARM", "run", "run_rounds", "spoilt"]

WARM = 1.0
"""Seconds of load before the clock starts: tables fill, threads start."""


AnyCase = CpuCase | TunnelCase
Measure = Callable[[Workshop, AnyCase, Server, int], Measurement]


def run(shop: Workshop, case: CpuCase) -> None:
    """Measure `case` and hand its rows to `shop`."""
    shop.need_wrk()
    run_rounds(shop, case, lambda shop, _, server, number: measure(shop, case, server, number))


def run_rounds(shop: Workshop, case: AnyCase, measure: Measure) -> None:
    """Measure each server of `case` once a round, and hand the ratios to `shop`."""
    absent: set[Server] = set()
    for number in range(shop.rounds):
        turn = number % len(case.servers)
        for server in case.servers[turn:] + case.servers[:turn]:
            try:
                measurement = measure(shop, case, server, number)
            except Absent as reason:
                absent.add(server)
                shop.skip(f"{case.name}: {server.name}", reason)
                continue
            except Failed as reason:
                measurement = spoilt(case, server, number, str(reason))
            shop.measurements.append(measurement)
            shop.say(said(measurement))
    shop.rows += [ratio_row(shop, case, ratio, absent) for ratio in case.ratios]


def spoilt(case: AnyCase, server: Server, number: int, problem: str) -> Measurement:
    """A run that gives no figures."""
    return Measurement(case.name, server.name, number, 0, 0, 0, 0, 0, problem)


def measure(shop: Workshop, case: CpuCase, server: Server, number: int) -> Measurement:
    """One server, one round."""
    load = case.load
    with shop.running(case.name, server) as live:
        if problem := shop.check(live, load):
            return spoilt(case, server, number, problem)
        drive(live.address, load, WARM, shop.folder, tls=server.tls)
        measurement = under_load(shop, case, live, number)
        if problem := shop.check(live, load):
            return spoilt(case, server, number, f"after the load: {problem}")
    return measurement


def under_load(shop: Workshop, case: CpuCase, live: Live, number: int) -> Measurement:
    """The measured run itself."""
    before = live.cpu_seconds()
    hits = drive(live.address, case.load, shop.seconds, shop.folder, tls=live.server.tls)
    spent = live.cpu_seconds() - before
    answers = answers_in(shop, case.load, hits.requests, hits.bytes)
    return Measurement(
        case.name,
        live.server.name,
        number,
        micros=spent / max(answers, 1) * 1e6,
        per_second=answers / hits.seconds,
        p50=hits.p50,
        p99=hits.p99,
        busy=spent / hits.seconds,
        problem=hits.problem,
    )


def answers_in(shop: Workshop, load: Load, requests: float, received: float) -> float:
    """How many answers were given; of large ones, those that were on their way count by their bytes."""
    return received / len(shop.bodies[load.body]) if load.large else requests


def said(measurement: Measurement) -> str:
    """One line of progress."""
    if measurement.problem:
        return f"  {measurement.server:<44} {measurement.problem}"
    return (
        f"  {measurement.server:<44} {measurement.micros:9.1f} µs {measurement.per_second:9.0f}/s"
        f"  p99 {measurement.p99:6.2f} ms  busy {measurement.busy:4.0%}"
    )


def ratio_row(shop: Workshop, case: AnyCase, ratio: Ratio, absent: set[Server]) -> Row:
    """The median over the rounds of one server's cost by another's in the same round; none where a byte differed."""
    ours, theirs = by_round(shop, case, ratio.over), by_round(shop, case, ratio.under)
    paired = sorted(ours.keys() & theirs.keys())
    for server in (ratio.over, ratio.under):
        if server in absent:
            problem = shop.skipped[f"{case.name}: {server.name}"]
            return Row(case.name, ratio.title, None, "×", ratio.must, ratio.aim, problem=problem, excused=True)
    if problem := trouble(shop, ratio, [*ours.values(), *theirs.values()]):
        return Row(case.name, ratio.title, None, "×", ratio.must, ratio.aim, problem=problem)
    ratios = [ours[number].micros / theirs[number].micros for number in paired]
    middle = median(ours[number].micros for number in paired), median(theirs[number].micros for number in paired)
    detail = f"{middle[0]:.1f} / {middle[1]:.1f} µs, rounds {' '.join(f'{value:.2f}' for value in ratios)}"
    return Row(case.name, ratio.title, median(ratios), "×", ratio.must, ratio.aim, detail)


def by_round(shop: Workshop, case: AnyCase, server: Server) -> dict[int, Measurement]:
    """The measurements of one server in one case."""
    return {one.round: one for one in shop.measurements if (one.case, one.server) == (case.name, server.name)}


def trouble(shop: Workshop, ratio: Ratio, measured: list[Measurement]) -> str:
    """Why there must be no ratio; "" when there may be one."""
    for one in measured:
        if one.problem:
            return f"{one.server}: {one.problem}"
    spoken = {shop.spoken.get(server.name, "") for server in (ratio.over, ratio.under)}
    if len(spoken) > 1:
        return f"different TLS: {' and '.join(sorted(spoken))}"
    return ""
