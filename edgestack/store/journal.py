"""What several processes tell each other about a folder that they share: who writes holds its lock, and tells.

    put    key, variant, size, URL, tags,    a file was written; who wrote it knows that it is right, and the seal by
           seal                              which that file is known
    gone   name                              a file was let go
    purge  by, what                          everything meant is to go, from memory too

The journal is a file in the folder, a line of JSON for each. A writer holds flock(2) on it while it changes anything in
the folder; it first reads what others told. A reader needs no lock: one fstat says whether there is more. A torn line
(the disk was full) is passed over, since each record begins with a line break of its own.

When it has become long, a new file takes its name and the next number: who finds that the one it reads has no name any
more reads it to its end and goes on with the new one; who has missed a number has missed lines, and is told so. A
process that is killed loses its lock with its life, and what it was writing is nobody's: the next one begins it anew.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgestack.http.bodies import OpenFile

__all__ = ["Journal"]

LENGTH = 256 * 1024
"""Bytes of a journal before the next one begins: some 1,500 lines, read in a few milliseconds. Our number."""
FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW


class Journal:
    """One process' hold on the journal of a folder. `lines` is for one thread at a time, and so is `locked`."""

    def __init__(self, path: Path) -> None:
        """Open it; what was told before is not read.

        :raises OSError: when it cannot be opened, or not be written to.
        """
        self._path = path
        self._who = f"{os.getpid():x}-{secrets.token_hex(4)}"
        self._read = 0
        self._rest = b""
        self._number: int | None = None
        self._out = -1
        self.missed = False
        """Whether lines were lost to this process since this was last set to False."""
        self._file = self._opened(os.O_CREAT)  # without the lock: whoever has it may stand still
        self.lines()
        self.missed = False

    # -- reading -------------------------------------------------------------------------------------------------------

    def is_read(self) -> bool:
        """Whether nobody has told anything since. One system call; on any thread."""
        file = self._file  # held here: another thread may be going on with the next one
        found = os.fstat(file.fd)
        return found.st_size == self._read and found.st_nlink > 0

    def lines(self) -> list[list[Any]]:
        """What others told since the last time. Reads, and never waits.

        :raises OSError: the disk fails.
        """
        found = os.fstat(self._file.fd)
        told = self._lines(found.st_size)
        if not found.st_nlink:
            try:
                self._file = self._opened()
            except FileNotFoundError:
                return told  # somebody emptied the folder; the next writer begins a journal
            told += self._lines(os.fstat(self._file.fd).st_size)
        return told

    def _opened(self, creating: int = 0) -> OpenFile:
        file = OpenFile(os.open(self._path, os.O_RDWR | creating | FLAGS, 0o600))
        self._read, self._rest = 0, b""
        return file

    def _lines(self, end: int) -> list[list[Any]]:
        self.missed |= end < self._read  # somebody cut it
        data = self._rest + os.pread(self._file.fd, max(0, end - self._read), self._read)
        self._read = end
        *whole, self._rest = data.split(b"\n")
        return [line for line in map(self._understood, whole) if line]

    def _understood(self, line: bytes) -> list[Any]:
        if not line:
            return []
        try:
            kind, who, *values = json.loads(line)
        except (TypeError, ValueError, RecursionError):
            self.missed = True  # torn: whatever it said
            return []
        if kind == "journal":
            number = who if isinstance(who, int) else 0
            self.missed |= self._number is not None and number != self._number + 1
            self._number = number
            return []
        return [] if who == self._who else [kind, *values]

    # -- writing -------------------------------------------------------------------------------------------------------

    @contextmanager
    def locked(self) -> Iterator[None]:
        """For the length of a block, nobody else changes anything in the folder. Waits for whoever does.

        :raises OSError: the folder is gone, or cannot be written to.
        """
        self._out = self._locked_now()
        try:
            yield
            if os.fstat(self._out).st_size > LENGTH:
                try:
                    self._begin_next()
                except OSError:
                    pass  # there is no room for another one: this one goes on
        finally:
            fcntl.flock(self._out, fcntl.LOCK_UN)  # closing is not enough where a child of the application has it too
            os.close(self._out)
            self._out = -1

    def tell(self, kind: str, *values: object) -> None:
        """Add a line, within `locked`.

        :raises OSError: it could not be written: others will not know.
        """
        _write(self._out, [kind, self._who, *values])

    def _locked_now(self) -> int:
        """A descriptor of the file that has the name, locked."""
        while True:
            fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | FLAGS, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                found = os.fstat(fd)
                if found.st_nlink:
                    if not found.st_size:
                        _write(fd, ["journal", 0])
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)  # it was replaced while we waited

    def _begin_next(self) -> None:
        """Give the name to a new file, with the next number."""
        try:
            number = int(json.loads(os.pread(self._out, 64, 0).split(b"\n")[1])[1])
        except (ValueError, LookupError, TypeError):
            number = 0  # damaged; readers will know that they have missed something
        following = self._path.with_suffix(".next")
        fd = os.open(following, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | FLAGS, 0o600)
        try:
            _write(fd, ["journal", number + 1])
        finally:
            os.close(fd)
        os.rename(following, self._path)


def _write(fd: int, line: list[object]) -> None:
    data = b"\n" + json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n"
    if os.write(fd, data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
