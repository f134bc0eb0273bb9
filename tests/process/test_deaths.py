"""Why a process died, in words."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from edgestack.process.deaths import Kills, told


@pytest.mark.parametrize(
    ("status", "memory", "words"),
    [
        (0, False, "ended with status 0"),
        (3, True, "ended with status 3"),
        (-signal.SIGKILL, False, "was killed by SIGKILL"),
        (-signal.SIGKILL, True, "was killed by the kernel: out of memory"),
        (-signal.SIGSEGV, True, "was killed by SIGSEGV (it crashed)"),
        (-signal.SIGTERM, False, "was killed by SIGTERM"),
        (-200, False, "was killed by signal 200"),
        (None, False, "ended, and nobody knows how"),
    ],
)
def test_words(status: int | None, memory: bool, words: str) -> None:
    assert told(status, memory) == words


def test_the_groups_own_count(tmp_path: Path) -> None:
    """cgroups(7), version 2: memory.events of this process's group."""
    group = tmp_path / "sys/fs/cgroup/system.slice/shop.service"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/system.slice/shop.service\n")
    (tmp_path / "proc/vmstat").write_text("oom_kill 9\n")
    (group / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    kills = Kills(tmp_path)
    assert not kills.more()
    (group / "memory.events").write_text("low 0\noom 4\noom_kill 3\n")
    assert kills.more()
    assert not kills.more()


def test_the_machines_count(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/vmstat").write_text("nr_free 1\noom_kill 0\n")
    kills = Kills(tmp_path)
    (tmp_path / "proc/vmstat").write_text("nr_free 1\noom_kill 1\n")
    assert kills.more()


def test_nobody_counts(tmp_path: Path) -> None:
    assert not Kills(tmp_path).more()
