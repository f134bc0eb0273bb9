"""Many routes: what it costs to load and check 500 of them, and to find the right one (`routing_probe.py`, pinned).

In one process, without sockets: a fraction of a microsecond would drown in what a server costs besides.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from cases import RoutingCase
from running import environment
from workshop import Failed, Row, Workshop

__all__ = ["run"]

PROBE = Path(__file__).parent / "routing_probe.py"
ROUNDS = 5
"""Of the probe, for each of the bench's: they are short."""


def run(shop: Workshop, case: RoutingCase) -> None:
    """Measure `case`.

    :raises Failed: it did not come to an end.
    """
    argv = ["taskset", "-c", str(shop.core), sys.executable, str(PROBE), str(ROUNDS * shop.rounds)]
    shop.configurations[case.name] = {"commands": [" ".join(argv)]}
    ran = subprocess.run(argv, capture_output=True, text=True, env=environment(), check=False)
    if ran.returncode:
        raise Failed(ran.stderr.strip()[-2000:])
    found = json.loads(ran.stdout)
    shop.configurations[case.name] = {"commands": [" ".join(argv)], "rounds": found}
    loads = found["load"]["rounds"]
    detail = f"{min(loads):.0f} to {max(loads):.0f} ms in {len(loads)} rounds"
    shop.rows.append(Row(case.name, case.load[0], found["load"]["median"], "ms", case.load[1], None, detail))
    for kind, title, must in case.matching:
        cost = found["matching"][kind]
        detail = f"{cost['many']:.2f} µs in all, {cost['many'] - cost['more']:.2f} with one route"
        shop.rows.append(Row(case.name, title, cost["more"], "µs", must, None, detail))
