"""What a server cost: processor time and memory of its processes, read from the kernel, never from the server.

Knows nothing of HTTP. A server is a tree of processes (nginx: master and worker; gunicorn: arbiter and worker): every
figure is the sum over the tree, all threads included, those that ended too.

    processor time   the process CPU clock, in nanoseconds (clock_getcpuclockid(3)); it counts user and system time of
                     all threads, dead ones too, which task/*/schedstat loses. Where the kernel refuses it: utime +
                     stime of /proc/PID/stat, in ticks of 10 ms, so that a run of 3 s is known to 0.3 %.
    memory           Pss of /proc/PID/smaps_rollup: pages that processes share are counted once. Memory that the kernel
                     holds for sockets is not in it, for any server.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["clock_name", "cpu_seconds", "memory_bytes", "split_cores", "tree"]

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


def tree(roots: list[int]) -> list[int]:
    """The processes in `roots` and all that descend from them."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            parent = parent_of(int(entry.name))
            children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting.extend(children.get(pid, ()))
    return found


def parent_of(pid: int) -> int:
    """The parent's pid, or 0 when the process is gone."""
    try:
        return int(stat_fields(pid)[1])
    except OSError:
        return 0


def stat_fields(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third on (proc(5)); the second, the name, may hold spaces and brackets."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def cpu_clock(pid: int) -> int:
    """The clock that clock_getcpuclockid(3) gives for all threads of `pid`: ~pid << 3, CPUCLOCK_SCHED."""
    return (~pid << 3) | 2


def clock_name() -> str:
    """Which of the two ways of reading processor time works here, in words for the report."""
    try:
        time.clock_gettime(cpu_clock(1))
    except OSError:
        return "/proc/PID/stat utime + stime (ticks of 10 ms)"
    return "process CPU clock (ns, all threads)"


def cpu_seconds(pids: list[int]) -> float:
    """User and system time that these processes have used so far, in seconds."""
    return sum(process_seconds(pid) for pid in pids)


def process_seconds(pid: int) -> float:
    """The same for one process."""
    try:
        return time.clock_gettime(cpu_clock(pid))
    except OSError:
        fields = stat_fields(pid)
        return (int(fields[11]) + int(fields[12])) / TICKS


def memory_bytes(pids: list[int]) -> int:
    """The proportional set size of these processes together, in bytes."""
    return sum(pss_of(pid) for pid in pids)


def pss_of(pid: int) -> int:
    """Pss of one process, in bytes."""
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no Pss line in smaps_rollup of {pid}")


def split_cores() -> tuple[int, int]:
    """One core for servers, another for the load; this process and what it starts go to the latter.

    Servers leave it again by `taskset`. Where there is a single core both share it, and the figures mean little.
    """
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    return cores[0], cores[-1]
