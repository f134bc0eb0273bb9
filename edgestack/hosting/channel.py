"""The line from a hosting process to its edge: JSON texts, one a line, that way only.

    {"ready": true, "files": […]}                              it accepts
    {"failed": {"why": …, "hint": …, "traceback": …}, "files": […]}   it cannot: it is about to leave
    {"alive": true}                                            its loop runs: again after each `beat` of the order
    {"files": […]}                                             more was imported since (with `reload`)

The edge says nothing; its end of the line closes when it has died, however it died. Then this process leaves too, at
once: a thread of the system's own waits for that, which no library's patches reach; and since nobody else is left to do
it, it takes away its socket, and the folder of that with the last one. `files` are of modules that are
neither Python's own nor installed packages.
"""

from __future__ import annotations

import _thread
import json
import os
import select
import site
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from edgestack.errors import ConfigError

__all__ = ["ORPHANED", "Channel", "own_files", "said", "tidy"]

LOOK = 1.0
"""Seconds between two looks at what was imported."""
TURNS, TURN = 100, 10
"""Looks, and milliseconds between two, until a dead edge is no parent any more: its lines end a little earlier."""
ORPHANED = 1
"""Exit status of a process whose edge is gone."""

_poll, _read, _write, _exit, _start = select.poll, os.read, os.write, os._exit, _thread.start_new_thread
"""The system's own, taken before a library puts its own in their place: this is for a thread of the system's."""


class Channel:
    """This process's end of it."""

    def __init__(self, fd: int, *, watch_imports: bool, path: str = "") -> None:
        """
        :param watch_imports: tell of modules that are imported later, too.
        :param path: of the socket, to be taken away with this process; "" where another one does.
        """
        self._fd = fd
        self._path = path
        self._edge = os.getppid()
        self._told = 0
        self._watch_imports = watch_imports
        self._ready = False
        os.set_inheritable(fd, False)
        _start(self._wait, ())

    def ready(self) -> None:
        """The application is loaded, and its server accepts."""
        self._ready = True
        self._tell({"ready": True, "files": self._files()})

    def alive(self) -> None:
        """Its loop runs."""
        self._tell({"alive": True})

    def failed(self, error: ConfigError) -> None:
        """It cannot be loaded."""
        self._write(said(error))

    def _files(self) -> list[str]:
        self._told = len(sys.modules)
        return own_files()

    def _tell(self, message: dict[str, object]) -> None:
        self._write(json.dumps(message).encode() + b"\n")

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[_write(self._fd, data) :]
        except OSError:
            _exit(ORPHANED)

    def _wait(self) -> None:
        poller = _poll()
        poller.register(self._fd, select.POLLIN)
        while True:
            events = poller.poll(LOOK * 1000 if self._watch_imports else None)
            if events and not _read(self._fd, 1):
                if self._path:
                    tidy(self._edge, [self._path])
                _exit(ORPHANED)
            if self._watch_imports and self._ready and len(sys.modules) != self._told:
                self._tell({"files": self._files()})


def tidy(edge: int, paths: Iterable[str]) -> None:
    """Where the edge has died, nobody will come back for these sockets; where it has only let go of us, all is its own.

    :param edge: the pid of this process's parent, when it was begun.
    """
    waiting = _poll()
    for _ in range(TURNS):
        if os.getppid() != edge:
            for path in paths:
                with suppress(OSError):
                    os.unlink(path)
                with suppress(OSError):  # the others' sockets are still in there
                    os.rmdir(os.path.dirname(path))
            return
        waiting.poll(TURN)


def said(error: ConfigError) -> bytes:
    """How it is told that an application cannot be loaded."""
    failure = {"why": error.why, "hint": error.hint, "traceback": error.traceback_text}
    return json.dumps({"failed": failure, "files": own_files()}).encode() + b"\n"


def own_files() -> list[str]:
    """The files that the application's own modules came from."""
    found = []
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and not file.startswith(FOREIGN):
            found.append(os.path.abspath(file))
    return sorted(found)


def _foreign() -> tuple[str, ...]:
    """Where modules come from that nobody edits: Python, installed packages, and this one."""
    paths = sysconfig.get_paths()
    folders = {paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"], *site.getsitepackages()}
    folders |= {os.path.dirname(os.__file__), str(Path(__file__).parents[1])}
    return tuple(folder.rstrip(os.sep) + os.sep for folder in folders)


FOREIGN = _foreign()
