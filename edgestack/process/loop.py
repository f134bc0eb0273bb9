"""The loop of a process that must not run trio: signals, sockets and timers, in plain code on one thread.

    signal -> set_wakeup_fd -> a pipe ─┐
    sockets ──────────────────────────┴─ selectors -> callbacks, one after the other; then the timers that are due

A signal handler in Python runs between two bytecodes of anything; here it does nothing, and its number arrives through
the pipe, in order with everything else. The pipe is never full for long, and orders that come twice are worth one:
whoever handles SIGCHLD looks at all children. A callback that raises is logged, and costs that callback only.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

__all__ = ["Loop", "Timer"]

log = logging.getLogger("edgestack.error")


class Timer:
    """A callback at its time."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Not any more."""
        self.callback = None


class Loop:
    """Runs callbacks until it is stopped. On the main thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._signals: dict[int, Callable[[], None]] = {}
        self._before: dict[int, Any] = {}
        self._stopped = False
        self._pipe, self._wake = os.pipe()
        os.set_blocking(self._pipe, False)
        os.set_blocking(self._wake, False)
        self._selector.register(self._pipe, selectors.EVENT_READ, (self._signalled, None))
        self._wakeup_before = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)

    def obey(self, signals: Mapping[int, Callable[[], None]]) -> None:
        """Call these when the signals come."""
        for number, callback in signals.items():
            self._signals[number] = callback
            before = signal.signal(number, _noted)
            self._before.setdefault(number, before)

    def watch(
        self, sock: socket.socket, readable: Callable[[], None], writable: Callable[[], None] | None = None
    ) -> None:
        """Call `readable` when there is something to read, `writable` when there is room; in place of those before."""
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if writable else 0)
        if sock.fileno() in self._selector.get_map():
            self._selector.modify(sock, mask, (readable, writable))
        else:
            self._selector.register(sock, mask, (readable, writable))

    def forget(self, sock: socket.socket) -> None:
        """Not any more; before it is closed."""
        if sock.fileno() in self._selector.get_map():
            self._selector.unregister(sock)

    def later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call it after so many seconds."""
        timer = Timer(time.monotonic() + seconds, callback)
        heapq.heappush(self._timers, (timer.when, next(self._order), timer))
        return timer

    def run(self) -> None:
        """Until `stop`."""
        self._stopped = False
        while not self._stopped:
            self.turn()

    def stop(self) -> None:
        """At the end of this turn."""
        self._stopped = True

    def turn(self) -> None:
        """Wait for something, and see to it."""
        for key, mask in self._selector.select(self._patience()):
            readable, writable = key.data
            if mask & selectors.EVENT_READ:
                _guarded(readable)
            if mask & selectors.EVENT_WRITE and writable is not None:
                _guarded(writable)
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if timer.callback is not None:
                _guarded(timer.callback)

    def _patience(self) -> float | None:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _signalled(self) -> None:
        for number in dict.fromkeys(os.read(self._pipe, 65536)):
            callback = self._signals.get(number)
            if callback is not None:
                _guarded(callback)

    def close(self) -> None:
        """Give everything back; signals mean what they meant before."""
        signal.set_wakeup_fd(self._wakeup_before)
        for number, before in self._before.items():
            signal.signal(number, before)
        self._selector.close()
        os.close(self._pipe)
        os.close(self._wake)


def _noted(number: int, frame: FrameType | None) -> None:
    """Its number is in the pipe."""


def _guarded(callback: Callable[[], None]) -> None:
    """The boundary."""
    try:
        callback()
    except Exception:
        log.exception("the supervisor stumbled")
