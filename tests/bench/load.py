"""Full load: wrk, with a script that cycles through a thousand requests made before the clock starts.

Knows nothing of the server but its address. wrk runs on the load's core (inherited), one thread, kept connections, each
with one request at a time; so the server decides the pace, and what is measured is what an answer costs it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from client import variants

__all__ = ["Hits", "Load", "drive", "wrk_missing"]

SCRIPT = """\
local requests = {
%s
}
local turn = 0
function request()
    turn = turn %% #requests + 1
    return requests[turn]
end
function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '{"requests":%%.0f,"bytes":%%.0f,"micros":%%.0f,"p50":%%.0f,"p99":%%.0f,"bad":%%.0f,"broken":%%.0f}\\n',
        summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99),
        errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What is asked, and how."""

    path: str
    body: str
    """Which of the expected bodies the answer must have: a file of the site, or "hello"."""
    connections: int = 32
    large: bool = False
    """Answers that take long: count bytes instead of finished answers, or what is on its way at the end is lost."""
    tries: int = 40
    """Requests that check the answer, before and after."""
    accept: str = ""
    """The content coding that is asked for; "" for what browsers send."""


@dataclass(frozen=True)
class Hits:
    """What wrk saw."""

    requests: float
    bytes: float
    seconds: float
    p50: float
    """Milliseconds."""
    p99: float
    problem: str
    """Why these figures do not count; "" when they do."""


def wrk_missing() -> bool:
    """Whether this machine lacks wrk."""
    return shutil.which("wrk") is None


def drive(address: tuple[str, int], load: Load, seconds: float, folder: Path, *, tls: bool = False) -> Hits:
    """Run wrk for `seconds`.

    :raises RuntimeError: wrk itself failed.
    """
    script = folder / "requests.lua"
    texts = (json.dumps(message.decode("latin-1")) for message in variants(address, load.path, load.accept))
    script.write_text(SCRIPT % ",\n".join(texts))
    url = f"{'https' if tls else 'http'}://{address[0]}:{address[1]}{load.path}"
    argv = ["wrk", "-t1", f"-c{load.connections}", f"-d{max(1, round(seconds))}s", "--timeout", "20s"]
    run = subprocess.run([*argv, "-s", str(script), url], capture_output=True, text=True, timeout=seconds + 60)
    lines = [line for line in run.stdout.splitlines() if line.startswith('{"requests"')]
    if run.returncode or not lines:
        raise RuntimeError(f"wrk failed: {run.stderr.strip() or run.stdout.strip()}")
    return read(json.loads(lines[-1]))


def read(said: dict[str, float]) -> Hits:
    """wrk's own counters as values; a single error spoils the run."""
    problem = ""
    if said["bad"] or said["broken"]:
        problem = f"wrk saw {said['bad']:.0f} wrong statuses and {said['broken']:.0f} broken exchanges"
    elif not said["requests"]:
        problem = "wrk got no answer at all"
    micros = max(said["micros"], 1)
    return Hits(said["requests"], said["bytes"], micros / 1e6, said["p50"] / 1e3, said["p99"] / 1e3, problem)
