"""Edges inside tests: what the first of a session costs and what each further one does, their start and their end, in
processor time; and what a hundred of them take, each with one request (`fixture_probe.py`, pinned to one core).

Client and server share that core, as they share a process; imports are not counted, keys and contexts are.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from cases import FixtureCase
from running import environment
from workshop import Failed, Row, Workshop

__all__ = ["run"]

PROBE = Path(__file__).parent / "fixture_probe.py"


FIRSTS = 9
"""Processes in which an edge is the first one."""


def run(shop: Workshop, case: FixtureCase) -> None:
    """Measure `case`.

    :raises Failed: it did not come to an end.
    """
    firsts = [_probed(shop, 0) for _ in range(FIRSTS)]
    found = _probed(shop, shop.rounds)
    shop.configurations[case.name] = {"commands": [" ".join(_command(shop, shop.rounds))]}
    for kind, title, must in case.costs:
        figures = [one[kind] for one in (*firsts, found)]
        detail = f"{min(figures):.1f} to {max(figures):.1f} ms in {len(figures)} sessions"
        shop.rows.append(Row(case.name, title, median(figures), "ms", must, None, detail))
    for kind, title, must in case.figures:
        rounds = found[kind]
        detail = f"{min(rounds):.2f} to {max(rounds):.2f} s in {len(rounds)} rounds"
        shop.rows.append(Row(case.name, title, median(rounds), "s", must, None, detail))


def _command(shop: Workshop, rounds: int) -> list[str]:
    return ["taskset", "-c", str(shop.core), sys.executable, str(PROBE), str(rounds)]


def _probed(shop: Workshop, rounds: int) -> dict[str, Any]:
    ran = subprocess.run(_command(shop, rounds), capture_output=True, text=True, env=environment(), check=False)
    if ran.returncode:
        raise Failed(ran.stderr.strip()[-2000:])
    found: dict[str, Any] = json.loads(ran.stdout)
    return found
