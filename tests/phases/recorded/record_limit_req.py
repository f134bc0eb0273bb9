"""Records what a real nginx decides by `limit_req`, as data for tests: `python3 record_limit_req.py > limit_req.json`.

    plan of requests ─► nginx under a clock of ours ─► its debug log ─► accept, delay by N ms, reject

It shares no code with edgestack. nginx (built --with-debug, as Debian's is) runs with a preloaded library of ten lines
(made by cc) whose clock stands still where a file says, so that each request comes at the very millisecond that the
plan names. What it decided is read from the answer, or, where there is none yet, from the timer that its log tells of.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import re
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

CLOCK = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
static volatile int64_t *now;
static int64_t milliseconds(void) {
    if (!now) now = mmap(0, 8, PROT_READ, MAP_SHARED, open(getenv("CLOCK_FILE"), O_RDONLY), 0);
    return *now;
}
int clock_gettime(clockid_t id, struct timespec *at) {
    at->tv_sec = milliseconds() / 1000; at->tv_nsec = milliseconds() % 1000 * 1000000; return 0;
}
int gettimeofday(struct timeval *at, void *zone) {
    at->tv_sec = milliseconds() / 1000; at->tv_usec = milliseconds() % 1000 * 1000; return 0;
}
"""

CONF = """
daemon off; master_process off; pid nginx.pid; error_log error.log debug;
events {{ }}
http {{
    access_log off;
    {zones}
    server {{ listen unix:{folder}/sock; location / {{ {limits} empty_gif; }} }}
}}
"""

START = 1_000_000_000
"""Where the clock begins, in milliseconds."""
PATIENCE = 10.0
"""Real seconds until a request must have been decided."""

PASSED, REJECTED = "pass", "reject"

# rate, burst, delay (None for nodelay); the rates are those that nginx holds without rounding
LIMITS: list[list[tuple[str, int, int | None]]] = [
    [("10r/s", 0, 0)],
    [("10r/s", 1, 0)],
    [("10r/s", 5, None)],
    [("10r/s", 5, 3)],
    [("10r/s", 20, 5)],
    [("3r/s", 4, 2)],
    [("1r/s", 2, 0)],
    [("250r/s", 10, 4)],
    [("600r/m", 3, 1)],
    [("60r/m", 2, None)],
    [("10r/s", 6, 2), ("2r/s", 3, None)],
    [("5r/s", 2, 0), ("20r/s", 1, 0)],
]


def plan(number: int, rate: str) -> Iterator[tuple[int, str]]:
    """When requests come, in milliseconds, and from whom: bursts, a pace near the rate, and long pauses."""
    draw = random.Random(number)
    amount, unit = re.fullmatch(r"(\d+)r/([sm])", rate).groups()  # type: ignore[union-attr]
    step = (1000 if unit == "s" else 60_000) // int(amount)
    at = 0
    for _ in range(120):
        kind = draw.random()
        gap = 0 if kind < 0.62 else draw.randint(0, 2 * step) if kind < 0.85 else step + draw.randint(-1, 1)
        at += gap if kind < 0.97 else draw.choice((5 * step, 20 * step, 61_000))
        yield at, draw.choice("aab")


def rule(burst: int, delay: int | None) -> str:
    """The rest of a `limit_req`, which knows no zeros."""
    how = " nodelay" if delay is None else f" delay={delay}" if delay else ""
    return f" burst={burst}{how}" if burst else ""


@contextmanager
def nginx(folder: Path, limits: list[tuple[str, int, int | None]], clock: mmap.mmap) -> Iterator[None]:
    """A server with these limits; `clock` is where its time stands."""
    zones = " ".join(f"limit_req_zone $arg_k zone=z{at}:1m rate={rate};" for at, (rate, _, _) in enumerate(limits))
    rules = " ".join(f"limit_req zone=z{at}{rule(burst, delay)};" for at, (_, burst, delay) in enumerate(limits))
    (folder / "nginx.conf").write_text(CONF.format(folder=folder, zones=zones, limits=rules))
    (folder / "sock").unlink(missing_ok=True)
    (folder / "error.log").write_bytes(b"")
    clock[:8] = START.to_bytes(8, "little")
    environment = {**os.environ, "LD_PRELOAD": str(folder / "clock.so"), "CLOCK_FILE": str(folder / "clock")}
    server = subprocess.Popen(
        ["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"], env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        server.kill()
        server.wait()


def connected(path: Path) -> socket.socket:
    """A connection, once the server is there."""
    limit = time.monotonic() + PATIENCE
    while True:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            sock.close()
            if time.monotonic() > limit:
                raise
        else:
            return sock


def decision(sock: socket.socket, log: Path, seen: int) -> str | int:
    """What became of the request that was just sent: passed, rejected, or delayed by so many milliseconds."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        if select.select([sock], [], [], 0.002)[0]:
            status = sock.recv(4096).split()[1]
            return {b"200": PASSED, b"503": REJECTED}[status]
        told = log.read_bytes()[seen:]
        delayed = re.search(rb"delaying request, excess.*?event timer add: \d+: (\d+):", told, re.DOTALL)
        if delayed:
            return int(delayed[1])
    raise TimeoutError("nginx decided nothing")


def record(folder: Path, number: int, limits: list[tuple[str, int, int | None]], clock: mmap.mmap) -> dict[str, Any]:
    """One scenario."""
    decided = []
    with nginx(folder, limits, clock), ExitStack() as open_sockets:
        for at, key in plan(number, limits[0][0]):
            sock = open_sockets.enter_context(connected(folder / "sock"))
            seen = (folder / "error.log").stat().st_size
            clock[:8] = (START + at).to_bytes(8, "little")
            sock.send(f"GET /?k={key} HTTP/1.0\r\n\r\n".encode())
            decided.append([at, key, decision(sock, folder / "error.log", seen)])
    said = [{"rate": rate, "burst": burst, "delay": delay} for rate, burst, delay in limits]
    return {"limits": said, "requests": decided}


def main() -> None:
    """Record all of them."""
    told = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr
    with tempfile.TemporaryDirectory(prefix="limit-req-") as name:
        folder = Path(name)
        (folder / "clock.c").write_text(CLOCK)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "clock.so", folder / "clock.c"], check=True)
        (folder / "clock").write_bytes(START.to_bytes(8, "little"))
        with open(folder / "clock", "r+b") as file, mmap.mmap(file.fileno(), 8) as clock:
            scenarios = [record(folder, number, limits, clock) for number, limits in enumerate(LIMITS)]
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in scenarios)
    sys.stdout.write(f'{{"nginx": "{told.strip().rpartition("/")[2]}", "scenarios": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
