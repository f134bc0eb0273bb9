"""Why a process died, in words: its exit status, the signal, and whether the kernel did it for want of memory.

Linux counts its kills for want of memory (cgroup v2: memory.events, else /proc/vmstat); one more than before, and a
process that SIGKILL ended, are taken for one.
"""

from __future__ import annotations

import signal
from pathlib import Path

__all__ = ["Kills", "told"]

COREDUMPING = frozenset((signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT))


class Kills:
    """How often the kernel killed for want of memory."""

    def __init__(self, root: Path = Path("/")) -> None:
        """:param root: where proc and sys are."""
        self._files = [root / "proc/vmstat"]
        group = _group(root)
        if group is not None:
            self._files.insert(0, group / "memory.events")
        self._seen = self._count()

    def more(self) -> bool:
        """Whether there were some since this was asked last."""
        before, self._seen = self._seen, self._count()
        return self._seen > before

    def _count(self) -> int:
        for file in self._files:
            try:
                lines = file.read_text().splitlines()
            except OSError:
                continue
            for line in lines:
                name, _, number = line.partition(" ")
                if name == "oom_kill":
                    return int(number)
        return 0


def _group(root: Path) -> Path | None:
    """The folder of this process's control group (cgroups(7), version 2)."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    found = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    return root / "sys/fs/cgroup" / found[0] if found else None


def told(status: int | None, out_of_memory: bool = False) -> str:
    """Why it ended.

    :param status: its exit status, or the negative number of the signal (as `subprocess` has it); None for unknown.
    :param out_of_memory: the kernel has just killed for want of memory.
    """
    if status is None:
        return "ended, and nobody knows how"
    if status >= 0:
        return f"ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    if -status == signal.SIGKILL and out_of_memory:
        return "was killed by the kernel: out of memory"
    crashed = " (it crashed)" if -status in COREDUMPING else ""
    return f"was killed by {name}{crashed}"
