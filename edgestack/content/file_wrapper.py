"""Files that applications give: wsgi.file_wrapper, X-Sendfile and X-Accel-Redirect (F12).

    FileWrapper           what the application returns; by itself, an iterable of blocks
    wrapped_segment       the run of bytes behind it, when it is a real file: it takes the road of static files
    Offload               X-Sendfile and X-Accel-Redirect, where roots for them are configured

A descriptor is dup()ed before it is handed on: the application may close its own at any time, the sender keeps its.
sendfile reads the descriptor, so only objects that add nothing to it may take that road: a GzipFile has a fileno() too,
of the compressed file. PEP 3333 "Optional Platform-Specific File Handling"; nginx's `X-Accel-Redirect` and `internal`.
Knows no outlet and no socket.
"""

from __future__ import annotations

import io
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote_to_bytes

from edgestack.content.app_head import refuse
from edgestack.http.bodies import FileSegment, OpenFile

__all__ = ["FileWrapper", "Offload", "wrapped_segment"]

BLOCK = 8192
"""Bytes a block where the application does not say: PEP 3333's own example."""

REAL_FILES = (io.BufferedReader, io.BufferedRandom, io.FileIO)


class FileWrapper:
    """wsgi.file_wrapper: iterates `filelike` in blocks, from where it stands."""

    close: Callable[[], Any]
    """The file's own `close`; absent where the file has none."""

    def __init__(self, filelike: Any, block_size: int = BLOCK) -> None:
        """
        :param filelike: an object with `read(size)`.
        :param block_size: bytes to read at once.
        """
        self.filelike = filelike
        self.block_size = block_size
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data: bytes = self.filelike.read(self.block_size)
        if data:
            return data
        raise StopIteration


def wrapped_segment(filelike: Any) -> FileSegment | None:
    """The bytes from the file's position to its end, or None for what must be read through its own `read`.

    :returns: a segment over a descriptor of its own; whoever takes it closes it.
    """
    file: Any = filelike.file if isinstance(filelike, tempfile._TemporaryFileWrapper) else filelike
    if type(file) not in REAL_FILES or not (type(file) is io.FileIO or type(file.raw) is io.FileIO):
        return None
    if type(file) is io.BufferedRandom:
        file.flush()
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode):
        return None
    offset = file.tell()  # of the reader, not of the descriptor: a buffered one has read ahead
    return FileSegment(OpenFile(os.dup(file.fileno())), offset, max(0, found.st_size - offset))


class Offload:
    """Answers that name a file instead of holding it."""

    HIDDEN: ClassVar[frozenset[str]] = frozenset(("x-sendfile", "x-accel-redirect"))
    """Fields that never leave once this is enabled."""

    def __init__(self, roots: Iterable[Path] = (), accel: Iterable[tuple[str, Path]] = ()) -> None:
        """
        :param roots: folders below which X-Sendfile may name files, by absolute path.
        :param accel: (URL prefix, folder): where X-Accel-Redirect's path leads, as nginx's `internal` with `alias`.
        """
        self._roots = tuple(os.path.realpath(root) for root in roots)
        self._accel = tuple((prefix.rstrip("/") + "/", os.path.realpath(root)) for prefix, root in accel)

    def segment(self, field: str, value: str) -> FileSegment:
        """The whole file that a response field names.

        :param field: "x-sendfile" or "x-accel-redirect".
        :raises AppError: it is not there, no regular file, or outside of what is configured.
        """
        path = self._sendfile(value) if field == "x-sendfile" else self._redirect(value)
        if path is None:
            raise refuse(f"{field} names {value!r}, which is outside of what is configured")
        try:
            file = OpenFile(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))  # without waiting at a FIFO
        except OSError as error:
            raise refuse(f"{field} names {value!r}: {error.strerror}") from None
        found = os.fstat(file.fd)
        if stat.S_ISREG(found.st_mode):
            return FileSegment(file, 0, found.st_size)
        raise refuse(f"{field} names {value!r}, which is no regular file")

    def _sendfile(self, value: str) -> bytes | None:
        path = value.encode("latin-1")
        if not path.startswith(b"/"):
            return None
        return next((found for root in self._roots if (found := _inside(root, path))), None)

    def _redirect(self, value: str) -> bytes | None:
        path = unquote_to_bytes(value.encode("latin-1").partition(b"?")[0])
        for prefix, root in self._accel:
            start = prefix.encode()
            if path.startswith(start):
                return _inside(root, os.path.join(root.encode(), path[len(start) :].lstrip(b"/")))
        return None


def _inside(root: str, path: bytes) -> bytes | None:
    """The real path, when it lies below `root`; NUL names no file."""
    if b"\0" in path:
        return None
    real = os.path.realpath(path)
    top = os.fsencode(root)
    return real if real.startswith(top.rstrip(b"/") + b"/") else None
