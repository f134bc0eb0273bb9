"""The two files by which others find this process: the pid file, and the ready file with the URLs it answers on.

Both appear whole or not at all (written beside, then renamed), and both are removed at the end if they are still ours.
A pid file whose process is gone, or whose number has since been given to another process, is replaced; one whose
process lives is respected.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from edgestack.errors import ConfigError
from edgestack.process.holders import process_name

__all__ = ["Marker", "claim_pid_file", "living", "ready_text", "write_ready_file"]

CLOCK_SLACK = 2.0
"""Seconds that a process may seem to have started after it wrote its file: `btime` in /proc/stat is rounded."""


class Marker:
    """A file that says something about this process for as long as it lives."""

    __slots__ = ("_path", "_text")

    def __init__(self, path: Path, text: str) -> None:
        """Write it.

        :raises ConfigError: it cannot be written.
        """
        self._path = path.absolute()
        self._text = text
        self._write(text)

    def _write(self, text: str) -> None:
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            beside.write_text(text)
            beside.replace(self._path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise ConfigError(f"{self._path} cannot be written: {error.strerror}") from None

    def change(self, text: str) -> None:
        """Say something else from now on.

        :raises ConfigError: it cannot be written; what it said before stays.
        """
        self._write(text)
        self._text = text

    def remove(self) -> None:
        """Take it away, unless somebody else's has taken its place."""
        try:
            if self._path.read_text() == self._text:
                self._path.unlink()
        except OSError:
            return  # gone already


def write_ready_file(path: Path, urls: list[str]) -> Marker:
    """Tell, as a JSON list, where connections are accepted now.

    :raises ConfigError: it cannot be written.
    """
    return Marker(path, ready_text(urls))


def ready_text(urls: list[str]) -> str:
    """What a ready file says."""
    return json.dumps(urls) + "\n"


def claim_pid_file(path: Path) -> Marker:
    """Write this process's id.

    :raises ConfigError: the process that the file names is alive, or it cannot be written.
    """
    pid = living(path)
    if pid:
        name = process_name(pid) or "a process"
        raise ConfigError(f"{path} says that a server runs already: {name} (pid {pid})", hint="stop it first")
    return Marker(path, f"{os.getpid()}\n")


def living(path: Path) -> int:
    """The process that wrote a pid file, if it is another one and still runs, else 0."""
    try:
        pid = int(path.read_text())
        written = path.stat().st_mtime
    except (OSError, ValueError):
        return 0
    if pid <= 0 or pid == os.getpid() or not _exists(pid):
        return 0
    started = _started(pid)
    return 0 if started is not None and started > written + CLOCK_SLACK else pid


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _started(pid: int) -> float | None:
    """Seconds since the epoch at which a process started (proc(5): field 22 of stat, in clock ticks since boot)."""
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    except (OSError, IndexError, StopIteration):
        return None
    return float(boot.split()[1]) + int(ticks) / os.sysconf("SC_CLK_TCK")
