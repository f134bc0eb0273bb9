"""The edge's end of the fork servers of hosted applications (`preload`; `hosting/forking.py`).

    forker = Forker(order, environment)          a process begins to load the application
    forker.begin(order, listener, line)          it forks one that hosts, once it has: a `Forked`, used like a Popen

A fork server that has ended is begun again with the next order. Nothing here waits but `Forked.wait`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from weakref import WeakSet

from edgestack.errors import ConfigError
from edgestack.hosting.channel import ORPHANED
from edgestack.hosting.order import Order

__all__ = ["Forked", "Forker", "not_started", "started"]

READ = 4096
LAST_CALL = 2.0
"""Seconds that a fork server gets to end by itself (a guess: it has only its memory to give back)."""


def started(order: Order, environment: dict[str, str] | None, *fds: int) -> subprocess.Popen[bytes]:
    """A fresh interpreter, in a group of its own.

    :raises ConfigError: there cannot be another process.
    """
    words = [sys.executable, "-m", "edgestack.hosting", order.dump()]
    try:
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, pass_fds=fds, process_group=0, env=environment)
    except OSError as error:
        raise not_started(order, error) from None


def not_started(order: Order, error: OSError) -> ConfigError:
    """The system has not enough of something."""
    return ConfigError(f"no process can be started for {order.target}: {error.strerror}")


class Forker:
    """One application's fork server."""

    def __init__(self, order: Order, environment: dict[str, str] | None) -> None:
        """:raises ConfigError: there cannot be another process."""
        self._order = order
        self._environment = environment
        self._start()

    def _start(self) -> None:
        self._forked: WeakSet[Forked] = WeakSet()
        try:
            self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            raise not_started(self._order, error) from None
        order = replace(self._order, preload=True, channel=theirs.fileno())
        try:
            self.process = started(order, self._environment, theirs.fileno())
        except BaseException:
            self._orders.close()
            raise
        finally:
            theirs.close()

    def begin(self, order: Order, listener: socket.socket, line: socket.socket) -> Forked:
        """Have it fork one, as soon as it can.

        :raises ConfigError: it has gone, and there cannot be another one.
        """
        if self._has_gone():
            self.close()
            self._start()
        try:
            told, book = socket.socketpair()
        except OSError as error:
            raise not_started(order, error) from None
        text = replace(order, forked=True).dump().encode()
        with book:
            try:
                socket.send_fds(self._orders, [text], [listener.fileno(), line.fileno(), book.fileno()])
            except OSError as error:
                told.close()
                why = f"the process that loads {order.target} takes no orders: {error.strerror}"
                raise ConfigError(why) from None
        forked = Forked(self.process, told)
        self._forked.add(forked)
        return forked

    def _has_gone(self) -> bool:
        """One that dies lets go of its lines one after the other, and is dead only after that."""
        return self.process.poll() is not None or any(forked.orphaned for forked in self._forked)

    def close(self) -> None:
        """No more processes are wanted of it; those that there are go on."""
        self._orders.close()
        self.process.terminate()  # with no orders and a living edge it would look for a second whether that has died
        try:
            self.process.wait(LAST_CALL)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Forked:
    """A process that the fork server was told to fork: what `HostProcess` asks of a Popen."""

    def __init__(self, server: subprocess.Popen[bytes], told: socket.socket) -> None:
        """:param told: where the fork server writes its process id, and its end."""
        self.told = told
        self.returncode: int | None = None
        self.orphaned = False
        """Its fork server has gone."""
        self._pid = 0
        self._server = server
        self._begun = b""

    @property
    def pid(self) -> int:
        """Its process id; 0 as long as it was not forked."""
        self.poll()
        return self._pid

    def poll(self) -> int | None:
        """Its exit status, or the negative number of the signal; None while it lives, or is to be forked."""
        while self.returncode is None and self._is_told(0):
            self._hear()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The same, once it has ended.

        :param timeout: seconds.
        :raises subprocess.TimeoutExpired: it has not.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            left = None if until is None else max(0.0, until - time.monotonic())
            if not self._is_told(left):
                assert timeout is not None
                raise subprocess.TimeoutExpired("a forked process", timeout)
            self._hear()
        return self.returncode

    def _is_told(self, seconds: float | None) -> bool:
        poller = select.poll()
        poller.register(self.told, select.POLLIN)
        return bool(poller.poll(None if seconds is None else seconds * 1000))

    def _hear(self) -> None:
        data = self.told.recv(READ)
        *lines, self._begun = (self._begun + data).split(b"\n")
        for message in map(json.loads, lines):
            self._pid = message.get("pid", self._pid)
            self.returncode = message.get("status")
        if not data and self.returncode is None:
            self.orphaned, self.returncode = True, ORPHANED  # it ends with its line, which is closed next

    def close(self) -> None:
        """Nobody asks any more how it ended."""
        self.told.close()

    def send_signal(self, number: int) -> None:
        """Send a signal, where there is somebody to get it."""
        if self.poll() is None and self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def kill(self) -> None:
        """End it; one that is not forked yet can only be ended with its fork server, which is begun again."""
        if self.poll() is None and not self._pid:
            self._server.kill()
        self.send_signal(signal.SIGKILL)
