"""What processes of one server know of each other at a glance: a page of memory that they share, one row for each.

    row   pid   sign of life (s)   open connections   lost threads   requests       written by its own process alone
    top   rows in use                                                               written by the supervisor

A row is written by one process and read by others, without a lock: each value stands by itself, and one that is a
moment old does no harm. The supervisor gives rows out, wipes those of the dead, and sees by the sign of life who is
hung; the workers see by the connections whose turn it is to accept (`Turns`). The clock is CLOCK_MONOTONIC, one for the
machine.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import time
from typing import NamedTuple

__all__ = ["ROWS", "Board", "Row", "Turns", "unnamed_file"]

ROWS = 4096
"""Four times the workers that a configuration may ask for: a reload doubles them, and earlier ones may still drain."""
SIZE = 64
"""Bytes of a row: a cache line, so that neighbours do not slow each other."""

_row = struct.Struct("=QdQQQ?")
_top = struct.Struct("=Q")


class Row(NamedTuple):
    """What one process says of itself."""

    pid: int
    alive: float
    """When its loop last ran, in seconds of CLOCK_MONOTONIC; 0 before it did."""
    connections: int
    lost: int
    """Application threads that did not answer in time and still run."""
    requests: int
    accepts: bool
    """Whether it takes connections: neither getting ready nor leaving."""


NOBODY = Row(0, 0.0, 0, 0, 0, False)


def unnamed_file(name: str) -> int:
    """A descriptor of a file that lives in memory, where the system has such, and that nobody else can open."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class Board:
    """The page."""

    def __init__(self, fd: int | None = None) -> None:
        """:param fd: of a page that is there; without it, a new one."""
        self.fd = unnamed_file("edgestack-board") if fd is None else fd
        if fd is None:
            os.ftruncate(self.fd, (ROWS + 1) * SIZE)
        self._memory = mmap.mmap(self.fd, (ROWS + 1) * SIZE)

    def rows(self) -> int:
        """How many rows from the first one on may be in use."""
        return int(_top.unpack_from(self._memory)[0])

    def take(self) -> int:
        """The number of a free row. In the supervisor only.

        :raises IndexError: all are taken.
        """
        for number in range(ROWS):
            if number >= self.rows() or not self.read(number).pid:
                self.write(number, NOBODY._replace(pid=os.getpid()))  # until its process says who it is
                _top.pack_into(self._memory, 0, max(self.rows(), number + 1))
                return number
        raise IndexError("no more rows")

    def wipe(self, number: int) -> None:
        """Its process has gone. In the supervisor only."""
        self.write(number, NOBODY)
        last = self.rows()
        while last and not self.read(last - 1).pid:
            last -= 1
        _top.pack_into(self._memory, 0, last)

    def read(self, number: int) -> Row:
        """What a process says."""
        return Row(*_row.unpack_from(self._memory, (number + 1) * SIZE))

    def write(self, number: int, row: Row) -> None:
        """Say it."""
        _row.pack_into(self._memory, (number + 1) * SIZE, *row)

    def close(self) -> None:
        """Let go of it."""
        self._memory.close()
        os.close(self.fd)


class Turns:
    """Whose turn it is to accept, where several processes listen on the same sockets: that of the one with the fewest
    connections, more or less (`wire/accepting.py` asks).

    All of them are woken when a client connects, and the first would take most of a burst. So one that has clearly more
    than another one lets that one come first. It does not insist: the other may be busy, or hung.
    """

    __slots__ = ("_board", "_number", "connections")

    MORE = 2
    """Connections that one may have more than another without giving way; with fewer, two would wait for each other's
    last look. Our number."""
    SHARE = 8
    """And an eighth of the other's, as nginx's `ngx_accept_disabled` has it: long ones need not be balanced exactly."""

    def __init__(self, board: Board, number: int) -> None:
        self._board = board
        self._number = number
        self.connections = 0

    def mine(self, connections: int) -> bool:
        """Whether to accept now.

        :param connections: that this process has open.
        """
        board, number = self._board, self._number
        row = board.read(number)
        if row.connections != connections:
            board.write(number, row._replace(connections=connections))
        for other in range(board.rows()):
            if other != number:
                there = board.read(other)
                if there.accepts and connections > there.connections + self.MORE + there.connections // self.SHARE:
                    return False
        return True

    def live(self, *, pid: int, connections: int, lost: int, requests: int, accepts: bool) -> None:
        """A sign of life."""
        self._board.write(self._number, Row(pid, time.monotonic(), connections, lost, requests, accepts))
