"""Edges inside tests: what a hundred of them take, each with one request (`fixture_probe.py`, pinned to one core).

Client and server share that core, as they share a process; imports are not counted, keys and contexts are.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

from cases import FixtureCase
from running import environment
from workshop import Failed, Row, Workshop

__all__ = ["run"]

PROBE = Path(__file__).parent / "fixture_probe.py"


def run(shop: Workshop, case: FixtureCase) -> None:
    """Measure `case`.

    :raises Failed: it did not come to an end.
    """
    argv = ["taskset", "-c", str(shop.core), sys.executable, str(PROBE), str(shop.rounds)]
    shop.configurations[case.name] = {"commands": [" ".join(argv)]}
    ran = subprocess.run(argv, capture_output=True, text=True, env=environment(), check=False)
    if ran.returncode:
        raise Failed(ran.stderr.strip()[-2000:])
    found = json.loads(ran.stdout)
    for kind, title, must in case.figures:
        rounds, first = found[kind], found["first"][kind]
        detail = f"{min(rounds):.2f} to {max(rounds):.2f} s in {len(rounds)} rounds; the first {first:.0f} ms of CPU"
        shop.rows.append(Row(case.name, title, median(rounds), "s", must, None, detail))
