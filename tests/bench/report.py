"""What came of it: the table that is printed, and the JSON that everything else is drawn from.

Knows no server and runs nothing but version queries. Every figure stands beside its limits and the raw rounds behind
it.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cpu import clock_name
from servers import PEERS
from workshop import Row, Workshop

__all__ = ["as_json", "broken", "table", "write_json"]

MARKS = {"aim": "✓ aim", "must": "✓", "missed": "✗ MISSED", "absent": "– left out", "broken": "✗ BROKEN", "": ""}


def broken(rows: list[Row]) -> bool:
    """Whether a must is missed, or a figure is wanting for which nothing excuses."""
    return any(row.verdict in ("missed", "broken") for row in rows)


def table(rows: list[Row]) -> str:
    """One line a row, columns aligned; what spoils a figure stands below it."""
    width = max((len(row.title) for row in rows), default=0)
    lines = [f"{'case':<{width}}  {'figure':>11}  {'must':>9}  {'aim':>9}  verdict"]
    lines.append("─" * (width + 50))
    for row in rows:
        cells = (figure(row.value, row.unit), figure(row.must, row.unit), figure(row.aim, row.unit))
        lines.append(f"{row.title:<{width}}  {cells[0]:>11}  {cells[1]:>9}  {cells[2]:>9}  {MARKS[row.verdict]}")
        lines += [f"    {text}" for text in (row.detail, row.problem) if text]
    return "\n".join(lines)


def figure(value: float | None, unit: str) -> str:
    """A number with its unit, two decimals."""
    return "" if value is None else f"{value:.2f} {unit}"


def as_json(shop: Workshop) -> dict[str, Any]:
    """All of it, as plain values."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "method": {
            "processor time": clock_name(),
            "memory": "Pss of smaps_rollup, all processes",
            "servers on core": shop.core,
            "rounds": shop.rounds,
            "seconds": shop.seconds,
            "latency window": shop.window,
        },
        "rows": [{**asdict(row), "verdict": row.verdict} for row in shop.rows],
        "measurements": [asdict(one) for one in shop.measurements],
        "configurations": shop.configurations,
        "tls": {name: spoken for name, spoken in shop.spoken.items() if spoken},
        "left out": shop.skipped,
    }


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "cpu": found[1] if found else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load average": [round(value, 2) for value in os.getloadavg()],
    }


def versions() -> dict[str, str]:
    """Of everything that took part, "absent" for what did not."""
    return {
        "python": platform.python_version(),
        "openssl (python)": ssl.OPENSSL_VERSION,
        "nginx": said("nginx", "-v"),
        "openssl (nginx)": said("nginx", "-V", pattern=r"built with (OpenSSL \S+)"),
        "wrk": said("wrk", "-v", pattern=r"wrk (\S+)"),
        **{name: distribution(Path(sys.executable), name) for name in ("edgestack", "trio", "h11")},
        **{name: distribution(PEERS / "python", name) for name in ("granian", "waitress", "gunicorn")},
    }


def said(*argv: str, pattern: str = r"nginx/(\S+)") -> str:
    """The version that a program prints."""
    if shutil.which(argv[0]) is None:
        return "absent"
    run = subprocess.run(argv, capture_output=True, text=True)
    found = re.search(pattern, run.stdout + run.stderr)
    return found[1] if found else "unknown"


def distribution(python: Path, name: str) -> str:
    """The version of a distribution, as the interpreter of its venv sees it."""
    if not python.exists():
        return "absent"
    code = f"from importlib.metadata import version; print(version({name!r}))"
    run = subprocess.run([str(python), "-c", code], capture_output=True, text=True)
    return run.stdout.strip() or "absent"


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Readable by people too."""
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n")
