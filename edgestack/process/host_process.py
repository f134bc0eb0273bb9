"""One hosting process, from the edge's side: begun, listened to, ended. Nothing here waits but where it says so.

    HostProcess(order, path)     a listening socket at `path`, a line to it, and the process (hosting/__main__.py)
    .report()                    waits, blocking, until it accepts or says why it cannot
    await .ended()               on the loop: until it is dead; what it says meanwhile is kept
    .stop(), .kill(), .reap()    its end

The socket belongs to the edge and outlives the process: while a dead one is begun again, requests wait in its queue.
The process has a group of its own, so that Ctrl-C at the terminal reaches the edge alone; and it leaves by itself when
its line to the edge closes.
"""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio

from edgestack.errors import ConfigError
from edgestack.hosting.order import Order
from edgestack.process.deaths import told as how_it_ended
from edgestack.process.host_forker import Forked, Forker, not_started, started
from edgestack.wire.listening import BACKLOG

__all__ = ["HostProcess", "NotHosted"]

READ = 1 << 16


class NotHosted(ConfigError):
    """A process could not load its application."""

    files: frozenset[str] = frozenset()
    """What it had imported by then, as far as that is its own."""


class HostProcess:
    """See the top of this file."""

    def __init__(
        self, order: Order, path: Path, environment: dict[str, str] | None = None, forker: Forker | None = None
    ) -> None:
        """
        :param order: without its descriptors.
        :param path: of its unix socket; in a folder that nobody else may enter.
        :param environment: instead of this process's own.
        :param forker: has loaded the application, or will have, and forks the process.
        :raises ConfigError: it cannot be begun.
        """
        self.path = path
        self.files: frozenset[str] = frozenset()
        """What its application was made of, as far as it has said."""
        self.ready = False
        """It accepts; signals have a meaning for it."""
        self.signs = 0
        """Signs of life, counted."""
        self.most: float = math.inf
        """Requests after which it is replaced."""
        self.leaving = False
        """Another one has its place: it is not begun again."""
        self.gone = trio.Event()
        """It has left, as it should."""
        self._order = order
        self._environment = environment
        self._forker = forker
        self._listener: socket.socket | None = None
        self._begin()

    def _begin(self) -> None:
        self.ready = self._told_to_stop = False
        try:
            self._listener = self._listener or self._bound()
            self.line, theirs = socket.socketpair()
        except OSError as error:
            self.deaf()
            raise not_started(self._order, error) from None
        self._begun = b""
        self._line_closed = trio.Event()
        try:
            self.process = self._started(self._listener, theirs)
        except ConfigError:
            self.line.close()
            self.deaf()
            raise
        finally:
            theirs.close()

    def _started(self, listener: socket.socket, line: socket.socket) -> subprocess.Popen[bytes] | Forked:
        order = replace(self._order, path=str(self.path))
        if self._forker is not None:
            return self._forker.begin(order, listener, line)
        order = replace(order, listen=listener.fileno(), channel=line.fileno())
        return started(order, self._environment, order.listen, order.channel)

    def _bound(self) -> socket.socket:
        self.path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(str(self.path))
            self.path.chmod(0o600)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        return listener

    def begin_again(self) -> None:
        """Another one in its place, once it is dead.

        :raises ConfigError: it cannot be begun.
        """
        self._hang_up()
        self._begin()

    @property
    def listens(self) -> bool:
        """Whether requests may wait at its socket."""
        return self._listener is not None

    def deaf(self) -> None:
        """Nobody listens for a while: who connects is refused at once."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """The end: of the line, which ends the process too, and of the socket."""
        self._hang_up()
        self.deaf()

    def _hang_up(self) -> None:
        self.line.close()
        if isinstance(self.process, Forked):
            self.process.close()

    # -- what it says --------------------------------------------------------------------------------------------------

    def report(self) -> None:
        """Wait until it accepts. Blocking.

        :raises ConfigError: its application cannot be loaded; with its own traceback.
        """
        while True:
            data = self.line.recv(READ)
            for message in self._messages(data):
                if message.get("ready"):
                    self.ready = True
                    self.line.setblocking(False)
                    return
                if "failed" in message:
                    raise _failure(message["failed"], self.files)
            if not data:
                raise self.unsaid()

    def unsaid(self) -> ConfigError:
        """It has left without a word."""
        ended = how_it_ended(self.process.wait())
        return ConfigError(f"the process for {self._order.target} {ended} before it was ready", key="app")

    async def ended(self) -> int:
        """Until it is dead; its exit status, or the negative number of the signal. What it says meanwhile is kept."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen_to)
            await self._dead()
            nursery.cancel_scope.cancel()
        return self.process.wait()

    async def _dead(self) -> None:
        """Its line may outlive it, in a child that the application forked: where the system tells, it is asked."""
        if isinstance(self.process, Forked):
            while self.process.poll() is None:
                await trio.lowlevel.wait_readable(self.process.told)
            return
        try:
            fd = os.pidfd_open(self.process.pid)
        except (AttributeError, OSError):  # another system; or no descriptor is left
            await self._line_closed.wait()
            return
        try:
            await trio.lowlevel.wait_readable(fd)
        finally:
            os.close(fd)

    async def _listen_to(self) -> None:
        while True:
            try:
                data = self.line.recv(READ)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self.line)
                continue
            except OSError:
                data = b""
            if not data:
                self._line_closed.set()
                return
            self._messages(data)

    def _messages(self, data: bytes) -> list[dict[str, Any]]:
        *lines, self._begun = (self._begun + data).split(b"\n")
        messages = [json.loads(line) for line in lines]
        self.signs += len(messages)
        for message in messages:
            self.files = frozenset(message.get("files", self.files))
        return messages

    # -- its end -------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Have it drain and leave, told once: at a second time a library may be in the midst of its end.

        One that has begun nothing has nothing to drain.
        """
        if self.process.poll() is None and not self._told_to_stop:
            self._told_to_stop = True
            self.process.send_signal(signal.SIGTERM if self.ready else signal.SIGKILL)

    def say_goodbye(self) -> None:
        """Have WebSockets end, which would go on for ever; requests still come."""
        if self._order.kind == "process":  # other libraries' servers know no such signal
            self._tell(signal.SIGUSR2)

    def reopen_logs(self) -> None:
        """Have it open the error log anew."""
        self._tell(signal.SIGUSR1)

    def abort(self) -> None:
        """Have it write every thread's stack, and end."""
        self._tell(signal.SIGABRT)

    def _tell(self, number: signal.Signals) -> None:
        """A signal that has a meaning for it, once it is ready."""
        if self.ready and self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """Have no more patience."""
        if self.process.poll() is None:
            self.process.kill()

    def reap(self, seconds: float) -> bool:
        """Wait for its end, blocking; False: it still lives."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def _failure(said: dict[str, str], files: frozenset[str]) -> NotHosted:
    error = NotHosted(said["why"], hint=said["hint"], key="app")
    error.traceback_text = said["traceback"]
    error.files = files
    return error
