"""Who holds an address that we wanted: process id and name, as far as the system tells (Linux's proc(5)).

    /proc/net/{tcp,tcp6,unix}  port or path -> inode        /proc/PID/fd/*  "socket:[inode]" -> PID -> /proc/PID/comm

Another user's descriptors cannot be read without the right to; then the answer is None, and so it is on systems
without /proc. Nothing here raises.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

__all__ = ["Holder", "holder_of_path", "holder_of_port", "process_name"]

PROC = Path("/proc")

LISTENING = "0A"
"""TCP_LISTEN in the `st` column of /proc/net/tcp."""


class Holder(NamedTuple):
    """A process, and what it is called."""

    pid: int
    name: str


def holder_of_port(port: int) -> Holder | None:
    """The process that listens on a TCP port, on whatever address."""
    inodes = set()
    for table in ("net/tcp", "net/tcp6"):
        for columns in _rows(table):
            if len(columns) > 9 and columns[3] == LISTENING and columns[1].rpartition(":")[2] == f"{port:04X}":
                inodes.add(columns[9])
    return _holder(inodes)


def holder_of_path(path: str) -> Holder | None:
    """The process that listens on a unix socket."""
    wanted = os.path.abspath(path)
    rows = (columns for columns in _rows("net/unix") if len(columns) > 7)
    return _holder({columns[6] for columns in rows if os.path.abspath(columns[7]) == wanted})


def process_name(pid: int) -> str:
    """What a process is called, "" when nobody tells."""
    try:
        return (PROC / str(pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return ""


def _rows(table: str) -> list[list[str]]:
    try:
        return [line.split() for line in (PROC / table).read_text(errors="replace").splitlines()[1:]]
    except OSError:
        return []


def _holder(inodes: set[str]) -> Holder | None:
    """The first process with one of the sockets open."""
    if not inodes:
        return None
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for folder in PROC.iterdir():
        if folder.name.isdigit() and not wanted.isdisjoint(_links(folder / "fd")):
            pid = int(folder.name)
            return Holder(pid, process_name(pid))
    return None


def _links(folder: Path) -> set[str]:
    """What the descriptors of one process point to; nothing when it is gone or not ours to see."""
    found = set()
    try:
        for name in os.listdir(folder):
            found.add(_link(folder / name))
    except OSError:
        return found
    return found


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:  # closed meanwhile
        return ""
