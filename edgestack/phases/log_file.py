"""A file, pipe, socket or terminal that log lines are written to. Writing never waits for a reader and never raises.

A regular file takes what it is given in one write. To anything else it goes in pieces that fit (pipe(7): PIPE_BUF), as
long as poll(2) says that there is room: a pager that stands still must not stop the server, and O_NONBLOCK would change
standard output for everybody who shares it. What does not fit waits for the next write, up to BACKLOG bytes. Beyond
that, and on errors (ENOSPC, EPIPE, EIO), whole lines are dropped, counted, and told to the error log once, and again
when writing works again.

A named pipe is opened for reading too, as rsyslog opens it: the start waits for no reader (with nginx and gunicorn it
would hang), and one that is started anew finds the lines of the meantime.
"""

from __future__ import annotations

import logging
import os
import select
import stat
from pathlib import Path
from typing import Protocol

__all__ = ["Lines", "LogFile", "LoggedLines", "open_for_lines"]

BACKLOG = 8 * 1024 * 1024
"""Bytes that wait for a slow reader before lines are dropped (a guess: some 40,000 lines)."""

PIECE = 4096
"""Bytes in one write to what is no regular file: PIPE_BUF on Linux, as much as poll(2) promises room for."""

FLAGS = os.O_APPEND | os.O_CREAT | os.O_NOCTTY | os.O_NONBLOCK
"""What is opened here is ours alone: O_NONBLOCK matters to nobody else."""
STANDARD_OUTPUT = 1

errors = logging.getLogger("edgestack.error")


def open_for_lines(path: Path) -> int:
    """A descriptor that appends to `path`; waits for nobody.

    A named pipe holds what fits into it (pipe(7): 64 KiB) until somebody reads, whoever that is, and however often.

    :raises OSError: when it cannot be opened.
    """
    try:
        reads = stat.S_ISFIFO(path.stat().st_mode)
    except FileNotFoundError:
        reads = False
    return os.open(path, FLAGS | (os.O_RDWR if reads else os.O_WRONLY), 0o644)


class Lines(Protocol):
    """What lines are written to."""

    owed: bytes
    """What there was no room for yet."""
    lost: int
    """Lines dropped so far."""

    def write(self, data: bytes) -> None:
        """Append lines, each with its newline. Never raises, and waits for nobody."""

    def reopen(self) -> None:
        """Open the file anew by its name."""

    def close(self) -> None:
        """Write no more."""


class LoggedLines:
    """Lines that become records of a logger: where they go is the business of the user's logging configuration."""

    __slots__ = ("_logger", "lost", "owed")

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self.owed = b""
        self.lost = 0

    def write(self, data: bytes) -> None:
        """A record each. What a handler raises is logging's to tell (`logging.raiseExceptions`)."""
        for line in data.decode("latin-1").splitlines():
            self._logger.info("%s", line)

    def reopen(self) -> None:
        """`logging.handlers.WatchedFileHandler` does that by itself."""

    def close(self) -> None:
        """Handlers are closed when the process ends."""


class LogFile:
    """One place that lines go to. Not for two threads at once: whoever owns it holds a lock."""

    __slots__ = ("_failing", "_fd", "_path", "_poll", "lost", "owed")

    def __init__(self, path: Path | None) -> None:
        """Open it.

        :param path: a file that is appended to; None for standard output.
        :raises OSError: when it cannot be opened.
        """
        self._path = path
        self._fd = -1
        self._poll: select.poll | None = None
        self._failing = False
        self.owed = b""
        """What the reader had no room for yet."""
        self.lost = 0
        """Lines dropped so far."""
        self._open()

    def _open(self) -> None:
        fd = STANDARD_OUTPUT if self._path is None else open_for_lines(self._path)
        before, self._fd = self._fd, fd
        if before > 1:
            os.close(before)
        self._poll = None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            self._poll = select.poll()
            self._poll.register(fd, select.POLLOUT)

    def write(self, data: bytes) -> None:
        """Append `data`, which ends in a newline, after what is owed. Once closed, nothing is written."""
        owed = self.owed + data if self.owed else data
        if not owed or self._fd < 0:
            return
        try:
            owed = owed[self._take(owed) :]
        except OSError as error:
            self._drop(owed, error.strerror or str(error))
            self.owed = b""
            return
        if len(owed) > BACKLOG:
            end = owed.rfind(b"\n", 0, BACKLOG) + 1
            self._drop(owed[end:], "nobody reads it fast enough")
            owed = owed[:end]
        elif self._failing and not owed:
            self._failing = False
            errors.warning("the access log works again; %d lines were lost so far", self.lost)
        self.owed = owed

    def _take(self, data: bytes) -> int:
        """Write as much as fits now; how many bytes that was."""
        poll, view, written = self._poll, memoryview(data), 0
        while written < len(data):
            if poll is not None and not poll.poll(0):
                break
            try:
                written += os.write(self._fd, view[written:] if poll is None else view[written : written + PIECE])
            except BlockingIOError:
                break
        return written

    def _drop(self, data: bytes, why: str) -> None:
        self.lost += data.count(b"\n")
        if not self._failing:
            self._failing = True
            errors.error("the access log cannot be written (%s): its lines are dropped until it can", why)

    def reopen(self) -> None:
        """Open the file anew by its name; the old one stays in use, and the error log says so, when that fails."""
        if self._path is None or self._fd < 0:
            return
        try:
            self._open()
        except OSError as error:
            errors.error("the access log %s cannot be reopened (%s)", self._path, error.strerror)

    def close(self) -> None:
        """Close what was opened here; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0 and self._path is not None:
            os.close(fd)
