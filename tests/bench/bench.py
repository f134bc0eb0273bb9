"""`make bench`: edgestack and its neighbours, measured side by side on this machine.

    bench.py [CASE …] [--rounds 3] [--seconds 3] [--window 10] [--json FILE] [--svg FILE] [--list] [--draw]

    cases.py        what is measured, and its limits, as data
    workshop.py     what all cases share                               servers.py   who is compared, how configured
                                                                       proxies.py   those that stand before others
    throughput.py   processor time per answer under full load          running.py   starting and stopping them
    tunnels.py      the same per WebSocket message
    idle.py         connections that are held                          load.py      wrk
    gil.py          files beside computing threads                     client.py    requests, and checking answers
    crowded.py      a fast client beside slow ones                     slow.py      the slow ones
    startup.py      from the command to the first answer               latency.py   timing one client
    workers.py      two workers beside one                             fixture.py   edges in tests, by its probe
    hup.py          a reload under load                                busy.py      requests kept in flight
    routing.py      500 routes, by routing_probe.py
    report.py       table and JSON        chart.py  SVG                cpu.py       processor time and memory

Standard library only. Ends with status 1 when a must is missed or edgestack gives no figure.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crowded
import fixture
import gil
import hup
import idle
import routing
import startup
import throughput
import tunnels
import workers
from cases import (
    CASES,
    Case,
    CpuCase,
    CrowdCase,
    FixtureCase,
    GilCase,
    HupCase,
    IdleCase,
    RoutingCase,
    StartCase,
    TunnelCase,
    WorkersCase,
)
from chart import draw
from cpu import clock_name, split_cores
from report import as_json, broken, table, write_json
from servers import ROOT
from workshop import Absent, Failed, Row, Workshop

RUNNERS: dict[type, Callable[[Workshop, Any], None]] = {
    CpuCase: throughput.run,
    TunnelCase: tunnels.run,
    IdleCase: idle.run,
    GilCase: gil.run,
    CrowdCase: crowded.run,
    StartCase: startup.run,
    RoutingCase: routing.run,
    WorkersCase: workers.run,
    HupCase: hup.run,
    FixtureCase: fixture.run,
}
SITE_CHART = ROOT / "site" / "bench.svg"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure edgestack beside nginx, granian, waitress and gunicorn.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="names, or beginnings of names (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of full load; medians are taken over them (3)")
    parser.add_argument("--seconds", type=float, default=3, help="seconds of full load per server and round (3)")
    parser.add_argument("--window", type=float, default=10, help="seconds over which a latency is judged (10)")
    parser.add_argument("--json", type=Path, default=ROOT / "tests" / "bench" / "results.json", help="where results go")
    parser.add_argument("--svg", type=Path, help="where the chart goes (site/bench.svg after a run of all cases)")
    parser.add_argument("--list", action="store_true", help="name the cases and stop")
    parser.add_argument("--draw", action="store_true", help="draw the chart again from the JSON and stop")
    return parser.parse_args()


def chosen(names: list[str]) -> list[Case]:
    """The cases that begin with one of `names`; all of them without names.

    :raises SystemExit: a name fits no case.
    """
    for name in names:
        if not any(case.name.startswith(name) for case in CASES):
            raise SystemExit(f"no case begins with {name!r}; --list names them")
    exact = {case.name for case in CASES} & set(names)
    wanted = [name for name in names if name not in exact]
    return [
        case for case in CASES if not names or case.name in exact or any(case.name.startswith(name) for name in wanted)
    ]


def run(shop: Workshop, case: Case) -> None:
    """One case; what cannot be measured becomes a row that says why."""
    shop.say(f"{case.name}: {case.title}")
    try:
        RUNNERS[type(case)](shop, case)
    except (Absent, Failed) as reason:
        shop.skip(case.name, reason)
        shop.rows.append(Row(case.name, case.title, None, "", problem=str(reason), excused=isinstance(reason, Absent)))


def main() -> int:
    """Measure, print, write."""
    options = arguments()
    cases = chosen(options.cases)
    if options.list:
        print("\n".join(f"{case.name:<18} {case.title}" for case in cases))
        return 0
    if options.draw:
        (options.svg or SITE_CHART).write_text(draw(json.loads(options.json.read_text())))
        return 0
    server_core, load_core = split_cores()
    with tempfile.TemporaryDirectory(prefix="edgestack-bench-") as folder:
        shop = Workshop(Path(folder), server_core, options.rounds, options.seconds, options.window)
        shop.say(f"servers on core {server_core}, load on core {load_core}; processor time from the {clock_name()}")
        if server_core == load_core:
            shop.say("there is only one core: servers and load get in each other's way, and the figures mean little")
        for case in cases:
            run(shop, case)
        results = as_json(shop)
    print(table(shop.rows))
    write_json(options.json, results)
    if chart := options.svg or (None if options.cases else SITE_CHART):
        chart.write_text(draw(results))
    return broken(shop.rows)


if __name__ == "__main__":
    raise SystemExit(main())
