"""A supervisor's end of its preloader (`preloader.py`): started, asked for workers, heard.

    Preloader(…).start(child) ── once it is ready ── fork ─> child.started(pid) ……… child.ended(status)

When the preloader itself ends, its workers go on; that one of them has ended is then told by the end of its channel.
"""

from __future__ import annotations

import errno
import json
import socket
import subprocess
from collections.abc import Callable

from edgestack.errors import ConfigError
from edgestack.process.channel import pair
from edgestack.process.children import Child, Line, command, held_back, reason
from edgestack.process.control import Message
from edgestack.process.loop import Loop
from edgestack.process.spec import Spec

__all__ = ["Preloader"]

LAST_CALL = 2.0
"""Seconds that it gets to end by itself (a guess: it has only its memory to give back)."""


class Preloader:
    """One generation's."""

    def __init__(self, loop: Loop, spec: Spec, spec_fd: int, failed: Callable[[ConfigError], None]) -> None:
        """
        :param failed: told once when no more workers will come from it, and why.
        :raises OSError: there cannot be another process.
        """
        self._failed = failed
        self._ready = False
        self._gone = False
        self._wanted: list[Child] = []
        self._forking: dict[int, Child] = {}
        self._forked: dict[int, Child] = {}
        self._sock, theirs = pair()
        words = command("edgestack.process.preloader", theirs.fileno(), spec_fd)
        descriptors = (theirs.fileno(), spec_fd, *spec.descriptors())
        with held_back():
            self.process = subprocess.Popen(words, pass_fds=descriptors, stdin=subprocess.DEVNULL)
        theirs.close()
        self.line = Line(loop, self._sock, self._heard, self._ended)

    def start(self, child: Child) -> None:
        """Have it fork a worker, as soon as it can.

        :raises OSError: it has ended.
        """
        if self._gone:
            raise ChildProcessError(errno.ECHILD, "the process that loads the application has ended")
        if not self._ready:
            self._wanted.append(child)
            return
        order = json.dumps({"do": "fork", "row": child.row, "age": child.age}).encode()
        self._forking[child.age] = child
        try:
            socket.send_fds(self._sock, [order], [child.end.fileno()])
        except BlockingIOError:
            self._wanted.append(self._forking.pop(child.age))  # hundreds at a time: it goes on as they are forked
        except OSError:
            return  # it has gone, which will be heard

    def _heard(self, message: Message) -> None:
        say = message["say"]
        if say == "ready":
            self._ready = True
            self._go_on()
        elif say == "forked":
            child = self._forking.pop(message["age"])
            self._forked[message["pid"]] = child
            child.started(message["pid"])
            self._go_on()
        elif say == "died":
            self._forked.pop(message["pid"]).ended(message["status"])
        elif say == "failed":
            self._fail(reason(message))

    def _go_on(self) -> None:
        wanted, self._wanted = self._wanted, []
        for child in wanted:
            self.start(child)

    def _ended(self) -> None:
        self._fail(ConfigError("the process that loads the application has ended"))
        for child in (*self._wanted, *self._forking.values()):
            child.end.close()
            child.orphaned()
        for child in self._forked.values():
            child.orphaned()

    def _fail(self, error: ConfigError) -> None:
        if not self._gone:
            self._gone = True
            self._failed(error)

    def give_up(self) -> None:
        """Nobody wants workers of it any more: it need not go on loading, which may take any time."""
        if not self._ready:
            self.process.kill()

    def close(self) -> None:
        """No more workers are wanted of it; those that there are have another parent then."""
        self._gone = True
        self.line.close()
        try:
            self.process.wait(LAST_CALL)  # the end of its channel is its own
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for child in self._forked.values():
            child.orphaned()
